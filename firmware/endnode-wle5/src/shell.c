#include "shell.h"

#include "hal.h"
#include "identity.h"
#include "nvm.h"
#include "reply.h"
#include "selftest.h"
#include "version.h"
#ifdef FIRMWARE_HAS_ELEMENT
#include "element.h"
#endif
#ifdef FIRMWARE_TAKES_IDENTITY
#include "provision.h"
#endif

static char line[SHELL_LINE_MAX + 1];
static unsigned line_length;
static bool line_too_long, line_damaged;

/* A handler writes its data lines and returns true, or writes the sentence behind "ERR " itself through fail(). */
static bool fail(const char *sentence)
{
    reply_text("ERR ");
    reply_text(sentence);
    return false;
}

static bool fail_at(const char *sentence, uint32_t address)
{
    (void)fail(sentence);
    reply_text(" at 0x");
    reply_hex32(address);
    return false;
}

static bool fail_identity(enum lorafab_identity_status status)
{
    (void)fail("no identity: ");
    reply_text(identity_status_text(status));
    return false;
}

static bool cmd_version(const char *argument)
{
    (void)argument;
    reply_value("product", FIRMWARE_PRODUCT);
    reply_value("version", FIRMWARE_VERSION);
    reply_value("mcu", FIRMWARE_MCU);
    return true;
}

static bool cmd_unique_id(const char *argument)
{
    uint8_t uid[HAL_UNIQUE_ID_SIZE];

    (void)argument;
    hal_unique_id(uid);
    reply_value_hex("uid", uid, sizeof uid);
    return true;
}

static void reply_kcv(const char *key, const uint8_t kcv[IDENTITY_KCV_SIZE], bool absent)
{
    if (absent) {
        reply_value(key, "-");
    } else {
        reply_value_hex(key, kcv, IDENTITY_KCV_SIZE);
    }
}

static bool cmd_identity(const char *argument)
{
    struct lorafab_identity identity;
    uint8_t kcv_app[IDENTITY_KCV_SIZE], kcv_nwk[IDENTITY_KCV_SIZE];
    bool no_app_key, no_nwk_key;
    enum lorafab_identity_status status;

    (void)argument;
    status = identity_read(&identity);
    if (status == LORAFAB_IDENTITY_OK) {
        status = identity_kcv(LORAFAB_APP_KEY, kcv_app, &no_app_key);
    }
    if (status == LORAFAB_IDENTITY_OK) {
        status = identity_kcv(LORAFAB_NWK_KEY, kcv_nwk, &no_nwk_key);
    }
    if (status != LORAFAB_IDENTITY_OK) {
        return fail_identity(status);
    }
    reply_value_hex("dev_eui", identity.dev_eui, sizeof identity.dev_eui);
    reply_value_hex("join_eui", identity.join_eui, sizeof identity.join_eui);
    reply_value("serial", identity.serial);
    reply_value_u32("region", identity.region);
    reply_value_u32("generation", identity.key_generation);
    reply_value_hex32("lot_crc", identity.lot_crc);
    reply_value("lorawan", identity.lorawan_1_1 ? "1.1" : "1.0");
    reply_kcv("kcv_app", kcv_app, no_app_key);
    reply_kcv("kcv_nwk", kcv_nwk, no_nwk_key);
    return true;
}

#ifdef FIRMWARE_HAS_ELEMENT
static bool cmd_element(const char *argument)
{
    struct element element;

    (void)argument;
    if (!element_read(&element)) {
        return fail("the secure element does not answer as it should");
    }
    reply_value_hex("se_serial", element.serial, sizeof element.serial);
    reply_value_hex("dev_eui", element.dev_eui, sizeof element.dev_eui);
    reply_value_hex("join_eui", element.join_eui, sizeof element.join_eui);
    return true;
}
#endif

static bool cmd_nvm(const char *argument)
{
    static const char *const STATES[] = {"fresh", "ok", "recovered", "lost"};
    struct nvm_status status;

    (void)argument;
    nvm_read(&status);
    reply_value_u32("dev_nonce", status.counters.dev_nonce);
    reply_value_u32("join_nonce", status.counters.join_nonce);
    reply_value_u32("fcnt_up", status.counters.fcnt_up);
    reply_value_u32("fcnt_down", status.counters.fcnt_down);
    reply_value_u32("records", status.records);
    reply_value("state", STATES[status.state]);
    return true;
}

static bool cmd_next_nonce(const char *argument)
{
    uint16_t dev_nonce = 0;

    (void)argument;
    switch (nvm_next_dev_nonce(&dev_nonce)) {
    case NVM_STORED: break;
    case NVM_REFUSED: return fail("counters lost: the NVM region holds no readable record");
    case NVM_EXHAUSTED: return fail("nonce exhausted");
    case NVM_FLASH_FAULT: return fail("nonce not stored: the NVM region takes no more writes");
    }
    reply_value_u32("dev_nonce", dev_nonce);
    return true;
}

static bool test_ram(const char *argument)
{
    uint32_t bytes, fault;

    (void)argument;
    if (!selftest_ram(&bytes, &fault)) {
        return fail_at("ram faulty", fault);
    }
    reply_value_u32("ram_tested", bytes);
    return true;
}

static bool test_flash(const char *argument)
{
    uint32_t size, crc, fault;

    (void)argument;
    if (!selftest_flash(&size, &crc, &fault)) {
        return fail_at("flash torn", fault);
    }
    reply_value_hex32("image_crc", crc);
    reply_value_u32("image_size", size);
    return true;
}

static bool test_aes(const char *argument)
{
    const char *failed = selftest_aes();

    (void)argument;
    if (failed != NULL) {
        (void)fail("aes wrong in vector ");
        reply_text(failed);
    }
    return failed == NULL;
}

static bool test_identity(const char *argument)
{
    struct lorafab_identity identity;
    enum lorafab_identity_status status = identity_read(&identity);

    (void)argument;
    return status == LORAFAB_IDENTITY_OK || fail_identity(status);
}

#ifdef FIRMWARE_TAKES_IDENTITY
static bool cmd_set(const char *argument)
{
    const char *refusal = provision_set(argument);

    return refusal == NULL || fail(refusal);
}
#endif

struct command {
    const char *name; /* lower case; one that takes an argument ends with a space */
    const char *shown;
    bool (*run)(const char *argument);
};

static const struct command TESTS[] = {
    {"ram", "ram", test_ram},
    {"flash", "flash", test_flash},
    {"aes", "aes", test_aes},
    {"id", "id", test_identity},
    {NULL, NULL, NULL},
};

static bool cmd_test(const char *argument);

static const struct command COMMANDS[] = {
    {"ver?", "VER?", cmd_version},  {"id?", "ID?", cmd_identity},
    {"uid?", "UID?", cmd_unique_id}, {"nvm?", "NVM?", cmd_nvm},
    {"nonce+", "NONCE+", cmd_next_nonce}, {"test ", "TEST", cmd_test},
#ifdef FIRMWARE_HAS_ELEMENT
    {"se?", "SE?", cmd_element},
#endif
#ifdef FIRMWARE_TAKES_IDENTITY
    {"set ", "SET", cmd_set},
#endif
    {NULL, NULL, NULL},
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Returns what follows `name` in `text`, case ignored, or NULL. */
static const char *behind(const char *text, const char *name)
{
    while (*name != '\0') {
        if (lower(*text++) != *name++) {
            return NULL;
        }
    }
    return text;
}

/* Runs the command of the table that `text` names; false in *known when there is none. */
static bool run(const struct command *table, const char *text, bool *known)
{
    for (const struct command *command = table; command->name != NULL; command++) {
        const char *rest = behind(text, command->name);
        bool takes_argument = command->run == cmd_test;
#ifdef FIRMWARE_TAKES_IDENTITY
        takes_argument = takes_argument || command->run == cmd_set;
#endif

        if (rest != NULL && (*rest == '\0') != takes_argument) {
            *known = true;
            return command->run(rest);
        }
    }
    *known = false;
    return false;
}

static void list_known(const struct command *table)
{
    reply_text("; known:");
    for (; table->name != NULL; table++) {
        reply_text(" ");
        reply_text(table->shown);
    }
}

static bool cmd_test(const char *argument)
{
    bool known, passed = run(TESTS, argument, &known);

    if (!known) {
        (void)fail("unknown test '");
        while (*argument != '\0') {
            reply_char(*argument++);
        }
        reply_text("'");
        list_known(TESTS);
    }
    return passed;
}

static void run_line(void)
{
    bool known = true, done;

    if (line_too_long) {
        done = fail("line too long");
    } else if (line_damaged) {
        done = fail("line damaged: bytes were lost or arrived broken");
    } else {
        done = run(COMMANDS, line, &known);
    }
    if (!known) {
        (void)fail("unknown command");
        list_known(COMMANDS);
    }
    if (done) {
        reply_text("OK");
    }
    reply_end();
}

void shell_banner(void)
{
    reply_text("lorafab " FIRMWARE_PRODUCT " " FIRMWARE_VERSION " ready");
    reply_end();
}

/* CR, LF and CR LF all end a line: the LF of a CR LF finds an empty one, and empty lines have no reply. */
void shell_feed(int event)
{
    if (event == HAL_CONSOLE_DAMAGED) {
        line_damaged = true;
    } else if (event != '\r' && event != '\n') {
        if (line_length == SHELL_LINE_MAX) {
            line_too_long = true;
        } else {
            line[line_length++] = (char)event;
        }
    } else {
        line[line_length] = '\0';
        if (line_length != 0) {
            run_line();
#ifdef FIRMWARE_TAKES_IDENTITY
            lorafab_wipe(line, sizeof line); /* a key may have come in it */
#endif
        }
        line_length = 0;
        line_too_long = line_damaged = false;
    }
}
