/*
 * Flash algorithm for nRF52840 (CMSIS-style: Init, UnInit, EraseSector, EraseChip, ProgramPage).
 *
 * A debugger loads it into RAM and calls it there, one function at a time. Every function returns 0, or one of the
 * FAILED_ codes: the controller itself reports no errors.
 *
 * Registers: MDK nrf52840.h (NRF_NVMC_Type); rules: nRF52840 product specification 1.11, chapter NVMC.
 */
#include "worker.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define NVMC_READY REGISTER(0x4001E400u)
#define NVMC_CONFIG REGISTER(0x4001E504u)
#define NVMC_CONFIG_REN 0u
#define NVMC_CONFIG_WEN 1u
#define NVMC_CONFIG_EEN 2u
#define NVMC_ERASEPAGE REGISTER(0x4001E508u)

/* 256 pages of 4 KiB from 0 on, written by words. */
#define FLASH_SIZE 0x100000u
#define PAGE_SIZE 4096u
#define ERASED_WORD 0xFFFFFFFFu

#define FAILED_BUSY 0x02000000u
#define FAILED_OUT_OF_RANGE 0x04000000u
#define FAILED_MISALIGNED 0x08000000u

/* Each turn costs about 6 cycles: 3 s at 64 MHz; a page erase takes 85 ms (product specification, tERASEPAGE). */
#define WAIT_TURNS 32000000u

extern uint32_t __page_buffer_0[], __page_buffer_end[];

static uint32_t found_primask;

/* Callers return here; must be the first thing in the image, because pyOCD sets LR to the load address. */
__attribute__((naked, used, section(".breakpoint"))) void Breakpoint(void)
{
    __asm volatile("bkpt #0\n b .");
}

static uint32_t wait_until_ready(void)
{
    for (uint32_t turn = 0; turn < WAIT_TURNS; turn++)
        if (NVMC_READY & 1u)
            return 0;
    return FAILED_BUSY;
}

/* The core runs at 64 MHz from reset on. The halted firmware's handlers must not run from a flash that is erased. */
void fast_clock(void)
{
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(found_primask) : : "memory");
}

void found_clock(void)
{
    __asm volatile("msr primask, %0" : : "r"(found_primask) : "memory");
}

/* There is no ECC. */
void clear_ecc_error(void)
{
}

int Init(uint32_t address, uint32_t clock, uint32_t operation)
{
    (void)address, (void)clock, (void)operation;

    fast_clock();
    return (int)wait_until_ready();
}

int UnInit(uint32_t operation)
{
    (void)operation;
    uint32_t failure = wait_until_ready();

    NVMC_CONFIG = NVMC_CONFIG_REN;
    /* The page buffers may have carried keys: leave none in RAM. */
    for (volatile uint32_t *word = __page_buffer_0; word < __page_buffer_end; word++)
        *word = 0;
    found_clock();
    return (int)failure;
}

int EraseSector(uint32_t address)
{
    if (address >= FLASH_SIZE)
        return (int)FAILED_OUT_OF_RANGE;
    NVMC_CONFIG = NVMC_CONFIG_EEN;
    NVMC_ERASEPAGE = address & ~(PAGE_SIZE - 1u);
    uint32_t failure = wait_until_ready();
    NVMC_CONFIG = NVMC_CONFIG_REN;
    return (int)failure;
}

/*
 * Page by page, although ERASEALL takes a hundredth of the time: it would erase UICR as well, with the regulator's
 * voltage, the reset pin, and what keeps the debug port of later parts open.
 */
int EraseChip(void)
{
    uint32_t failure = 0;

    for (uint32_t address = 0; address < FLASH_SIZE && !failure; address += PAGE_SIZE)
        failure = (uint32_t)EraseSector(address);
    return (int)failure;
}

/* A word that is all ones stays erased: a word may be written twice only between erases. */
int ProgramPage(uint32_t address, uint32_t size, const uint32_t *data)
{
    volatile uint32_t *to = (volatile uint32_t *)address;
    uint32_t failure = 0;

    if ((address | size | (uint32_t)data) & 3u)
        return (int)FAILED_MISALIGNED;
    if (address >= FLASH_SIZE || size > FLASH_SIZE - address)
        return (int)FAILED_OUT_OF_RANGE;
    NVMC_CONFIG = NVMC_CONFIG_WEN;
    for (uint32_t n = 0; n < size / 4u && !failure; n++) {
        if (data[n] == ERASED_WORD)
            continue;
        to[n] = data[n];
        failure = wait_until_ready();
    }
    NVMC_CONFIG = NVMC_CONFIG_REN;
    return (int)failure;
}
