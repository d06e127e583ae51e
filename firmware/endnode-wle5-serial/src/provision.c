#include "provision.h"

#include <stdbool.h>

#include "hal.h"
#include "lorafab_identity.h"

/* What was given so far, as it will lie in memory. A reset forgets it. */
static union {
    struct lorafab_identity_block block;
    uint8_t bytes[LORAFAB_IDENTITY_SIZE];
} pending;

static bool has_dev_eui, has_join_eui, has_app_key, has_nwk_key, has_region;

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly 2 * size hex digits; `out` is left alone unless they are. */
static bool take_hex(const char *text, uint8_t *out, size_t size)
{
    size_t digits = 0;

    while (hex_digit(text[digits]) >= 0) {
        digits++;
    }
    if (digits != 2u * size || text[digits] != '\0') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(hex_digit(text[2u * i]) << 4 | hex_digit(text[2u * i + 1u]));
    }
    return true;
}

/* Decimal, 0 to 255. */
static bool take_byte(const char *text, uint8_t *out)
{
    unsigned value = 0;

    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || value > 25u) {
            return false;
        }
        value = value * 10u + (unsigned)(*text - '0');
    }
    if (value > 255u) {
        return false;
    }
    *out = (uint8_t)value;
    return true;
}

/* Up to 16 characters, printable; the rest of the field is NUL. */
static bool take_serial(const char *text)
{
    size_t length = 0;

    for (; text[length] != '\0'; length++) {
        if (length == sizeof pending.block.serial || text[length] < ' ' || text[length] > '~') {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof pending.block.serial; i++) {
        pending.block.serial[i] = i < length ? text[i] : '\0';
    }
    return true;
}

static bool take_lot(const char *text)
{
    uint8_t bytes[4];

    if (!take_hex(text, bytes, sizeof bytes)) {
        return false;
    }
    pending.block.lot_crc = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return true;
}

static const char *value_of(const char *argument, const char *name)
{
    while (*name != '\0') {
        if (*argument++ != *name++) {
            return NULL;
        }
    }
    return *argument == '=' ? argument + 1 : NULL;
}

static bool is_commit(const char *argument)
{
    const char *word = "commit";

    while (*word != '\0' && *argument == *word) {
        argument++;
        word++;
    }
    return *argument == *word;
}

/* The page is erased and written, and every double word compared. */
static bool write_page(void)
{
    bool same = hal_flash_erase_page(HAL_IDENTITY_ADDRESS);

    for (uint32_t offset = 0; same && offset < LORAFAB_IDENTITY_SIZE; offset += 8) {
        uint8_t found[8];

        same = hal_flash_program(HAL_IDENTITY_ADDRESS + offset, pending.bytes + offset) &&
               hal_flash_read(HAL_IDENTITY_ADDRESS + offset, found);
        for (uint32_t i = 0; i < 8; i++) {
            same = same && found[i] == pending.bytes[offset + i];
        }
        lorafab_wipe(found, sizeof found);
    }
    return same;
}

static const char *commit(void)
{
    static const char MAGIC[4] = {'L', 'F', 'I', 'D'};
    struct lorafab_identity_block *block = &pending.block;
    bool written;

    if (!has_dev_eui || !has_join_eui || !has_app_key) {
        return "not complete: dev_eui, join_eui and app_key are wanted before commit";
    }
    for (size_t i = 0; i < sizeof MAGIC; i++) {
        block->magic[i] = MAGIC[i];
    }
    block->version = LORAFAB_IDENTITY_VERSION;
    block->flags = has_nwk_key ? LORAFAB_IDENTITY_LORAWAN_1_1 : 0;
    block->length = LORAFAB_IDENTITY_SIZE;
    block->region = has_region ? block->region : LORAFAB_REGION_NONE;
    block->crc = lorafab_crc32(0, pending.bytes, offsetof(struct lorafab_identity_block, crc));
    written = write_page();
    lorafab_wipe(&pending, sizeof pending);
    has_dev_eui = has_join_eui = has_app_key = has_nwk_key = has_region = false;
    hal_wipe_stack();
    return written ? NULL : "not stored: the identity page does not read back";
}

const char *provision_set(const char *argument)
{
    struct lorafab_identity_block *block = &pending.block;
    const struct {
        const char *name;
        uint8_t *where;
        size_t size;
        bool *has;
    } BYTES[] = {
        {"dev_eui", block->dev_eui, sizeof block->dev_eui, &has_dev_eui},
        {"join_eui", block->join_eui, sizeof block->join_eui, &has_join_eui},
        {"app_key", block->app_key, sizeof block->app_key, &has_app_key},
        {"nwk_key", block->nwk_key, sizeof block->nwk_key, &has_nwk_key},
    };
    const char *value;

    for (size_t i = 0; i < sizeof BYTES / sizeof BYTES[0]; i++) {
        value = value_of(argument, BYTES[i].name);
        if (value != NULL) {
            bool taken = take_hex(value, BYTES[i].where, BYTES[i].size);
            *BYTES[i].has = *BYTES[i].has || taken;
            return taken ? NULL : "bad value: wanted 16 hex digits of an EUI, 32 of a key";
        }
    }
    if ((value = value_of(argument, "serial")) != NULL) {
        return take_serial(value) ? NULL : "bad value: wanted up to 16 printable characters";
    }
    if ((value = value_of(argument, "region")) != NULL) {
        bool taken = take_byte(value, &block->region);
        has_region = has_region || taken;
        return taken ? NULL : "bad value: wanted 0 to 255";
    }
    if ((value = value_of(argument, "generation")) != NULL) {
        return take_byte(value, &block->key_generation) ? NULL : "bad value: wanted 0 to 255";
    }
    if ((value = value_of(argument, "lot_crc")) != NULL) {
        return take_lot(value) ? NULL : "bad value: wanted 8 hex digits";
    }
    return is_commit(argument) ? commit()
                               : "unknown field; known: dev_eui join_eui app_key nwk_key serial region generation "
                                 "lot_crc commit";
}
