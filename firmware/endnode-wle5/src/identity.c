#include "identity.h"

#include "aes128.h"
#include "hal.h"
#ifdef IDENTITY_IN_SPI_MEMORY
#include "spi_memory.h"
#endif

/* 0xFF first: no LoRaWAN message or key derivation starts with it, so a check value is no use on the air. */
static const uint8_t KCV_MESSAGE[15] = {0xFF, 'l', 'o', 'r', 'a', 'f', 'a', 'b', '-', 'k', 'c', 'v', '-', 'v', '1'};

static bool read_block(void *context, uint32_t offset, uint8_t out[8])
{
    (void)context;
#ifdef IDENTITY_IN_SPI_MEMORY
    return spi_memory_read(IDENTITY_IN_SPI_MEMORY + offset, out);
#else
    return hal_flash_read(HAL_IDENTITY_ADDRESS + offset, out);
#endif
}

enum lorafab_identity_status identity_read(struct lorafab_identity *out)
{
    enum lorafab_identity_status status = lorafab_identity_read(read_block, NULL, out);

    hal_wipe_stack(); /* key bytes passed through registers, and so perhaps over the stack */
    return status;
}

enum lorafab_identity_status identity_kcv(enum lorafab_key which, uint8_t out[IDENTITY_KCV_SIZE], bool *absent)
{
    uint8_t key[16], mac[16] = {0}, any = 0;
    enum lorafab_identity_status status = lorafab_identity_read_key(read_block, NULL, which, key);

    for (int i = 0; i < 16; i++) {
        any |= key[i];
    }
    if (status == LORAFAB_IDENTITY_OK) {
        aes128_cmac(key, KCV_MESSAGE, sizeof KCV_MESSAGE, mac);
    }
    lorafab_wipe(key, sizeof key);
    hal_wipe_stack();
    *absent = any == 0;
    for (int i = 0; i < IDENTITY_KCV_SIZE; i++) {
        out[i] = mac[i];
    }
    return status;
}

const char *identity_status_text(enum lorafab_identity_status status)
{
    switch (status) {
    case LORAFAB_IDENTITY_OK: return "ok";
    case LORAFAB_IDENTITY_BLANK: return "blank";
    case LORAFAB_IDENTITY_TORN: return "torn";
    case LORAFAB_IDENTITY_BAD_MAGIC: return "bad magic";
    case LORAFAB_IDENTITY_BAD_VERSION: return "bad version";
    case LORAFAB_IDENTITY_BAD_LENGTH: return "bad length";
    case LORAFAB_IDENTITY_BAD_CRC: return "bad crc";
    }
    return "unknown";
}
