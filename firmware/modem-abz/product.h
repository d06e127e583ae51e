/* A modem that speaks as the open firmware of Murata's Type ABZ does, read before every other header (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "modem-abz"

#endif
