/* ATECC608 on PB15 (SCL) and PA15 (SDA), driven as open-drain pins; both are pulled up on the board.
 *
 * Wires: Microchip, ATECC608A-TNGLoRaWAN data sheet (DS40002165): "I/O Transactions", "Device is Asleep", "Device is
 * Awake", "I2C Transmission". Address, times, Read and the place of the serial number: as for the ATECC508A
 * (cryptoauthlib), unverified for this part. Slots: The Things Industries, generic-node-se, tnglora_read_helper.c.
 * Never run on a real element.
 */
#include "element.h"

#include <stddef.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* CMSIS header stm32wle5xx.h: RCC_BASE 0x58000000, GPIOA_BASE 0x48000000, GPIOB_BASE 0x48000400. */
#define RCC_AHB2ENR REGISTER(0x5800004Cu)
#define RCC_AHB2ENR_GPIOAEN (1u << 0)
#define RCC_AHB2ENR_GPIOBEN (1u << 1)
#define SDA_PORT 0x48000000u
#define SCL_PORT 0x48000400u
#define PIN 15u /* of both ports */
#define MODER(port) REGISTER((port) + 0x00u)
#define OTYPER(port) REGISTER((port) + 0x04u)
#define PUPDR(port) REGISTER((port) + 0x0Cu)
#define IDR(port) REGISTER((port) + 0x10u)
#define BSRR(port) REGISTER((port) + 0x18u)
#define MODER_OUTPUT 1u

#define ADDRESS 0xB2u
#define WORD_SLEEP 0x01u
#define WORD_COMMAND 0x03u
#define STATUS_AWAKE 0x11u
#define OPCODE_READ 0x02u
#define READ_CONFIG_BLOCK 0x80u /* 32 bytes of the configuration zone */
#define READ_DATA_BLOCK 0x82u   /* 32 bytes of a slot */
#define SLOT(number) ((uint16_t)((number) << 3))
#define SLOT_JOIN_EUI 9u
#define SLOT_DEV_EUI 10u
#define BLOCK 32u
#define GROUP_MAX (BLOCK + 3u) /* count, packet, checksum */

#define HALF_BIT_US 5u /* 100 kHz */
#define WAKE_LOW_US 80u
#define WAKE_WAIT_US 1600u
#define READ_TRIES 20u
#define READ_WAIT_US 500u

#define CORE_MHZ 16u
#define CYCLES_A_TURN 2u /* at least; a turn that takes longer only makes the wait longer */

static void wait_us(uint32_t us)
{
    uint32_t turns = us * CORE_MHZ / CYCLES_A_TURN;

    __asm volatile("1: subs %0, %0, #1\n bne 1b" : "+l"(turns) : : "cc");
}

static void line(uint32_t port, bool high)
{
    BSRR(port) = high ? 1u << PIN : 1u << (PIN + 16u);
}

static void open_pins(void)
{
    RCC_AHB2ENR |= RCC_AHB2ENR_GPIOAEN | RCC_AHB2ENR_GPIOBEN;
    (void)RCC_AHB2ENR;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t port = i == 0 ? SDA_PORT : SCL_PORT;

        line(port, true);
        OTYPER(port) |= 1u << PIN;
        PUPDR(port) &= ~(3u << 2 * PIN);
        MODER(port) = (MODER(port) & ~(3u << 2 * PIN)) | MODER_OUTPUT << 2 * PIN;
    }
}

static void start(void)
{
    line(SDA_PORT, true);
    line(SCL_PORT, true);
    wait_us(HALF_BIT_US);
    line(SDA_PORT, false);
    wait_us(HALF_BIT_US);
    line(SCL_PORT, false);
}

static void stop(void)
{
    line(SDA_PORT, false);
    wait_us(HALF_BIT_US);
    line(SCL_PORT, true);
    wait_us(HALF_BIT_US);
    line(SDA_PORT, true);
    wait_us(HALF_BIT_US);
}

static bool clock_bit(bool bit)
{
    bool read;

    line(SDA_PORT, bit);
    wait_us(HALF_BIT_US);
    line(SCL_PORT, true);
    wait_us(HALF_BIT_US);
    read = (IDR(SDA_PORT) >> PIN & 1u) != 0u;
    line(SCL_PORT, false);
    return read;
}

/* Returns whether the element acknowledged. */
static bool send(uint8_t byte)
{
    for (int bit = 7; bit >= 0; bit--) {
        (void)clock_bit((byte >> bit & 1u) != 0u);
    }
    return !clock_bit(true);
}

static uint8_t receive(bool more)
{
    uint8_t byte = 0;

    for (int bit = 0; bit < 8; bit++) {
        byte = (uint8_t)(byte << 1 | (clock_bit(true) ? 1u : 0u));
    }
    (void)clock_bit(!more);
    return byte;
}

/* Polynomial 0x8005 from 0, data least significant bit first. */
static uint16_t checksum(const uint8_t *data, size_t length)
{
    uint16_t crc = 0;

    for (size_t i = 0; i < length; i++) {
        for (uint32_t bit = 0; bit < 8; bit++) {
            uint32_t differs = (data[i] >> bit & 1u) ^ (uint32_t)(crc >> 15);
            crc = (uint16_t)(crc << 1 ^ (differs != 0u ? 0x8005u : 0u));
        }
    }
    return crc;
}

/* Reads a group whose packet has `size` bytes; false when none comes, or a damaged one, or a status instead. */
static bool read_group(uint8_t *packet, size_t size)
{
    uint8_t group[GROUP_MAX];
    uint16_t crc;

    start();
    if (!send(ADDRESS | 1u)) {
        stop();
        return false;
    }
    for (size_t i = 0; i < size + 3u; i++) {
        group[i] = receive(i + 1u < size + 3u);
    }
    stop();
    crc = checksum(group, size + 1u);
    if (group[0] != size + 3u || group[size + 1u] != (crc & 0xFFu) || group[size + 2u] != crc >> 8) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        packet[i] = group[i + 1u];
    }
    return true;
}

static bool wake(void)
{
    uint8_t status;

    line(SCL_PORT, true);
    line(SDA_PORT, false);
    wait_us(WAKE_LOW_US);
    line(SDA_PORT, true);
    wait_us(WAKE_WAIT_US);
    return read_group(&status, 1) && status == STATUS_AWAKE;
}

static void sleep(void)
{
    start();
    (void)send(ADDRESS);
    (void)send(WORD_SLEEP);
    stop();
}

static bool read_block(uint8_t mode, uint16_t address, uint8_t out[BLOCK])
{
    uint8_t command[7] = {7, OPCODE_READ, mode, (uint8_t)address, (uint8_t)(address >> 8)};
    uint16_t crc = checksum(command, 5);
    bool taken;

    command[5] = (uint8_t)crc;
    command[6] = (uint8_t)(crc >> 8);
    start();
    taken = send(ADDRESS) && send(WORD_COMMAND);
    for (size_t i = 0; i < sizeof command && taken; i++) {
        taken = send(command[i]);
    }
    stop();
    /* It acknowledges nothing while it works. */
    for (uint32_t i = 0; i < READ_TRIES && taken; i++) {
        wait_us(READ_WAIT_US);
        if (read_group(out, BLOCK)) {
            return true;
        }
    }
    return false;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool element_read(struct element *out)
{
    uint8_t config[BLOCK], join_eui[BLOCK], dev_eui[BLOCK];
    bool whole;

    open_pins();
    whole = wake() && read_block(READ_CONFIG_BLOCK, 0, config) &&
            read_block(READ_DATA_BLOCK, SLOT(SLOT_JOIN_EUI), join_eui) &&
            read_block(READ_DATA_BLOCK, SLOT(SLOT_DEV_EUI), dev_eui);
    sleep();
    for (int i = 0; i < 9 && whole; i++) {
        out->serial[i] = config[i < 4 ? i : i + 4]; /* bytes 0..3 and 8..12 of the zone */
    }
    for (int i = 0; i < 8 && whole; i++) {
        int high = hex_digit(dev_eui[2 * i]), low = hex_digit(dev_eui[2 * i + 1]);

        out->join_eui[i] = join_eui[i];
        out->dev_eui[i] = (uint8_t)(high << 4 | low);
        whole = high >= 0 && low >= 0;
    }
    return whole;
}
