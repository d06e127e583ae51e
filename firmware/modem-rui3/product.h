/* A modem that speaks as RAK's RUI3 does, read before every other header (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "modem-rui3"

#endif
