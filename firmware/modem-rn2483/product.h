/* A modem that speaks as Microchip's RN2483 does, read before every other header (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "modem-rn2483"

#endif
