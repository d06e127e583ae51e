/*
 * Drives an SPI memory behind the pins of a halted microcontroller: RAM program with a mailbox (mailbox.h).
 *
 * A debugger loads it into RAM, fills the mailbox and calls Serve; the answer lies in the mailbox. The data may be
 * keys: whoever fills the mailbox wipes it, and this program wipes the stack that it used.
 *
 * Instructions: 25AA02E48/E64, DS20002123F, table 2-1; AT25SF041, DS-25SF041-044G, and W25Q128JV, revision F (the
 * instructions that they share with other SPI NOR flashes, as Zephyr's spi_nor.h has them, too).
 */
#include <stdbool.h>
#include <stddef.h>

#include "spi.h"

#define PROGRAM_PAGE 0x02u
#define READ_ARRAY 0x03u
#define READ_STATUS_1 0x05u
#define WRITE_ENABLE 0x06u
#define READ_ID 0x9Fu
#define ID_SIZE 3u
#define BUSY 0x01u         /* WIP */
#define WRITE_LATCH 0x02u  /* WEL */
#define FLOATING 0xFFu     /* MISO is pulled up */

/* Turns of at least 3 cycles: 47 us at 64 MHz, 62 us at 48 MHz, 1 ms at 4 MHz. Longer than any of the parts takes to
 * leave deep power-down (AT25SF041: 5 us). */
#define POLL_PAUSE 1000u

extern struct mailbox __mailbox;
extern uint32_t __stack_limit[];

/* Callers return here; must be the first thing in the image. */
__attribute__((naked, used, section(".breakpoint"))) void Breakpoint(void)
{
    __asm volatile("bkpt #0\n b .");
}

static void pause(void)
{
    for (volatile uint32_t turn = 0; turn < POLL_PAUSE; turn++) {
    }
}

/* An instruction between two edges of chip-select: opcode, address, then bytes out, then bytes in. */
static bool transfer(uint8_t opcode, uint32_t address_bytes, uint32_t address, const volatile uint8_t *out,
                     uint32_t out_size, volatile uint8_t *in, uint32_t in_size)
{
    uint8_t byte = 0;
    bool moves;

    spi_select(&__mailbox, true);
    moves = spi_exchange(opcode, &byte);
    while (moves && address_bytes-- > 0u) {
        moves = spi_exchange((uint8_t)(address >> (8u * address_bytes)), &byte);
    }
    for (uint32_t n = 0; moves && n < out_size; n++) {
        moves = spi_exchange(out[n], &byte);
    }
    for (uint32_t n = 0; moves && n < in_size; n++) {
        moves = spi_exchange(FLOATING, &byte);
        in[n] = byte;
    }
    spi_select(&__mailbox, false);
    return moves;
}

static enum status simple(uint8_t opcode)
{
    return transfer(opcode, 0, 0, NULL, 0, NULL, 0) ? DONE : SPI_STUCK;
}

static enum status read_into(uint8_t opcode, volatile uint8_t *in, uint32_t size)
{
    return transfer(opcode, 0, 0, NULL, 0, in, size) ? DONE : SPI_STUCK;
}

static enum status look_at_status(void)
{
    uint8_t value = 0;
    enum status status = read_into(READ_STATUS_1, &value, 1);

    __mailbox.detail = value;
    return status == DONE && value == FLOATING ? NO_ANSWER : status;
}

static enum status wait_until_ready(void)
{
    for (uint32_t polls = 0; polls <= __mailbox.polls; polls++) {
        enum status status = look_at_status();
        if (status != DONE || (__mailbox.detail & BUSY) == 0u) {
            return status;
        }
        pause();
    }
    return STILL_BUSY;
}

static enum status enable_write(void)
{
    enum status status = simple(WRITE_ENABLE);

    if (status == DONE) {
        status = look_at_status();
    }
    return status == DONE && (__mailbox.detail & WRITE_LATCH) == 0u ? NOT_ENABLED : status;
}

/* WREN, the instruction, and the wait for its end. */
static enum status write(uint8_t opcode, uint32_t address, const volatile uint8_t *out, uint32_t size)
{
    enum status status = enable_write();

    if (status == DONE) {
        bool moves = transfer(opcode, __mailbox.address_bytes, address, out, size, NULL, 0);
        status = moves ? wait_until_ready() : SPI_STUCK;
    }
    return status;
}

static enum status program(void)
{
    uint32_t address = __mailbox.address, left = __mailbox.length;
    const volatile uint8_t *from = __mailbox.data;
    enum status status = DONE;

    while (status == DONE && left > 0u) {
        uint32_t room = __mailbox.page - address % __mailbox.page;
        uint32_t size = left < room ? left : room;
        status = write(PROGRAM_PAGE, address, from, size);
        address += size;
        from += size;
        left -= size;
    }
    return status;
}

static enum status read_array(void)
{
    bool moves = transfer(READ_ARRAY, __mailbox.address_bytes, __mailbox.address, NULL, 0, __mailbox.data,
                          __mailbox.length);
    return moves ? DONE : SPI_STUCK;
}

static enum status read_status(void)
{
    __mailbox.data[0] = (uint8_t)__mailbox.detail; /* just read by wait_until_ready */
    __mailbox.data[1] = 0;
    return __mailbox.read_status_2 == 0u ? DONE : read_into(__mailbox.read_status_2, &__mailbox.data[1], 1);
}

static enum status obey(void)
{
    switch (__mailbox.command) {
    case IDENTIFY: return read_into(READ_ID, __mailbox.data, ID_SIZE);
    case READ: return read_array();
    case READ_STATUS: return read_status();
    case ERASE: return write(__mailbox.erase, __mailbox.address, NULL, 0);
    case PROGRAM: return program();
    default: return BAD_REQUEST;
    }
}

/* Not inlined: all that it used of the stack lies below the frame of Serve, and is wiped. */
static __attribute__((noinline)) enum status serve(void)
{
    enum status status = DONE;

    if (__mailbox.length > DATA_SIZE || __mailbox.page == 0u || __mailbox.address_bytes - 1u > 2u) {
        return BAD_REQUEST;
    }
    spi_open(&__mailbox);
    if (__mailbox.wake != 0u) { /* the firmware may have sent the part to sleep; a busy one is awake, and ignores it */
        status = simple(__mailbox.wake);
        pause();
    }
    if (status == DONE) {
        status = wait_until_ready(); /* a write of the firmware's may still go on */
    }
    if (status == DONE) {
        status = obey();
    }
    spi_close();
    return status;
}

/* Zeroes what functions that have returned left below this one's own frame. */
static __attribute__((noinline)) void wipe_stack(void)
{
    volatile uint32_t *end;

    __asm volatile("mov %0, sp" : "=r"(end));
    for (volatile uint32_t *word = __stack_limit; word < end; word++) {
        *word = 0;
    }
}

uint32_t Serve(void)
{
    enum status status = serve();

    __mailbox.status = status;
    wipe_stack();
    return status;
}
