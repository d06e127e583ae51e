/* The firmware's HAL on a computer: flash with the rules of the STM32WL, and a hand on the power switch.
 *
 * Flash covers the identity page and the NVM region (0x0803E800..0x0803FFFF). A double word is programmed once
 * after an erase; what is not erased refuses; a power cut during an operation leaves it not begun, torn (ECC
 * error on read), complete, or looking erased without being it. After a cut nothing changes any more until
 * host_power_on(): what the code still does in that call is the ghost of a dead chip.
 */
#include "hal.h"
#include "identity.h"
#include "nvm.h"
#include "selftest.h"
#include "shell.h"

#define FLASH_START HAL_IDENTITY_ADDRESS
#define WORDS (3u * HAL_PAGE_SIZE / 8u)
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
    for (int i = 0; i < 8; i++) {
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
        flash[offset / 8u].bytes[offset % 8u] = bytes[i];
        flash[offset / 8u].programmed = true;
    }
}

void host_damage(uint32_t address)
{
    flash[(address - FLASH_START) / 8u].damaged = true;
}

void host_stick(uint32_t address)
{
    stuck_word = (address - FLASH_START) / 8u;
}

void host_peek(uint32_t address, uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        uint32_t offset = address - FLASH_START + i;
        bytes[i] = flash[offset / 8u].bytes[offset % 8u];
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
    uint32_t word = (address - FLASH_START) / 8u;

    for (uint32_t i = 0; i < 8; i++) {
        out[i] = address < FLASH_START ? (uint8_t)(address + i) : flash[word].bytes[i];
    }
    return address < FLASH_START || !flash[word].damaged;
}

bool hal_flash_program(uint32_t address, const uint8_t data[8])
{
    uint32_t word = (address - FLASH_START) / 8u;
    bool cut;

    if (!powered || address % 8u != 0u || flash[word].programmed) {
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
    flash[word].damaged = cut && planned == CUT_TORN;
    for (int i = 0; i < 8; i++) {
        flash[word].bytes[i] = flash[word].damaged && i >= 4 ? HAL_ERASED_BYTE : data[i];
    }
    if (word == stuck_word) {
        flash[word].bytes[1] |= 0x80u;
    }
    return powered;
}

bool hal_flash_erase_page(uint32_t address)
{
    uint32_t first = (address - FLASH_START) / 8u, count = HAL_PAGE_SIZE / 8u;
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
            flash[first + i].damaged = true;
        }
    }
    return powered;
}

void hal_unique_id(uint8_t out[12])
{
    for (uint8_t i = 0; i < 12; i++) {
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
