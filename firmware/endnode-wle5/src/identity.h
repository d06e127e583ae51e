/* This board's identity block, and check values of its keys. */
#ifndef IDENTITY_H
#define IDENTITY_H

#include "lorafab_identity.h"

#define IDENTITY_KCV_SIZE 8

enum lorafab_identity_status identity_read(struct lorafab_identity *out);

/* The key check value: the first 8 bytes of AES-CMAC(key, 0xFF || "lorafab-kcv-v1"). *absent tells that the key
 * is all zero, which means that there is none. The key is in RAM only while this runs. */
enum lorafab_identity_status identity_kcv(enum lorafab_key key, uint8_t out[IDENTITY_KCV_SIZE], bool *absent);

/* What a status is called in a reply: "blank", "bad magic", "bad version", "bad length", "bad crc", "torn". */
const char *identity_status_text(enum lorafab_identity_status status);

#endif
