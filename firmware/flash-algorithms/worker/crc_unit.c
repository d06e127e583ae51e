/*
 * CRC-32 by the CRC unit of STM32 parts: the same unit in STM32L0, L4 and WL (CRC chapters of RM0367, RM0351, RM0453;
 * stm32wle5xx.h: CRC_TypeDef, CRC_CR_*). Each chip's chip.h says where its clock is switched on.
 *
 * lorafab/domain/checksum.py takes the bits of each byte lowest first, and gives its value reversed and inverted.
 */
#include "chip.h"
#include "worker.h"

#define CRC_DR REGISTER(0x40023000u)
#define CRC_DR_BYTE (*(volatile uint8_t *)0x40023000u)
#define CRC_CR REGISTER(0x40023008u)
#define CRC_CR_RESET (1u << 0)
#define CRC_CR_REV_IN_BYTE (1u << 5)
#define CRC_CR_REV_IN_WORD (3u << 5) /* lowest bit of the lowest byte first: the order of a little-endian word */
#define CRC_CR_REV_OUT (1u << 7)
#define CRC_INIT REGISTER(0x40023010u)
#define CRC_POL REGISTER(0x40023014u)

static uint32_t found_enable;

void checksum_begin(void)
{
    found_enable = CRC_ENABLE_REGISTER;
    CRC_ENABLE_REGISTER = found_enable | CRC_ENABLE_BIT;
    (void)CRC_ENABLE_REGISTER; /* the unit can be used two clocks later */
    CRC_POL = 0x741B8CD7u; /* as lorafab/domain/checksum.py, which says why not zlib's */
    CRC_INIT = 0xFFFFFFFFu;
}

void checksum_start(void)
{
    CRC_CR = CRC_CR_REV_OUT | CRC_CR_RESET;
}

static void add_bytes(const volatile uint8_t *from, uint32_t count)
{
    if (!count)
        return;
    CRC_CR = CRC_CR_REV_OUT | CRC_CR_REV_IN_BYTE;
    for (; count; count--)
        CRC_DR_BYTE = *from++;
}

void checksum_add(uint32_t address, uint32_t size)
{
    uint32_t before = -address & 3u;

    if (before > size)
        before = size;
    add_bytes((const volatile uint8_t *)address, before);
    address += before;
    size -= before;
    CRC_CR = CRC_CR_REV_OUT | CRC_CR_REV_IN_WORD;
    const volatile uint32_t *from = (const volatile uint32_t *)address;
    for (uint32_t blocks = size / 32u; blocks; blocks--, from += 8) {
        CRC_DR = from[0];
        CRC_DR = from[1];
        CRC_DR = from[2];
        CRC_DR = from[3];
        CRC_DR = from[4];
        CRC_DR = from[5];
        CRC_DR = from[6];
        CRC_DR = from[7];
    }
    for (uint32_t words = size / 4u & 7u; words; words--)
        CRC_DR = *from++;
    add_bytes((const volatile uint8_t *)from, size & 3u);
}

uint32_t checksum_value(void)
{
    return ~CRC_DR;
}

void checksum_end(void)
{
    CRC_CR = CRC_CR_RESET;
    CRC_ENABLE_REGISTER = found_enable;
}
