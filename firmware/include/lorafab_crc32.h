/* CRC-32 as zlib computes it: polynomial 0x04C11DB7 reflected (0xEDB88320), start and end value inverted.
 * It guards the identity block (lorafab_identity.h) and the NVM records (lorafab_nvm.h).
 *
 * Bit by bit on purpose: 96 bytes take well under a millisecond at 16 MHz, a table costs 1 KiB of flash.
 */
#ifndef LORAFAB_CRC32_H
#define LORAFAB_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Continues a CRC over `length` more bytes. Start with 0; the result is final after every call:
 * lorafab_crc32(0, "123456789", 9) == 0xCBF43926. */
static inline uint32_t lorafab_crc32(uint32_t crc, const void *data, size_t length)
{
    const uint8_t *byte = (const uint8_t *)data;

    crc = ~crc;
    while (length-- > 0) {
        crc ^= *byte++;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0u ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

#endif
