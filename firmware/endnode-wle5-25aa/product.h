/* The reference firmware on a board with a 25AA02E64 (EEPROM with an EUI-64), read before every other header
 * (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "endnode-25aa"

#define IDENTITY_IN_SPI_MEMORY 0u /* address of the block: below the part's protected quarter */
#define SPI_MEMORY_ADDRESS_BYTES 1u
#define SPI_MEMORY_SELECT 9u      /* PA9 */
#define SPI_MEMORY_SLEEPS 0

#endif
