/* CRC-32 by a table in RAM, for chips without a CRC unit. */
#include "worker.h"

extern uint32_t __table[256];

static uint32_t value;

void checksum_begin(void)
{
    for (uint32_t byte = 0; byte < 256u; byte++) {
        uint32_t entry = byte;

        for (uint32_t bit = 0; bit < 8u; bit++)
            entry = entry >> 1 ^ (entry & 1u ? 0xEB31D82Eu : 0u);
        __table[byte] = entry;
    }
}

void checksum_start(void)
{
    value = 0xFFFFFFFFu;
}

static uint32_t shift(uint32_t sum)
{
    return __table[sum & 0xFFu] ^ sum >> 8;
}

void checksum_add(uint32_t address, uint32_t size)
{
    uint32_t sum = value;

    for (; size && address & 3u; size--, address++)
        sum = shift(sum ^ *(const volatile uint8_t *)address);
    for (; size >= 4u; size -= 4u, address += 4u)
        sum = shift(shift(shift(shift(sum ^ *(const volatile uint32_t *)address))));
    for (; size; size--, address++)
        sum = shift(sum ^ *(const volatile uint8_t *)address);
    value = sum;
}

uint32_t checksum_value(void)
{
    return ~value;
}

void checksum_end(void)
{
}
