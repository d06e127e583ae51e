/* The part of the HAL that the linker script knows: image, free RAM and stack. The chip's HAL includes this once. */
#ifndef LINKED_H
#define LINKED_H

#include "hal.h"

extern uint32_t _image_start[], _image_end[], _spare_start[], _stack_limit[];

struct hal_span hal_code_image(void)
{
    return (struct hal_span){(uintptr_t)_image_start, (uint32_t)((uintptr_t)_image_end - (uintptr_t)_image_start)};
}

struct hal_span hal_spare_ram(void)
{
    return (struct hal_span){(uintptr_t)_spare_start,
                             (uint32_t)((uintptr_t)_stack_limit - (uintptr_t)_spare_start)};
}

__attribute__((noinline)) void hal_wipe_stack(void)
{
    volatile uint32_t *word = _stack_limit;
    uintptr_t stack_pointer;

    __asm volatile("mov %0, sp" : "=r"(stack_pointer));
    while ((uintptr_t)word < stack_pointer) {
        *word++ = 0;
    }
}

#endif
