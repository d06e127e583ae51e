/* Register addresses and bits: ARMv7-M ARM (DDI 0403E), B3.2.6 (AIRCR) and B3.3 (SysTick); CMSIS header
 * stm32wle5xx.h (USART1, UID64_BASE). */
#include "port.h"

#include <stdbool.h>

#include "hal.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define SYST_CSR REGISTER(0xE000E010u)
#define SYST_CSR_ENABLE (1u << 0)
#define SYST_CSR_TICKINT (1u << 1) /* CLKSOURCE, bit 2, stays 0: the external reference, HCLK/8 on an STM32 */
#define SYST_RVR REGISTER(0xE000E014u)
#define SYST_CVR REGISTER(0xE000E018u)
#define TICKS_PER_MS 2000u /* HCLK is HSI16 (hal_stm32wle5.c) */
#define CHUNK_MS 8000u     /* fits into the 24 bits of SYST_RVR */

#define SCB_AIRCR REGISTER(0xE000ED0Cu)
#define SCB_AIRCR_SYSRESETREQ 0x05FA0004u

#define USART1_CR1 REGISTER(0x40013800u)
#define USART1_CR1_TXEIE (1u << 7)
#define USART1_ISR REGISTER(0x4001381Cu)
#define USART1_ISR_TC (1u << 6)

/* RM0461, "device electronic signature": word 0 is the device's number; word 1 the device id in its lowest byte and
 * ST's company id 0x0080E1 above it. */
#define UID64_ADDRESS 0x1FFF7580u

static volatile uint32_t left_ms;
static volatile bool fired;

void port_systick_handler(void);

static void start_chunk(void)
{
    uint32_t ms = left_ms < CHUNK_MS ? left_ms : CHUNK_MS;

    left_ms -= ms;
    SYST_CSR = 0;
    SYST_RVR = ms * TICKS_PER_MS - 1u;
    SYST_CVR = 0;
    SYST_CSR = SYST_CSR_ENABLE | SYST_CSR_TICKINT;
}

void port_systick_handler(void)
{
    if (left_ms != 0u) {
        start_chunk();
    } else {
        SYST_CSR = 0;
        fired = true;
    }
}

void port_timer_start(uint32_t ms)
{
    port_timer_stop();
    left_ms = ms != 0u ? ms : 1u;
    start_chunk();
}

void port_timer_stop(void)
{
    __asm volatile("cpsid i" ::: "memory");
    SYST_CSR = 0;
    left_ms = 0;
    fired = false;
    __asm volatile("cpsie i" ::: "memory");
}

/* The test stands behind the mask, as in hal_stm32wle5.c: an interrupt between test and WFI must end WFI. */
int port_wait(void)
{
    for (;;) {
        int event;

        __asm volatile("cpsid i" ::: "memory");
        event = hal_console_read();
        if (event == HAL_CONSOLE_NOTHING && fired) {
            fired = false;
            event = PORT_TIMER;
        }
        if (event == HAL_CONSOLE_NOTHING) {
            __asm volatile("dsb\n\twfi" ::: "memory");
        }
        __asm volatile("cpsie i\n\tisb" ::: "memory");
        if (event != HAL_CONSOLE_NOTHING) {
            return event;
        }
    }
}

void port_reset(void)
{
    while ((USART1_CR1 & USART1_CR1_TXEIE) != 0u || (USART1_ISR & USART1_ISR_TC) == 0u) {
    }
    SCB_AIRCR = SCB_AIRCR_SYSRESETREQ;
    for (;;) {
        __asm volatile("dsb" ::: "memory");
    }
}

void port_eui64(uint8_t out[8])
{
    uint32_t number = REGISTER(UID64_ADDRESS), company = REGISTER(UID64_ADDRESS + 4u);

    for (uint32_t i = 0; i < 3; i++) {
        out[i] = (uint8_t)(company >> (24u - 8u * i));
    }
    out[3] = (uint8_t)company;
    for (uint32_t i = 0; i < 4; i++) {
        out[4u + i] = (uint8_t)(number >> (24u - 8u * i));
    }
}
