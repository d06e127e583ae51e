/* The NVM region of the reference firmware: DevNonce, JoinNonce and frame counters as an append-only log.
 *
 * A record is 32 bytes, little-endian, written from its beginning to its end:
 *
 *     offset  size  field
 *          0     4  magic "LFNV"
 *          4     4  sequence u32: one more each time; 1 for the first record that the firmware writes
 *          8     2  DevNonce u16, the last one used; 0 = none yet
 *         10     2  reserved, 0
 *         12     4  JoinNonce u32, the last one accepted
 *         16     4  FCntUp u32
 *         20     4  FCntDown u32; 0xFFFFFFFF = none yet
 *         24     4  reserved, 0
 *         28     4  CRC-32 (lorafab_crc32.h) of bytes 0..27
 *
 * The region is two or more erase pages; a page of 2048 bytes holds 64 records.
 *
 * Reader: of all records with right magic, reserved fields and CRC, the one with the highest sequence is valid.
 * Records that fail (torn by a power cut, or reported by the memory's ECC) are skipped.
 * Writer: the next record goes behind the last slot of the page that is not erased; a slot whose bytes are not all
 * erased is never written again. When the page is full, the NEXT page (behind the last one: the first) is erased and
 * written: the newest record is never in the page that is being erased.
 * An empty region (all erased) means: DevNonce 0, JoinNonce 0, FCntUp 0, FCntDown 0xFFFFFFFF.
 *
 * DevNonce is stored before it is used (TS001-1.0.4, 6.2.5: never repeated for a JoinEUI), so a power cut can
 * skip a value and cannot repeat one. A region that holds complete records, none of them valid, has lost its
 * counters: it must not be taken for an empty one. A record is complete when its last word is there: the double word
 * with the CRC in memories that are programmed by 8 bytes and whose ECC reports a torn one (STM32WL), the CRC in those
 * programmed by 4 bytes (STM32L0, nRF52), which read a torn word as something: a CRC that has changed only some of
 * the bits that it was to change is not there yet.
 */
#ifndef LORAFAB_NVM_H
#define LORAFAB_NVM_H

#include <stdint.h>

#define LORAFAB_NVM_RECORD_SIZE 32
#define LORAFAB_NVM_MAGIC 0x564E464Cu /* "LFNV" read as a little-endian word */
#define LORAFAB_NVM_FCNT_DOWN_NONE 0xFFFFFFFFu

/* As it lies in memory, on a little-endian machine. */
struct lorafab_nvm_record {
    uint32_t magic;
    uint32_t sequence;
    uint16_t dev_nonce;
    uint16_t reserved_10;
    uint32_t join_nonce;
    uint32_t fcnt_up;
    uint32_t fcnt_down;
    uint32_t reserved_24;
    uint32_t crc;
};

#ifdef __cplusplus
static_assert(sizeof(struct lorafab_nvm_record) == LORAFAB_NVM_RECORD_SIZE, "NVM record is 32 bytes");
#else
_Static_assert(sizeof(struct lorafab_nvm_record) == LORAFAB_NVM_RECORD_SIZE, "NVM record is 32 bytes");
#endif

#endif
