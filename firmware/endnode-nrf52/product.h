/* What this product gives the sources of ../endnode-wle5 instead of their own; the compiler reads it first. */
#define FIRMWARE_PRODUCT "endnode-nrf52"
#define FIRMWARE_MCU "nrf52840"

/* nRF52840 PS, NVMC: pages of 4 KiB, words of 4 bytes, no ECC. */
#define HAL_IDENTITY_ADDRESS 0x000FD000u /* one page */
#define HAL_NVM_ADDRESS 0x000FE000u      /* the last two */
#define HAL_NVM_PAGES 2u
#define HAL_PAGE_SIZE 4096u
#define HAL_ERASED_BYTE 0xFFu
#define HAL_DETECTS_TORN_WORDS 0
#define HAL_UNIQUE_ID_SIZE 8u
