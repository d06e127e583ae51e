/*
 * The data EEPROM of STM32L072, within the same program as the flash.
 *
 * RM0367 section 3.3: 6 KiB in words that are erased one by one; a write erases its word first where that is needed
 * (PECR.FIX clear). Endurance is counted per word, so a word that already holds its value is left alone.
 */
#include "nvm.h"

#define EEPROM_START 0x08080000u
#define EEPROM_SIZE 0x1800u
#define WORD_SIZE 4u

static uint32_t write_word(volatile uint32_t *to, uint32_t value)
{
    if (*to == value)
        return 0;
    *to = value;
    return wait_for_result();
}

int is_eeprom(uint32_t address)
{
    return address - EEPROM_START < EEPROM_SIZE;
}

/* EraseChip of this memory, for pyOCD's region of it. */
int EraseEeprom(void)
{
    uint32_t failure = prepare();

    for (uint32_t offset = 0; offset < EEPROM_SIZE && !failure; offset += WORD_SIZE)
        failure = write_word((volatile uint32_t *)(EEPROM_START + offset), ERASED_WORD);
    return (int)failure;
}

uint32_t erase_eeprom_word(uint32_t address)
{
    uint32_t failure = prepare();

    return failure ? failure : write_word((volatile uint32_t *)(address & ~(WORD_SIZE - 1u)), ERASED_WORD);
}

uint32_t program_eeprom(uint32_t address, uint32_t size, const uint32_t *data)
{
    volatile uint32_t *to = (volatile uint32_t *)address;

    if (size > EEPROM_SIZE - (address - EEPROM_START))
        return FAILED_OUT_OF_RANGE;
    uint32_t failure = prepare();
    for (uint32_t n = 0; n < size / WORD_SIZE && !failure; n++)
        failure = write_word(&to[n], data[n]);
    return failure;
}
