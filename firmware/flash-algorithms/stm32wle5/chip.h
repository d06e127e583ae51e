/* Where the registers of the STM32WLE5 are: CMSIS header stm32wle5xx.h. */
#ifndef LORAFAB_CHIP_H
#define LORAFAB_CHIP_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_BASE 0x58000000u
#define CRC_ENABLE_REGISTER REGISTER(RCC_BASE + 0x48u) /* RCC_AHB1ENR */
#define CRC_ENABLE_BIT (1u << 12)                      /* CRCEN */

#define FLASH_BASE 0x58004000u
#define FLASH_SR_CFGBSY (1u << 18)
#define FLASH_ACR_EMPTY (1u << 16)
#define FLASH_CR_MASS_ERASE (1u << 2) /* MER */

/* RM0453 section 3.3: 128 pages of 2 KiB from 0x08000000 on. */
#define FLASH_SIZE 0x40000u
#define FLASH_CR_PAGE(page) ((page) << 3) /* PNB */

#endif
