/* ST's AT_Slave: STM32CubeWL 406f7a2, Projects/NUCLEO-WL55JC/Applications/LoRaWAN/LoRaWAN_AT_Slave/LoRaWAN/App/
 * lora_at.c, lora_command.c, lora_app.c, se-identity.h; Middlewares/Third_Party/LoRaWAN/LmHandler/LmHandler.c and
 * Crypto/soft-se.c. README.md says what of it is here. */
#include "dialect.h"
#include "hal.h"
#include "join.h"
#include "nvm.h"
#include "port.h"
#include "reply.h"
#include "text.h"

const char DIALECT_LINE_ENDS[] = "\r\n";

enum status { OK, ERROR, PARAM_ERROR, TEST_PARAM_OVERFLOW, RX_ERROR };

/* lora_command.c, ATError_description */
static const char *const STATUS[] = {"OK", "AT_ERROR", "AT_PARAM_ERROR", "AT_TEST_PARAM_OVERFLOW", "AT_RX_ERROR"};

static bool changed;              /* since the last AT+CS */
static struct nvm_status counters; /* as they were loaded; the DevNonce counts on in RAM until AT+CS */

void dialect_factory(struct settings *out)
{
    port_eui64(out->dev_eui); /* sys_app.c, GetUniqueId */
    for (int i = 0; i < SETTINGS_EUI_SIZE; i++) {
        out->join_eui[i] = 0x01; /* se-identity.h, LORAWAN_JOIN_EUI */
    }
    for (int i = 0; i < SETTINGS_KEY_SIZE; i++) {
        out->app_key[i] = out->nwk_key[i] = SETTINGS_DEFAULT_KEY[i];
    }
}

static void say(const char *text)
{
    reply_text(text);
    reply_end();
}

static void say_bytes(const char *before, const uint8_t *bytes, size_t size)
{
    reply_text(before);
    text_write_hex(bytes, size, ':');
    reply_end();
}

static void say_version(void)
{
    say("APPLICATION_VERSION: V1.3.1");
    say("MW_LORAWAN_VERSION:  V2.6.1");
    say("MW_RADIO_VERSION:    V1.3.1");
    say("L2_SPEC_VERSION:     V1.0.4");
    say("RP_SPEC_VERSION:     V2-1.0.3");
}

void dialect_boot(enum settings_state stored)
{
    (void)stored; /* LmHandlerConfigure says NVM DATA RESTORED only for a device that had joined */
    nvm_read(&counters);
    say_version();
    /* soft-se.c, SecureElementPrintKeys: with KEY_EXTRACTABLE 1 and VERBOSE_LEVEL VLEVEL_M, ST's defaults, every
     * reset shows the root keys. The session keys, which are the default key until a join, are left out here. */
    say_bytes("###### AppKey:      ", settings.app_key, SETTINGS_KEY_SIZE);
    say_bytes("###### NwkKey:      ", settings.nwk_key, SETTINGS_KEY_SIZE);
    say_bytes("###### DevEUI:      ", settings.dev_eui, SETTINGS_EUI_SIZE);
    say_bytes("###### AppEUI:      ", settings.join_eui, SETTINGS_EUI_SIZE);
    say("ATtention command interface");
    say("AT? to list all available functions");
}

/* "%hhx:%hhx:..": each number takes all hex digits that stand there and keeps the lowest eight bits of them; what
 * stands behind the last one is not looked at. */
static bool scan_bytes(const char *text, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t value = 0;

        if ((i != 0 && *text++ != ':') || text_hex_digit(*text) < 0) {
            return false;
        }
        while (text_hex_digit(*text) >= 0) {
            value = (uint8_t)(value << 4 | text_hex_digit(*text++));
        }
        out[i] = value;
    }
    return true;
}

static enum status set_bytes(const char *text, uint8_t *where, size_t size)
{
    uint8_t bytes[SETTINGS_KEY_SIZE];

    if (!scan_bytes(text, bytes, size)) {
        return PARAM_ERROR;
    }
    if (join_running()) {
        return ERROR; /* LmHandlerSetDevEUI and the others: the MAC is busy */
    }
    for (size_t i = 0; i < size; i++) {
        where[i] = bytes[i];
    }
    changed = true;
    return OK;
}

/* LmHandlerNvmDataStore: OnStoreContextRequest returns nothing, so a flash that refuses looks as one that obeys. It
 * halts the MAC first: a join that runs is given up, and no event tells of it. */
static enum status store_context(void)
{
    join_drop();
    if (!changed) {
        say("NVM DATA UP TO DATE");
        return OK;
    }
    (void)settings_store();
    (void)nvm_store(&counters.counters);
    changed = false;
    say("NVM DATA STORED");
    return OK;
}

/* AT_restore_factory_settings: a reset, or OK when the erase has failed. The page holds the DevNonce, too. */
static enum status restore_factory(void)
{
    if (settings_erase()) {
        for (uint32_t page = 0; page < HAL_NVM_PAGES; page++) {
            (void)hal_flash_erase_page(HAL_NVM_ADDRESS + page * HAL_PAGE_SIZE);
        }
        port_reset();
    }
    return OK;
}

static enum status begin_join(const char *mode)
{
    if (*mode != '0' && *mode != '1') {
        return PARAM_ERROR;
    }
    if (*mode == '1' && !join_running()) {
        join_begin(1, 0);
    }
    return OK; /* AT_Join: whatever LmHandlerJoin came to */
}

static enum status run(const char *command)
{
    const struct {
        const char *name;
        uint8_t *where;
        size_t size;
    } VALUES[] = {
        {"+DEUI=", settings.dev_eui, SETTINGS_EUI_SIZE},     {"+APPEUI=", settings.join_eui, SETTINGS_EUI_SIZE},
        {"+NWKKEY=", settings.nwk_key, SETTINGS_KEY_SIZE}, {"+APPKEY=", settings.app_key, SETTINGS_KEY_SIZE},
    };
    const char *rest;

    for (size_t i = 0; i < sizeof VALUES / sizeof VALUES[0]; i++) {
        rest = text_behind(command, VALUES[i].name);
        if (rest != NULL && text_is(rest, "?")) {
            say_bytes("", VALUES[i].where, VALUES[i].size);
            return OK;
        }
        if (rest != NULL) {
            return set_bytes(rest, VALUES[i].where, VALUES[i].size);
        }
    }
    if (*command == '\0') {
        return OK;
    }
    if (text_is(command, "+VER=?")) {
        say_version();
        return OK;
    }
    if (text_is(command, "+CS")) {
        return store_context();
    }
    if (text_is(command, "+RFS")) {
        return restore_factory();
    }
    if (text_is(command, "Z")) {
        port_reset();
    }
    rest = text_behind(command, "+JOIN=");
    return rest != NULL ? begin_join(rest) : ERROR;
}

static void say_status(enum status status)
{
    reply_end();
    say(STATUS[status]);
}

void dialect_line(const char *line)
{
    const char *command = text_behind(line, "AT");

    say_status(command != NULL ? run(command) : ERROR);
}

void dialect_line_lost(bool too_long)
{
    say_status(too_long ? TEST_PARAM_OVERFLOW : RX_ERROR);
}

void dialect_join_timer(void)
{
    (void)join_timer();
    counters.counters.dev_nonce++;
    changed = true;
    say("+EVT:JOIN FAILED");
}
