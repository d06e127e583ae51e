/* AES-128 (FIPS-197), encryption only, and AES-CMAC (RFC 4493). Small before fast. */
#ifndef AES128_H
#define AES128_H

#include <stddef.h>
#include <stdint.h>

/* Encrypts one block; in and out may be the same. Leaves no key schedule behind in its own variables. */
void aes128_encrypt(const uint8_t key[16], const uint8_t in[16], uint8_t out[16]);

void aes128_cmac(const uint8_t key[16], const uint8_t *message, size_t length, uint8_t mac[16]);

#endif
