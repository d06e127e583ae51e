/* Where the registers of the STM32L072 are that the CRC unit needs: CMSIS header stm32l072xx.h. */
#ifndef LORAFAB_CHIP_H
#define LORAFAB_CHIP_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_BASE 0x40021000u
#define CRC_ENABLE_REGISTER REGISTER(RCC_BASE + 0x30u) /* RCC_AHBENR */
#define CRC_ENABLE_BIT (1u << 12)                      /* CRCEN */

#endif
