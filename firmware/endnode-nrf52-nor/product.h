/* The reference firmware on an nRF52840 board with an AT25SF041 (SPI NOR flash), read before every other header
 * (-include): the memory map is endnode-nrf52's. */
#ifndef PRODUCT_H
#define PRODUCT_H

#include "endnode-nrf52/product.h"
#undef FIRMWARE_PRODUCT
#define FIRMWARE_PRODUCT "nrf52-nor"

#define IDENTITY_IN_SPI_MEMORY 0u /* address of the block: the first sector is the identity's own */

#endif
