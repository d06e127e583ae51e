/* The identity that was compiled in: what identity.c of the plain firmware reads from its page, from a header here. */
#include "identity.h"

#include "aes128.h"
#include "board_identity.h"
#include "hal.h"

/* 0xFF first: no LoRaWAN message or key derivation starts with it, so a check value is no use on the air. */
static const uint8_t KCV_MESSAGE[15] = {0xFF, 'l', 'o', 'r', 'a', 'f', 'a', 'b', '-', 'k', 'c', 'v', '-', 'v', '1'};

static const uint8_t APP_KEY[16] = BOARD_APP_KEY;
static const uint8_t NWK_KEY[16] = BOARD_NWK_KEY;

static const struct lorafab_identity IDENTITY = {
    .dev_eui = BOARD_DEV_EUI,
    .join_eui = BOARD_JOIN_EUI,
    .serial = BOARD_SERIAL,
    .region = BOARD_REGION,
    .key_generation = BOARD_KEY_GENERATION,
    .lorawan_1_1 = BOARD_LORAWAN_1_1,
    .lot_crc = BOARD_LOT_CRC,
};

/* Built with the example header: generation 0 is nobody's. */
enum lorafab_identity_status identity_read(struct lorafab_identity *out)
{
    *out = IDENTITY;
    return IDENTITY.key_generation == 0 ? LORAFAB_IDENTITY_BLANK : LORAFAB_IDENTITY_OK;
}

enum lorafab_identity_status identity_kcv(enum lorafab_key which, uint8_t out[IDENTITY_KCV_SIZE], bool *absent)
{
    const uint8_t *key = which == LORAFAB_APP_KEY ? APP_KEY : NWK_KEY;
    uint8_t mac[16], any = 0;

    for (int i = 0; i < 16; i++) {
        any |= key[i];
    }
    aes128_cmac(key, KCV_MESSAGE, sizeof KCV_MESSAGE, mac);
    hal_wipe_stack();
    *absent = any == 0;
    for (int i = 0; i < IDENTITY_KCV_SIZE; i++) {
        out[i] = mac[i];
    }
    return IDENTITY.key_generation == 0 ? LORAFAB_IDENTITY_BLANK : LORAFAB_IDENTITY_OK;
}

const char *identity_status_text(enum lorafab_identity_status status)
{
    return status == LORAFAB_IDENTITY_BLANK ? "built without one" : "ok";
}
