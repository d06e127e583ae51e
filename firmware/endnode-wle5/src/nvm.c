#include "nvm.h"

#include "hal.h"
#include "lorafab_crc32.h"

#define SLOT_SIZE ((uint32_t)LORAFAB_NVM_RECORD_SIZE)
#define SLOTS_PER_PAGE (HAL_PAGE_SIZE / SLOT_SIZE)
#define SLOTS (HAL_NVM_PAGES * SLOTS_PER_PAGE)
#define SEQUENCE_MAX 0xFFFFFFFFu

enum slot_state {
    SLOT_ERASED,
    SLOT_VALID,
    SLOT_TORN, /* its last word is erased, damaged or half written: the write did not come to its end */
    SLOT_BAD,  /* complete, but not a record */
};

/* A record as the bytes it is made of. All supported MCUs are little-endian, as the layout is. */
union slot {
    struct lorafab_nvm_record record;
    uint8_t bytes[LORAFAB_NVM_RECORD_SIZE];
};

static uint32_t slot_address(uint32_t slot)
{
    return HAL_NVM_ADDRESS + slot * SLOT_SIZE;
}

static bool is_record(const union slot *slot)
{
    const struct lorafab_nvm_record *record = &slot->record;

    return record->magic == LORAFAB_NVM_MAGIC && record->reserved_10 == 0u && record->reserved_24 == 0u &&
           record->crc == lorafab_crc32(0, slot->bytes, offsetof(struct lorafab_nvm_record, crc));
}

/* Of a slot that is no record, and whose memory says nothing of words that are only partly programmed: the CRC, its
 * last word, is still erased, or has changed some of the bits that it was to change, and no others. */
static bool crc_is_unfinished(const union slot *slot)
{
    const struct lorafab_nvm_record *record = &slot->record;
    uint32_t erased = HAL_ERASED_BYTE * 0x01010101u;
    uint32_t changed = record->crc ^ erased;
    uint32_t wanted = lorafab_crc32(0, slot->bytes, offsetof(struct lorafab_nvm_record, crc)) ^ erased;

    return changed == 0u || (record->magic == LORAFAB_NVM_MAGIC && (changed & ~wanted) == 0u);
}

static enum slot_state read_slot(uint32_t number, union slot *out)
{
    bool damaged = false, erased = true, end_missing = false;

    for (uint32_t offset = 0; offset < SLOT_SIZE; offset += 8) {
        bool readable = hal_flash_read(slot_address(number) + offset, out->bytes + offset);
        bool blank = readable;

        for (uint32_t i = 0; i < 8; i++) {
            blank = blank && out->bytes[offset + i] == HAL_ERASED_BYTE;
        }
        damaged = damaged || !readable;
        erased = erased && blank;
        end_missing = !readable || blank; /* true in the last round */
    }
    if (erased) {
        return SLOT_ERASED;
    }
    if (!damaged && is_record(out)) {
        return SLOT_VALID;
    }
    if (!HAL_DETECTS_TORN_WORDS) {
        end_missing = crc_is_unfinished(out);
    }
    return end_missing ? SLOT_TORN : SLOT_BAD;
}

void nvm_read(struct nvm_status *out)
{
    uint32_t torn = 0, bad = 0;
    union slot slot;

    *out = (struct nvm_status){.counters = {.fcnt_down = LORAFAB_NVM_FCNT_DOWN_NONE}};
    for (uint32_t number = 0; number < SLOTS; number++) {
        enum slot_state state = read_slot(number, &slot);

        torn += state == SLOT_TORN;
        bad += state == SLOT_BAD;
        if (state != SLOT_VALID) {
            continue;
        }
        out->records++;
        if (out->records == 1u || slot.record.sequence > out->sequence) {
            out->sequence = slot.record.sequence;
            out->newest_slot = number;
            out->counters.dev_nonce = slot.record.dev_nonce;
            out->counters.join_nonce = slot.record.join_nonce;
            out->counters.fcnt_up = slot.record.fcnt_up;
            out->counters.fcnt_down = slot.record.fcnt_down;
        }
    }
    if (out->records == 0u && bad != 0u) {
        out->state = NVM_LOST;
    } else if (torn + bad != 0u) {
        out->state = NVM_RECOVERED; /* without a record: the very first write was cut, no counter was in use */
    } else {
        out->state = out->records == 0u ? NVM_FRESH : NVM_OK;
    }
}

/* The slot behind the last one of the page that is not erased; SLOTS_PER_PAGE when the page is full. */
static uint32_t first_free_in_page(uint32_t page)
{
    uint32_t free = SLOTS_PER_PAGE;
    union slot slot;

    while (free > 0u && read_slot(page * SLOTS_PER_PAGE + free - 1u, &slot) == SLOT_ERASED) {
        free--;
    }
    return free;
}

static bool write_slot(uint32_t number, const union slot *wanted)
{
    union slot found;

    for (uint32_t offset = 0; offset < SLOT_SIZE; offset += 8) {
        if (!hal_flash_program(slot_address(number) + offset, wanted->bytes + offset)) {
            return false;
        }
    }
    if (read_slot(number, &found) != SLOT_VALID) {
        return false;
    }
    for (uint32_t i = 0; i < SLOT_SIZE; i++) {
        if (found.bytes[i] != wanted->bytes[i]) {
            return false;
        }
    }
    return true;
}

/* Tries the slots from `from` to the end of the page. Every try has a sequence of its own, so that a slot which
 * failed its read-back and turns out readable later is older than the one that held. */
static bool write_in_page(uint32_t page, uint32_t from, union slot *slot)
{
    for (uint32_t i = from; i < SLOTS_PER_PAGE && slot->record.sequence < SEQUENCE_MAX; i++) {
        slot->record.sequence++;
        slot->record.crc = lorafab_crc32(0, slot->bytes, offsetof(struct lorafab_nvm_record, crc));
        if (write_slot(page * SLOTS_PER_PAGE + i, slot)) {
            return true;
        }
    }
    return false;
}

/* With nothing stored yet, page 0 counts as the page in use. */
static enum nvm_result append(const struct nvm_status *status, const struct nvm_counters *counters)
{
    uint32_t page = status->records == 0u ? 0u : status->newest_slot / SLOTS_PER_PAGE;
    uint32_t other = (page + 1u) % HAL_NVM_PAGES;
    union slot slot = {.record = {
                           .magic = LORAFAB_NVM_MAGIC,
                           .sequence = status->sequence,
                           .dev_nonce = counters->dev_nonce,
                           .join_nonce = counters->join_nonce,
                           .fcnt_up = counters->fcnt_up,
                           .fcnt_down = counters->fcnt_down,
                       }};

    if (write_in_page(page, first_free_in_page(page), &slot)) {
        return NVM_STORED;
    }
    /* Erased even if it looks erased: an erase that was cut short can leave cells that only just read so. */
    if (hal_flash_erase_page(slot_address(other * SLOTS_PER_PAGE)) && write_in_page(other, 0, &slot)) {
        return NVM_STORED;
    }
    return NVM_FLASH_FAULT;
}

enum nvm_result nvm_store(const struct nvm_counters *counters)
{
    struct nvm_status status;

    nvm_read(&status);
    return status.state == NVM_LOST ? NVM_REFUSED : append(&status, counters);
}

enum nvm_result nvm_next_dev_nonce(uint16_t *dev_nonce)
{
    struct nvm_status status;
    enum nvm_result result;

    nvm_read(&status);
    if (status.state == NVM_LOST) {
        return NVM_REFUSED;
    }
    if (status.counters.dev_nonce == NVM_DEV_NONCE_MAX) {
        return NVM_EXHAUSTED;
    }
    status.counters.dev_nonce++;
    result = append(&status, &status.counters);
    *dev_nonce = status.counters.dev_nonce;
    return result;
}
