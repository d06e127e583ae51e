/* Start and faults of every Cortex-M; the chip's start-up file includes this once and adds its vector table. */
#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

#define SCB_VTOR (*(volatile uint32_t *)0xE000ED08u) /* ARMv7-M ARM (DDI 0403E), B3.2.5; ARMv6-M with vector offset */

extern uint32_t _data_load[], _data_start[], _data_end[], _bss_start[], _bss_end[], _stack_top[], _image_start[];

int main(void);

void reset_handler(void);
void fault_handler(void);

union vector {
    const uint32_t *stack;
    void (*handler)(void);
};

/* A fault, or an interrupt that nothing enabled: stop here, silent, with everything left for a debugger to see.
 * The station reports a silent serial line; a reset would hide the fault behind a second banner. */
void fault_handler(void)
{
    for (;;) {
        __asm volatile("cpsid i\n\twfi");
    }
}

void reset_handler(void)
{
    const uint32_t *from = _data_load;

    /* The table may have been left elsewhere by a boot loader or a debugger. */
    SCB_VTOR = (uint32_t)(uintptr_t)_image_start;
    for (uint32_t *to = _data_start; to < _data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = _bss_start; to < _bss_end; to++) {
        *to = 0;
    }
    (void)main();
    fault_handler();
}

/* Entries 0 to 15 of the table, all but NMI. SysTick is never started, the firmware is tickless. */
#define SYSTEM_VECTORS                                                                                               \
    [0] = {.stack = _stack_top}, [1] = {.handler = reset_handler}, [3] = {.handler = fault_handler} /* HardFault */, \
    [4] = {.handler = fault_handler} /* MemManage */, [5] = {.handler = fault_handler} /* BusFault */,               \
    [6] = {.handler = fault_handler} /* UsageFault */, [11] = {.handler = fault_handler} /* SVCall */,               \
    [12] = {.handler = fault_handler} /* DebugMonitor */, [14] = {.handler = fault_handler} /* PendSV */,            \
    [15] = {.handler = fault_handler}

#endif
