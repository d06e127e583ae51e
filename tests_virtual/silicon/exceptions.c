/* Every kind of exception once; RESULT tells what happened, and the program ends in BKPT. */
#include "chip.h"
__attribute__((noinline)) static void mark(unsigned n) { RESULT[n] = ++RESULT[15]; }
void systick(void) { if (++RESULT[1] == 5) SYST_CSR = 0; }
void svcall(void) { SCB_ICSR = 1 << 28; mark(2); RESULT[3] = SCB_ICSR & 0x1FF; }
void pendsv(void) { mark(4); }
__attribute__((naked)) void hard_fault(void)
{   /* step over the 16-bit load that failed */
    __asm volatile("ldr r0, [sp, #24]\n adds r0, #2\n str r0, [sp, #24]\n"
                   "ldr r1, =0x20000014\n ldr r0, [r1]\n adds r0, #1\n str r0, [r1]\n bx lr");
}
void nmi(void) { mark(6); }
void reset(void)
{
    for (int i = 0; i < 16; i++) RESULT[i] = 0;
    __asm volatile("svc 0" ::: "memory");
    mark(7);                                        /* after SVC and the PendSV that it asked for */
    SCB_ICSR = 1u << 31;
    for (int i = 0; i < 2000; i++) __asm volatile("nop");
    __asm volatile("ldr r3, =0x60000000\n ldr r3, [r3]" ::: "r3", "memory");
    __asm volatile("ldr r3, =0x40000000\n ldr r3, [r3]" ::: "r3", "memory");
    SYST_RVR = 3999; SYST_CVR = 0; SYST_CSR = 7;    /* 1 ms at 4 MHz */
    while (RESULT[1] < 3) __asm volatile("cpsid i\n wfi\n cpsie i" ::: "memory");
    while (RESULT[1] < 4) __asm volatile("cpsid i\n nop\n nop\n cpsie i\n nop\n" ::: "memory");
    while (RESULT[1] < 5) { }
    uint32_t psp;
    __asm volatile("ldr %0, =0x20003000\n msr psp, %0\n movs %0, #2\n msr control, %0\n isb\n"
                   "svc 1\n mrs %0, psp" : "=r"(psp) :: "memory");
    RESULT[8] = psp;
    RESULT[9] = 0xD0E;
    __asm volatile("bkpt 0");
    for (;;) { }
}
