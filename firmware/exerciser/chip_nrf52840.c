/* The exerciser on the nRF52840.
 *
 * Register offsets and bits: Nordic's MDK, nrf52840.h and nrf52840_bitfields.h; rules: nRF52840 Product Specification.
 * No vendor code is used. This chip has no stop mode: System ON with the core asleep is as deep as it sleeps.
 *
 * Console and LED are where the nRF52840 DK (PCA10056) has them; the SPI memories lie on the pins of its QSPI flash:
 * P0.17 selects the NOR flash, P0.20 the EEPROM.
 */
#include "chip.h"

#define CLOCK(offset) REGISTER(0x40000000u + (offset))
#define CLOCK_TASKS_LFCLKSTART CLOCK(0x008u)
#define CLOCK_EVENTS_LFCLKSTARTED CLOCK(0x104u)
#define POWER_RESETREAS CLOCK(0x400u) /* CLOCK, POWER and APPROTECT share an address */
#define CLOCK_LFCLKSRC CLOCK(0x518u)
#define LFCLKSRC_RC 0u
#define APPROTECT_DISABLE CLOCK(0x558u)
#define UICR_APPROTECT REGISTER(0x10001208u)

#define UARTE0(offset) REGISTER(0x40002000u + (offset))
#define UARTE_TASKS_STARTRX UARTE0(0x000u)
#define UARTE_TASKS_STARTTX UARTE0(0x008u)
#define UARTE_EVENTS_ENDRX UARTE0(0x110u)
#define UARTE_EVENTS_ENDTX UARTE0(0x120u)
#define UARTE_SHORTS UARTE0(0x200u)
#define UARTE_ENDRX_STARTRX (1u << 5)
#define UARTE_INTENSET UARTE0(0x304u)
#define UARTE_INT_ENDRX (1u << 4)
#define UARTE_INT_ENDTX (1u << 8)
#define UARTE_ENABLE UARTE0(0x500u)
#define UARTE_ENABLED 8u
#define UARTE_PSEL_TXD UARTE0(0x50Cu)
#define UARTE_PSEL_RXD UARTE0(0x514u)
#define UARTE_BAUDRATE UARTE0(0x524u)
#define BAUD_115200 0x01D60000u
#define UARTE_RXD_PTR UARTE0(0x534u)
#define UARTE_RXD_MAXCNT UARTE0(0x538u)
#define UARTE_TXD_PTR UARTE0(0x544u)
#define UARTE_TXD_MAXCNT UARTE0(0x548u)

#define SPIM0(offset) REGISTER(0x40003000u + (offset))
#define SPIM_TASKS_START SPIM0(0x010u)
#define SPIM_EVENTS_END SPIM0(0x118u)
#define SPIM_ENABLE SPIM0(0x500u)
#define SPIM_ENABLED 7u
#define SPIM_PSEL_SCK SPIM0(0x508u)
#define SPIM_PSEL_MOSI SPIM0(0x50Cu)
#define SPIM_PSEL_MISO SPIM0(0x510u)
#define SPIM_FREQUENCY SPIM0(0x524u)
#define SPIM_1_MHZ 0x10000000u
#define SPIM_RXD_PTR SPIM0(0x534u)
#define SPIM_RXD_MAXCNT SPIM0(0x538u)
#define SPIM_TXD_PTR SPIM0(0x544u)
#define SPIM_TXD_MAXCNT SPIM0(0x548u)
#define SPIM_CONFIG SPIM0(0x554u)

#define RTC0(offset) REGISTER(0x4000B000u + (offset))
#define RTC_TASKS_START RTC0(0x000u)
#define RTC_EVENTS_COMPARE0 RTC0(0x140u)
#define RTC_INTENSET RTC0(0x304u)
#define RTC_COMPARE0 (1u << 16)
#define RTC_PRESCALER RTC0(0x508u)
#define RTC_CC0 RTC0(0x540u)
#define RTC_MASK 0xFFFFFFu
#define RTC_TICKS 3277u /* 100 ms of 32768 Hz */

#define RNG(offset) REGISTER(0x4000D000u + (offset))
#define RNG_TASKS_START RNG(0x000u)
#define RNG_TASKS_STOP RNG(0x004u)
#define RNG_EVENTS_VALRDY RNG(0x100u)
#define RNG_VALUE RNG(0x508u)

#define WDT(offset) REGISTER(0x40010000u + (offset))
#define WDT_TASKS_START WDT(0x000u)
#define WDT_CRV WDT(0x504u)
#define WDT_RREN WDT(0x508u)
#define WDT_CONFIG WDT(0x50Cu)
#define WDT_RUN_ASLEEP 1u /* SLEEP; HALT stays 0: it stands while a debugger holds the core */
#define WDT_RR0 WDT(0x600u)
#define WDT_RELOAD 0x6E524635u
#define WDT_TICKS 65536u /* 2 s */

#define P0(offset) REGISTER(0x50000000u + (offset))
#define P0_OUTSET P0(0x508u)
#define P0_OUTCLR P0(0x50Cu)
#define P0_DIRSET P0(0x518u)
#define P0_PIN_CNF(pin) P0(0x700u + 4u * (pin))
#define PIN_PULLUP (3u << 2)

#define PIN_TXD 6u
#define PIN_RXD 8u
#define PIN_LED 13u
#define PIN_NOR 17u
#define PIN_SCK 19u
#define PIN_EEPROM 20u
#define PIN_MOSI 21u
#define PIN_MISO 22u

#define UARTE0_IRQ 2u
#define RTC0_IRQ 11u
#define IRQ_COUNT 48
#define NVIC_ISER0 REGISTER(0xE000E100u)

const char chip_name[] = "nrf52840";

/* EasyDMA reaches RAM only. */
static volatile uint8_t rx_byte, tx_byte;
static volatile uint8_t spi_out[12], spi_in[12];
static volatile bool sending;

static uint32_t address_of(const volatile void *object)
{
    return (uint32_t)(uintptr_t)object;
}

static void start_console(void)
{
    P0_OUTSET = 1u << PIN_TXD;
    P0_DIRSET = 1u << PIN_TXD;
    P0_PIN_CNF(PIN_RXD) = PIN_PULLUP; /* input, connected; an open line is idle */
    UARTE_PSEL_TXD = PIN_TXD;
    UARTE_PSEL_RXD = PIN_RXD;
    UARTE_BAUDRATE = BAUD_115200;
    UARTE_SHORTS = UARTE_ENDRX_STARTRX;
    UARTE_INTENSET = UARTE_INT_ENDRX | UARTE_INT_ENDTX;
    UARTE_ENABLE = UARTE_ENABLED;
    UARTE_RXD_PTR = address_of(&rx_byte);
    UARTE_RXD_MAXCNT = 1;
    UARTE_TASKS_STARTRX = 1;
}

static void start_wake_timer(void)
{
    CLOCK_LFCLKSRC = LFCLKSRC_RC;
    CLOCK_EVENTS_LFCLKSTARTED = 0;
    CLOCK_TASKS_LFCLKSTART = 1;
    while (CLOCK_EVENTS_LFCLKSTARTED == 0u) {
    }
    RTC_PRESCALER = 0;
    RTC_CC0 = RTC_TICKS;
    RTC_INTENSET = RTC_COMPARE0;
    RTC_TASKS_START = 1;
}

void chip_start(void)
{
    /* From build code F0 on the debug port stays closed after a reset unless the program opens it: as Nordic's
     * start-up code does, leave the decision to UICR. On older parts this register does not exist and nothing
     * happens. */
    APPROTECT_DISABLE = UICR_APPROTECT;
    P0_DIRSET = 1u << PIN_LED;
    start_console();
    start_wake_timer();
    WDT_CONFIG = WDT_RUN_ASLEEP;
    WDT_CRV = WDT_TICKS - 1u;
    WDT_RREN = 1;
    WDT_TASKS_START = 1;
    NVIC_ISER0 = 1u << UARTE0_IRQ | 1u << RTC0_IRQ;
}

uint32_t chip_reset_cause(void)
{
    uint32_t reasons = POWER_RESETREAS;

    POWER_RESETREAS = reasons; /* cleared by writing 1 */
    return reasons;
}

uint32_t chip_random(void)
{
    uint32_t word = 0;

    RNG_EVENTS_VALRDY = 0;
    RNG_TASKS_START = 1;
    for (uint32_t i = 0; i < 4u; i++) {
        while (RNG_EVENTS_VALRDY == 0u) {
        }
        RNG_EVENTS_VALRDY = 0;
        word = (word << 8) | (RNG_VALUE & 0xFFu);
    }
    RNG_TASKS_STOP = 1;
    return word;
}

void chip_kick(void)
{
    WDT_RR0 = WDT_RELOAD;
}

void chip_led(bool on)
{
    if (on) {
        P0_OUTCLR = 1u << PIN_LED; /* lit by a low level */
    } else {
        P0_OUTSET = 1u << PIN_LED;
    }
}

void chip_send_more(void)
{
    int byte;

    if (sending) {
        return;
    }
    byte = exerciser_next_to_send();
    if (byte >= 0) {
        tx_byte = (uint8_t)byte;
        sending = true;
        UARTE_TXD_PTR = address_of(&tx_byte);
        UARTE_TXD_MAXCNT = 1;
        UARTE_TASKS_STARTTX = 1;
    }
}

bool chip_sending(void)
{
    return sending;
}

static void uarte0_handler(void)
{
    if (UARTE_EVENTS_ENDRX != 0u) {
        UARTE_EVENTS_ENDRX = 0;
        exerciser_received(rx_byte);
    }
    if (UARTE_EVENTS_ENDTX != 0u) {
        UARTE_EVENTS_ENDTX = 0;
        sending = false;
        chip_send_more();
    }
    (void)UARTE_EVENTS_ENDTX; /* the clearing must have arrived before the return, or it is served twice */
}

static void rtc0_handler(void)
{
    RTC_EVENTS_COMPARE0 = 0;
    RTC_CC0 = (RTC_CC0 + RTC_TICKS) & RTC_MASK;
    exerciser_woke();
    (void)RTC_EVENTS_COMPARE0;
}

void chip_sleep(bool deeply)
{
    (void)deeply;
    __asm volatile("dsb\n\twfi" ::: "memory");
}

static void spi_transfer(uint32_t select, uint32_t count)
{
    SPIM_TXD_PTR = address_of(spi_out);
    SPIM_TXD_MAXCNT = count;
    SPIM_RXD_PTR = address_of(spi_in);
    SPIM_RXD_MAXCNT = count;
    SPIM_EVENTS_END = 0;
    P0_OUTCLR = 1u << select;
    SPIM_TASKS_START = 1;
    while (SPIM_EVENTS_END == 0u) {
    }
    P0_OUTSET = 1u << select;
}

/* RDID of the NOR flash; READ of the last eight bytes of the EEPROM. */
void chip_read_memories(volatile uint8_t id[3], volatile uint8_t eui[8])
{
    P0_OUTSET = 1u << PIN_NOR | 1u << PIN_EEPROM;
    P0_DIRSET = 1u << PIN_NOR | 1u << PIN_EEPROM | 1u << PIN_SCK | 1u << PIN_MOSI;
    P0_PIN_CNF(PIN_MISO) = PIN_PULLUP;
    SPIM_PSEL_SCK = PIN_SCK;
    SPIM_PSEL_MOSI = PIN_MOSI;
    SPIM_PSEL_MISO = PIN_MISO;
    SPIM_FREQUENCY = SPIM_1_MHZ;
    SPIM_CONFIG = 0; /* mode 0, most significant bit first */
    SPIM_ENABLE = SPIM_ENABLED;
    spi_out[0] = 0x9F;
    spi_transfer(PIN_NOR, 4);
    for (uint32_t i = 0; i < 3u; i++) {
        id[i] = spi_in[1u + i];
    }
    spi_out[0] = 0x03;
    spi_out[1] = 0xF8;
    spi_transfer(PIN_EEPROM, 10);
    for (uint32_t i = 0; i < 8u; i++) {
        eui[i] = spi_in[2u + i];
    }
    SPIM_ENABLE = 0;
}

__attribute__((section(".vectors"), used)) static const union vector vectors[16 + IRQ_COUNT] = {
    SYSTEM_VECTORS,
    [16 ... 16 + UARTE0_IRQ - 1] = {.handler = fault_handler},
    [16 + UARTE0_IRQ] = {.handler = uarte0_handler},
    [16 + UARTE0_IRQ + 1 ... 16 + RTC0_IRQ - 1] = {.handler = fault_handler},
    [16 + RTC0_IRQ] = {.handler = rtc0_handler},
    [16 + RTC0_IRQ + 1 ... 16 + IRQ_COUNT - 1] = {.handler = fault_handler},
};
