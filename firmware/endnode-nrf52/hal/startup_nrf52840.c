/* Vector table of the nRF52840.
 *
 * Interrupt numbers: Nordic's MDK, nrf52840.h, IRQn_Type (48 entries, the last is 47 SPIM3).
 */
#include "startup.h"

#define IRQ_COUNT 48
#define UARTE0_IRQ 2

void hal_uarte0_handler(void);

__attribute__((section(".vectors"), used)) static const union vector vectors[16 + IRQ_COUNT] = {
    SYSTEM_VECTORS,
    [2] = {.handler = fault_handler}, /* NMI: this chip has no source of it */
    [16 ... 16 + UARTE0_IRQ - 1] = {.handler = fault_handler},
    [16 + UARTE0_IRQ] = {.handler = hal_uarte0_handler},
    [16 + UARTE0_IRQ + 1 ... 16 + IRQ_COUNT - 1] = {.handler = fault_handler},
};
