/* The self-tests behind the shell's TEST command. */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <stdbool.h>
#include <stdint.h>

/* March C- over the RAM that nothing uses, then every word against its own address. Leaves it zeroed.
 * *bytes: how much was tested. False: *fault is the address of the first word that did not hold. */
bool selftest_ram(uint32_t *bytes, uint32_t *fault);

/* CRC-32 of the image in flash (lorafab_crc32.h), for the station to compare with the file it wrote.
 * False: *fault is the address of a double word that the ECC cannot correct. */
bool selftest_flash(uint32_t *size, uint32_t *crc, uint32_t *fault);

/* FIPS-197 C.1 and the RFC 4493 examples with 0, 16 and 40 bytes. Returns the name of the one that failed, or
 * NULL. */
const char *selftest_aes(void);

#endif
