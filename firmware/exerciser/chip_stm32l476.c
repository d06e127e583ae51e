/* The exerciser on the STM32L476. Addresses and bits: CMSIS header stm32l476xx.h; rules: RM0351. */
#include "stm32.h"

#define RCC(offset) REGISTER(0x40021000u + (offset))
#define RCC_AHB2ENR RCC(0x4Cu) /* GPIOA 0, RNG 18 */
#define RCC_APB1ENR1 RCC(0x58u) /* USART2 17, PWR 28, LPTIM1 31 */
#define RCC_CCIPR RCC(0x88u)
#define CCIPR_USART2_HSI16 (2u << 2)
#define CCIPR_LPTIM1_LSI (1u << 18)
#define CCIPR_CLK48_MSI (3u << 26)
#define PWR_CR1 REGISTER(0x40007000u)
#define PWR_CR1_LPMS 7u
#define PWR_CR1_STOP1 1u /* USART2 does not wake from Stop 2 */
#define EXTI_IMR1 REGISTER(0x40010400u)
#define EXTI_USART2 (1u << 27)
#define EXTI_IMR2 REGISTER(0x40010420u)
#define EXTI_LPTIM1 (1u << 0) /* line 32 */
#define GPIOA 0x48000000u
#define USART2_IRQ 38u
#define LPTIM1_IRQ 65u
#define IRQ_COUNT 82

const char chip_name[] = "stm32l476";

/* PA2 and PA3: console of the NUCLEO-L476RG; PA5: its LED. */
const struct stm32 stm32 = {
    .rcc_cr = 0x40021000u, .hsion = 1u << 8, .hsirdy = 1u << 10, .rcc_csr = 0x40021094u, .freeze = 0xE0042008u,
    .usart = 0x40004400u, .rng = 0x50060800u, .led_port = GPIOA, .led_pin = 5, .wake_ticks = 3200,
};

void chip_start(void)
{
    RCC_AHB2ENR |= 1u << 0 | 1u << 18;
    RCC_APB1ENR1 |= 1u << 17 | 1u << 28 | 1u << 31;
    (void)RCC_APB1ENR1; /* a read back gives the clocks the time to start */
    RCC_CCIPR = CCIPR_USART2_HSI16 | CCIPR_LPTIM1_LSI | CCIPR_CLK48_MSI;
    PWR_CR1 = (PWR_CR1 & ~PWR_CR1_LPMS) | PWR_CR1_STOP1;
    EXTI_IMR1 |= EXTI_USART2;
    EXTI_IMR2 |= EXTI_LPTIM1;
    stm32_alternate(GPIOA, 2, 7);
    stm32_alternate(GPIOA, 3, 7);
    GPIO_PUPDR(GPIOA) |= 1u << 6; /* RX pulled up: an open line is idle */
    stm32_start();
    NVIC_ISER(USART2_IRQ) = NVIC_BIT(USART2_IRQ);
    NVIC_ISER(LPTIM1_IRQ) = NVIC_BIT(LPTIM1_IRQ);
}

uint32_t chip_random(void)
{
    return stm32_random();
}

__attribute__((section(".vectors"), used)) static const union vector vectors[16 + IRQ_COUNT] = {
    SYSTEM_VECTORS,
    [16 ... 16 + USART2_IRQ - 1] = {.handler = fault_handler},
    [16 + USART2_IRQ] = {.handler = stm32_usart_handler},
    [16 + USART2_IRQ + 1 ... 16 + LPTIM1_IRQ - 1] = {.handler = fault_handler},
    [16 + LPTIM1_IRQ] = {.handler = stm32_lptim1_handler},
    [16 + LPTIM1_IRQ + 1 ... 16 + IRQ_COUNT - 1] = {.handler = fault_handler},
};
