/* Vector table of a modem on the STM32WLE5: as the reference end node's, and SysTick, which times the joins.
 *
 * Interrupt numbers: CMSIS header stm32wle5xx.h, IRQn_Type (62 entries, the last is 61 DMAMUX1_OVR).
 */
#include "startup.h"

#define IRQ_COUNT 62
#define USART1_IRQ 36

void hal_nmi_handler(void);
void hal_usart1_handler(void);
void port_systick_handler(void);

__attribute__((section(".vectors"), used)) static const union vector vectors[16 + IRQ_COUNT] = {
    [0] = {.stack = _stack_top},
    [1] = {.handler = reset_handler},
    [2] = {.handler = hal_nmi_handler},
    [3 ... 6] = {.handler = fault_handler},   /* HardFault, MemManage, BusFault, UsageFault */
    [11 ... 12] = {.handler = fault_handler}, /* SVCall, DebugMonitor */
    [14] = {.handler = fault_handler},        /* PendSV */
    [15] = {.handler = port_systick_handler},
    [16 ... 16 + USART1_IRQ - 1] = {.handler = fault_handler},
    [16 + USART1_IRQ] = {.handler = hal_usart1_handler},
    [16 + USART1_IRQ + 1 ... 16 + IRQ_COUNT - 1] = {.handler = fault_handler},
};
