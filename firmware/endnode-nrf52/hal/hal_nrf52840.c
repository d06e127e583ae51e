/* The HAL on the nRF52840.
 *
 * Register offsets and bits: Nordic's MDK, nrf52840.h and nrf52840_bitfields.h; rules: nRF52840 Product Specification.
 * No vendor code is used.
 */
#include "hal.h"

#include "console.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* Access port protection: the half of it that firmware opens (APPROTECT, 0x40000000). */
#define APPROTECT_DISABLE REGISTER(0x40000558u)
#define UICR_APPROTECT REGISTER(0x10001208u)
#define APPROTECT_PALL 0xFFu
#define APPROTECT_HW_DISABLED 0x5Au /* as much in UICR as in APPROTECT_DISABLE */

/* UARTE0, 0x40002000, on the pins of the nRF52840 DK: P0.06 = TXD, P0.08 = RXD. */
#define UARTE0(offset) REGISTER(0x40002000u + (offset))
#define UARTE_TASKS_STARTRX UARTE0(0x000u)
#define UARTE_TASKS_STARTTX UARTE0(0x008u)
#define UARTE_EVENTS_ENDRX UARTE0(0x110u)
#define UARTE_EVENTS_ENDTX UARTE0(0x120u)
#define UARTE_EVENTS_ERROR UARTE0(0x124u)
#define UARTE_INTENSET UARTE0(0x304u)
#define UARTE_INT_ENDRX (1u << 4)
#define UARTE_INT_ENDTX (1u << 8)
#define UARTE_INT_ERROR (1u << 9)
#define UARTE_ERRORSRC UARTE0(0x480u)
#define UARTE_ENABLE UARTE0(0x500u)
#define UARTE_ENABLED 8u
#define UARTE_PSEL_TXD UARTE0(0x50Cu)
#define UARTE_PSEL_RXD UARTE0(0x514u)
#define UARTE_BAUDRATE UARTE0(0x524u)
#define BAUD_115200 0x01D60000u /* 115108, 0.08 % slow, from a clock that is itself within some percent */
#define UARTE_RXD_PTR UARTE0(0x534u)
#define UARTE_RXD_MAXCNT UARTE0(0x538u)
#define UARTE_TXD_PTR UARTE0(0x544u)
#define UARTE_TXD_MAXCNT UARTE0(0x548u)
#define PIN_TXD 6u
#define PIN_RXD 8u

/* Bytes that may wait in the port's FIFO behind the one in RAM (nrfx_uarte.c; unverified). */
#define UARTE_FIFO 5u

/* GPIO port 0, 0x50000000. */
#define P0_OUTSET REGISTER(0x50000508u)
#define P0_DIRSET REGISTER(0x50000518u)
#define P0_PIN_CNF(pin) REGISTER(0x50000700u + 4u * (pin))
#define PIN_PULLUP (3u << 2) /* input, connected */

/* NVIC (ARMv7-M ARM, B3.4); UARTE0 is interrupt 2. */
#define NVIC_ISER0 REGISTER(0xE000E100u)
#define NVIC_ISER0_UARTE0 (1u << 2)

/* NVMC, 0x4001E000. */
#define NVMC_READY REGISTER(0x4001E400u)
#define NVMC_CONFIG REGISTER(0x4001E504u)
#define NVMC_READ_ONLY 0u
#define NVMC_WRITE 1u
#define NVMC_ERASE 2u
#define NVMC_ERASEPAGE REGISTER(0x4001E508u)
#define ERASED_WORD 0xFFFFFFFFu

/* A page erase takes up to 89.7 ms (Zephyr, soc/nordic/nrf52/soc.h), and the core stands still meanwhile, for it runs
 * from flash. A poll takes at least 4 cycles of 64 MHz: 340 ms or more, as OpenOCD waits. */
#define NVMC_POLLS_MAX 6000000u

#define FICR_DEVICEID(word) REGISTER(0x10000060u + 4u * (word))

/* EasyDMA reaches RAM only; the bytes to send lie in the ring itself. */
static volatile uint8_t rx_byte;
static volatile uint32_t tx_in_flight; /* bytes from tx_tail on that the port is sending */
static volatile uint32_t rx_suspect;   /* bytes to come that stand before a lost one, or behind it */

void hal_uarte0_handler(void);

static uint32_t address_of(const volatile void *object)
{
    return (uint32_t)(uintptr_t)object;
}

/* Hands the port what lies in one piece in the ring. Interrupts are masked, or this is the handler. */
static void send_more(void)
{
    uint32_t first = tx_tail % TX_SIZE, count = tx_head - tx_tail;

    if (tx_in_flight != 0u || count == 0u) {
        return;
    }
    tx_in_flight = count < TX_SIZE - first ? count : TX_SIZE - first;
    UARTE_TXD_PTR = address_of(&tx_ring[first]);
    UARTE_TXD_MAXCNT = tx_in_flight;
    UARTE_TASKS_STARTTX = 1;
}

/* One byte a transfer: what arrives before the next one is started waits in the port's FIFO, and an overflow of that
 * is an error that shows. With the short from ENDRX to STARTRX it would silently replace what nobody has read yet. */
void hal_uarte0_handler(void)
{
    if (UARTE_EVENTS_ERROR != 0u) {
        UARTE_EVENTS_ERROR = 0;
        UARTE_ERRORSRC = UARTE_ERRORSRC; /* cleared by writing 1 */
        rx_suspect = 1u + UARTE_FIFO;
    }
    if (UARTE_EVENTS_ENDRX != 0u) {
        UARTE_EVENTS_ENDRX = 0;
        rx_push(rx_byte);
        if (rx_suspect != 0u) {
            rx_suspect--;
            rx_push(HAL_CONSOLE_DAMAGED);
        }
        UARTE_TASKS_STARTRX = 1;
    }
    if (UARTE_EVENTS_ENDTX != 0u) {
        UARTE_EVENTS_ENDTX = 0;
        tx_tail += tx_in_flight;
        tx_in_flight = 0;
        send_more();
    }
    (void)UARTE_EVENTS_ENDTX; /* the clearing must have arrived before the return, or it is served twice */
}

static void start_console(void)
{
    P0_OUTSET = 1u << PIN_TXD; /* idle until the port takes the pin over */
    P0_DIRSET = 1u << PIN_TXD;
    P0_PIN_CNF(PIN_RXD) = PIN_PULLUP; /* an open line is idle, not noise */
    UARTE_PSEL_TXD = PIN_TXD;
    UARTE_PSEL_RXD = PIN_RXD;
    UARTE_BAUDRATE = BAUD_115200;
    UARTE_INTENSET = UARTE_INT_ENDRX | UARTE_INT_ENDTX | UARTE_INT_ERROR;
    UARTE_ENABLE = UARTE_ENABLED;
    UARTE_RXD_PTR = address_of(&rx_byte);
    UARTE_RXD_MAXCNT = 1;
    UARTE_TASKS_STARTRX = 1;
    NVIC_ISER0 = NVIC_ISER0_UARTE0;
}

void hal_init(void)
{
    /* From build code F0 on the debug port stays closed after a power-on unless UICR and the program both open it. The
     * line decides in UICR, and the program follows, as Nordic's start-up code does (system_nrf52_approtect.h). Older
     * parts do not have the register: nothing happens. */
    if ((UICR_APPROTECT & APPROTECT_PALL) == APPROTECT_HW_DISABLED) {
        APPROTECT_DISABLE = APPROTECT_HW_DISABLED;
    }
    start_console();
    __asm volatile("cpsie i" ::: "memory");
}

void hal_console_write(const char *text, size_t length)
{
    while (length-- > 0) {
        while (!tx_has_room()) {
            sleep_unless(tx_has_room);
        }
        tx_ring[tx_head % TX_SIZE] = (uint8_t)*text++;
        __asm volatile("cpsid i" ::: "memory");
        tx_head++;
        send_more();
        __asm volatile("cpsie i" ::: "memory");
    }
}

int hal_console_read(void)
{
    int item;

    if (!rx_has_something()) {
        return HAL_CONSOLE_NOTHING;
    }
    item = rx_ring[rx_tail % RX_SIZE];
    rx_tail++;
    return item;
}

void hal_sleep_until_input(void)
{
    sleep_unless(rx_has_something);
}

/* A word whose programming was cut reads as something else: this memory has no ECC. */
bool hal_flash_read(uint32_t address, uint8_t out[8])
{
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t word = REGISTER(address + 4u * i);
        for (uint32_t k = 0; k < 4; k++) {
            out[4u * i + k] = (uint8_t)(word >> (8u * k));
        }
    }
    return true;
}

/* The controller tells no errors. */
static bool nvmc_ready(void)
{
    for (uint32_t polls = 0; polls < NVMC_POLLS_MAX; polls++) {
        if (NVMC_READY != 0u) {
            return true;
        }
    }
    return false;
}

/* A word that is to stay erased is left alone: it may be written twice between two erases, and no more. */
bool hal_flash_program(uint32_t address, const uint8_t data[8])
{
    bool done = nvmc_ready();

    NVMC_CONFIG = NVMC_WRITE;
    for (uint32_t i = 0; i < 8u && done; i += 4u) {
        uint32_t word = (uint32_t)data[i] | (uint32_t)data[i + 1u] << 8 | (uint32_t)data[i + 2u] << 16 |
                        (uint32_t)data[i + 3u] << 24;
        if (word != ERASED_WORD) {
            REGISTER(address + i) = word;
            done = nvmc_ready();
        }
    }
    NVMC_CONFIG = NVMC_READ_ONLY; /* a runaway pointer finds the door shut */
    return done;
}

bool hal_flash_erase_page(uint32_t address)
{
    bool done = nvmc_ready();

    NVMC_CONFIG = NVMC_ERASE;
    NVMC_ERASEPAGE = address;
    done = done && nvmc_ready();
    NVMC_CONFIG = NVMC_READ_ONLY;
    return done;
}

void hal_unique_id(uint8_t out[HAL_UNIQUE_ID_SIZE])
{
    for (uint32_t i = 0; i < HAL_UNIQUE_ID_SIZE; i++) {
        out[i] = (uint8_t)(FICR_DEVICEID(i / 4u) >> (8u * (i % 4u)));
    }
}

#include "linked.h"
