/* What this product gives the sources of ../endnode-wle5 instead of their own; the compiler reads it first. */
#define FIRMWARE_PRODUCT "endnode-l072"
#define FIRMWARE_MCU "stm32l072xz"

/* RM0367 section 3.3: flash in pages of 128 bytes, written by words, erased to zero; an ECC without a flag. */
#define HAL_IDENTITY_ADDRESS 0x0802E000u /* one page, in a sector of 4 KiB (write protection) of its own */
#define HAL_NVM_ADDRESS 0x0802F000u      /* the last sector: 32 pages, in the bank that has no code */
#define HAL_NVM_PAGES 32u
#define HAL_PAGE_SIZE 128u
#define HAL_ERASED_BYTE 0x00u
#define HAL_DETECTS_TORN_WORDS 0
#define HAL_UNIQUE_ID_SIZE 12u
