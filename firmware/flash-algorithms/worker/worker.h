/*
 * What lorafab's programmer asks of a chip while it holds the core, and what each chip's part gives for it.
 *
 * One program in RAM serves a whole connection: it computes checksums, and it erases and programs in one session while
 * the debugger fills the other of two buffers. The functions that pyOCD calls (Init, UnInit, EraseSector, EraseChip,
 * ProgramPage) are in it, too; the session calls the same ones.
 */
#ifndef LORAFAB_WORKER_H
#define LORAFAB_WORKER_H

#include <stdint.h>

/* The bus refused an access of this program: how a session fails then. */
#define FAILED_FAULT 0x10000000u

/* The flash algorithm. */
int Init(uint32_t address, uint32_t clock, uint32_t operation);
int UnInit(uint32_t operation);
int EraseSector(uint32_t address);
int EraseChip(void);
int ProgramPage(uint32_t address, uint32_t size, const uint32_t *data);

/* Clocks as fast as needs no set-up, and as they were found; between them, no interrupts. */
void fast_clock(void);
void found_clock(void);

/* Forget an ECC error that the flash controller has latched; where there is none, do nothing. */
void clear_ecc_error(void);

/* CRC-32 as zlib has it: checksum_begin, then for each span checksum_start, bytes in pieces, checksum_value. */
void checksum_begin(void);
void checksum_start(void);
void checksum_add(uint32_t address, uint32_t size);
uint32_t checksum_value(void);
void checksum_end(void);

#endif
