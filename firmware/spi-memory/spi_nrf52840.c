/* SPIM0 of the nRF52840, on any pins. Registers and bits: MDK nrf52840.h and nrf52840_bitfields.h; rules: nRF52840 PS,
 * chapters SPIM and GPIO. A pin's number in the mailbox is its number in PSEL: 32 x port + pin. */
#include "spi.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define PORT(pin) (0x50000000u + 0x300u * ((pin) / 32u))
#define OUTSET(pin) REGISTER(PORT(pin) + 0x508u)
#define OUTCLR(pin) REGISTER(PORT(pin) + 0x50Cu)
#define PIN_CNF(pin) REGISTER(PORT(pin) + 0x700u + 4u * ((pin) % 32u))
#define CNF_OUTPUT 3u        /* DIR output, input buffer disconnected */
#define CNF_INPUT_UP (3u << 2) /* input, connected, pulled up: nobody there reads 0xFF */

#define SPIM0(offset) REGISTER(0x40003000u + (offset))
#define TASKS_START SPIM0(0x010u)
#define TASKS_STOP SPIM0(0x014u)
#define EVENTS_END SPIM0(0x118u)
#define INTENCLR SPIM0(0x308u)
#define SHORTS SPIM0(0x200u)
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
#define RXD_LIST SPIM0(0x540u)
#define TXD_PTR SPIM0(0x544u)
#define TXD_MAXCNT SPIM0(0x548u)
#define TXD_LIST SPIM0(0x550u)
#define CONFIG SPIM0(0x554u) /* 0: mode 0, most significant bit first */

/* A byte takes 2 us, which is 128 cycles. */
#define WAIT_TURNS 10000u

static void drive_high(uint32_t pin)
{
    if (pin != NO_PIN) {
        OUTSET(pin) = 1u << (pin % 32u); /* before it is an output: no low pulse */
        PIN_CNF(pin) = CNF_OUTPUT;
    }
}

static void drive_low(uint32_t pin)
{
    OUTCLR(pin) = 1u << (pin % 32u);
    PIN_CNF(pin) = CNF_OUTPUT;
}

void spi_open(const struct mailbox *wiring)
{
    drive_high(wiring->select);
    for (uint32_t n = 0; n < sizeof wiring->others; n++) {
        drive_high(wiring->others[n]);
    }
    ENABLE = ENABLE_OFF; /* the firmware may have used the block for something else */
    drive_low(wiring->sck);
    drive_low(wiring->mosi);
    PIN_CNF(wiring->miso) = CNF_INPUT_UP;
    PSEL_SCK = wiring->sck;
    PSEL_MOSI = wiring->mosi;
    PSEL_MISO = wiring->miso;
    SHORTS = 0;
    INTENCLR = 0xFFFFFFFFu;
    RXD_LIST = 0;
    TXD_LIST = 0;
    FREQUENCY = FREQUENCY_4_MHZ;
    CONFIG = 0;
    ENABLE = ENABLE_SPIM;
}

void spi_select(const struct mailbox *wiring, bool low)
{
    uint32_t pin = wiring->select;

    if (low) {
        OUTCLR(pin) = 1u << (pin % 32u);
    } else {
        OUTSET(pin) = 1u << (pin % 32u);
    }
}

/* EasyDMA takes and leaves the bytes on the stack, which is in RAM and is wiped. */
bool spi_exchange(uint8_t out, uint8_t *in)
{
    volatile uint8_t sent = out, received = 0;

    TXD_PTR = (uint32_t)(uintptr_t)&sent;
    TXD_MAXCNT = 1;
    RXD_PTR = (uint32_t)(uintptr_t)&received;
    RXD_MAXCNT = 1;
    EVENTS_END = 0;
    TASKS_START = 1;
    for (uint32_t turn = 0; turn < WAIT_TURNS; turn++) {
        if (EVENTS_END != 0u) {
            *in = received;
            return true;
        }
    }
    TASKS_STOP = 1;
    return false;
}

void spi_close(void)
{
    ENABLE = ENABLE_OFF;
}
