/* A program that makes a chip do a little of everything, and counts it where a debugger can look.
 *
 * It prints "lorafab exerciser CHIP", wakes every 100 ms, reads the RNG, toggles the LED, kicks the watchdog, and
 * sleeps as deeply as the chip lets it while its serial port can still hear. Each byte received comes back in upper
 * case; some of them are commands:
 *
 *   p  panic: branch to where no memory is      h  hang with interrupts off
 *   s  do not sleep any more                    w  do not kick the watchdog any more
 *   k  copy the key from flash to RAM, as careless firmware does
 *
 * The counters are at the beginning of RAM and, except boots and faults, start at 0 with every boot. Boots and faults
 * outlive every reset that keeps RAM: they start when the word beside them does not match.
 */
#include <stddef.h>

#include "chip.h"

#define COUNTER __attribute__((section(".counters"), used)) volatile
#define KEPT __attribute__((section(".kept"), used)) volatile
#define KEPT_VALID 0x4B455054u /* "KEPT" */

COUNTER uint32_t exerciser_loops;
COUNTER uint32_t exerciser_wakes;
COUNTER uint32_t exerciser_rx_bytes;
COUNTER uint32_t exerciser_tx_bytes;
COUNTER uint32_t exerciser_random;
COUNTER uint32_t exerciser_kicks;
COUNTER uint32_t exerciser_reset_cause;
COUNTER uint8_t exerciser_spi_id[4]; /* JEDEC id of the NOR flash; the last byte is 0 */
COUNTER uint8_t exerciser_eui[8];
COUNTER uint8_t exerciser_stolen[16];
KEPT uint32_t exerciser_kept_valid;
KEPT uint32_t exerciser_boots;
KEPT uint32_t exerciser_faults;

/* Not a secret: what stands in for one when read-out protection is put to the test. */
__attribute__((section(".key"), used)) const uint8_t exerciser_key[16] = {'L', 'O', 'R', 'A', 'F', 'A', 'B', '-',
                                                                          'D', 'E', 'M', 'O', '-', 'K', 'E', 'Y'};

#define RING 64u /* a power of two */
static volatile uint8_t rx_ring[RING], tx_ring[RING];
static volatile uint32_t rx_head, rx_tail, tx_head, tx_tail;
static volatile bool woke;

extern uint32_t _image_start[], _zeroed_start[], _zeroed_end[];

#define SCB_VTOR REGISTER(0xE000ED08u) /* ARMv7-M ARM B3.2.5; ARMv6-M ARM B3.2.4 */

static void interrupts_off(void)
{
    __asm volatile("cpsid i" ::: "memory");
}

static void interrupts_on(void)
{
    __asm volatile("cpsie i\n\tisb" ::: "memory");
}

void exerciser_woke(void)
{
    exerciser_wakes++;
    woke = true;
}

void exerciser_received(uint8_t byte)
{
    exerciser_rx_bytes++;
    if (rx_head - rx_tail != RING) {
        rx_ring[rx_head % RING] = byte;
        rx_head++;
    }
}

int exerciser_next_to_send(void)
{
    int byte;

    if (tx_head == tx_tail) {
        return -1;
    }
    byte = tx_ring[tx_tail % RING];
    tx_tail++;
    exerciser_tx_bytes++;
    return byte;
}

static void send(uint8_t byte)
{
    while (tx_head - tx_tail == RING) {
    }
    tx_ring[tx_head % RING] = byte;
    interrupts_off(); /* the interrupt that empties the ring switches itself off: not between these two */
    tx_head++;
    chip_send_more();
    interrupts_on();
}

static void print(const char *text)
{
    while (*text != '\0') {
        send((uint8_t)*text++);
    }
}

static bool all_sent(void)
{
    return tx_head == tx_tail && !chip_sending();
}

/* Many instructions a turn: an emulator has less to look up. */
#define SPIN_FOR_EVER                                     \
    for (;;) {                                            \
        __asm volatile(".rept 64\n\tnop\n\t.endr" ::: "memory"); \
    }

__attribute__((noinline)) void exerciser_hang(void)
{
    interrupts_off();
    SPIN_FOR_EVER
}

__attribute__((noinline)) void exerciser_panic(void)
{
    void (*nowhere)(void) = (void (*)(void))0x30000001u;

    __asm volatile("" : "+r"(nowhere));
    nowhere();
}

static void copy_key(void)
{
    for (size_t i = 0; i < sizeof exerciser_key; i++) {
        exerciser_stolen[i] = exerciser_key[i];
    }
}

static bool keeps_awake, starves_watchdog;

static void obey(uint8_t byte)
{
    send(byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - ('a' - 'A')) : byte);
    switch (byte) {
    case 'p':
    case 'h':
        while (!all_sent()) { /* the answer first */
        }
        if (byte == 'p') {
            exerciser_panic();
        }
        exerciser_hang();
        break;
    case 's':
        keeps_awake = true;
        break;
    case 'w':
        starves_watchdog = true;
        break;
    case 'k':
        copy_key();
        break;
    default:
        break;
    }
}

static void tenth_of_a_second(void)
{
    static bool lit;

    exerciser_random = chip_random();
    lit = !lit;
    chip_led(lit);
    if (!starves_watchdog) {
        chip_kick();
        exerciser_kicks++;
    }
}

/* The tests stand behind the mask: an interrupt between them and WFI stays pending and ends WFI (ARMv7-M ARM,
 * B1.5.19); without the mask it would be served before, and WFI would wait for one that never comes. */
static void sleep(void)
{
    interrupts_off();
    if (rx_head == rx_tail && !woke && !keeps_awake) {
        chip_sleep(all_sent());
    }
    interrupts_on();
}

static void run(void)
{
    for (;;) {
        exerciser_loops++;
        while (rx_head != rx_tail) {
            uint8_t byte = rx_ring[rx_tail % RING];
            rx_tail++;
            obey(byte);
        }
        if (woke) {
            woke = false;
            tenth_of_a_second();
        }
        sleep();
    }
}

static void count_boot(void)
{
    if (exerciser_kept_valid != KEPT_VALID) {
        exerciser_kept_valid = KEPT_VALID;
        exerciser_boots = 0;
        exerciser_faults = 0;
    }
    exerciser_boots++;
}

/* Nothing more until the watchdog bites, for a debugger to see. */
void fault_handler(void)
{
    interrupts_off();
    exerciser_faults++;
    SPIN_FOR_EVER
}

void reset_handler(void)
{
    SCB_VTOR = (uint32_t)(uintptr_t)_image_start;
    for (volatile uint32_t *word = _zeroed_start; word < (volatile uint32_t *)_zeroed_end; word++) {
        *word = 0;
    }
    count_boot();
    exerciser_reset_cause = chip_reset_cause();
    chip_start();
    interrupts_on();
    print("lorafab exerciser ");
    print(chip_name);
    print("\n");
    chip_read_memories(exerciser_spi_id, exerciser_eui);
    run();
}
