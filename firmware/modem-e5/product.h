/* A modem that speaks as Seeed's LoRa-E5 does, read before every other header (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "modem-e5"

#endif
