/* Console, wake-up timer, watchdog, RNG and LED of the STM32: the same blocks in WL, L0 and L4.
 *
 * Register offsets and bits: CMSIS headers stm32wle5xx.h, stm32l072xx.h, stm32l476xx.h. How they are used: RM0453,
 * RM0377 and RM0351, chapters USART, LPTIM, IWDG, RNG and PWR. No vendor code is used.
 *
 * The console's clock is HSI16, which the USART itself starts in Stop when a start bit arrives (UESM); the system
 * runs from MSI before and after.
 */
#include "stm32.h"

#define USART(offset) REGISTER(stm32.usart + (offset))
#define USART_CR1 USART(0x00u)
#define USART_CR1_UE (1u << 0)
#define USART_CR1_UESM (1u << 1)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR1_RXNEIE (1u << 5)
#define USART_CR1_TXEIE (1u << 7)
#define USART_CR3 USART(0x08u)
#define USART_CR3_WUS_RXNE (3u << 20)
#define USART_BRR USART(0x0Cu)
#define USART_ISR USART(0x1Cu)
#define USART_ERRORS 0xFu /* PE, FE, NE, ORE: same bits in ISR and ICR */
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TC (1u << 6)
#define USART_ISR_TXE (1u << 7)
#define USART_ISR_BUSY (1u << 16)
#define USART_ISR_TEACK (1u << 21)
#define USART_ISR_REACK (1u << 22)
#define USART_ICR USART(0x20u)
#define USART_ICR_WUCF (1u << 20)
#define USART_RDR USART(0x24u)
#define USART_TDR USART(0x28u)
#define HSI16_HZ 16000000u
#define BAUD 115200u

/* LPTIM1, at the same place in all three. */
#define LPTIM1(offset) REGISTER(0x40007C00u + (offset))
#define LPTIM_ISR LPTIM1(0x00u)
#define LPTIM_ICR LPTIM1(0x04u)
#define LPTIM_IER LPTIM1(0x08u)
#define LPTIM_CFGR LPTIM1(0x0Cu)
#define LPTIM_CR LPTIM1(0x10u)
#define LPTIM_ARR LPTIM1(0x18u)
#define LPTIM_ARRM (1u << 1)
#define LPTIM_ARROK (1u << 4)
#define LPTIM_CR_ENABLE (1u << 0)
#define LPTIM_CR_CNTSTRT (1u << 2)

/* IWDG, likewise. 64 x 1000 periods of LSI: 2.0 s at 32 kHz, 1.7 s at the L0's 37 kHz. */
#define IWDG(offset) REGISTER(0x40003000u + (offset))
#define IWDG_KR IWDG(0x00u)
#define IWDG_PR IWDG(0x04u)
#define IWDG_RLR IWDG(0x08u)
#define IWDG_SR IWDG(0x0Cu)
#define IWDG_START 0xCCCCu
#define IWDG_UNLOCK 0x5555u
#define IWDG_RELOAD 0xAAAAu
#define IWDG_PR_64 4u
#define IWDG_PERIODS 1000u
#define DBG_IWDG_STOP (1u << 12)

#define RNG(offset) REGISTER(stm32.rng + (offset))
#define RNG_CR RNG(0x00u)
#define RNG_CR_RNGEN (1u << 2)
#define RNG_SR RNG(0x04u)
#define RNG_SR_DRDY (1u << 0)
#define RNG_SR_ERRORS 6u /* CECS, SECS */
#define RNG_DR RNG(0x08u)
#define RNG_POLLS 100000u

#define RCC_CR REGISTER(stm32.rcc_cr)
#define RCC_CSR REGISTER(stm32.rcc_csr)
#define RCC_CSR_LSION (1u << 0)
#define RCC_CSR_LSIRDY (1u << 1)
#define RCC_CSR_RMVF (1u << 23)
#define RCC_CSR_FLAGS 0xFF000000u

#define SCB_SCR REGISTER(0xE000ED10u) /* ARMv7-M ARM, B3.2.7 */
#define SCB_SCR_SLEEPDEEP (1u << 2)

void stm32_start_hsi16(void)
{
    RCC_CR |= stm32.hsion;
    while ((RCC_CR & stm32.hsirdy) == 0u) {
    }
}

void stm32_alternate(uint32_t port, uint32_t pin, uint32_t function)
{
    GPIO_AFRL(port) = (GPIO_AFRL(port) & ~(0xFu << (4u * pin))) | (function << (4u * pin));
    GPIO_MODER(port) = (GPIO_MODER(port) & ~(3u << (2u * pin))) | (2u << (2u * pin));
}

static void start_console(void)
{
    USART_BRR = (HSI16_HZ + BAUD / 2u) / BAUD;
    USART_CR3 = USART_CR3_WUS_RXNE; /* only while UE is 0 */
    USART_CR1 = USART_CR1_UE | USART_CR1_UESM | USART_CR1_RE | USART_CR1_TE | USART_CR1_RXNEIE;
    while ((USART_ISR & (USART_ISR_TEACK | USART_ISR_REACK)) != (USART_ISR_TEACK | USART_ISR_REACK)) {
    }
}

static void start_wake_timer(void)
{
    RCC_CSR |= RCC_CSR_LSION;
    while ((RCC_CSR & RCC_CSR_LSIRDY) == 0u) {
    }
    LPTIM_CFGR = 0; /* internal clock, undivided; CFGR and IER only while ENABLE is 0 */
    LPTIM_IER = LPTIM_ARRM;
    LPTIM_CR = LPTIM_CR_ENABLE;
    LPTIM_ARR = stm32.wake_ticks - 1u;
    while ((LPTIM_ISR & LPTIM_ARROK) == 0u) {
    }
    LPTIM_ICR = LPTIM_ARROK;
    LPTIM_CR = LPTIM_CR_ENABLE | LPTIM_CR_CNTSTRT;
}

/* It stands while a debugger holds the core, or no debugger could look at a halted program for long. */
static void start_watchdog(void)
{
    REGISTER(stm32.freeze) |= DBG_IWDG_STOP;
    IWDG_KR = IWDG_START;
    IWDG_KR = IWDG_UNLOCK;
    IWDG_PR = IWDG_PR_64;
    IWDG_RLR = IWDG_PERIODS;
    while (IWDG_SR != 0u) {
    }
    IWDG_KR = IWDG_RELOAD;
}

void stm32_start(void)
{
    uint32_t led = 2u * stm32.led_pin;

    stm32_start_hsi16();
    GPIO_MODER(stm32.led_port) = (GPIO_MODER(stm32.led_port) & ~(3u << led)) | (1u << led);
    start_console();
    start_wake_timer();
    start_watchdog();
}

uint32_t chip_reset_cause(void)
{
    uint32_t flags = RCC_CSR & RCC_CSR_FLAGS;

    RCC_CSR |= RCC_CSR_RMVF;
    RCC_CSR &= ~RCC_CSR_RMVF;
    return flags;
}

void chip_kick(void)
{
    IWDG_KR = IWDG_RELOAD;
}

void chip_led(bool on)
{
    GPIO_BSRR(stm32.led_port) = on ? 1u << stm32.led_pin : 1u << (stm32.led_pin + 16u);
}

uint32_t stm32_random(void)
{
    uint32_t word = 0;

    RNG_CR |= RNG_CR_RNGEN;
    for (uint32_t polls = 0; polls < RNG_POLLS; polls++) {
        uint32_t status = RNG_SR;
        if ((status & RNG_SR_ERRORS) != 0u) {
            break;
        }
        if ((status & RNG_SR_DRDY) != 0u) {
            word = RNG_DR;
            break;
        }
    }
    RNG_CR &= ~RNG_CR_RNGEN;
    return word;
}

void chip_send_more(void)
{
    USART_CR1 |= USART_CR1_TXEIE;
}

bool chip_sending(void)
{
    return (USART_ISR & USART_ISR_TC) == 0u;
}

void stm32_usart_handler(void)
{
    uint32_t status = USART_ISR;

    if ((status & USART_ISR_RXNE) != 0u) {
        exerciser_received((uint8_t)USART_RDR);
    }
    USART_ICR = (status & USART_ERRORS) | USART_ICR_WUCF;
    if ((status & USART_ISR_TXE) != 0u && (USART_CR1 & USART_CR1_TXEIE) != 0u) {
        int byte = exerciser_next_to_send();
        if (byte < 0) {
            USART_CR1 &= ~USART_CR1_TXEIE;
        } else {
            USART_TDR = (uint32_t)byte;
        }
    }
}

void stm32_lptim1_handler(void)
{
    LPTIM_ICR = LPTIM_ARRM;
    exerciser_woke();
}

/* Stop only when no byte is half way in (BUSY). It ends on MSI, and HSI16 is off unless the USART asked for it. */
void chip_sleep(bool deeply)
{
    bool stop = deeply && (USART_ISR & USART_ISR_BUSY) == 0u;

    if (stop) {
        SCB_SCR |= SCB_SCR_SLEEPDEEP;
    }
    __asm volatile("dsb\n\twfi" ::: "memory");
    if (stop) {
        SCB_SCR &= ~SCB_SCR_SLEEPDEEP;
        stm32_start_hsi16();
    }
}

void chip_read_memories(volatile uint8_t id[3], volatile uint8_t eui[8])
{
    (void)id; /* none on these boards */
    (void)eui;
}
