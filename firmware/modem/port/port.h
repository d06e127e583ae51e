/* What a modem needs of the chip beside the HAL of the reference end node: a timer, a reset, and the EUI-64. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

#define PORT_TIMER (-2) /* an event of port_wait(): the timer has run out */

/* Sleeps until there is a byte of the serial line (0..255), HAL_CONSOLE_DAMAGED, or PORT_TIMER. Bytes come first. */
int port_wait(void);

/* Starts the timer anew; it runs out once. Up to 2^31 ms. */
void port_timer_start(uint32_t ms);
void port_timer_stop(void);

/* Lets the serial line send what is queued, then resets the chip. Does not return. */
void port_reset(void);

/* The EUI-64 that ST wrote into the chip, most significant byte first. */
void port_eui64(uint8_t out[8]);

#endif
