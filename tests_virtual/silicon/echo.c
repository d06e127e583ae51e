/* Sends "ready\n", then every received byte back with bit 5 flipped; sleeps in WFI, woken by the USART. */
#include "chip.h"
static volatile uint8_t ring[64];
static volatile unsigned head, tail;
void usart1(void)
{
    if (USART_ISR & 8) { USART_ICR = 8; RESULT[1]++; }
    if (USART_ISR & 0x20) ring[head++ % 64] = USART_RDR;
}
static void send(uint8_t byte) { while (!(USART_ISR & 0x80)) { } USART_TDR = byte; }
void reset(void)
{
    head = tail = 0;
    RESULT[1] = 0;
    RCC_CR |= 0x100;
    while (!(RCC_CR & 0x400)) { }
    RCC_CFGR = 1;
    while ((RCC_CFGR & 0xC) != 4) { }
    RCC_APB2ENR |= 1 << 14;
    USART_BRR = 16000000 / 115200;
    USART_CR1 = 0x2D;
    while ((USART_ISR & 0x600000) != 0x600000) { }
    NVIC_ISER1 = 1 << 4;
    for (const char *p = "ready\n"; *p; p++) send(*p);
    for (;;) {
        __asm volatile("cpsid i" ::: "memory");
        if (head == tail) __asm volatile("wfi");
        __asm volatile("cpsie i" ::: "memory");
        while (tail != head) send(ring[tail++ % 64] ^ 0x20);
        RESULT[0]++;
    }
}
