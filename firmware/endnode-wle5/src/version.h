/* The one place of the version, the product's name and the MCU that the image is for. A product that is built from
 * these sources, too, has a product.h of its own, which the compiler reads before everything else (-include). */
#ifndef VERSION_H
#define VERSION_H

#define FIRMWARE_VERSION "1.0.0"
#ifndef FIRMWARE_PRODUCT
#define FIRMWARE_PRODUCT "endnode-wle5"
#endif
#ifndef FIRMWARE_MCU
#define FIRMWARE_MCU "stm32wle5jc"
#endif

#endif
