/* What a modem is told: kept in RAM, and stored in a flash page of its own when its dialect says so. */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#define SETTINGS_EUI_SIZE 8
#define SETTINGS_KEY_SIZE 16

/* As it lies in RAM and, behind a magic and before a CRC, in the page. EUIs most significant byte first. */
struct settings {
    uint8_t dev_eui[SETTINGS_EUI_SIZE];
    uint8_t join_eui[SETTINGS_EUI_SIZE];
    uint8_t app_key[SETTINGS_KEY_SIZE];
    uint8_t nwk_key[SETTINGS_KEY_SIZE];
    uint8_t otaa;        /* 1: over the air, 0: ABP */
    uint8_t keys_locked; /* 1: no command shows a key any more */
    uint8_t given;       /* bits of what was set by a command: SETTINGS_GIVEN_* */
    uint8_t reserved;
};

#define SETTINGS_GIVEN_DEV_EUI 0x01u
#define SETTINGS_GIVEN_JOIN_EUI 0x02u
#define SETTINGS_GIVEN_APP_KEY 0x04u
#define SETTINGS_GIVEN_ALL 0x07u

enum settings_state {
    SETTINGS_BLANK,   /* the page is erased: nothing was ever stored, or only its erase came to an end */
    SETTINGS_STORED,  /* a whole record */
    SETTINGS_DAMAGED, /* something else: a write that was cut short, stuck bits */
};

/* The values in use. */
extern struct settings settings;

/* The test key that LoRaMac-node, STM32CubeWL and the modems made from them come with (se-identity.h). */
extern const uint8_t SETTINGS_DEFAULT_KEY[SETTINGS_KEY_SIZE];

/* Reads the page into `out`, which is left alone unless the result is SETTINGS_STORED. */
enum settings_state settings_load(struct settings *out);

/* Erases the page and writes the values in use. False: the flash refused, or reads back otherwise. */
bool settings_store(void);

/* Erases the page. False: the flash refused. */
bool settings_erase(void);

#endif
