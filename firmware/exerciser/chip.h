/* What the exerciser asks of a chip, and what a chip tells the exerciser. */
#ifndef CHIP_H
#define CHIP_H

#include <stdbool.h>
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Given by chip_*.c. Interrupts are off until chip_start returns. */
extern const char chip_name[];
void chip_start(void);
uint32_t chip_reset_cause(void); /* the reset flags as the chip has them; clears them */
uint32_t chip_random(void);      /* 32 bits of the RNG, 0 when it fails */
void chip_kick(void);            /* the watchdog, which bites after about two seconds */
void chip_led(bool on);
void chip_send_more(void);    /* there is something to send */
bool chip_sending(void);      /* the serial line is still busy with what was sent */
void chip_sleep(bool deeply); /* until an interrupt is pending; called with interrupts off */
void chip_read_memories(volatile uint8_t id[3], volatile uint8_t eui[8]); /* SPI memories, where there are some */

/* Given by exerciser.c, called from interrupts. */
void exerciser_woke(void);
void exerciser_received(uint8_t byte);
int exerciser_next_to_send(void); /* the next byte for the serial line, or -1 */

/* Vector table: entries that every chip has. */
void reset_handler(void);
void fault_handler(void);
extern uint32_t _stack_top[];

union vector {
    const uint32_t *stack;
    void (*handler)(void);
};

#define SYSTEM_VECTORS                                                                                       \
    [0] = {.stack = _stack_top}, [1] = {.handler = reset_handler}, [2 ... 6] = {.handler = fault_handler},   \
    [11 ... 12] = {.handler = fault_handler}, [14 ... 15] = {.handler = fault_handler}

#endif
