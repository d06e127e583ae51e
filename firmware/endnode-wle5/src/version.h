/* The one place of the version, the product's name and the MCU that the image is for. */
#ifndef VERSION_H
#define VERSION_H

#define FIRMWARE_VERSION "1.0.0"
#define FIRMWARE_PRODUCT "endnode-wle5"
#define FIRMWARE_MCU "stm32wle5jc"

#endif
