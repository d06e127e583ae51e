/* The exerciser on the STM32L072. Addresses and bits: CMSIS header stm32l072xx.h; rules: RM0377. */
#include "stm32.h"

#define RCC(offset) REGISTER(0x40021000u + (offset))
#define RCC_CRRCR RCC(0x08u)
#define RCC_CRRCR_HSI48ON (1u << 0)
#define RCC_CRRCR_HSI48RDY (1u << 1)
#define RCC_IOPENR RCC(0x2Cu) /* ports A 0, B 1 */
#define RCC_AHBENR RCC(0x30u) /* RNG 20 */
#define RCC_APB2ENR RCC(0x34u) /* SYSCFG 0, DBG 22 */
#define RCC_APB1ENR RCC(0x38u) /* USART2 17, PWR 28, LPTIM1 31 */
#define RCC_CCIPR RCC(0x4Cu)
#define CCIPR_USART2_HSI16 (2u << 2)
#define CCIPR_LPTIM1_LSI (1u << 18)
#define CCIPR_HSI48 (1u << 26) /* RNG from HSI48, not from the PLL */
#define SYSCFG_CFGR3 REGISTER(0x40010020u)
#define SYSCFG_CFGR3_EN_VREFINT (1u << 0)
#define SYSCFG_CFGR3_ENREF_HSI48 (1u << 13)
#define PWR_CR REGISTER(0x40007000u)
#define PWR_CR_LPSDSR (1u << 0)
#define PWR_CR_PDDS (1u << 1)
#define EXTI_IMR REGISTER(0x40010400u)
#define EXTI_USART2 (1u << 26)
#define EXTI_LPTIM1 (1u << 29)
#define GPIOA 0x50000000u
#define GPIOB 0x50000400u
#define LPTIM1_IRQ 13u
#define USART2_IRQ 28u
#define IRQ_COUNT 32

const char chip_name[] = "stm32l072";

/* PA2 and PA3: console of the B-L072Z-LRWAN1; PB5: its green LED. */
const struct stm32 stm32 = {
    .rcc_cr = 0x40021000u, .hsion = 1u << 0, .hsirdy = 1u << 2, .rcc_csr = 0x40021050u, .freeze = 0x40015808u,
    .usart = 0x40004400u, .rng = 0x40025000u, .led_port = GPIOB, .led_pin = 5, .wake_ticks = 3700,
};

void chip_start(void)
{
    RCC_IOPENR |= 3u;
    RCC_AHBENR |= 1u << 20;
    RCC_APB2ENR |= 1u << 0 | 1u << 22; /* without DBG the freeze bits do not even take a write */
    RCC_APB1ENR |= 1u << 17 | 1u << 28 | 1u << 31;
    (void)RCC_APB1ENR; /* a read back gives the clocks the time to start */
    RCC_CCIPR = CCIPR_USART2_HSI16 | CCIPR_LPTIM1_LSI | CCIPR_HSI48;
    PWR_CR = (PWR_CR & ~PWR_CR_PDDS) | PWR_CR_LPSDSR; /* Stop, regulator in low power */
    EXTI_IMR |= EXTI_USART2 | EXTI_LPTIM1;
    stm32_alternate(GPIOA, 2, 4);
    stm32_alternate(GPIOA, 3, 4);
    GPIO_PUPDR(GPIOA) |= 1u << 6; /* RX pulled up: an open line is idle */
    stm32_start();
    NVIC_ISER(0u) = NVIC_BIT(USART2_IRQ) | NVIC_BIT(LPTIM1_IRQ);
}

/* HSI48 takes its reference from VREFINT, and Stop switches it off: on only while it is needed. */
uint32_t chip_random(void)
{
    uint32_t word;

    SYSCFG_CFGR3 |= SYSCFG_CFGR3_EN_VREFINT | SYSCFG_CFGR3_ENREF_HSI48;
    RCC_CRRCR |= RCC_CRRCR_HSI48ON;
    while ((RCC_CRRCR & RCC_CRRCR_HSI48RDY) == 0u) {
    }
    word = stm32_random();
    RCC_CRRCR &= ~RCC_CRRCR_HSI48ON;
    SYSCFG_CFGR3 &= ~(SYSCFG_CFGR3_EN_VREFINT | SYSCFG_CFGR3_ENREF_HSI48);
    return word;
}

__attribute__((section(".vectors"), used)) static const union vector vectors[16 + IRQ_COUNT] = {
    SYSTEM_VECTORS,
    [16 ... 16 + LPTIM1_IRQ - 1] = {.handler = fault_handler},
    [16 + LPTIM1_IRQ] = {.handler = stm32_lptim1_handler},
    [16 + LPTIM1_IRQ + 1 ... 16 + USART2_IRQ - 1] = {.handler = fault_handler},
    [16 + USART2_IRQ] = {.handler = stm32_usart_handler},
    [16 + USART2_IRQ + 1 ... 16 + IRQ_COUNT - 1] = {.handler = fault_handler},
};
