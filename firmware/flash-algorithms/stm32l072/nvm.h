/*
 * The non-volatile memory controller of STM32L0 category 5 parts, as the flash and the data EEPROM use it.
 *
 * Registers, bits and keys: CMSIS header stm32l072xx.h and HAL header stm32l0xx_hal_flash.h. Rules of programming:
 * RM0367 section 3.3 (NVM functional description).
 */
#ifndef LORAFAB_STM32L072_NVM_H
#define LORAFAB_STM32L072_NVM_H

#include "chip.h"
#include "worker.h"

/* stm32l072xx.h: FLASH_R_BASE 0x40022000. */
#define FLASH_ACR REGISTER(0x40022000u)
#define FLASH_ACR_LATENCY (1u << 0)
#define FLASH_ACR_PRFTEN (1u << 1)
#define FLASH_ACR_DISAB_BUF (1u << 5)
#define FLASH_ACR_PRE_READ (1u << 6)
#define FLASH_PECR REGISTER(0x40022004u)
#define FLASH_PECR_PELOCK (1u << 0)
#define FLASH_PECR_PRGLOCK (1u << 1)
#define FLASH_PECR_OPTLOCK (1u << 2)
#define FLASH_PECR_LOCKS (FLASH_PECR_PELOCK | FLASH_PECR_PRGLOCK | FLASH_PECR_OPTLOCK)
#define FLASH_PECR_PROG (1u << 3)
#define FLASH_PECR_ERASE (1u << 9)
#define FLASH_PECR_FPRG (1u << 10)
#define FLASH_PEKEYR REGISTER(0x4002200Cu)
#define FLASH_PEKEY1 0x89ABCDEFu
#define FLASH_PEKEY2 0x02030405u
#define FLASH_PRGKEYR REGISTER(0x40022010u)
#define FLASH_PRGKEY1 0x8C9DAEBFu
#define FLASH_PRGKEY2 0x13141516u
#define FLASH_SR REGISTER(0x40022018u)
#define FLASH_SR_BSY (1u << 0)
#define FLASH_SR_EOP (1u << 1)
#define FLASH_SR_OPTVERR (1u << 11)
/* WRPERR, PGAERR, SIZERR, RDERR, NOTZEROERR, FWWERR: what an operation of ours can leave. */
#define FLASH_SR_ERRORS 0x00032700u

#define ERASED_WORD 0u

/* Above the bits of FLASH_SR, so that both kinds can be told apart. */
#define FAILED_LOCKED 0x01000000u /* the controller did not take the keys: only a reset opens it again */
#define FAILED_BUSY 0x02000000u   /* BSY does not fall */
#define FAILED_OUT_OF_RANGE 0x04000000u
#define FAILED_MISALIGNED 0x08000000u

/* session.c: wait for the running operation; 0, or the error bits it left. */
uint32_t wait_for_result(void);
/* session.c: wait for an earlier operation and clear its flags; 0 or FAILED_BUSY. */
uint32_t prepare(void);

/* eeprom.c: what EraseSector and ProgramPage do in the data EEPROM; 0 or what they failed with. */
int is_eeprom(uint32_t address);
uint32_t erase_eeprom_word(uint32_t address);
uint32_t program_eeprom(uint32_t address, uint32_t size, const uint32_t *data);

#endif
