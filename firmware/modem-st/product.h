/* A modem that speaks as ST's AT_Slave does, read before every other header (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "modem-st"

#endif
