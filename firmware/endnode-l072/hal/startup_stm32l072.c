/* Vector table of the STM32L072.
 *
 * Interrupt numbers: CMSIS header stm32l072xx.h, IRQn_Type (32 entries, all that a Cortex-M0+ has).
 */
#include "startup.h"

#define IRQ_COUNT 32
#define USART2_IRQ 28

void hal_usart2_handler(void);

__attribute__((section(".vectors"), used)) static const union vector vectors[16 + IRQ_COUNT] = {
    SYSTEM_VECTORS,
    [2] = {.handler = fault_handler}, /* NMI: of the clock security system and the backup domain, never started */
    [16 ... 16 + USART2_IRQ - 1] = {.handler = fault_handler},
    [16 + USART2_IRQ] = {.handler = hal_usart2_handler},
    [16 + USART2_IRQ + 1 ... 16 + IRQ_COUNT - 1] = {.handler = fault_handler},
};
