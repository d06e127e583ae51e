/* Microchip's RN2483: DS40001784G, "RN2483 LoRa Technology Module Command Reference User's Guide", 2.3 and 2.4; the
 * module's published parser (parser_lorawan.c, parser_system.c). README.md says what of it is here. */
#include "dialect.h"
#include "hal.h"
#include "join.h"
#include "port.h"
#include "reply.h"
#include "text.h"

const char DIALECT_LINE_ENDS[] = "\n"; /* 1.4: commands end with <CR><LF> */

static void hardware_eui(uint8_t out[SETTINGS_EUI_SIZE])
{
    static const uint8_t MICROCHIP[5] = {0x00, 0x04, 0xA3, 0x0B, 0x00}; /* as hweui begins in published transcripts */

    port_eui64(out);
    for (int i = 0; i < 5; i++) {
        out[i] = MICROCHIP[i];
    }
}

/* The EUI that the module comes with is no DevEUI yet: nothing is set before `mac set`. */
void dialect_factory(struct settings *out)
{
    out->otaa = 1;
}

static void say(const char *text)
{
    reply_text(text);
    reply_end();
}

static void say_bytes(const uint8_t *bytes, size_t size)
{
    text_write_hex(bytes, size, '\0');
    reply_end();
}

static const char VERSION[] = "RN2483 1.0.5 Oct 31 2018 15:06:52";

void dialect_boot(enum settings_state stored)
{
    (void)stored;
    say(VERSION);
}

static bool set_bytes(const char *text, uint8_t *where, size_t size, uint8_t given)
{
    if (!text_hex(text, where, size)) {
        return false;
    }
    settings.given |= given;
    return true;
}

/* True when the value was taken; there is no `mac get appkey`. */
static bool set(const char *what)
{
    const char *rest = text_behind(what, "deveui ");

    if (rest != NULL) {
        return set_bytes(rest, settings.dev_eui, SETTINGS_EUI_SIZE, SETTINGS_GIVEN_DEV_EUI);
    }
    rest = text_behind(what, "appeui ");
    if (rest != NULL) {
        return set_bytes(rest, settings.join_eui, SETTINGS_EUI_SIZE, SETTINGS_GIVEN_JOIN_EUI);
    }
    rest = text_behind(what, "appkey ");
    return rest != NULL && set_bytes(rest, settings.app_key, SETTINGS_KEY_SIZE, SETTINGS_GIVEN_APP_KEY);
}

/* 2.4.3: an answer now, and one when the join is over. */
static const char *join(void)
{
    if (settings.given != SETTINGS_GIVEN_ALL) {
        return "keys_not_init";
    }
    if (join_running()) {
        return "busy";
    }
    join_begin(1, 0);
    return "ok";
}

/* Parser_LoraSave: bytes into an EEPROM that nobody reads back, and "ok". */
static const char *save(void)
{
    (void)settings_store();
    return "ok";
}

void dialect_line(const char *line)
{
    uint8_t eui[SETTINGS_EUI_SIZE];
    const char *rest = text_behind(line, "mac set ");

    if (rest != NULL) {
        say(set(rest) ? "ok" : "invalid_param");
    } else if (text_is(line, "mac get deveui")) {
        say_bytes(settings.dev_eui, SETTINGS_EUI_SIZE);
    } else if (text_is(line, "mac get appeui")) {
        say_bytes(settings.join_eui, SETTINGS_EUI_SIZE);
    } else if (text_is(line, "mac save")) {
        say(save());
    } else if (text_is(line, "mac join otaa")) {
        say(join());
    } else if (text_is(line, "sys get ver")) {
        say(VERSION);
    } else if (text_is(line, "sys get hweui")) {
        hardware_eui(eui);
        say_bytes(eui, sizeof eui);
    } else if (text_is(line, "sys reset")) {
        port_reset();
    } else if (text_is(line, "sys factoryRESET")) {
        (void)settings_erase();
        port_reset();
    } else {
        say("invalid_param");
    }
}

void dialect_line_lost(bool too_long)
{
    (void)too_long;
    say("invalid_param");
}

void dialect_join_timer(void)
{
    (void)join_timer();
    join_store_nonce();
    say("denied");
}
