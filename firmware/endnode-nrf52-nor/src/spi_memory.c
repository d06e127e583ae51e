/* An AT25SF041 on SPIM0 of the nRF52840: SCK P0.19, MOSI P0.21, MISO P0.22, chip-select P0.17. The EEPROM on the same
 * bus (chip-select P0.20) is left alone.
 *
 * Registers and bits: MDK nrf52840.h and nrf52840_bitfields.h; rules: nRF52840 PS, chapters SPIM and GPIO.
 * Instructions: AT25SF041, DS-25SF041-044G. No vendor code is used.
 */
#include "spi_memory.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define P0_OUTSET REGISTER(0x50000508u)
#define P0_OUTCLR REGISTER(0x5000050Cu)
#define P0_PIN_CNF(pin) REGISTER(0x50000700u + 4u * (pin))
#define CNF_OUTPUT 3u
#define CNF_INPUT_UP (3u << 2) /* input, connected, pulled up: without a part MISO reads 1 */
#define PIN_SELECT 17u
#define PIN_SCK 19u
#define PIN_OTHER_SELECT 20u
#define PIN_MOSI 21u
#define PIN_MISO 22u

#define SPIM0(offset) REGISTER(0x40003000u + (offset))
#define TASKS_START SPIM0(0x010u)
#define EVENTS_END SPIM0(0x118u)
#define ENABLE SPIM0(0x500u)
#define ENABLE_OFF 0u
#define ENABLE_SPIM 7u
#define PSEL_SCK SPIM0(0x508u)
#define PSEL_MOSI SPIM0(0x50Cu)
#define PSEL_MISO SPIM0(0x510u)
#define FREQUENCY SPIM0(0x524u)
#define FREQUENCY_4_MHZ 0x40000000u
#define RXD_PTR SPIM0(0x534u)
#define RXD_MAXCNT SPIM0(0x538u)
#define TXD_PTR SPIM0(0x544u)
#define TXD_MAXCNT SPIM0(0x548u)
#define POLLS_MAX 100000u /* twelve bytes take 24 us */

#define READ_ARRAY 0x03u
#define RELEASE_POWER_DOWN 0xABu
#define DEEP_POWER_DOWN 0xB9u
#define HEAD 4u         /* opcode and address */
#define WAKE_TURNS 400u /* more than 5 us at 64 MHz (AT25SF041) */

static void start(void)
{
    P0_OUTSET = (1u << PIN_SELECT) | (1u << PIN_OTHER_SELECT);
    P0_OUTCLR = (1u << PIN_SCK) | (1u << PIN_MOSI);
    P0_PIN_CNF(PIN_SELECT) = CNF_OUTPUT;
    P0_PIN_CNF(PIN_OTHER_SELECT) = CNF_OUTPUT;
    P0_PIN_CNF(PIN_SCK) = CNF_OUTPUT;
    P0_PIN_CNF(PIN_MOSI) = CNF_OUTPUT;
    P0_PIN_CNF(PIN_MISO) = CNF_INPUT_UP;
    PSEL_SCK = PIN_SCK;
    PSEL_MOSI = PIN_MOSI;
    PSEL_MISO = PIN_MISO;
    FREQUENCY = FREQUENCY_4_MHZ;
    ENABLE = ENABLE_SPIM;
}

/* EasyDMA takes `count` bytes from `sent` and leaves as many in `received`; both in RAM. */
static bool transfer(const volatile uint8_t *sent, volatile uint8_t *received, uint32_t count)
{
    bool done = false;

    TXD_PTR = (uint32_t)(uintptr_t)sent;
    TXD_MAXCNT = count;
    RXD_PTR = (uint32_t)(uintptr_t)received;
    RXD_MAXCNT = count;
    EVENTS_END = 0;
    P0_OUTCLR = 1u << PIN_SELECT;
    TASKS_START = 1;
    for (uint32_t polls = 0; !done && polls < POLLS_MAX; polls++) {
        done = EVENTS_END != 0u;
    }
    P0_OUTSET = 1u << PIN_SELECT;
    return done;
}

static bool simple(uint8_t opcode)
{
    volatile uint8_t sent = opcode, received;

    return transfer(&sent, &received, 1);
}

/* The bytes come over the stack, and identity.c wipes that. */
bool spi_memory_read(uint32_t address, uint8_t out[8])
{
    volatile uint8_t sent[HEAD + 8u] = {
        READ_ARRAY, (uint8_t)(address >> 16), (uint8_t)(address >> 8), (uint8_t)address,
    };
    volatile uint8_t received[HEAD + 8u];
    bool done;

    start();
    done = simple(RELEASE_POWER_DOWN);
    for (volatile uint32_t turn = 0; turn < WAKE_TURNS; turn++) {
    }
    done = done && transfer(sent, received, sizeof sent);
    for (uint32_t n = 0; done && n < 8u; n++) {
        out[n] = received[HEAD + n];
    }
    done = simple(DEEP_POWER_DOWN) && done;
    ENABLE = ENABLE_OFF;
    return done;
}
