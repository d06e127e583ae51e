#include "settings.h"

#include <stddef.h>

#include "hal.h"
#include "lorafab_crc32.h"

#define MAGIC 0x444D464Cu /* "LFMD" */
#define WORD 8u

/* The page's layout: little-endian, whole double words. */
union record {
    struct {
        uint32_t magic;
        struct settings settings;
        uint32_t reserved;
        uint32_t crc; /* of all before it */
    } fields;
    uint8_t bytes[64];
};

_Static_assert(sizeof(union record) == 64, "a record is eight double words");

struct settings settings;

const uint8_t SETTINGS_DEFAULT_KEY[SETTINGS_KEY_SIZE] = {0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6,
                                                         0xAB, 0xF7, 0x15, 0x88, 0x09, 0xCF, 0x4F, 0x3C};

static uint32_t crc_of(const union record *record)
{
    return lorafab_crc32(0, record->bytes, sizeof record->bytes - sizeof record->fields.crc);
}

enum settings_state settings_load(struct settings *out)
{
    union record record;
    bool readable = true, blank = true;

    for (uint32_t offset = 0; offset < sizeof record.bytes; offset += WORD) {
        readable = hal_flash_read(HAL_IDENTITY_ADDRESS + offset, record.bytes + offset) && readable;
    }
    for (uint32_t i = 0; i < sizeof record.bytes; i++) {
        blank = blank && record.bytes[i] == HAL_ERASED_BYTE;
    }
    if (readable && blank) {
        return SETTINGS_BLANK;
    }
    if (!readable || record.fields.magic != MAGIC || record.fields.crc != crc_of(&record)) {
        return SETTINGS_DAMAGED;
    }
    *out = record.fields.settings;
    return SETTINGS_STORED;
}

bool settings_erase(void)
{
    return hal_flash_erase_page(HAL_IDENTITY_ADDRESS);
}

bool settings_store(void)
{
    union record wanted = {.fields = {.magic = MAGIC, .settings = settings}};
    bool same = true;

    wanted.fields.crc = crc_of(&wanted);
    if (!settings_erase()) {
        return false;
    }
    for (uint32_t offset = 0; offset < sizeof wanted.bytes; offset += WORD) {
        uint8_t found[WORD];

        same = hal_flash_program(HAL_IDENTITY_ADDRESS + offset, wanted.bytes + offset) && same;
        same = hal_flash_read(HAL_IDENTITY_ADDRESS + offset, found) && same;
        for (uint32_t i = 0; i < WORD; i++) {
            same = same && found[i] == wanted.bytes[offset + i];
        }
    }
    return same;
}
