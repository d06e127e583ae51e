/* What this product gives the sources of ../endnode-wle5 instead of their own; the compiler reads it first. */
#define FIRMWARE_PRODUCT "endnode-l072-ee" /* the image note has room for 16 characters */
#define FIRMWARE_MCU "stm32l072xz"

/* Data EEPROM, RM0367 section 3.3: words that are written by themselves, erased to zero; an ECC without a flag. */
#define HAL_IDENTITY_ADDRESS 0x08080000u /* its first 128 bytes */
#define HAL_NVM_ADDRESS 0x08080400u      /* 1 KiB: eight "pages" of four records, erased word by word */
#define HAL_NVM_PAGES 8u
#define HAL_PAGE_SIZE 128u
#define HAL_ERASED_BYTE 0x00u
#define HAL_DETECTS_TORN_WORDS 0
#define HAL_UNIQUE_ID_SIZE 12u
