/* Vector table of the STM32WLE5.
 *
 * Interrupt numbers: CMSIS header stm32wle5xx.h, IRQn_Type (62 entries, the last is 61 DMAMUX1_OVR).
 */
#include "startup.h"

#define IRQ_COUNT 62
#define USART1_IRQ 36

void hal_nmi_handler(void);
void hal_usart1_handler(void);

__attribute__((section(".vectors"), used)) static const union vector vectors[16 + IRQ_COUNT] = {
    SYSTEM_VECTORS,
    [2] = {.handler = hal_nmi_handler},
    [16 ... 16 + USART1_IRQ - 1] = {.handler = fault_handler},
    [16 + USART1_IRQ] = {.handler = hal_usart1_handler},
    [16 + USART1_IRQ + 1 ... 16 + IRQ_COUNT - 1] = {.handler = fault_handler},
};
