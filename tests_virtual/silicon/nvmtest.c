/* Programs flash from flash: erases the page at 0x08020000, programs two double words, reads a third one that may be
   ECC-bad (0x08020100) and says how often NMI came and what ECCR held; ends in WFI. */
#include "chip.h"
void nmi(void) { RESULT[4]++; RESULT[5] = FLASH_ECCR; FLASH_ECCR = 1u << 31; }
static void wait(void) { while (FLASH_SR & 0x50000) { } }
static void program(volatile uint32_t *to, uint32_t low, uint32_t high)
{
    FLASH_SR = 0xFB; FLASH_CR = 1; to[0] = low; __asm volatile("" ::: "memory"); to[1] = high; wait();
    FLASH_CR = 0;
}
void reset(void)
{
    for (int i = 0; i < 16; i++) RESULT[i] = 0;
    RESULT[0] = *(volatile uint32_t *)0x08020100;   /* maybe torn */
    RESULT[1] = RESULT[4];                          /* NMI must have come before this line */
    FLASH_KEYR = 0x45670123; FLASH_KEYR = 0xCDEF89AB;
    if (RESULT[1] == 0) {
        FLASH_CR = 2 | 64 << 3; FLASH_CR |= 1 << 16; wait();
        program((volatile uint32_t *)0x08020000, 0x11223344, 0x55667788);
        RESULT[6] = FLASH_SR;
        program((volatile uint32_t *)0x08020000, 0xAABBCCDD, 0);        /* refused: PROGERR */
        RESULT[7] = FLASH_SR;
        RESULT[8] = *(volatile uint32_t *)0x08020000;
        program((volatile uint32_t *)0x08020100, 0x0F0F0F0F, 0x12345678);
        RESULT[9] = FLASH_SR;
    }
    RESULT[10] = 0xD0E;
    for (;;) __asm volatile("wfi");
}
