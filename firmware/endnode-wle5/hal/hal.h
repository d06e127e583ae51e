/* Everything the firmware asks of the chip. One implementation per MCU, one more for tests on a computer. */
#ifndef HAL_H
#define HAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory map of the product; the linker script endnode.ld keeps code out of it, product.yaml repeats it. A product
 * with another map gives all of it in its product.h. */
#ifndef HAL_IDENTITY_ADDRESS
#define HAL_IDENTITY_ADDRESS 0x0803E800u /* one erase page, the block at its start */
#define HAL_NVM_ADDRESS 0x0803F000u      /* two erase pages */
#define HAL_NVM_PAGES 2u
#define HAL_PAGE_SIZE 2048u
#define HAL_ERASED_BYTE 0xFFu
#define HAL_DETECTS_TORN_WORDS 1 /* its ECC tells when a word was only partly programmed */
#define HAL_UNIQUE_ID_SIZE 12u
#endif

struct hal_span {
    uintptr_t address;
    uint32_t size; /* bytes */
};

/* Clocks, pins and the serial line: 115200 baud, 8N1. Interrupts are on afterwards. */
void hal_init(void);

/* Queues text for the serial line; sleeps while the queue is full. */
void hal_console_write(const char *text, size_t length);

#define HAL_CONSOLE_NOTHING (-1)
#define HAL_CONSOLE_DAMAGED 256 /* bytes were lost or arrived broken here */

/* The next byte of the serial line (0..255), or one of the two values above. Never waits. */
int hal_console_read(void);

/* Sleeps until the serial line has something to read; returns at once if it has. */
void hal_sleep_until_input(void);

/* Reads the 8 bytes of an aligned double word. False: the memory's ECC cannot correct them. */
bool hal_flash_read(uint32_t address, uint8_t out[8]);

/* Programs an aligned, erased double word, its lower half first. False: refused or failed, by the flash controller's
 * own flags. True does not mean that the bytes are right: read them back. */
bool hal_flash_program(uint32_t address, const uint8_t data[8]);

/* Erases the page that starts at `address`. False: refused or failed. */
bool hal_flash_erase_page(uint32_t address);

/* The chip's unique id, bytes in memory order. */
void hal_unique_id(uint8_t out[HAL_UNIQUE_ID_SIZE]);

/* What lies in flash of this firmware, vectors and initial data included; size is a multiple of 8. */
struct hal_span hal_code_image(void);

/* RAM that nothing uses: free to be tested and overwritten. Word aligned. */
struct hal_span hal_spare_ram(void);

/* Zeroes the stack below the caller: what functions that have returned left there. */
void hal_wipe_stack(void);

#endif
