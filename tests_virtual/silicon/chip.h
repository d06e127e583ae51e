/* Registers that the programs of this folder use; offsets as in the CMSIS header stm32wle5xx.h. */
#include <stdint.h>
#define REG(a) (*(volatile uint32_t *)(a))
#define RCC_CR REG(0x58000000)
#define RCC_CFGR REG(0x58000008)
#define RCC_APB2ENR REG(0x58000060)
#define USART_CR1 REG(0x40013800)
#define USART_BRR REG(0x4001380C)
#define USART_ISR REG(0x4001381C)
#define USART_ICR REG(0x40013820)
#define USART_RDR REG(0x40013824)
#define USART_TDR REG(0x40013828)
#define FLASH_KEYR REG(0x58004008)
#define FLASH_SR REG(0x58004010)
#define FLASH_CR REG(0x58004014)
#define FLASH_ECCR REG(0x58004018)
#define SYST_CSR REG(0xE000E010)
#define SYST_RVR REG(0xE000E014)
#define SYST_CVR REG(0xE000E018)
#define NVIC_ISER1 REG(0xE000E104)
#define SCB_ICSR REG(0xE000ED04)
#define RESULT ((volatile uint32_t *)0x20000000)
#define STACK_TOP 0x20004000
extern void reset(void), nmi(void), hard_fault(void), svcall(void), pendsv(void), systick(void), usart1(void);
void idle(void) { for (;;) { } }
/* a program without one of the handlers gets idle() from link.ld */
typedef void (*vector)(void);
__attribute__((section(".vectors"), used)) const vector vectors[53] = {
    (vector)STACK_TOP, reset, nmi, hard_fault, idle, idle, idle, 0, 0, 0, 0, svcall, idle, 0, pendsv, systick,
    [52] = usart1,
};
