/*
 * Checksums and flash sessions for a debugger that goes on working meanwhile; see worker.h.
 *
 * Words that cannot be read must not cost the core: while this program runs, exceptions go through a vector table of its
 * own. A double ECC error is an NMI, and only one checksum's affair. Memory that is closed as a whole ends the call.
 * SCB->VTOR 0xE000ED08: Armv7-M ARM B3.2.5; optional in Armv6-M, there in the STM32L0 (PM0223 section 4.3.4).
 */
#include "worker.h"

#define VTOR (*(volatile uint32_t *)0xE000ED08u)
#define VECTOR_NMI 2
#define VECTOR_HARD_FAULT 3

/* How the debugger asks for checksums: `count` spans of `size` bytes, one behind the other. */
struct spans {
    uint32_t address, size, count;
};

enum kind { ERASE_PAGE = 1, ERASE_CHIP = 2, PROGRAM = 3, END = 4 };

/* One step of a session. The debugger writes `number`, which counts from 1, last. */
struct order {
    uint32_t kind, address, size, number;
};

/* Two orders in turn, each with a page buffer of the same index, and how far the core has come. */
struct session {
    struct order orders[2];
    uint32_t done;    /* number of the last order that was carried out; all ones, as the debugger left it, before Init */
    uint32_t failure; /* what the order behind it, or Init, failed with */
};

extern uint32_t __mailbox[], __page_buffer_0[], __page_buffer_1[];
extern uint32_t __vectors[];

/* A word of this span could not be read. */
static volatile uint32_t unreadable;
static uint32_t found_vtor;

/* A double ECC error. The read goes on with whatever it got. */
static void on_nmi(void)
{
    clear_ecc_error();
    unreadable = 1;
}

/* The bus refused an access: halt with all ones as the answer. A reset follows, which puts clocks and vectors back. */
static void on_hard_fault(void)
{
    ((volatile struct session *)__mailbox)->failure = FAILED_FAULT;
    __asm volatile("mov r0, %0\n bkpt #0\n b ." : : "r"(0xFFFFFFFFu) : "r0");
}

static void take_over(void)
{
    unreadable = 0;
    found_vtor = VTOR;
    __vectors[VECTOR_NMI] = (uint32_t)on_nmi;
    __vectors[VECTOR_HARD_FAULT] = (uint32_t)on_hard_fault;
    VTOR = (uint32_t)__vectors;
    __asm volatile("dsb" : : : "memory");
}

static void give_back(void)
{
    VTOR = found_vtor;
    __asm volatile("dsb" : : : "memory");
}

/*
 * `count` entries of struct spans lie in the mailbox. Behind them come the checksums, a word each, and behind those the
 * indexes of the spans that could not be read, whose checksums mean nothing. Returns how many those are; all ones when
 * the bus refused an access.
 */
int Checksums(uint32_t count)
{
    const struct spans *spans = (const struct spans *)__mailbox;
    uint32_t *sums = (uint32_t *)(spans + count), *lost;
    uint32_t total = 0, index = 0, failed = 0;

    for (uint32_t n = 0; n < count; n++)
        total += spans[n].count;
    lost = sums + total;
    take_over();
    fast_clock();
    clear_ecc_error(); /* a latched one would hide the next */
    checksum_begin();
    for (uint32_t n = 0; n < count; n++) {
        uint32_t address = spans[n].address;

        for (uint32_t left = spans[n].count; left; left--, index++) {
            unreadable = 0;
            checksum_start();
            checksum_add(address, spans[n].size);
            sums[index] = checksum_value();
            if (unreadable)
                lost[failed++] = index;
            address += spans[n].size;
        }
    }
    checksum_end();
    found_clock();
    give_back();
    return (int)failed;
}

static uint32_t carry_out(volatile struct order *order, const uint32_t *data)
{
    switch (order->kind) {
    case ERASE_PAGE:
        return (uint32_t)EraseSector(order->address);
    case ERASE_CHIP:
        return (uint32_t)EraseChip();
    default:
        return (uint32_t)ProgramPage(order->address, order->size, data);
    }
}

/* Carry out orders until END, or until one fails. Returns 0, or what Init, an order or UnInit failed with. */
int Session(void)
{
    volatile struct session *session = (volatile struct session *)__mailbox;
    uint32_t failure;

    take_over();
    failure = (uint32_t)Init(0, 0, 0);
    if (!failure)
        session->done = 0;
    for (uint32_t number = 1; !failure; number++) {
        volatile struct order *order = &session->orders[number & 1u];

        while (order->number != number)
            ;
        if (order->kind == END)
            break;
        failure = carry_out(order, number & 1u ? __page_buffer_1 : __page_buffer_0);
        if (!failure)
            session->done = number;
    }
    uint32_t late = (uint32_t)UnInit(0);
    if (!failure)
        failure = late;
    give_back();
    session->failure = failure;
    return (int)failure;
}
