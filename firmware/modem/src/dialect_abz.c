/* The open firmware of Murata's Type ABZ: hardwario/lora-modem 7220b7b, src/ cmd.c, atci.c, lrw.c, main.c. README.md
 * says what of it is here. */
#include "dialect.h"
#include "hal.h"
#include "join.h"
#include "nvm.h"
#include "port.h"
#include "reply.h"
#include "text.h"

const char DIALECT_LINE_ENDS[] = "\r"; /* atci.c: LF is ignored */

/* cmd.c, cmd_errno; 0 stands for +OK, SAID for an answer that was given */
enum result {
    SAID = 1,
    OK = 0,
    UNKNOWN_COMMAND = -1,
    PARAMETER_COUNT = -2,
    PARAMETER = -3,
    FACNEW_FAILED = -4,
    BUSY = -7,
    NO_OTAA = -14,
    ACCESS_DENIED = -50,
};

#define FACNEW_DEV_NONCE 1u
#define FACNEW_DEV_EUI 2u

static bool reset_due;

void dialect_factory(struct settings *out)
{
    uint8_t id[12];
    uint32_t sum = 0;

    /* system.c, system_get_unique_id: the second word, then the sum of the first and the third, high bytes last */
    hal_unique_id(id);
    for (int i = 0; i < 4; i++) {
        sum += (uint32_t)id[i] << (8 * i);
        sum += (uint32_t)id[8 + i] << (8 * i);
    }
    for (int i = 0; i < 4; i++) {
        out->dev_eui[i] = id[4 + i];
        out->dev_eui[4 + i] = (uint8_t)(sum >> (8 * i));
    }
    for (int i = 0; i < SETTINGS_EUI_SIZE; i++) {
        out->join_eui[i] = 0x01; /* lrw.c, set_defaults */
    }
    for (int i = 0; i < SETTINGS_KEY_SIZE; i++) {
        out->app_key[i] = out->nwk_key[i] = SETTINGS_DEFAULT_KEY[i];
    }
    out->otaa = 0; /* set_defaults: ABP */
    out->keys_locked = 0;
}

static void end_line(void)
{
    reply_text("\r\n\r\n"); /* atci.h, ATCI_EOL */
}

static void say(const char *text)
{
    reply_text(text);
    end_line();
}

void dialect_boot(enum settings_state stored)
{
    (void)stored;
    say("+EVENT=0,0");
}

static enum result say_value(const char *text)
{
    reply_text("+OK=");
    say(text);
    return SAID;
}

static enum result say_bytes(const uint8_t *bytes, size_t size)
{
    reply_text("+OK=");
    text_write_hex(bytes, size, '\0');
    end_line();
    return SAID;
}

static enum result say_number(uint32_t number)
{
    reply_text("+OK=");
    reply_u32(number);
    end_line();
    return SAID;
}

static enum result say_key(const uint8_t *key)
{
    return settings.keys_locked ? ACCESS_DENIED : say_bytes(key, SETTINGS_KEY_SIZE);
}

/* lrw.c, save_state, only logs what fails, after the answer. There it goes into an EEPROM; here the core stands still
 * while its flash is written, and would lose what a station sends after +OK, so that the answer comes last. */
static enum result stored(void)
{
    (void)settings_store();
    return OK;
}

/* atci_param_get_buffer_from_hex: one character more than the digits is let through, whatever it is. */
static enum result set_bytes(const char *text, uint8_t *where, uint8_t *also, size_t size)
{
    char digits[2 * SETTINGS_KEY_SIZE + 1];
    uint8_t bytes[SETTINGS_KEY_SIZE];
    size_t length = text_length(text);

    if (length != 2u * size && length != 2u * size + 1u) {
        return PARAMETER;
    }
    for (size_t i = 0; i < 2u * size; i++) {
        digits[i] = text[i];
    }
    digits[2u * size] = '\0';
    if (!text_hex(digits, bytes, size)) {
        return PARAMETER;
    }
    if (join_running()) {
        return BUSY;
    }
    for (size_t i = 0; i < size; i++) {
        where[i] = bytes[i];
        if (also != NULL) {
            also[i] = bytes[i];
        }
    }
    return stored();
}

static enum result set_mode(const char *text)
{
    if (!text_is(text, "0") && !text_is(text, "1")) {
        return PARAMETER;
    }
    if (join_running()) {
        return BUSY;
    }
    settings.otaa = (uint8_t)(*text - '0');
    return stored();
}

/* [<data rate>[,<tries>]]; nine tries when nothing is said. */
static enum result begin_join(const char *text)
{
    uint32_t data_rate = 0, tries = 9;

    if (settings.otaa == 0u) {
        return NO_OTAA;
    }
    if (*text != '\0') {
        if (!text_number(text, &data_rate, &text) || data_rate > 15u) {
            return PARAMETER;
        }
        if (*text != '\0' && (*text++ != ',' || !text_number(text, &tries, &text) || tries < 1u || tries > 16u)) {
            return PARAMETER;
        }
        if (*text != '\0') {
            return PARAMETER_COUNT;
        }
    }
    if (join_running()) {
        return BUSY;
    }
    join_begin(tries, 0);
    return OK;
}

void dialect_join_timer(void)
{
    enum join_event event = join_timer();

    join_store_nonce(); /* there are no pauses between the tries */
    if (event == JOIN_FAILED_LAST) {
        say("+EVENT=1,0");
        if (reset_due) {
            port_reset();
        }
    }
}

static enum result reboot(void)
{
    say("+OK");
    if (!join_running()) {
        port_reset();
    }
    reset_due = true; /* main.c: when the MAC is no longer busy */
    return SAID;
}

static void erase_nvm(void)
{
    for (uint32_t page = 0; page < HAL_NVM_PAGES; page++) {
        (void)hal_flash_erase_page(HAL_NVM_ADDRESS + page * HAL_PAGE_SIZE);
    }
}

/* lrw.c, lrw_factory_reset: DevNonce and DevEUI stay unless the flags say otherwise. +EVENT=0,1 only when the memory
 * was erased; the reset comes in any case. */
static enum result factory_new(const char *text)
{
    uint32_t flags = 0;
    uint8_t dev_eui[SETTINGS_EUI_SIZE];

    if (*text != '\0' && (!text_number(text, &flags, &text) || *text != '\0')) {
        return PARAMETER;
    }
    if (join_running()) {
        return FACNEW_FAILED;
    }
    say("+OK");
    for (int i = 0; i < SETTINGS_EUI_SIZE; i++) {
        dev_eui[i] = settings.dev_eui[i];
    }
    if (settings_erase()) {
        say("+EVENT=0,1");
        if ((flags & FACNEW_DEV_EUI) == 0u) {
            dialect_factory(&settings);
            for (int i = 0; i < SETTINGS_EUI_SIZE; i++) {
                settings.dev_eui[i] = dev_eui[i];
            }
            (void)settings_store();
        }
        if ((flags & FACNEW_DEV_NONCE) != 0u) {
            erase_nvm();
        }
    }
    port_reset();
    return SAID;
}

static enum result say_dev_nonce(void)
{
    struct nvm_status status;

    nvm_read(&status);
    return say_number(status.counters.dev_nonce);
}

static enum result lock_keys(void)
{
    settings.keys_locked = 1;
    return stored();
}

static enum result read(const char *name)
{
    struct settings factory;

    if (text_is_any_case(name, "+VER")) {
        return say_value("1.1.06,Aug 24 2020 16:11:57"); /* Makefile, VERSION_COMPAT and BUILD_DATE_COMPAT */
    }
    if (text_is_any_case(name, "+DEV")) {
        return say_value("ABZ");
    }
    if (text_is_any_case(name, "+DEVEUI")) {
        return say_bytes(settings.dev_eui, SETTINGS_EUI_SIZE);
    }
    if (text_is_any_case(name, "+APPEUI") || text_is_any_case(name, "$JOINEUI")) {
        return say_bytes(settings.join_eui, SETTINGS_EUI_SIZE);
    }
    if (text_is_any_case(name, "+APPKEY") || text_is_any_case(name, "$APPKEY")) {
        return say_key(settings.app_key);
    }
    if (text_is_any_case(name, "$NWKKEY")) {
        return say_key(settings.nwk_key);
    }
    if (text_is_any_case(name, "+MODE")) {
        return say_number(settings.otaa);
    }
    if (text_is_any_case(name, "$DEVNONCE")) {
        return say_dev_nonce();
    }
    if (text_is_any_case(name, "$MCUID")) {
        dialect_factory(&factory);
        return say_bytes(factory.dev_eui, SETTINGS_EUI_SIZE);
    }
    return UNKNOWN_COMMAND;
}

static enum result write(const char *name, const char *value)
{
    if (text_is_any_case(name, "+DEVEUI")) {
        return set_bytes(value, settings.dev_eui, NULL, SETTINGS_EUI_SIZE);
    }
    if (text_is_any_case(name, "+APPEUI") || text_is_any_case(name, "$JOINEUI")) {
        return set_bytes(value, settings.join_eui, NULL, SETTINGS_EUI_SIZE);
    }
    if (text_is_any_case(name, "+APPKEY")) { /* LoRaWAN 1.0: the one root key goes into both slots */
        return set_bytes(value, settings.app_key, settings.nwk_key, SETTINGS_KEY_SIZE);
    }
    if (text_is_any_case(name, "$APPKEY")) {
        return set_bytes(value, settings.app_key, NULL, SETTINGS_KEY_SIZE);
    }
    if (text_is_any_case(name, "$NWKKEY")) {
        return set_bytes(value, settings.nwk_key, NULL, SETTINGS_KEY_SIZE);
    }
    return text_is_any_case(name, "+MODE") ? set_mode(value) : UNKNOWN_COMMAND;
}

static enum result act(const char *name, const char *argument)
{
    if (text_is_any_case(name, "+JOIN")) {
        return begin_join(argument);
    }
    if (text_is_any_case(name, "+FACNEW")) {
        return factory_new(argument);
    }
    if (text_is_any_case(name, "+REBOOT")) {
        return reboot();
    }
    return text_is_any_case(name, "$LOCKKEYS") ? lock_keys() : UNKNOWN_COMMAND;
}

static enum result run(const char *command)
{
    char name[16];
    size_t length = 0;

    while (command[length] != '\0' && command[length] != '=' && command[length] != '?' && command[length] != ' ') {
        if (length == sizeof name - 1u) {
            return UNKNOWN_COMMAND;
        }
        name[length] = command[length];
        length++;
    }
    name[length] = '\0';
    command += length;
    if (length == 0) {
        return *command == '\0' ? OK : UNKNOWN_COMMAND;
    }
    if (text_is(command, "?")) {
        return read(name);
    }
    if (*command == '=') {
        return write(name, command + 1);
    }
    return *command == ' ' ? act(name, command + 1) : act(name, "");
}

static void say_result(enum result result)
{
    if (result == OK) {
        say("+OK");
    } else if (result != SAID) {
        reply_text("+ERR=-");
        reply_u32((uint32_t)-result);
        end_line();
    }
}

/* atci.c, process_character: what stands before an `A` followed by a `T` is dropped, and so is a line without. */
void dialect_line(const char *line)
{
    const char *command = NULL;

    for (; *line != '\0' && command == NULL; line++) {
        if (*line == 'A' || *line == 'a') {
            line++;
            command = *line == 'T' || *line == 't' ? line + 1 : NULL;
            if (*line == '\0') {
                return;
            }
        }
    }
    if (command != NULL) {
        say_result(run(command));
    }
}

void dialect_line_lost(bool too_long)
{
    (void)too_long;
    say_result(UNKNOWN_COMMAND);
}
