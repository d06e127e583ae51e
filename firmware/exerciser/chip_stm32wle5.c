/* The exerciser on the STM32WLE5. Addresses and bits: CMSIS header stm32wle5xx.h; rules: RM0453 (RM0461). */
#include "stm32.h"

#define RCC(offset) REGISTER(0x58000000u + (offset))
#define RCC_AHB2ENR RCC(0x4Cu) /* GPIOB 1 */
#define RCC_AHB3ENR RCC(0x50u) /* RNG 18 */
#define RCC_APB1ENR1 RCC(0x58u) /* LPTIM1 31 */
#define RCC_APB2ENR RCC(0x60u) /* USART1 14 */
#define RCC_CCIPR RCC(0x88u)
#define CCIPR_USART1_HSI16 (2u << 0)
#define CCIPR_LPTIM1_LSI (1u << 18)
#define CCIPR_RNG_MSI (3u << 30)
#define PWR_CR1 REGISTER(0x58000400u)
#define PWR_CR1_LPMS 7u
#define PWR_CR1_STOP1 1u /* USART1 does not wake from Stop 2 */
#define EXTI_IMR1 REGISTER(0x58000880u)
#define EXTI_USART1 (1u << 26)
#define EXTI_LPTIM1 (1u << 29)
#define GPIOB 0x48000400u
#define USART1_IRQ 36u
#define LPTIM1_IRQ 39u
#define IRQ_COUNT 62

const char chip_name[] = "stm32wle5";

/* PB6 and PB7: console of the LoRa-E5 module; PB5: LED of the boards that carry it. */
const struct stm32 stm32 = {
    .rcc_cr = 0x58000000u, .hsion = 1u << 8, .hsirdy = 1u << 10, .rcc_csr = 0x58000094u, .freeze = 0xE004203Cu,
    .usart = 0x40013800u, .rng = 0x58001000u, .led_port = GPIOB, .led_pin = 5, .wake_ticks = 3200,
};

void chip_start(void)
{
    RCC_AHB2ENR |= 1u << 1;
    RCC_AHB3ENR |= 1u << 18;
    RCC_APB1ENR1 |= 1u << 31;
    RCC_APB2ENR |= 1u << 14;
    (void)RCC_APB2ENR; /* a read back gives the clocks the time to start */
    RCC_CCIPR = CCIPR_USART1_HSI16 | CCIPR_LPTIM1_LSI | CCIPR_RNG_MSI;
    PWR_CR1 = (PWR_CR1 & ~PWR_CR1_LPMS) | PWR_CR1_STOP1;
    EXTI_IMR1 |= EXTI_USART1 | EXTI_LPTIM1;
    stm32_alternate(GPIOB, 6, 7);
    stm32_alternate(GPIOB, 7, 7);
    GPIO_PUPDR(GPIOB) |= 1u << 14; /* RX pulled up: an open line is idle */
    stm32_start();
    NVIC_ISER(USART1_IRQ) = NVIC_BIT(USART1_IRQ) | NVIC_BIT(LPTIM1_IRQ); /* the same register */
}

uint32_t chip_random(void)
{
    return stm32_random();
}

__attribute__((section(".vectors"), used)) static const union vector vectors[16 + IRQ_COUNT] = {
    SYSTEM_VECTORS,
    [16 ... 16 + USART1_IRQ - 1] = {.handler = fault_handler},
    [16 + USART1_IRQ] = {.handler = stm32_usart_handler},
    [16 + USART1_IRQ + 1 ... 16 + LPTIM1_IRQ - 1] = {.handler = fault_handler},
    [16 + LPTIM1_IRQ] = {.handler = stm32_lptim1_handler},
    [16 + LPTIM1_IRQ + 1 ... 16 + IRQ_COUNT - 1] = {.handler = fault_handler},
};
