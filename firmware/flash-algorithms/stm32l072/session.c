/*
 * What flash and data EEPROM of STM32L0 category 5 parts share: clocks, Init, UnInit, and waiting for the controller.
 *
 * A debugger loads the program into SRAM and calls it there, one function at a time. Every function returns 0, or
 * says why not: the error bits of FLASH_SR as they are, or one of the FAILED_ codes of nvm.h.
 */
#include "nvm.h"

#define RCC_CR REGISTER(RCC_BASE)
#define RCC_CR_HSION (1u << 0)
#define RCC_CR_HSIRDY (1u << 2)
#define RCC_CFGR REGISTER(RCC_BASE + 0x0Cu)
#define RCC_CFGR_SW 0x3u
#define RCC_CFGR_SW_HSI16 0x1u
#define RCC_CFGR_SWS (0x3u << 2)
#define RCC_CFGR_SWS_MSI (0x0u << 2)
#define RCC_CFGR_SWS_HSI16 (0x1u << 2)
#define RCC_APB1ENR REGISTER(RCC_BASE + 0x38u)
#define RCC_APB1ENR_PWREN (1u << 28)

/* stm32l072xx.h: PWR_BASE 0x40007000. */
#define PWR_CR REGISTER(0x40007000u)
#define PWR_CR_VOS (0x3u << 11)

/*
 * Each turn of the wait loop costs about 10 cycles: 0.6 s at 16 MHz, 5 s at the 2.1 MHz after reset. One operation
 * takes 3.94 ms at most, an erase before it as much again (data sheet figures, unverified; 4 ms is what Zephyr allows).
 */
#define WAIT_TURNS 1000000u
/* HSI16 starts within microseconds (data sheet: unverified); it is a matter of speed only, so failing is allowed. */
#define CLOCK_TURNS 10000u

extern uint32_t __page_buffer_0[], __page_buffer_end[];

/* What fast_clock found and found_clock puts back. */
static uint32_t found_rcc_cr, found_rcc_cfgr, found_acr, found_primask;

/* Callers return here; must be the first thing in the image, because pyOCD sets LR to the load address. */
__attribute__((naked, used, section(".breakpoint"))) void Breakpoint(void)
{
    __asm volatile("bkpt #0\n b .");
}

uint32_t wait_for_result(void)
{
    for (uint32_t turn = 0; turn < WAIT_TURNS; turn++) {
        uint32_t status = FLASH_SR;
        if (!(status & FLASH_SR_BSY))
            return status & FLASH_SR_ERRORS;
    }
    return FAILED_BUSY;
}

uint32_t prepare(void)
{
    uint32_t failure = wait_for_result() & FAILED_BUSY;

    /* OPTVERR tells of the option bytes, not of us, and is set at each start of some revisions (HAL): only cleared. */
    FLASH_SR = FLASH_SR_ERRORS | FLASH_SR_OPTVERR | FLASH_SR_EOP;
    return failure;
}

static void wait_for_clock(volatile uint32_t *reg, uint32_t mask, uint32_t wanted)
{
    for (uint32_t turn = 0; turn < CLOCK_TURNS && (*reg & mask) != wanted; turn++)
        ;
}

/* Voltage range 3 allows 4.2 MHz at most (RM0367, dynamic voltage scaling); the regulator is the firmware's business. */
static int regulator_allows_16_mhz(void)
{
    uint32_t found = RCC_APB1ENR;

    RCC_APB1ENR = found | RCC_APB1ENR_PWREN;
    (void)RCC_APB1ENR; /* the register can be read two clocks later */
    int allows = (PWR_CR & PWR_CR_VOS) != PWR_CR_VOS;
    RCC_APB1ENR = found;
    return allows;
}

/* After reset the core runs from MSI at 2.1 MHz, which makes loading and polling slow; HSI16 needs no set-up. */
static void raise_clock(void)
{
    if ((RCC_CFGR & RCC_CFGR_SWS) != RCC_CFGR_SWS_MSI || !regulator_allows_16_mhz())
        return; /* the firmware already chose HSI16, HSE or the PLL, or saves power */
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
    /*
     * The halted firmware's interrupt handlers must not run: a fetch from the memory while a half page is being
     * loaded aborts the operation (FWWERR).
     */
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(found_primask) : : "memory");
    found_rcc_cr = RCC_CR;
    found_rcc_cfgr = RCC_CFGR;
    found_acr = FLASH_ACR;
    /*
     * One wait state suits every clock that the part has (CMSIS: LATENCY is one bit; 32 MHz in range 1, 16 MHz in
     * range 2). Buffers off: they would go on showing what was there before the erase.
     */
    FLASH_ACR = (found_acr & ~(FLASH_ACR_PRFTEN | FLASH_ACR_PRE_READ)) | FLASH_ACR_DISAB_BUF | FLASH_ACR_LATENCY;
    (void)FLASH_ACR;
    raise_clock();
}

void found_clock(void)
{
    restore_clock();
    FLASH_ACR = found_acr;
    __asm volatile("msr primask, %0" : : "r"(found_primask) : "memory");
}

/* The ECC of this part has no flag (RM0367 section 3.2). */
void clear_ecc_error(void)
{
}

static uint32_t unlock_flash(void)
{
    if (FLASH_PECR & FLASH_PECR_PRGLOCK) {
        FLASH_PRGKEYR = FLASH_PRGKEY1;
        FLASH_PRGKEYR = FLASH_PRGKEY2;
    }
    return FLASH_PECR & FLASH_PECR_PRGLOCK ? FAILED_LOCKED : 0;
}

int Init(uint32_t address, uint32_t clock, uint32_t operation)
{
    (void)address, (void)clock, (void)operation;

    fast_clock();
    uint32_t failure = prepare();
    if (FLASH_PECR & FLASH_PECR_PELOCK) {
        FLASH_PEKEYR = FLASH_PEKEY1;
        FLASH_PEKEYR = FLASH_PEKEY2;
    }
    if (FLASH_PECR & FLASH_PECR_PELOCK)
        return (int)(failure | FAILED_LOCKED);
    FLASH_PECR &= FLASH_PECR_LOCKS; /* no mode that the firmware left may change what ours do */
    return (int)(failure | unlock_flash());
}

int UnInit(uint32_t operation)
{
    (void)operation;
    uint32_t failure = wait_for_result() & FAILED_BUSY;

    FLASH_PECR |= FLASH_PECR_PRGLOCK;
    FLASH_PECR |= FLASH_PECR_PELOCK;
    wipe_buffers();
    found_clock();
    return (int)failure;
}
