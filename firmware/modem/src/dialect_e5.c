/* Seeed's LoRa-E5: "LoRa-E5 AT Command Specification V1.0"; tables and transcripts of it in wiki.seeedstudio.com
 * (LoRa-E5 pages) and CampusIoT/tutorial wio-lora-e5/AT.md. README.md says what of it is here. */
#include "dialect.h"
#include "hal.h"
#include "join.h"
#include "port.h"
#include "reply.h"
#include "text.h"

const char DIALECT_LINE_ENDS[] = "\n"; /* 2.1: <LF> ends a command, <CR> before it is allowed */

/* Table 2-1 */
#define ERROR_PARAMETER "-1"
#define ERROR_UNKNOWN "-10"
#define ERROR_LENGTH "-21"
#define ERROR_CHARACTER "-23"

#define NAME_MAX 12u

void dialect_factory(struct settings *out)
{
    static const uint8_t SEEED[4] = {0x2C, 0xF7, 0xF1, 0x20}; /* as the DevEUIs in Seeed's transcripts begin */
    uint8_t eui[8];

    port_eui64(eui);
    for (int i = 0; i < 8; i++) {
        out->dev_eui[i] = i < 4 ? SEEED[i] : eui[i];
        out->join_eui[i] = i == 0 ? 0x80 : i == 7 ? 0x06 : 0x00; /* the transcripts: 80:00:00:00:00:00:00:06 */
    }
    for (int i = 0; i < SETTINGS_KEY_SIZE; i++) {
        out->app_key[i] = SETTINGS_DEFAULT_KEY[i];
    }
    out->otaa = 0; /* LWABP */
}

static void say(const char *text)
{
    reply_text(text);
    reply_end();
}

void dialect_boot(enum settings_state stored)
{
    (void)stored; /* silent */
}

static void say_error(const char *name, const char *number)
{
    reply_text("+");
    reply_text(name);
    reply_text(": ERROR(");
    reply_text(number);
    say(")");
}

static void say_busy(const char *name)
{
    reply_text("+");
    reply_text(name);
    say(": LoRaWAN modem is busy");
}

static void say_id(const char *name, const uint8_t *bytes, size_t size)
{
    reply_text("+ID: ");
    reply_text(name);
    reply_text(", ");
    text_write_hex(bytes, size, ':');
    reply_end();
}

/* The hex digits of a value, without the quotes and spaces that may stand around and between them. */
static bool value_bytes(const char *text, uint8_t *out, size_t size)
{
    char digits[2 * SETTINGS_KEY_SIZE + 1];
    size_t length = 0;

    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == ' ') {
            continue;
        }
        if (length == 2u * size) {
            return false;
        }
        digits[length++] = *text;
    }
    digits[length] = '\0';
    return text_hex(digits, out, size);
}

static const char *skip(const char *text, char c)
{
    while (*text == ' ') {
        text++;
    }
    return *text == c ? text + 1 : NULL;
}

/* DevEui or AppEui: shown, or set and shown. */
static void one_id(const char *name, const char *rest, uint8_t *where)
{
    const char *value = skip(rest, ',');

    if (*rest != '\0' && join_running()) {
        say_busy("ID");
    } else if (*rest != '\0' && (value == NULL || !value_bytes(value, where, SETTINGS_EUI_SIZE))) {
        say_error("ID", ERROR_PARAMETER);
    } else {
        if (*rest != '\0') {
            (void)settings_store(); /* what the modem does when this fails, no source says */
        }
        say_id(name, where, SETTINGS_EUI_SIZE);
    }
}

static void cmd_id(const char *argument)
{
    const char *rest;

    if (*argument == '\0') {
        say_id("DevAddr", settings.dev_eui + 4, 4);
        say_id("DevEui", settings.dev_eui, SETTINGS_EUI_SIZE);
        say_id("AppEui", settings.join_eui, SETTINGS_EUI_SIZE);
        return;
    }
    rest = text_behind_any_case(argument, "DevEui");
    if (rest != NULL) {
        one_id("DevEui", rest, settings.dev_eui);
        return;
    }
    rest = text_behind_any_case(argument, "AppEui");
    if (rest != NULL) {
        one_id("AppEui", rest, settings.join_eui);
        return;
    }
    say_error("ID", ERROR_PARAMETER);
}

/* The answer shows the key; no command shows it later. */
static void cmd_key(const char *argument)
{
    const char *rest = text_behind_any_case(argument, "APPKEY");
    const char *value = rest != NULL ? skip(rest, ',') : NULL;

    if (join_running()) {
        say_busy("KEY");
    } else if (value == NULL || !value_bytes(value, settings.app_key, SETTINGS_KEY_SIZE)) {
        say_error("KEY", ERROR_PARAMETER);
    } else {
        (void)settings_store();
        reply_text("+KEY: APPKEY ");
        text_write_hex(settings.app_key, SETTINGS_KEY_SIZE, '\0');
        reply_end();
    }
}

static void cmd_mode(const char *argument)
{
    bool otaa = text_is_any_case(argument, "LWOTAA");

    if (*argument != '\0') {
        if (!otaa && !text_is_any_case(argument, "LWABP")) {
            say_error("MODE", ERROR_PARAMETER);
            return;
        }
        settings.otaa = otaa ? 1 : 0;
        (void)settings_store();
    }
    say(settings.otaa ? "+MODE: LWOTAA" : "+MODE: LWABP");
}

static void cmd_join(const char *argument)
{
    if (*argument != '\0' && !text_is_any_case(argument, "FORCE")) {
        say_error("JOIN", ERROR_PARAMETER);
    } else if (settings.otaa == 0u) {
        say("+JOIN: Not in OTAA mode");
    } else if (join_running()) {
        say_busy("JOIN");
    } else {
        say("+JOIN: Start");
        say(*argument != '\0' ? "+JOIN: FORCE" : "+JOIN: NORMAL");
        join_begin(1, 0);
    }
}

/* "Done" comes in any case. */
void dialect_join_timer(void)
{
    (void)join_timer();
    join_store_nonce();
    say("+JOIN: Join failed");
    say("+JOIN: Done");
}

static void cmd_version(const char *argument)
{
    (void)argument;
    say("+VER: 4.0.11");
}

static void cmd_reset(const char *argument)
{
    (void)argument;
    say("+RESET: OK");
    port_reset();
}

static void cmd_factory(const char *argument)
{
    (void)argument;
    dialect_factory(&settings);
    (void)settings_store();
    say("+FDEFAULT: OK");
}

static const struct {
    const char *name;
    void (*run)(const char *argument);
} COMMANDS[] = {
    {"ID", cmd_id},       {"KEY", cmd_key},     {"MODE", cmd_mode},        {"JOIN", cmd_join},
    {"VER", cmd_version}, {"RESET", cmd_reset}, {"FDEFAULT", cmd_factory},
};

void dialect_line(const char *line)
{
    char name[NAME_MAX + 1] = {0};
    const char *rest = text_behind_any_case(line, "AT+");

    if (text_is_any_case(line, "AT")) {
        say("+AT: OK");
        return;
    }
    for (size_t i = 0; rest != NULL && i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        const char *argument = text_behind_any_case(rest, COMMANDS[i].name);

        if (argument != NULL && (*argument == '\0' || *argument == '=')) {
            COMMANDS[i].run(*argument == '=' ? argument + 1 : argument);
            return;
        }
    }
    for (size_t i = 0; rest != NULL && i < NAME_MAX && rest[i] != '\0' && rest[i] != '='; i++) {
        name[i] = rest[i];
    }
    say_error(name[0] != '\0' ? name : "AT", ERROR_UNKNOWN);
}

void dialect_line_lost(bool too_long)
{
    say_error("AT", too_long ? ERROR_LENGTH : ERROR_CHARACTER);
}
