/* Counters that survive power cuts: the log of lorafab_nvm.h in two flash pages. */
#ifndef NVM_H
#define NVM_H

#include <stdint.h>

#include "lorafab_nvm.h"

#define NVM_DEV_NONCE_MAX 0xFFFFu

enum nvm_state {
    NVM_FRESH,     /* erased: no counter was ever stored */
    NVM_OK,        /* every record is readable */
    NVM_RECOVERED, /* some are not, as after a power cut; the newest readable one counts */
    NVM_LOST,      /* there are complete records, and none is readable: the counters are unknown */
};

enum nvm_result {
    NVM_STORED,
    NVM_REFUSED,     /* NVM_LOST: storing would hide that the counters went back */
    NVM_EXHAUSTED,   /* DevNonce is at 65535; it never wraps */
    NVM_FLASH_FAULT, /* no slot took the record */
};

struct nvm_counters {
    uint16_t dev_nonce;
    uint32_t join_nonce;
    uint32_t fcnt_up;
    uint32_t fcnt_down;
};

struct nvm_status {
    enum nvm_state state;
    uint32_t records; /* readable ones */
    struct nvm_counters counters;
    uint32_t sequence;    /* of the newest record, 0 without one */
    uint32_t newest_slot; /* meaningful if there are records */
};

/* Looks at the whole region; nothing is kept in RAM between calls, so it cannot disagree with the flash. */
void nvm_read(struct nvm_status *out);

/* Appends a record and reads it back. */
enum nvm_result nvm_store(const struct nvm_counters *counters);

/* Increments DevNonce and stores it; only after NVM_STORED may *dev_nonce be used. */
enum nvm_result nvm_next_dev_nonce(uint16_t *dev_nonce);

#endif
