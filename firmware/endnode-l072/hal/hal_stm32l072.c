/* The HAL on the STM32L072.
 *
 * Register addresses and bits: CMSIS header stm32l072xx.h (ST, CMSIS device L0); keys: HAL header
 * stm32l0xx_hal_flash.h. Behaviour: reference manual RM0367; only where a section is named was its text looked up.
 * No vendor code is used.
 */
#include "hal.h"

#include "console.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* RCC, 0x40021000. */
#define RCC_CR REGISTER(0x40021000u)
#define RCC_CR_HSI16ON (1u << 0)
#define RCC_CR_HSI16RDY (1u << 2)
#define RCC_CFGR REGISTER(0x4002100Cu)
#define RCC_CFGR_SW_MASK 3u
#define RCC_CFGR_SW_HSI16 1u
#define RCC_CFGR_SWS_MASK (3u << 2)
#define RCC_CFGR_SWS_HSI16 (1u << 2)
#define RCC_IOPENR REGISTER(0x4002102Cu)
#define RCC_IOPENR_GPIOAEN (1u << 0)
#define RCC_APB1ENR REGISTER(0x40021038u)
#define RCC_APB1ENR_USART2EN (1u << 17)
#define CORE_HZ 16000000u

/* GPIO A, 0x50000000: PA2 = USART2_TX, PA3 = USART2_RX, alternate function 4, the console of the B-L072Z-LRWAN1 (DS
 * DocID027100, unverified). */
#define GPIOA_MODER REGISTER(0x50000000u)
#define GPIOA_PUPDR REGISTER(0x5000000Cu)
#define GPIOA_AFRL REGISTER(0x50000020u)

/* USART2, 0x40004400; its kernel clock after reset is PCLK1 = HSI16 here (RCC_CCIPR = 0). */
#define USART_CR1 REGISTER(0x40004400u)
#define USART_CR1_UE (1u << 0)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR1_RXNEIE (1u << 5)
#define USART_CR1_TXEIE (1u << 7)
#define USART_BRR REGISTER(0x4000440Cu)
#define USART_ISR REGISTER(0x4000441Cu)
#define USART_ICR REGISTER(0x40004420u)
#define USART_RDR REGISTER(0x40004424u)
#define USART_TDR REGISTER(0x40004428u)
#define USART_FE (1u << 1) /* these three: same bit in ISR and ICR */
#define USART_NE (1u << 2)
#define USART_ORE (1u << 3)
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TXE (1u << 7)
#define BAUD 115200u

/* NVIC (ARMv6-M ARM, B3.4); USART2 is interrupt 28. */
#define NVIC_ISER REGISTER(0xE000E100u)
#define NVIC_ISER_USART2 (1u << 28)

/* The memory controller, 0x40022000. */
#define FLASH_ACR REGISTER(0x40022000u)
#define FLASH_ACR_LATENCY (1u << 0)
#define FLASH_ACR_DISAB_BUF (1u << 5)
#define FLASH_PECR REGISTER(0x40022004u)
#define FLASH_PECR_PELOCK (1u << 0)
#define FLASH_PECR_PRGLOCK (1u << 1)
#define FLASH_PECR_PROG (1u << 3)
#define FLASH_PECR_DATA (1u << 4)
#define FLASH_PECR_FIX (1u << 8)
#define FLASH_PECR_ERASE (1u << 9)
#define FLASH_PECR_FPRG (1u << 10)
#define FLASH_PECR_MODES (FLASH_PECR_PROG | FLASH_PECR_DATA | FLASH_PECR_FIX | FLASH_PECR_ERASE | FLASH_PECR_FPRG)
#define FLASH_PEKEYR REGISTER(0x4002200Cu)
#define FLASH_PEKEY1 0x89ABCDEFu
#define FLASH_PEKEY2 0x02030405u
#define FLASH_PRGKEYR REGISTER(0x40022010u)
#define FLASH_PRGKEY1 0x8C9DAEBFu
#define FLASH_PRGKEY2 0x13141516u
#define FLASH_SR REGISTER(0x40022018u)
#define FLASH_SR_BSY (1u << 0)
#define FLASH_SR_EOP (1u << 1)
/* WRPERR 8, PGAERR 9, SIZERR 10, RDERR 13, NOTZEROERR 16, FWWERR 17 */
#define FLASH_SR_ERRORS 0x00032700u

#define EEPROM_BASE 0x08080000u
#define EEPROM_SIZE 0x1800u

/* A word or a page takes up to 3.94 ms, a word that is erased first twice that (unverified). A poll takes at least
 * 4 cycles, so this waits 250 ms or more before the chip is called dead. */
#define FLASH_POLLS_MAX 1000000u

/* The 96 bits of the unique id; the third word lies apart (UID_BASE; stm32l0xx_ll_utils.h, LL_GetUID_Word2). */
#define UID_WORD_0 REGISTER(0x1FF80050u)
#define UID_WORD_1 REGISTER(0x1FF80054u)
#define UID_WORD_2 REGISTER(0x1FF80064u)

void hal_usart2_handler(void);

void hal_usart2_handler(void)
{
    uint32_t status = USART_ISR;
    uint32_t errors = status & (USART_FE | USART_NE | USART_ORE);

    if ((status & USART_ISR_RXNE) != 0u) {
        uint16_t byte = (uint16_t)(USART_RDR & 0xFFu);
        if ((errors & (USART_FE | USART_NE)) == 0u) {
            rx_push(byte);
        }
    }
    if (errors != 0u) {
        USART_ICR = errors;
        rx_push(HAL_CONSOLE_DAMAGED);
    }
    if ((status & USART_ISR_TXE) != 0u && (USART_CR1 & USART_CR1_TXEIE) != 0u) {
        if (tx_head == tx_tail) {
            USART_CR1 &= ~USART_CR1_TXEIE;
        } else {
            USART_TDR = tx_ring[tx_tail % TX_SIZE];
            tx_tail++;
        }
    }
}

/* After reset the core runs from MSI in voltage range 2, in which 16 MHz need one wait state (RM0367, 3.3.3). The
 * buffers stay off: a read-back through one that saw the cells before they were written proves nothing. */
static void start_clock(void)
{
    FLASH_ACR = FLASH_ACR_LATENCY | FLASH_ACR_DISAB_BUF;
    (void)FLASH_ACR;
    RCC_CR |= RCC_CR_HSI16ON;
    while ((RCC_CR & RCC_CR_HSI16RDY) == 0u) {
    }
    RCC_CFGR = (RCC_CFGR & ~RCC_CFGR_SW_MASK) | RCC_CFGR_SW_HSI16;
    while ((RCC_CFGR & RCC_CFGR_SWS_MASK) != RCC_CFGR_SWS_HSI16) {
    }
}

static void start_console(void)
{
    RCC_IOPENR |= RCC_IOPENR_GPIOAEN;
    RCC_APB1ENR |= RCC_APB1ENR_USART2EN;
    (void)RCC_APB1ENR; /* a read back gives the clock the time to start, as ST's drivers do */
    GPIOA_AFRL = (GPIOA_AFRL & ~0x0000FF00u) | 0x00004400u;
    GPIOA_PUPDR = (GPIOA_PUPDR & ~(3u << 6)) | (1u << 6); /* RX pulled up: an open line is idle, not noise */
    GPIOA_MODER = (GPIOA_MODER & ~(0xFu << 4)) | (0xAu << 4);
    USART_BRR = (CORE_HZ + BAUD / 2u) / BAUD; /* 139: 0.08 % slow */
    USART_CR1 = USART_CR1_UE | USART_CR1_RE | USART_CR1_TE | USART_CR1_RXNEIE;
    NVIC_ISER = NVIC_ISER_USART2;
}

void hal_init(void)
{
    start_clock();
    start_console();
    __asm volatile("cpsie i" ::: "memory");
}

void hal_console_write(const char *text, size_t length)
{
    while (length-- > 0) {
        while (!tx_has_room()) {
            sleep_unless(tx_has_room);
        }
        tx_ring[tx_head % TX_SIZE] = (uint8_t)*text++;
        tx_head++;
        USART_CR1 |= USART_CR1_TXEIE;
    }
}

int hal_console_read(void)
{
    int item;

    if (!rx_has_something()) {
        return HAL_CONSOLE_NOTHING;
    }
    item = rx_ring[rx_tail % RX_SIZE];
    rx_tail++;
    return item;
}

void hal_sleep_until_input(void)
{
    sleep_unless(rx_has_something);
}

/* A word whose programming was cut reads as something else: this memory's ECC has no flag (RM0377 section 3.2, of the
 * same memory). */
bool hal_flash_read(uint32_t address, uint8_t out[8])
{
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t word = REGISTER(address + 4u * i);
        for (uint32_t k = 0; k < 4; k++) {
            out[4u * i + k] = (uint8_t)(word >> (8u * k));
        }
    }
    return true;
}

/* Flash and data EEPROM are of one controller, and differ in their locks and in what erasing means. */
static bool in_eeprom(uint32_t address)
{
    return address - EEPROM_BASE < EEPROM_SIZE;
}

static bool memory_idle(void)
{
    for (uint32_t polls = 0; polls < FLASH_POLLS_MAX; polls++) {
        if ((FLASH_SR & FLASH_SR_BSY) == 0u) {
            return true;
        }
    }
    return false;
}

static bool memory_unlock(uint32_t address)
{
    uint32_t locks = in_eeprom(address) ? FLASH_PECR_PELOCK : FLASH_PECR_PELOCK | FLASH_PECR_PRGLOCK;

    if ((FLASH_PECR & FLASH_PECR_PELOCK) != 0u) {
        FLASH_PEKEYR = FLASH_PEKEY1;
        FLASH_PEKEYR = FLASH_PEKEY2;
    }
    if ((FLASH_PECR & locks) == FLASH_PECR_PRGLOCK) { /* its keys are taken behind the first lock only */
        FLASH_PRGKEYR = FLASH_PRGKEY1;
        FLASH_PRGKEYR = FLASH_PRGKEY2;
    }
    return (FLASH_PECR & locks) == 0u;
}

/* Writes one word in a mode of PECR, and locks: a runaway pointer finds the door shut. */
static bool memory_write(uint32_t address, uint32_t word, uint32_t mode)
{
    bool done = false;

    if (memory_idle() && memory_unlock(address)) {
        FLASH_SR = FLASH_SR_ERRORS | FLASH_SR_EOP;
        FLASH_PECR = (FLASH_PECR & ~FLASH_PECR_MODES) | mode;
        REGISTER(address) = word;
        done = memory_idle() && (FLASH_SR & FLASH_SR_ERRORS) == 0u;
    }
    if ((FLASH_PECR & FLASH_PECR_PELOCK) == 0u) {
        FLASH_PECR |= FLASH_PECR_PELOCK; /* which closes the other lock, too */
    }
    return done;
}

/* Erased words are zero: a word that is to be zero is left alone. */
bool hal_flash_program(uint32_t address, const uint8_t data[8])
{
    bool done = true;

    for (uint32_t i = 0; i < 8u && done; i += 4u) {
        uint32_t word = (uint32_t)data[i] | (uint32_t)data[i + 1u] << 8 | (uint32_t)data[i + 2u] << 16 |
                        (uint32_t)data[i + 3u] << 24;
        done = word == 0u || memory_write(address + i, word, 0);
    }
    return done;
}

/* The data EEPROM's own page is one word: a page of the log is 32 of them. */
bool hal_flash_erase_page(uint32_t address)
{
    bool done = true;

    if (!in_eeprom(address)) {
        return memory_write(address, 0, FLASH_PECR_ERASE | FLASH_PECR_PROG);
    }
    for (uint32_t offset = 0; offset < HAL_PAGE_SIZE && done; offset += 4u) {
        done = memory_write(address + offset, 0, FLASH_PECR_ERASE | FLASH_PECR_DATA);
    }
    return done;
}

void hal_unique_id(uint8_t out[HAL_UNIQUE_ID_SIZE])
{
    const uint32_t words[3] = {UID_WORD_0, UID_WORD_1, UID_WORD_2};

    for (uint32_t i = 0; i < HAL_UNIQUE_ID_SIZE; i++) {
        out[i] = (uint8_t)(words[i / 4u] >> (8u * (i % 4u)));
    }
}

#include "linked.h"
