/* The identity block, version 1: what lorafab's production line writes into a board, and a reader for it.
 *
 * For makers of LoRaWAN devices: this header and lorafab_crc32.h are all you need, they allocate nothing and
 * need no library. C11 or C++11.
 *
 * 96 bytes, little-endian integers, in an erase page of its own (neither code nor counters):
 *
 *     offset  size  field
 *          0     4  magic "LFID"
 *          4     1  version, 1
 *          5     1  flags; bit 0: LoRaWAN 1.1, otherwise 1.0.x
 *          6     2  length, 96
 *          8     8  DevEUI, most significant byte first
 *         16     8  JoinEUI, most significant byte first
 *         24    16  AppKey
 *         40    16  NwkKey; LoRaWAN 1.0.x: all zero
 *         56    16  serial number, ASCII, NUL padded
 *         72     1  region, in the order of LoRaMac-node's LoRaMacRegion_t; 0xFF = none
 *         73     1  key generation
 *         74     6  reserved, 0
 *         80     4  CRC-32 of the name of the production lot
 *         84     8  reserved, 0
 *         92     4  CRC-32 (lorafab_crc32.h) of bytes 0..91
 *
 * LoRaWAN 1.0.x AND LORAMAC-STYLE STACKS: LoRaMac-node, STM32CubeWL and stacks made from them join a 1.0.x
 * network with the key in their slot named NwkKey. Give them this block's AppKey in BOTH slots:
 *
 *     lorafab_identity_read_key(read, context, LORAFAB_APP_KEY, key);
 *     SecureElementSetKey(APP_KEY, key);
 *     SecureElementSetKey(NWK_KEY, key);      // 1.0.x only; for 1.1 read LORAFAB_NWK_KEY
 *     wipe(key);
 *
 * and their EUIs as they are: they, too, keep them most significant byte first.
 *
 * Keys never leave the block unless asked for by name with lorafab_identity_read_key().
 */
#ifndef LORAFAB_IDENTITY_H
#define LORAFAB_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lorafab_crc32.h"

#define LORAFAB_IDENTITY_SIZE 96u
#define LORAFAB_IDENTITY_VERSION 1u
#define LORAFAB_IDENTITY_LORAWAN_1_1 0x01u /* flags */
#define LORAFAB_REGION_NONE 0xFFu

/* The block as it lies in memory. Prefer the reader below: it checks, and survives a torn word. */
struct __attribute__((packed)) lorafab_identity_block {
    char magic[4];
    uint8_t version;
    uint8_t flags;
    uint16_t length;
    uint8_t dev_eui[8];
    uint8_t join_eui[8];
    uint8_t app_key[16];
    uint8_t nwk_key[16];
    char serial[16];
    uint8_t region;
    uint8_t key_generation;
    uint8_t reserved_74[6];
    uint32_t lot_crc;
    uint8_t reserved_84[8];
    uint32_t crc;
};

#ifdef __cplusplus
static_assert(sizeof(struct lorafab_identity_block) == 96, "identity block v1 is 96 bytes");
#else
_Static_assert(sizeof(struct lorafab_identity_block) == 96, "identity block v1 is 96 bytes");
#endif

/* Everything of the block that is no secret. */
struct lorafab_identity {
    uint8_t dev_eui[8];  /* most significant byte first */
    uint8_t join_eui[8]; /* most significant byte first */
    char serial[17];     /* NUL terminated */
    uint8_t region;
    uint8_t key_generation;
    bool lorawan_1_1;
    uint32_t lot_crc;
};

enum lorafab_identity_status {
    LORAFAB_IDENTITY_OK = 0,
    LORAFAB_IDENTITY_BLANK,       /* all bytes 0xFF or all 0x00: erased, nothing was written yet */
    LORAFAB_IDENTITY_TORN,        /* the memory reports a damaged word: power was cut while writing */
    LORAFAB_IDENTITY_BAD_MAGIC,   /* something else lies here */
    LORAFAB_IDENTITY_BAD_VERSION, /* a layout newer than this header */
    LORAFAB_IDENTITY_BAD_LENGTH,
    LORAFAB_IDENTITY_BAD_CRC,
};

enum lorafab_key {
    LORAFAB_APP_KEY = 24, /* the values are offsets in the block */
    LORAFAB_NWK_KEY = 40,
};

/* Reads the 8 bytes at `offset` (0, 8, .. 88) of the block into `out`.
 * Returns false when the memory reports that they are damaged. */
typedef bool (*lorafab_identity_reader)(void *context, uint32_t offset, uint8_t out[8]);

/* A reader for memory-mapped flash whose ECC reports through an interrupt, such as the NMI of the STM32WL and
 * STM32L4. Your handler clears the error in the flash controller and sets *ecc_fault; without ECC leave NULL. */
struct lorafab_mapped_memory {
    const volatile uint32_t *base; /* start of the block, word aligned */
    volatile bool *ecc_fault;
};

static inline bool lorafab_read_mapped(void *context, uint32_t offset, uint8_t out[8])
{
    const struct lorafab_mapped_memory *memory = (const struct lorafab_mapped_memory *)context;

    if (memory->ecc_fault != NULL) {
        *memory->ecc_fault = false;
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t word = memory->base[offset / 4u + i];
        for (uint32_t k = 0; k < 4; k++) {
            out[4u * i + k] = (uint8_t)(word >> (8u * k));
        }
    }
#if defined(__arm__)
    __asm volatile("dsb\n\tisb" ::: "memory"); /* the NMI of a bad word is taken before the flag is looked at */
#endif
    return memory->ecc_fault == NULL || !*memory->ecc_fault;
}

/* Overwrites in a way that the compiler may not leave out. */
static inline void lorafab_wipe(void *data, size_t length)
{
    volatile uint8_t *byte = (volatile uint8_t *)data;

    while (length-- > 0) {
        *byte++ = 0;
    }
}

static inline uint32_t lorafab_le32(const uint8_t *byte)
{
    return (uint32_t)byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 | (uint32_t)byte[3] << 24;
}

/* Takes the public fields that lie in the 8 bytes at `offset`; the bytes of the keys have no place to go. */
static inline void lorafab_identity_take(struct lorafab_identity *out, uint32_t offset, const uint8_t word[8])
{
    for (uint32_t i = 0; i < 8; i++) {
        switch (offset) {
        case 8: out->dev_eui[i] = word[i]; break;
        case 16: out->join_eui[i] = word[i]; break;
        case 56: out->serial[i] = (char)word[i]; break;
        case 64: out->serial[8u + i] = (char)word[i]; break;
        default: break;
        }
    }
    if (offset == 0) {
        out->lorawan_1_1 = (word[5] & LORAFAB_IDENTITY_LORAWAN_1_1) != 0u;
    } else if (offset == 72) {
        out->region = word[0];
        out->key_generation = word[1];
    } else if (offset == 80) {
        out->lot_crc = lorafab_le32(word);
    }
}

static inline enum lorafab_identity_status lorafab_identity_judge(const uint8_t head[8], bool crc_ok)
{
    if (head[0] != 'L' || head[1] != 'F' || head[2] != 'I' || head[3] != 'D') {
        return LORAFAB_IDENTITY_BAD_MAGIC;
    }
    if (head[4] != LORAFAB_IDENTITY_VERSION) {
        return LORAFAB_IDENTITY_BAD_VERSION;
    }
    if (head[6] != LORAFAB_IDENTITY_SIZE || head[7] != 0u) {
        return LORAFAB_IDENTITY_BAD_LENGTH;
    }
    return crc_ok ? LORAFAB_IDENTITY_OK : LORAFAB_IDENTITY_BAD_CRC;
}

/* Checks the whole block and fills *out with its public fields. On any status but OK *out is all zero. */
static inline enum lorafab_identity_status
lorafab_identity_read(lorafab_identity_reader read, void *context, struct lorafab_identity *out)
{
    enum lorafab_identity_status status = LORAFAB_IDENTITY_OK;
    uint8_t head[8] = {0}, word[8] = {0}, all_and = 0xFF, all_or = 0x00;
    uint32_t crc = 0, stored_crc = 0;

    lorafab_wipe(out, sizeof *out);
    for (uint32_t offset = 0; offset < LORAFAB_IDENTITY_SIZE; offset += 8) {
        if (!read(context, offset, word)) {
            status = LORAFAB_IDENTITY_TORN;
            break;
        }
        for (uint32_t i = 0; i < 8; i++) {
            head[i] = offset == 0 ? word[i] : head[i];
            all_and &= word[i];
            all_or |= word[i];
        }
        crc = lorafab_crc32(crc, word, offset == 88 ? 4 : 8);
        stored_crc = lorafab_le32(word + 4); /* true in the last round */
        lorafab_identity_take(out, offset, word);
    }
    if (status == LORAFAB_IDENTITY_OK) {
        bool blank = all_and == 0xFF || all_or == 0x00;
        status = blank ? LORAFAB_IDENTITY_BLANK : lorafab_identity_judge(head, crc == stored_crc);
    }
    lorafab_wipe(word, sizeof word); /* key bytes came through here */
    if (status != LORAFAB_IDENTITY_OK) {
        lorafab_wipe(out, sizeof *out);
    }
    return status;
}

/* Checks the whole block and copies one key. On any status but OK `out` is all zero.
 * Wipe `out` (lorafab_wipe) as soon as the key is where it belongs. */
static inline enum lorafab_identity_status
lorafab_identity_read_key(lorafab_identity_reader read, void *context, enum lorafab_key key, uint8_t out[16])
{
    struct lorafab_identity unused;
    enum lorafab_identity_status status = lorafab_identity_read(read, context, &unused);

    if (status == LORAFAB_IDENTITY_OK &&
        !(read(context, (uint32_t)key, out) && read(context, (uint32_t)key + 8u, out + 8))) {
        status = LORAFAB_IDENTITY_TORN;
    }
    if (status != LORAFAB_IDENTITY_OK) {
        lorafab_wipe(out, 16);
    }
    return status;
}

#endif
