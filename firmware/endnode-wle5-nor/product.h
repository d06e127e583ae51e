/* The reference firmware on a board with an AT25SF041 (SPI NOR flash), read before every other header (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "endnode-nor"

#define IDENTITY_IN_SPI_MEMORY 0u /* address of the block: the first sector is the identity's own */
#define SPI_MEMORY_ADDRESS_BYTES 3u
#define SPI_MEMORY_SELECT 4u      /* PA4 */
#define SPI_MEMORY_SLEEPS 1       /* it knows deep power-down */

#endif
