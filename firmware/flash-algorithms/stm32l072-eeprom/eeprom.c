/*
 * Flash algorithm for the data EEPROM of STM32L072: EraseSector, EraseChip, ProgramPage.
 *
 * RM0367 section 3.3: 6 KiB in words that are erased one by one; a write erases its word first where that is needed
 * (PECR.FIX clear). Endurance is counted per word, so a word that already holds its value is left alone.
 */
#include "nvm.h"

#define EEPROM_START 0x08080000u
#define EEPROM_SIZE 0x1800u
#define WORD_SIZE 4u

/* PELOCK covers the data EEPROM, too. */
uint32_t unlock_memory(void)
{
    return 0;
}

static uint32_t write_word(volatile uint32_t *to, uint32_t value)
{
    if (*to == value)
        return 0;
    *to = value;
    return wait_for_result();
}

int EraseChip(void)
{
    uint32_t failure = prepare();

    for (uint32_t offset = 0; offset < EEPROM_SIZE && !failure; offset += WORD_SIZE)
        failure = write_word((volatile uint32_t *)(EEPROM_START + offset), ERASED_WORD);
    return (int)failure;
}

int EraseSector(uint32_t address)
{
    if (address - EEPROM_START >= EEPROM_SIZE)
        return (int)FAILED_OUT_OF_RANGE;
    uint32_t failure = prepare();
    if (failure)
        return (int)failure;
    return (int)write_word((volatile uint32_t *)(address & ~(WORD_SIZE - 1u)), ERASED_WORD);
}

int ProgramPage(uint32_t address, uint32_t size, const uint32_t *data)
{
    volatile uint32_t *to = (volatile uint32_t *)address;
    uint32_t offset = address - EEPROM_START;

    if ((address | size | (uint32_t)data) & 3u)
        return (int)FAILED_MISALIGNED;
    if (offset >= EEPROM_SIZE || size > EEPROM_SIZE - offset)
        return (int)FAILED_OUT_OF_RANGE;

    uint32_t failure = prepare();
    for (uint32_t n = 0; n < size / WORD_SIZE && !failure; n++)
        failure = write_word(&to[n], data[n]);
    return (int)failure;
}
