/*
 * Flash algorithm for STM32L072xZ: EraseSector, EraseChip, ProgramPage. Words of the data EEPROM go to eeprom.c.
 *
 * RM0367 section 3.3: 1536 pages of 128 bytes, erased to zero; written by words, or by half pages of 16 words in the
 * time of one. Code that writes half pages must run from RAM (HAL, HAL_FLASHEx_HalfPageProgram).
 */
#include "nvm.h"

#define FLASH_START 0x08000000u
#define FLASH_SIZE 0x30000u
#define PAGE_SIZE 128u
#define HALF_PAGE_WORDS 16u

static uint32_t erase_page(uint32_t address)
{
    uint32_t failure = prepare();

    if (failure)
        return failure;
    FLASH_PECR |= FLASH_PECR_ERASE | FLASH_PECR_PROG;
    REGISTER(address) = 0;
    failure = wait_for_result();
    FLASH_PECR &= ~(FLASH_PECR_ERASE | FLASH_PECR_PROG);
    return failure;
}

/* The flash, page by page: the part has no mass erase (but the one that giving up read-out protection brings, which takes the EEPROM, too). */
int EraseChip(void)
{
    uint32_t failure = 0;

    for (uint32_t offset = 0; offset < FLASH_SIZE && !failure; offset += PAGE_SIZE)
        failure = erase_page(FLASH_START + offset);
    return (int)failure;
}

int EraseSector(uint32_t address)
{
    uint32_t offset = address - FLASH_START;

    if (is_eeprom(address))
        return (int)erase_eeprom_word(address);
    if (offset >= FLASH_SIZE)
        return (int)FAILED_OUT_OF_RANGE;
    return (int)erase_page(address & ~(PAGE_SIZE - 1u));
}

static uint32_t count_used(volatile const uint32_t *words)
{
    uint32_t used = 0;

    for (uint32_t n = 0; n < HALF_PAGE_WORDS; n++)
        used += words[n] != ERASED_WORD;
    return used;
}

static uint32_t program_half_page(volatile uint32_t *to, const uint32_t *data)
{
    FLASH_PECR |= FLASH_PECR_FPRG | FLASH_PECR_PROG;
    for (uint32_t n = 0; n < HALF_PAGE_WORDS; n++)
        to[n] = data[n];
    uint32_t failure = wait_for_result();
    FLASH_PECR &= ~(FLASH_PECR_FPRG | FLASH_PECR_PROG);
    return failure;
}

/* Zero words are what erased ones already are: writing them would only cost time. */
static uint32_t program_words(volatile uint32_t *to, const uint32_t *data, uint32_t count)
{
    uint32_t failure = 0;

    for (uint32_t n = 0; n < count && !failure; n++) {
        if (data[n] == ERASED_WORD)
            continue;
        to[n] = data[n];
        failure = wait_for_result();
    }
    return failure;
}

int ProgramPage(uint32_t address, uint32_t size, const uint32_t *data)
{
    uint32_t offset = address - FLASH_START;
    uint32_t end = address + size;

    if ((address | size | (uint32_t)data) & 3u)
        return (int)FAILED_MISALIGNED;
    if (is_eeprom(address))
        return (int)program_eeprom(address, size, data);
    if (offset >= FLASH_SIZE || size > FLASH_SIZE - offset)
        return (int)FAILED_OUT_OF_RANGE;

    uint32_t failure = prepare();
    while (address < end && !failure) {
        volatile uint32_t *to = (volatile uint32_t *)address;
        uint32_t next = (address | (HALF_PAGE_WORDS * 4u - 1u)) + 1u;
        uint32_t words = (next < end ? next - address : end - address) / 4u;
        /*
         * Sixteen words take the time of one. A half page that already has contents goes word by word: all sixteen
         * would be refused (NOTZEROERR) although only erased words of it are to change.
         */
        if (words == HALF_PAGE_WORDS && count_used(data) > 1u && count_used(to) == 0u)
            failure = program_half_page(to, data);
        else
            failure = program_words(to, data, words);
        address += words * 4u;
        data += words;
    }
    return (int)failure;
}
