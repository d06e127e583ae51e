#include "selftest.h"

#include "aes128.h"
#include "hal.h"
#include "lorafab_crc32.h"

/* One element of a march: over all words upwards or downwards, each must read `expect` and is set to `write`. */
static volatile uint32_t *march(volatile uint32_t *ram, uint32_t words, bool up, uint32_t expect, uint32_t write)
{
    for (uint32_t i = 0; i < words; i++) {
        volatile uint32_t *word = ram + (up ? i : words - 1u - i);
        if (*word != expect) {
            return word;
        }
        *word = write;
    }
    return NULL;
}

/* Addresses that select the wrong cell survive a march of equal words; their own addresses find them. */
static volatile uint32_t *check_addresses(volatile uint32_t *ram, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++) {
        ram[i] = (uint32_t)(uintptr_t)(ram + i);
    }
    for (uint32_t i = 0; i < words; i++) {
        if (ram[i] != (uint32_t)(uintptr_t)(ram + i)) {
            return ram + i;
        }
    }
    return NULL;
}

bool selftest_ram(uint32_t *bytes, uint32_t *fault)
{
    const uint32_t zero = 0u, one = ~0u;
    struct hal_span span = hal_spare_ram();
    volatile uint32_t *ram = (volatile uint32_t *)span.address, *bad;
    uint32_t words = span.size / 4u;

    for (uint32_t i = 0; i < words; i++) {
        ram[i] = zero;
    }
    /* March C- (van de Goor 1991): up(w0) up(r0,w1) up(r1,w0) down(r0,w1) down(r1,w0) down(r0) */
    (void)((bad = march(ram, words, true, zero, one)) || (bad = march(ram, words, true, one, zero)) ||
           (bad = march(ram, words, false, zero, one)) || (bad = march(ram, words, false, one, zero)) ||
           (bad = march(ram, words, false, zero, zero)) || (bad = check_addresses(ram, words)));
    for (uint32_t i = 0; i < words; i++) {
        ram[i] = zero;
    }
    *bytes = words * 4u;
    *fault = (uint32_t)(uintptr_t)bad;
    return bad == NULL;
}

bool selftest_flash(uint32_t *size, uint32_t *crc, uint32_t *fault)
{
    struct hal_span image = hal_code_image();
    uint8_t bytes[8];

    *size = image.size;
    *crc = 0;
    for (uint32_t offset = 0; offset < image.size; offset += 8) {
        *fault = (uint32_t)image.address + offset;
        if (!hal_flash_read(*fault, bytes)) {
            return false;
        }
        *crc = lorafab_crc32(*crc, bytes, sizeof bytes);
    }
    return true;
}

static const uint8_t FIPS_KEY[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t FIPS_CIPHER[16] = {0x69, 0xC4, 0xE0, 0xD8, 0x6A, 0x7B, 0x04, 0x30,
                                        0xD8, 0xCD, 0xB7, 0x80, 0x70, 0xB4, 0xC5, 0x5A};
static const uint8_t RFC_KEY[16] = {0x2B, 0x7E, 0x15, 0x16, 0x28, 0xAE, 0xD2, 0xA6,
                                    0xAB, 0xF7, 0x15, 0x88, 0x09, 0xCF, 0x4F, 0x3C};
static const uint8_t RFC_MESSAGE[40] = {0x6B, 0xC1, 0xBE, 0xE2, 0x2E, 0x40, 0x9F, 0x96, 0xE9, 0x3D,
                                        0x7E, 0x11, 0x73, 0x93, 0x17, 0x2A, 0xAE, 0x2D, 0x8A, 0x57,
                                        0x1E, 0x03, 0xAC, 0x9C, 0x9E, 0xB7, 0x6F, 0xAC, 0x45, 0xAF,
                                        0x8E, 0x51, 0x30, 0xC8, 0x1C, 0x46, 0xA3, 0x5C, 0xE4, 0x11};

static const struct {
    const char *name;
    size_t length;
    uint8_t mac[16];
} RFC_EXAMPLES[] = {
    {"cmac-0", 0,
     {0xBB, 0x1D, 0x69, 0x29, 0xE9, 0x59, 0x37, 0x28, 0x7F, 0xA3, 0x7D, 0x12, 0x9B, 0x75, 0x67, 0x46}},
    {"cmac-16", 16,
     {0x07, 0x0A, 0x16, 0xB4, 0x6B, 0x4D, 0x41, 0x44, 0xF7, 0x9B, 0xDD, 0x9D, 0xD0, 0x4A, 0x28, 0x7C}},
    {"cmac-40", 40,
     {0xDF, 0xA6, 0x67, 0x47, 0xDE, 0x9A, 0xE6, 0x30, 0x30, 0xCA, 0x32, 0x61, 0x14, 0x97, 0xC8, 0x27}},
};

static bool equal(const uint8_t a[16], const uint8_t b[16])
{
    uint8_t difference = 0;

    for (int i = 0; i < 16; i++) {
        difference |= a[i] ^ b[i];
    }
    return difference == 0;
}

const char *selftest_aes(void)
{
    uint8_t block[16];

    for (int i = 0; i < 16; i++) {
        block[i] = (uint8_t)(i * 0x11);
    }
    aes128_encrypt(FIPS_KEY, block, block);
    if (!equal(block, FIPS_CIPHER)) {
        return "fips-197";
    }
    for (size_t i = 0; i < sizeof RFC_EXAMPLES / sizeof RFC_EXAMPLES[0]; i++) {
        aes128_cmac(RFC_KEY, RFC_MESSAGE, RFC_EXAMPLES[i].length, block);
        if (!equal(block, RFC_EXAMPLES[i].mac)) {
            return RFC_EXAMPLES[i].name;
        }
    }
    return NULL;
}
