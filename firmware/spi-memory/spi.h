/* The microcontroller's SPI as this program needs it; one file per microcontroller. Mode 0, most significant bit first,
 * at most 10 MHz (25AA02E64, DS20002123F, page 1). */
#ifndef SPI_H
#define SPI_H

#include <stdbool.h>

#include "mailbox.h"

/* Takes the pins, every chip-select high. */
void spi_open(const struct mailbox *wiring);

/* Moves the chip-select of the part. */
void spi_select(const struct mailbox *wiring, bool low);

/* One byte out and one in; false when the SPI does not move. */
bool spi_exchange(uint8_t out, uint8_t *in);

/* Switches the SPI off and leaves nothing of what it carried in it; the pins stay as they are. */
void spi_close(void);

#endif
