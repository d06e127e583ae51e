/* The reference firmware on a board with an ATECC608 for LoRaWAN, read before every other header (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "endnode-element"
#define FIRMWARE_HAS_ELEMENT 1 /* the shell knows SE? */

#endif
