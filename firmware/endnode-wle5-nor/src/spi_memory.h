/* The SPI memory that holds the identity block. Which one, and where: product.h. */
#ifndef SPI_MEMORY_H
#define SPI_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Reads 8 bytes. False: the SPI does not move. A part that does not answer reads as 0xFF, which is blank. */
bool spi_memory_read(uint32_t address, uint8_t out[8]);

#endif
