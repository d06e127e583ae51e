/* The firmware's HAL on a computer: flash with the rules of the product's MCU, and a hand on the power switch.
 *
 * Flash covers the identity page and the NVM region, and what lies between them. A word is programmed once after an
 * erase; what is not erased refuses; a power cut during an operation leaves it not begun, torn, complete, or looking
 * erased without being it. Words are double words with an ECC that tells of torn ones (STM32WL), or words of 4 bytes
 * of which a torn one reads with half of its changing bits changed; then words that stay as erased are left alone.
 * After a cut nothing changes any more until host_power_on(): what the code still does in that call is the ghost of a
 * dead chip.
 */
#include "hal.h"
#include "identity.h"
#include "nvm.h"
#include "selftest.h"
#include "shell.h"

#define FLASH_START HAL_IDENTITY_ADDRESS
#define WORD (HAL_DETECTS_TORN_WORDS ? 8u : 4u)
#define WORDS ((HAL_NVM_ADDRESS + HAL_NVM_PAGES * HAL_PAGE_SIZE - FLASH_START) / 4u) /* at least */
#define HALF_THE_BITS 0x55u
#define IMAGE_SIZE 64u
#define OUTPUT_MAX 4096u
#define RAM_WORDS 256u

enum outcome { CUT_BEFORE, CUT_TORN, CUT_AFTER, CUT_LOOKS_ERASED };

static struct {
    uint8_t bytes[8];
    bool programmed; /* since the last erase, whatever it reads as */
    bool damaged;    /* ECC cannot correct it */
} flash[WORDS];

static char output[OUTPUT_MAX];
static uint32_t output_length;
static bool powered = true;
static uint32_t operations_left; /* 0: no cut planned; 1: the next one is cut */
static enum outcome planned;
static uint32_t operations;
static uint32_t ram[RAM_WORDS];
static uint32_t stuck_word = UINT32_MAX; /* loses a bit of everything programmed */

static bool cut_now(void)
{
    operations++;
    return operations_left != 0u && --operations_left == 0u;
}

static void fill(uint32_t word, uint8_t value)
{
    for (uint32_t i = 0; i < WORD; i++) {
        flash[word].bytes[i] = value;
    }
}

static void erase_word(uint32_t word)
{
    fill(word, HAL_ERASED_BYTE);
    flash[word].programmed = flash[word].damaged = false;
}

void host_reset(void)
{
    for (uint32_t word = 0; word < WORDS; word++) {
        erase_word(word);
    }
    powered = true;
    operations = operations_left = output_length = 0;
    stuck_word = UINT32_MAX;
}

void host_power_on(void)
{
    powered = true;
    operations_left = output_length = 0;
    shell_feed('\r'); /* the RAM of the shell starts empty, as after a reset */
    output_length = 0;
}

void host_cut_at(uint32_t operation, int outcome)
{
    operations_left = operation;
    planned = (enum outcome)outcome;
}

bool host_powered(void)
{
    return powered;
}

uint32_t host_operations(void)
{
    return operations;
}

/* What a programmer did: whatever bytes, marked as programmed. */
void host_poke(uint32_t address, const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        uint32_t offset = address - FLASH_START + i;
        flash[offset / WORD].bytes[offset % WORD] = bytes[i];
        flash[offset / WORD].programmed = true;
    }
}

void host_damage(uint32_t address)
{
    flash[(address - FLASH_START) / WORD].damaged = true;
}

void host_stick(uint32_t address)
{
    stuck_word = (address - FLASH_START) / WORD;
}

void host_peek(uint32_t address, uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        uint32_t offset = address - FLASH_START + i;
        bytes[i] = flash[offset / WORD].bytes[offset % WORD];
    }
}

uint32_t host_feed(const uint8_t *bytes, uint32_t length, char *reply)
{
    uint32_t size;

    for (uint32_t i = 0; i < length; i++) {
        shell_feed(bytes[i]);
    }
    for (uint32_t i = 0; i < output_length; i++) {
        reply[i] = output[i];
    }
    size = output_length;
    output_length = 0;
    return size;
}

void host_feed_damage(void)
{
    shell_feed(HAL_CONSOLE_DAMAGED);
}

void hal_console_write(const char *text, size_t length)
{
    while (length-- > 0 && output_length < OUTPUT_MAX) {
        output[output_length++] = *text++;
    }
}

bool hal_flash_read(uint32_t address, uint8_t out[8])
{
    bool readable = true;

    for (uint32_t i = 0; i < 8; i++) {
        uint32_t offset = address - FLASH_START + i;
        out[i] = address < FLASH_START ? (uint8_t)(address + i) : flash[offset / WORD].bytes[offset % WORD];
        readable = readable && (address < FLASH_START || !flash[offset / WORD].damaged);
    }
    return readable;
}

/* What a cut leaves of a word that was to become `wanted`. */
static void tear(uint32_t word, const uint8_t *wanted)
{
    flash[word].damaged = HAL_DETECTS_TORN_WORDS;
    for (uint32_t i = 0; i < WORD; i++) {
        flash[word].bytes[i] ^= (flash[word].bytes[i] ^ wanted[i]) & HALF_THE_BITS;
    }
}

static bool program_word(uint32_t word, const uint8_t *data)
{
    bool cut;

    if (flash[word].programmed) {
        return false;
    }
    cut = cut_now();
    powered = !cut;
    if (cut && planned == CUT_BEFORE) {
        return false;
    }
    flash[word].programmed = true;
    if (cut && planned == CUT_LOOKS_ERASED) {
        return false;
    }
    if (cut && planned == CUT_TORN) {
        tear(word, data);
        return false;
    }
    for (uint32_t i = 0; i < WORD; i++) {
        flash[word].bytes[i] = data[i];
    }
    if (word == stuck_word) {
        flash[word].bytes[1] |= 0x80u;
    }
    return powered;
}

static bool stays_erased(const uint8_t *data)
{
    bool erased = !HAL_DETECTS_TORN_WORDS;

    for (uint32_t i = 0; i < WORD; i++) {
        erased = erased && data[i] == HAL_ERASED_BYTE;
    }
    return erased;
}

bool hal_flash_program(uint32_t address, const uint8_t data[8])
{
    bool done = powered && address % 8u == 0u;

    for (uint32_t i = 0; i < 8u && done; i += WORD) {
        done = stays_erased(data + i) || program_word((address - FLASH_START + i) / WORD, data + i);
    }
    return done;
}

bool hal_flash_erase_page(uint32_t address)
{
    static const uint8_t erased[8] = {HAL_ERASED_BYTE, HAL_ERASED_BYTE, HAL_ERASED_BYTE, HAL_ERASED_BYTE,
                                      HAL_ERASED_BYTE, HAL_ERASED_BYTE, HAL_ERASED_BYTE, HAL_ERASED_BYTE};
    uint32_t first = (address - FLASH_START) / WORD, count = HAL_PAGE_SIZE / WORD;
    bool cut;

    if (!powered) {
        return false;
    }
    cut = cut_now();
    powered = !cut;
    for (uint32_t i = 0; i < count; i++) {
        if (!cut || planned == CUT_AFTER || (planned != CUT_BEFORE && i < count / 2u)) {
            erase_word(first + i);
            flash[first + i].programmed = cut && planned == CUT_LOOKS_ERASED;
        } else if (planned == CUT_TORN) {
            tear(first + i, erased);
        }
    }
    return powered;
}

void hal_unique_id(uint8_t out[HAL_UNIQUE_ID_SIZE])
{
    for (uint8_t i = 0; i < HAL_UNIQUE_ID_SIZE; i++) {
        out[i] = (uint8_t)(0xA0u + i);
    }
}

struct hal_span hal_code_image(void)
{
    return (struct hal_span){0x08000000u, IMAGE_SIZE};
}

struct hal_span hal_spare_ram(void)
{
    return (struct hal_span){(uintptr_t)ram, sizeof ram};
}

void hal_wipe_stack(void)
{
}
