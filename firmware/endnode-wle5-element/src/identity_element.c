/* The identity that the secure element brings: what identity.c of the plain firmware reads from its page. */
#include "identity.h"

#include "element.h"

enum lorafab_identity_status identity_read(struct lorafab_identity *out)
{
    struct element element;

    *out = (struct lorafab_identity){.region = LORAFAB_REGION_NONE};
    if (!element_read(&element)) {
        return LORAFAB_IDENTITY_TORN;
    }
    for (int i = 0; i < 8; i++) {
        out->dev_eui[i] = element.dev_eui[i];
        out->join_eui[i] = element.join_eui[i];
    }
    return LORAFAB_IDENTITY_OK;
}

/* Nobody can know it: the key never leaves the element. */
enum lorafab_identity_status identity_kcv(enum lorafab_key which, uint8_t out[IDENTITY_KCV_SIZE], bool *absent)
{
    (void)which;
    for (int i = 0; i < IDENTITY_KCV_SIZE; i++) {
        out[i] = 0;
    }
    *absent = true;
    return LORAFAB_IDENTITY_OK;
}

const char *identity_status_text(enum lorafab_identity_status status)
{
    return status == LORAFAB_IDENTITY_OK ? "ok" : "the secure element does not answer as it should";
}
