/* What the three STM32 have in common, and the table in which they differ. */
#ifndef STM32_H
#define STM32_H

#include "chip.h"

struct stm32 {
    uint32_t rcc_cr;       /* address of RCC_CR; HSION and HSIRDY in it */
    uint32_t hsion, hsirdy;
    uint32_t rcc_csr;      /* address of RCC_CSR: the reset flags, LSION 0, LSIRDY 1, RMVF 23 */
    uint32_t freeze;       /* address of the DBGMCU register with DBG_IWDG_STOP, bit 12 */
    uint32_t usart;        /* base of the console */
    uint32_t rng;          /* base of the RNG */
    uint32_t led_port;     /* base of the LED's GPIO port, and its pin */
    uint32_t led_pin;
    uint32_t wake_ticks;   /* of LSI in 100 ms */
};

extern const struct stm32 stm32; /* given by the chip */

/* The chip has enabled the clocks of all parts, selected HSI16 for the console and LSI for LPTIM1, opened EXTI and NVIC
 * for both, and given the pins to the console. */
void stm32_start(void);
void stm32_start_hsi16(void);
uint32_t stm32_random(void);
void stm32_usart_handler(void);
void stm32_lptim1_handler(void);

/* GPIO registers (GPIO_TypeDef). */
#define GPIO_MODER(port) REGISTER((port) + 0x00u)
#define GPIO_PUPDR(port) REGISTER((port) + 0x0Cu)
#define GPIO_BSRR(port) REGISTER((port) + 0x18u)
#define GPIO_AFRL(port) REGISTER((port) + 0x20u)

/* Gives a pin below 8 to its alternate function. */
void stm32_alternate(uint32_t port, uint32_t pin, uint32_t function);

#define NVIC_ISER(irq) REGISTER(0xE000E100u + 4u * ((irq) / 32u)) /* ARMv7-M ARM, B3.4.4 */
#define NVIC_BIT(irq) (1u << ((irq) % 32u))

#endif
