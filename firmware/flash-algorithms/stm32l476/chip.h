/* Where the registers of the STM32L476 are: CMSIS header stm32l476xx.h. */
#ifndef LORAFAB_CHIP_H
#define LORAFAB_CHIP_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_BASE 0x40021000u
#define CRC_ENABLE_REGISTER REGISTER(RCC_BASE + 0x48u) /* RCC_AHB1ENR */
#define CRC_ENABLE_BIT (1u << 12)                      /* CRCEN */

#define FLASH_BASE 0x40022000u
#define FLASH_SR_CFGBSY 0u /* there is none */
#define FLASH_ACR_EMPTY 0u
#define FLASH_CR_MASS_ERASE (1u << 2 | 1u << 15) /* MER1, MER2 */

/* RM0351 section 3.3: two banks of 256 pages of 2 KiB from 0x08000000 on; BKER (bit 11) chooses the second. */
#define FLASH_SIZE 0x100000u
#define FLASH_CR_PAGE(page) (((page) & 0xFFu) << 3 | ((page) >> 8) << 11) /* PNB, BKER */

#endif
