/* The reference firmware with a shell that takes its identity, read before every other header (-include). */
#ifndef PRODUCT_H
#define PRODUCT_H

#define FIRMWARE_PRODUCT "endnode-serial"
#define FIRMWARE_TAKES_IDENTITY 1 /* the shell knows SET */

#endif
