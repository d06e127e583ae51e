/*
 * Flash algorithm for STM32WLE5 and STM32L476, which have the same flash (CMSIS-style: Init, UnInit, EraseSector,
 * EraseChip, ProgramPage).
 *
 * A debugger loads it into SRAM1 and calls it there, one function at a time. Every function returns 0, or says
 * why not: the error bits of FLASH_SR as they are, or one of the FAILED_ codes below.
 *
 * Registers and bits: CMSIS headers stm32wle5xx.h and stm32l476xx.h; where they differ, each chip's chip.h has its own.
 * Rules of programming: RM0453 section 3.3 and RM0351 section 3.3 (flash operations).
 */
#include "chip.h"
#include "worker.h"

#define RCC_CR REGISTER(RCC_BASE)
#define RCC_CR_HSION (1u << 8)
#define RCC_CR_HSIRDY (1u << 10)
#define RCC_CFGR REGISTER(RCC_BASE + 0x08u)
#define RCC_CFGR_SW 0x3u
#define RCC_CFGR_SW_HSI16 0x1u
#define RCC_CFGR_SWS (0x3u << 2)
#define RCC_CFGR_SWS_MSI (0x0u << 2)
#define RCC_CFGR_SWS_HSI16 (0x1u << 2)

#define FLASH_ACR REGISTER(FLASH_BASE)
#define FLASH_ACR_LATENCY 0x7u
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ICEN (1u << 9)
#define FLASH_ACR_DCEN (1u << 10)
#define FLASH_ACR_ICRST (1u << 11)
#define FLASH_ACR_DCRST (1u << 12)
#define FLASH_KEYR REGISTER(FLASH_BASE + 0x08u)
#define FLASH_KEY1 0x45670123u
#define FLASH_KEY2 0xCDEF89ABu
#define FLASH_SR REGISTER(FLASH_BASE + 0x10u)
/* OPERR, PROGERR, WRPERR, PGAERR, SIZERR, PGSERR, MISERR, FASTERR, RDERR, OPTVERR. */
#define FLASH_SR_ERRORS 0x0000C3FAu
#define FLASH_SR_EOP (1u << 0)
#define FLASH_SR_PROGERR (1u << 3)
#define FLASH_SR_WRPERR (1u << 4)
#define FLASH_SR_PGSERR (1u << 7)
#define FLASH_SR_BSY (1u << 16)
#define FLASH_CR REGISTER(FLASH_BASE + 0x14u)
#define FLASH_CR_PG (1u << 0)
#define FLASH_CR_PER (1u << 1)
#define FLASH_CR_STRT (1u << 16)
#define FLASH_CR_FSTPG (1u << 18)
#define FLASH_CR_LOCK (1u << 31)
#define FLASH_ECCR REGISTER(FLASH_BASE + 0x18u)
#define FLASH_ECCR_ECCC (1u << 30)
#define FLASH_ECCR_ECCD (1u << 31)

/* RM0453 section 3.3: programmed by aligned double words, or 32 of them in a row. */
#define FLASH_START 0x08000000u
#define ROW_SIZE 256u
#define PAGE_SIZE 2048u
#define ERASED_WORD 0xFFFFFFFFu

/* Above the bits of FLASH_SR, so that both kinds can be told apart. */
#define FAILED_LOCKED 0x01000000u     /* the controller did not take the keys: only a reset opens it again */
#define FAILED_BUSY 0x02000000u       /* BSY or CFGBSY does not fall: a stray write, or a broken flash */
#define FAILED_OUT_OF_RANGE 0x04000000u
#define FAILED_MISALIGNED 0x08000000u

/*
 * Each turn of the wait loop costs about 8 cycles: 1 s at 16 MHz, 0.3 s at 48 MHz. A page erase takes at most
 * 24.47 ms by the datasheet of the L496, which has the same flash, and a little more was seen on real boards;
 * both are unverified for the WLE5, hence the ten-fold margin.
 */
#define WAIT_TURNS 2000000u
/* HSI16 starts within microseconds (datasheet: unverified); it is a matter of speed only, so failing is allowed. */
#define CLOCK_TURNS 10000u

extern uint32_t __page_buffer_0[], __page_buffer_end[];

/* What fast_clock found and found_clock puts back. */
static uint32_t found_rcc_cr, found_rcc_cfgr, found_acr, found_primask;

/* Whether rows are programmed at once. */
static uint32_t fast_rows;

/* Callers return here; must be the first thing in the image, because pyOCD sets LR to the load address. */
__attribute__((naked, used, section(".breakpoint"))) void Breakpoint(void)
{
    __asm volatile("bkpt #0\n b .");
}

/* Wait for the running operation; 0, or the error bits it left. */
static uint32_t wait_for_result(void)
{
    for (uint32_t turn = 0; turn < WAIT_TURNS; turn++) {
        uint32_t status = FLASH_SR;
        /* CFGBSY too: it stays up after BSY, and an operation started before it falls is lost. */
        if (!(status & (FLASH_SR_BSY | FLASH_SR_CFGBSY)))
            return status & FLASH_SR_ERRORS;
    }
    return FAILED_BUSY;
}

/* The controller refuses to start (PGSERR) while an earlier error is still flagged: clear first. */
static uint32_t prepare(void)
{
    uint32_t failure = wait_for_result() & FAILED_BUSY;

    FLASH_SR = FLASH_SR_ERRORS | FLASH_SR_EOP;
    return failure;
}

/* Start an erase, wait for its end, and switch the mode off again. */
static uint32_t erase(uint32_t mode)
{
    uint32_t failure = prepare();

    if (failure)
        return failure;
    FLASH_CR = mode;
    FLASH_CR = mode | FLASH_CR_STRT;
    failure = wait_for_result();
    FLASH_CR = 0;
    return failure;
}

static void wait_for_clock(volatile uint32_t *reg, uint32_t mask, uint32_t wanted)
{
    for (uint32_t turn = 0; turn < CLOCK_TURNS && (*reg & mask) != wanted; turn++)
        ;
}

/* After reset the core runs from MSI at 4 MHz, which makes loading and polling slow; HSI16 needs no set-up. */
static void raise_clock(void)
{
    if ((RCC_CFGR & RCC_CFGR_SWS) != RCC_CFGR_SWS_MSI)
        return; /* the firmware already chose HSI16, HSE32 or the PLL */
    RCC_CR |= RCC_CR_HSION;
    wait_for_clock(&RCC_CR, RCC_CR_HSIRDY, RCC_CR_HSIRDY);
    if (!(RCC_CR & RCC_CR_HSIRDY))
        return; /* slower, but as good */
    RCC_CFGR = (RCC_CFGR & ~RCC_CFGR_SW) | RCC_CFGR_SW_HSI16;
    wait_for_clock(&RCC_CFGR, RCC_CFGR_SWS, RCC_CFGR_SWS_HSI16);
}

static void restore_clock(void)
{
    RCC_CFGR = found_rcc_cfgr;
    wait_for_clock(&RCC_CFGR, RCC_CFGR_SWS, (found_rcc_cfgr & RCC_CFGR_SW) << 2);
    if (!(found_rcc_cr & RCC_CR_HSION) && (RCC_CFGR & RCC_CFGR_SWS) != RCC_CFGR_SWS_HSI16)
        RCC_CR &= ~RCC_CR_HSION;
}

/* The page buffers may have carried keys: leave none in RAM. */
static void wipe_buffers(void)
{
    for (volatile uint32_t *word = __page_buffer_0; word < __page_buffer_end; word++)
        *word = 0;
}

void fast_clock(void)
{
    /* The halted firmware's interrupt handlers must not run from a flash that is being erased. */
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(found_primask) : : "memory");
    found_rcc_cr = RCC_CR;
    found_rcc_cfgr = RCC_CFGR;
    found_acr = FLASH_ACR;
    /*
     * Two wait states suit every clock up to 48 MHz in range 1 and 16 MHz in range 2 (CubeWL
     * stm32wlxx_ll_utils.c). Caches off: they would go on showing what was there before the erase.
     */
    FLASH_ACR = (found_acr & ~(FLASH_ACR_LATENCY | FLASH_ACR_PRFTEN | FLASH_ACR_ICEN | FLASH_ACR_DCEN)) | 2u;
    (void)FLASH_ACR;
    raise_clock();
}

void found_clock(void)
{
    restore_clock();
    FLASH_ACR |= FLASH_ACR_ICRST | FLASH_ACR_DCRST;
    FLASH_ACR &= ~(FLASH_ACR_ICRST | FLASH_ACR_DCRST);
    FLASH_ACR = found_acr & ~(FLASH_ACR_ICRST | FLASH_ACR_DCRST);
    __asm volatile("msr primask, %0" : : "r"(found_primask) : "memory");
}

/* ECCD and ECCC are cleared by writing 1; while they are set the next error is not latched. */
void clear_ecc_error(void)
{
    FLASH_ECCR |= FLASH_ECCR_ECCD | FLASH_ECCR_ECCC;
}

int Init(uint32_t address, uint32_t clock, uint32_t operation)
{
    (void)address, (void)clock, (void)operation;

    fast_clock();
    /* Rows need 8 MHz at least (RM0453 section 3.3.8, quoted by stm32wlxx-hal). */
    fast_rows = (RCC_CFGR & RCC_CFGR_SWS) == RCC_CFGR_SWS_HSI16;
    uint32_t failure = prepare();
    if (FLASH_CR & FLASH_CR_LOCK) {
        FLASH_KEYR = FLASH_KEY1;
        FLASH_KEYR = FLASH_KEY2;
    }
    if (FLASH_CR & FLASH_CR_LOCK)
        failure |= FAILED_LOCKED;
    return (int)failure;
}

int UnInit(uint32_t operation)
{
    (void)operation;
    uint32_t failure = wait_for_result() & FAILED_BUSY;

    FLASH_CR = FLASH_CR_LOCK;
    wipe_buffers();
    found_clock();
    return (int)failure;
}

int EraseChip(void)
{
    return (int)erase(FLASH_CR_MASS_ERASE);
}

int EraseSector(uint32_t address)
{
    uint32_t offset = address - FLASH_START;

    if (offset >= FLASH_SIZE)
        return (int)FAILED_OUT_OF_RANGE;
    return (int)erase(FLASH_CR_PER | FLASH_CR_PAGE(offset / PAGE_SIZE));
}

static uint32_t program_double_words(volatile uint32_t *to, const uint32_t *data, const uint32_t *end)
{
    uint32_t failure = 0;

    FLASH_CR = FLASH_CR_PG;
    for (; data < end && !failure; data += 2, to += 2) {
        /*
         * A double word that is all ones stays erased. Programming it would look the same, but its ECC then
         * counts it as used: it could never be programmed again, not even to zero, before the next page erase
         * (RM0453 section 3.3; STM32WB50 errata 2.2.10 for the same flash). Padding must not use words up.
         */
        if (data[0] == ERASED_WORD && data[1] == ERASED_WORD)
            continue;
        to[0] = data[0];
        __asm volatile("isb" : : : "memory"); /* as the maker's HAL does: the halves must arrive in this order */
        to[1] = data[1];
        failure = wait_for_result();
    }
    FLASH_CR = 0;
    return failure;
}

/* Whether a row may be programmed at once: no double word of it is to stay erased. */
static int is_full(const uint32_t *data)
{
    for (const uint32_t *end = data + ROW_SIZE / 4; data < end; data += 2)
        if (data[0] == ERASED_WORD && data[1] == ERASED_WORD)
            return 0;
    return 1;
}

/*
 * 64 words back to back in three quarters of the time (HAL, FLASH_Program_Fast); the core keeps up by far.
 *
 * ST's example for the L4 erases the whole bank before, and users report that rows of pages erased one by one work, too
 * (ST community 74935): where the controller refuses rows as such, double words take over for the rest of the session.
 */
static uint32_t program_row(volatile uint32_t *to, const uint32_t *data)
{
    FLASH_CR = FLASH_CR_FSTPG;
    for (uint32_t n = 0; n < ROW_SIZE / 4; n++)
        to[n] = data[n];
    uint32_t failure = wait_for_result();
    FLASH_CR = 0;
    if (failure & (FLASH_SR_PROGERR | FLASH_SR_WRPERR))
        return failure & ~FLASH_SR_PGSERR; /* which only tells of the words behind the one that was refused */
    if (failure & FAILED_BUSY || !failure)
        return failure;
    fast_rows = 0;
    failure = prepare();
    return failure ? failure : program_double_words(to, data, data + ROW_SIZE / 4);
}

int ProgramPage(uint32_t address, uint32_t size, const uint32_t *data)
{
    volatile uint32_t *to = (volatile uint32_t *)address;
    const uint32_t *start = data, *end = data + size / 4;
    uint32_t offset = address - FLASH_START;

    if ((address | size | (uint32_t)data) & 7u)
        return (int)FAILED_MISALIGNED;
    if (offset >= FLASH_SIZE || size > FLASH_SIZE - offset)
        return (int)FAILED_OUT_OF_RANGE;

    uint32_t failure = prepare();
    while (data < end && !failure) {
        uint32_t words = (ROW_SIZE - ((uint32_t)to & (ROW_SIZE - 1u))) / 4u, left = (uint32_t)(end - data);

        if (words > left)
            words = left;
        if (fast_rows && words == ROW_SIZE / 4 && is_full(data))
            failure = program_row(to, data);
        else
            failure = program_double_words(to, data, data + words);
        data += words;
        to += words;
    }
    /*
     * A part whose first location is blank when its power comes starts the boot loader at every reset from then on:
     * the flag is evaluated by power-on only (RM0461 section 3.3, empty check), but may be written. UnInit does.
     */
    if (offset == 0 && size != 0 && !failure && !(start[0] == ERASED_WORD && start[1] == ERASED_WORD))
        found_acr &= ~FLASH_ACR_EMPTY;
    return (int)failure;
}
