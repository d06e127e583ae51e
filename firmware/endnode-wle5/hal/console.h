/* What the consoles of all chips share: the rings between the program and the interrupt, and sleep between bytes.
 * The chip's HAL includes this once, and moves bytes between the rings and its serial port. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include "hal.h"

/* Rings with free-running counters; sizes are powers of two. RX holds more than a line, so that a station that
 * sends its next command early loses nothing. */
#define RX_SIZE 128u
#define TX_SIZE 128u
static volatile uint16_t rx_ring[RX_SIZE];
static volatile uint32_t rx_head, rx_tail;
static volatile uint8_t tx_ring[TX_SIZE];
static volatile uint32_t tx_head, tx_tail;

static void rx_push(uint16_t item)
{
    if (rx_head - rx_tail == RX_SIZE) {
        rx_ring[(rx_head - 1u) % RX_SIZE] = HAL_CONSOLE_DAMAGED; /* full: the loss itself must not be lost */
        return;
    }
    rx_ring[rx_head % RX_SIZE] = item;
    rx_head++;
}

static bool rx_has_something(void)
{
    return rx_head != rx_tail;
}

static bool tx_has_room(void)
{
    return tx_head - tx_tail != TX_SIZE;
}

/* Sleeps at most once. The test stands behind the mask: an interrupt between test and WFI stays pending, and
 * a pending interrupt ends WFI even when masked (ARMv7-M ARM, B1.5.19; ARMv6-M ARM, B1.5.18). Without the mask it
 * would be served before WFI, and WFI would then wait for one that never comes. */
static void sleep_unless(bool (*ready)(void))
{
    __asm volatile("cpsid i" ::: "memory");
    if (!ready()) {
        __asm volatile("dsb\n\twfi" ::: "memory");
    }
    __asm volatile("cpsie i\n\tisb" ::: "memory");
}

#endif
