/* RAK's RUI3: RAKWireless/RAK-STM32-RUI e5a28be, cores/STM32WLE/component/service/mode/cli/ atcmd.c, atcmd_key_id.c,
 * atcmd_general.c, atcmd_join_send.c, service_mode_cli.c; service/lora/service_lora.c; service/nvm/service_nvm.c;
 * variants/WisDuo_RAK3172_Evaluation_Board/rui_inner_main.c. README.md says what of it is here. */
#include "dialect.h"
#include "hal.h"
#include "join.h"
#include "port.h"
#include "reply.h"
#include "text.h"

const char DIALECT_LINE_ENDS[] = "\r\n";

enum status { OK, ERROR, PARAM_ERROR, BUSY_ERROR, COMMAND_NOT_FOUND };

/* atcmd.c, atcmd_err_tbl */
static const char *const STATUS[] = {"OK", "AT_ERROR", "AT_PARAM_ERROR", "AT_BUSY_ERROR", "AT_COMMAND_NOT_FOUND"};

/* What forum.rakwireless.com t/14010 found on a module whose settings were lost. */
static const uint8_t EXAMPLE[16] = {0xAC, 0x1F, 0x09, 0xFF, 0xFE, 0x13, 0x02, 0xCE,
                                    0xAC, 0x1F, 0x09, 0xFF, 0xF9, 0x15, 0x31, 0x72};

static uint32_t join_period_s = 8, join_retries; /* kept in RAM only, unlike RUI3's */

/* The set of values that RAK stores in production. The DevEUI: RAK's company id, and the number of this chip. */
void dialect_factory(struct settings *out)
{
    uint8_t eui[8];

    port_eui64(eui);
    for (int i = 0; i < 8; i++) {
        out->dev_eui[i] = i < 5 ? EXAMPLE[i] : eui[i];
        out->join_eui[i] = EXAMPLE[8 + i];
    }
    for (int i = 0; i < SETTINGS_KEY_SIZE; i++) {
        out->app_key[i] = EXAMPLE[i];
    }
    out->otaa = 1;
}

static void say(const char *text)
{
    reply_text(text);
    reply_end();
}

/* service_nvm.c, service_nvm_set_default_config_to_nvm: without a valid set of values all of them are zero. */
void dialect_boot(enum settings_state stored)
{
    if (stored == SETTINGS_DAMAGED) {
        settings = (struct settings){.otaa = 1};
    }
    say("RAKwireless RAK3172-E Example");
    say("------------------------------------------------------");
    say("Current Work Mode: LoRaWAN.");
}

static void begin_value(const char *name)
{
    reply_text("AT+");
    reply_text(name);
    reply_text("=");
}

static void say_bytes(const char *name, const uint8_t *bytes, size_t size)
{
    begin_value(name);
    text_write_hex(bytes, size, '\0');
    reply_end();
}

static enum status say_number(const char *name, uint32_t number)
{
    begin_value(name);
    reply_u32(number);
    reply_end();
    return OK;
}

static enum status store(void)
{
    return settings_store() ? OK : ERROR;
}

static enum status set_bytes(const char *text, uint8_t *where, size_t size)
{
    uint8_t bytes[SETTINGS_KEY_SIZE];

    if (!text_hex(text, bytes, size)) {
        return PARAM_ERROR;
    }
    if (join_running()) {
        return BUSY_ERROR;
    }
    for (size_t i = 0; i < size; i++) {
        where[i] = bytes[i];
    }
    return store();
}

static enum status set_mode(const char *text)
{
    if (!text_is(text, "0") && !text_is(text, "1")) {
        return PARAM_ERROR;
    }
    if (join_running()) {
        return BUSY_ERROR;
    }
    settings.otaa = (uint8_t)(*text - '0');
    return store();
}

/* <start>[:<auto>[:<period>[:<retries>]]]; what is not given keeps its value. */
static enum status begin_join(const char *text)
{
    uint32_t value[4] = {1, 0, join_period_s, join_retries};

    for (int i = 0; *text != '\0' && i < 4; i++) {
        if (!text_number(text, &value[i], &text) || (*text != ':' && *text != '\0')) {
            return PARAM_ERROR;
        }
        text += *text == ':' ? 1 : 0;
    }
    if (*text != '\0' || value[0] > 1u || value[1] > 1u || value[2] < 7u || value[2] > 255u || value[3] > 255u) {
        return PARAM_ERROR;
    }
    join_period_s = value[2];
    join_retries = value[3];
    if (join_running()) {
        return BUSY_ERROR;
    }
    if (value[0] == 1u && settings.otaa == 1u) {
        join_begin(1u + join_retries, join_period_s * 1000u);
    }
    return OK;
}

static enum status say_unique_id(void)
{
    uint8_t id[12];

    hal_unique_id(id);
    begin_value("UID");
    for (int i = 11; i >= 0; i--) { /* "%08x%08x%08x" of the third, second and first word */
        static const char DIGITS[] = "0123456789abcdef";
        reply_char(DIGITS[id[i] >> 4]);
        reply_char(DIGITS[id[i] & 0x0Fu]);
    }
    reply_end();
    return OK;
}

static enum status restore(void)
{
    dialect_factory(&settings);
    if (!settings_store()) {
        return ERROR;
    }
    port_reset();
    return OK;
}

static enum status run(const char *command)
{
    const struct {
        const char *name;
        uint8_t *where;
        size_t size;
    } VALUES[] = {
        {"DEVEUI", settings.dev_eui, SETTINGS_EUI_SIZE},
        {"APPEUI", settings.join_eui, SETTINGS_EUI_SIZE},
        {"APPKEY", settings.app_key, SETTINGS_KEY_SIZE},
    };
    const char *rest;

    if (*command == '\0') {
        return OK;
    }
    if (text_is_any_case(command, "Z")) {
        port_reset();
    }
    if (text_is_any_case(command, "R")) {
        return restore();
    }
    if (*command++ != '+') {
        return COMMAND_NOT_FOUND;
    }
    for (size_t i = 0; i < sizeof VALUES / sizeof VALUES[0]; i++) {
        rest = text_behind_any_case(command, VALUES[i].name);
        if (rest == NULL || *rest != '=') {
            continue;
        }
        if (text_is(rest, "=?")) {
            say_bytes(VALUES[i].name, VALUES[i].where, VALUES[i].size);
            return OK;
        }
        return set_bytes(rest + 1, VALUES[i].where, VALUES[i].size);
    }
    if (text_is_any_case(command, "VER=?")) {
        say("AT+VER=RUI_4.2.1_RAK3172-E");
        return OK;
    }
    if (text_is_any_case(command, "UID=?")) {
        return say_unique_id();
    }
    if (text_is_any_case(command, "NJM=?")) {
        return say_number("NJM", settings.otaa);
    }
    if (text_is_any_case(command, "NJS=?")) {
        return say_number("NJS", 0);
    }
    if (text_is_any_case(command, "NWM=?")) {
        return say_number("NWM", 1);
    }
    rest = text_behind_any_case(command, "NJM=");
    if (rest != NULL) {
        return set_mode(rest);
    }
    rest = text_behind_any_case(command, "JOIN");
    if (rest != NULL && *rest == '\0') {
        return begin_join(rest);
    }
    return rest != NULL && *rest == '=' ? begin_join(rest + 1) : COMMAND_NOT_FOUND;
}

/* The source prints the status and then a line end (At_Parser, service_mode_cli_handler); RAK's manual shows one line
 * end before it as well. */
void dialect_line(const char *line)
{
    const char *command = text_behind_any_case(line, "AT");

    say(STATUS[command != NULL ? run(command) : COMMAND_NOT_FOUND]);
}

void dialect_line_lost(bool too_long)
{
    (void)too_long;
    say(STATUS[ERROR]);
}

void dialect_join_timer(void)
{
    if (join_timer() != JOIN_NEXT_BEGINS) {
        join_store_nonce();
        say("+EVT:JOIN_FAILED_RX_TIMEOUT");
    }
}
