/* The HAL on the STM32WLE5.
 *
 * Register addresses and bits: CMSIS header stm32wle5xx.h (ST, CMSIS device WL). Behaviour: reference manual
 * RM0461 (STM32WLEx); only where a section is named was its text looked up. No vendor code is used.
 */
#include "hal.h"

#include "console.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* RCC, 0x58000000. HSI16 is ready within microseconds, and its 16 MHz need no flash wait state
 * up to 18 MHz in range 1, the range after reset (stm32wlxx_ll_utils.c). */
#define RCC_CR REGISTER(0x58000000u)
#define RCC_CR_HSION (1u << 8)
#define RCC_CR_HSIRDY (1u << 10)
#define RCC_CFGR REGISTER(0x58000008u)
#define RCC_CFGR_SW_MASK 3u
#define RCC_CFGR_SW_HSI16 1u
#define RCC_CFGR_SWS_MASK (3u << 2)
#define RCC_CFGR_SWS_HSI16 (1u << 2)
#define RCC_AHB2ENR REGISTER(0x5800004Cu)
#define RCC_AHB2ENR_GPIOBEN (1u << 1)
#define RCC_APB2ENR REGISTER(0x58000060u)
#define RCC_APB2ENR_USART1EN (1u << 14)
#define CORE_HZ 16000000u

/* GPIO B, 0x48000400: PB6 = USART1_TX, PB7 = USART1_RX, alternate function 7 (DS13105, unverified). */
#define GPIOB_MODER REGISTER(0x48000400u)
#define GPIOB_PUPDR REGISTER(0x4800040Cu)
#define GPIOB_AFRL REGISTER(0x48000420u)

/* USART1, 0x40013800; its kernel clock after reset is PCLK2 = HSI16 here (RCC_CCIPR = 0). */
#define USART_CR1 REGISTER(0x40013800u)
#define USART_CR1_UE (1u << 0)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_CR1_RXNEIE (1u << 5)
#define USART_CR1_TXEIE (1u << 7)
#define USART_BRR REGISTER(0x4001380Cu)
#define USART_ISR REGISTER(0x4001381Cu)
#define USART_ICR REGISTER(0x40013820u)
#define USART_RDR REGISTER(0x40013824u)
#define USART_TDR REGISTER(0x40013828u)
#define USART_FE (1u << 1) /* these three: same bit in ISR and ICR */
#define USART_NE (1u << 2)
#define USART_ORE (1u << 3)
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TXE (1u << 7)
#define BAUD 115200u

/* NVIC (ARMv7-M ARM, B3.4); USART1 is interrupt 36. */
#define NVIC_ISER1 REGISTER(0xE000E104u)
#define NVIC_ISER1_USART1 (1u << (36 - 32))

/* FLASH, 0x58004000. */
#define FLASH_ACR REGISTER(0x58004000u)
#define FLASH_ACR_DCEN (1u << 10)
#define FLASH_KEYR REGISTER(0x58004008u)
#define FLASH_KEY1 0x45670123u
#define FLASH_KEY2 0xCDEF89ABu
#define FLASH_SR REGISTER(0x58004010u)
#define FLASH_SR_EOP (1u << 0)
/* OPERR 1, PROGERR 3, WRPERR 4, PGAERR 5, SIZERR 6, PGSERR 7, MISERR 8, FASTERR 9, RDERR 14 */
#define FLASH_SR_ERRORS 0x000043FAu
#define FLASH_SR_BSY (1u << 16)
#define FLASH_SR_CFGBSY (1u << 18)
#define FLASH_CR REGISTER(0x58004014u)
#define FLASH_CR_PG (1u << 0)
#define FLASH_CR_PER (1u << 1)
#define FLASH_CR_PNB_SHIFT 3
#define FLASH_CR_PNB_MASK (0x7Fu << FLASH_CR_PNB_SHIFT)
#define FLASH_CR_STRT (1u << 16)
#define FLASH_CR_LOCK (1u << 31)
#define FLASH_ECCR REGISTER(0x58004018u)
#define FLASH_ECCR_ECCD (1u << 31)
#define FLASH_BASE 0x08000000u

/* A page erase takes up to 24.47 ms (STM32L496 datasheet, same flash IP; more than 25 ms were seen on boards).
 * A poll takes at least 4 cycles, so this waits 250 ms or more before the chip is called dead. */
#define FLASH_POLLS_MAX 1000000u

#define UID96_ADDRESS 0x1FFF7590u /* CMSIS header, UID_BASE */

static volatile bool ecc_fault;

void hal_nmi_handler(void);
void hal_usart1_handler(void);

/* A double ECC error raises the NMI with the read already done (stm32wlxx_hal_flash.c). Note it, let go of it,
 * and return: whoever read asks for the flag. Both halves of a bad double word raise it, so it may come again with
 * nothing left to clear; and without the barrier the return could overtake the clearing. */
void hal_nmi_handler(void)
{
    if ((FLASH_ECCR & FLASH_ECCR_ECCD) != 0u) {
        FLASH_ECCR |= FLASH_ECCR_ECCD; /* cleared by writing 1 */
        ecc_fault = true;
    }
    __asm volatile("dsb" ::: "memory");
}

void hal_usart1_handler(void)
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

/* A read-back through a cache that saw the cells before they were written proves nothing, and an ECC error is
 * reported only when the cells themselves are read. At zero wait states the data cache saves no time anyway. */
static void disable_data_cache(void)
{
    FLASH_ACR &= ~FLASH_ACR_DCEN;
}

static void start_clock(void)
{
    RCC_CR |= RCC_CR_HSION;
    while ((RCC_CR & RCC_CR_HSIRDY) == 0u) {
    }
    RCC_CFGR = (RCC_CFGR & ~RCC_CFGR_SW_MASK) | RCC_CFGR_SW_HSI16;
    while ((RCC_CFGR & RCC_CFGR_SWS_MASK) != RCC_CFGR_SWS_HSI16) {
    }
}

static void start_console(void)
{
    RCC_AHB2ENR |= RCC_AHB2ENR_GPIOBEN;
    RCC_APB2ENR |= RCC_APB2ENR_USART1EN;
    (void)RCC_APB2ENR; /* a read back gives the clock the time to start, as ST's drivers do */
    GPIOB_AFRL = (GPIOB_AFRL & ~0xFF000000u) | 0x77000000u;
    GPIOB_PUPDR = (GPIOB_PUPDR & ~(3u << 14)) | (1u << 14); /* RX pulled up: an open line is idle, not noise */
    GPIOB_MODER = (GPIOB_MODER & ~(0xFu << 12)) | (0xAu << 12);
    USART_BRR = (CORE_HZ + BAUD / 2u) / BAUD; /* 139: 0.08 % slow */
    USART_CR1 = USART_CR1_UE | USART_CR1_RE | USART_CR1_TE | USART_CR1_RXNEIE;
    NVIC_ISER1 = NVIC_ISER1_USART1;
}

void hal_init(void)
{
    disable_data_cache();
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

bool hal_flash_read(uint32_t address, uint8_t out[8])
{
    ecc_fault = false;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t word = REGISTER(address + 4u * i);
        for (uint32_t k = 0; k < 4; k++) {
            out[4u * i + k] = (uint8_t)(word >> (8u * k));
        }
    }
    __asm volatile("dsb\n\tisb" ::: "memory"); /* the NMI of a bad word is taken before the flag is looked at */
    return !ecc_fault;
}

/* BSY also clears when an operation failed; CFGBSY stays set until reset after a stray write to flash. Then the
 * waiting is done once: whoever tries slot after slot must not spend it on each. */
static bool flash_idle(void)
{
    static bool stuck;

    for (uint32_t polls = 0; polls < (stuck ? 1u : FLASH_POLLS_MAX); polls++) {
        if ((FLASH_SR & (FLASH_SR_BSY | FLASH_SR_CFGBSY)) == 0u) {
            stuck = false;
            return true;
        }
    }
    stuck = true;
    return false;
}

/* Old error flags make the controller refuse the next operation (PGSERR), so they go first. */
static bool flash_begin(uint32_t mode)
{
    if (!flash_idle()) {
        return false;
    }
    if ((FLASH_CR & FLASH_CR_LOCK) != 0u) {
        FLASH_KEYR = FLASH_KEY1;
        FLASH_KEYR = FLASH_KEY2;
    }
    FLASH_SR = FLASH_SR_ERRORS | FLASH_SR_EOP;
    FLASH_CR = mode;
    return (FLASH_CR & FLASH_CR_LOCK) == 0u;
}

static bool flash_end(void)
{
    bool done = flash_idle() && (FLASH_SR & FLASH_SR_ERRORS) == 0u;

    FLASH_SR = FLASH_SR_ERRORS | FLASH_SR_EOP;
    FLASH_CR = FLASH_CR_LOCK; /* a runaway pointer finds the door shut */
    return done;
}

bool hal_flash_program(uint32_t address, const uint8_t data[8])
{
    uint32_t word[2] = {0, 0};

    for (uint32_t i = 0; i < 8; i++) {
        word[i / 4u] |= (uint32_t)data[i] << (8u * (i % 4u));
    }
    if (!flash_begin(FLASH_CR_PG)) {
        return false;
    }
    REGISTER(address) = word[0];
    __asm volatile("isb" ::: "memory"); /* the two halves in this order (RM0461, 3.3.8) */
    REGISTER(address + 4u) = word[1];
    return flash_end();
}

bool hal_flash_erase_page(uint32_t address)
{
    uint32_t page = (address - FLASH_BASE) / HAL_PAGE_SIZE;
    uint32_t mode = FLASH_CR_PER | ((page << FLASH_CR_PNB_SHIFT) & FLASH_CR_PNB_MASK);

    if (!flash_begin(mode)) {
        return false;
    }
    FLASH_CR = mode | FLASH_CR_STRT;
    return flash_end();
}

void hal_unique_id(uint8_t out[HAL_UNIQUE_ID_SIZE])
{
    for (uint32_t i = 0; i < HAL_UNIQUE_ID_SIZE; i++) {
        out[i] = (uint8_t)(REGISTER(UID96_ADDRESS + (i & ~3u)) >> (8u * (i % 4u)));
    }
}

#include "linked.h" /* last: it defines functions, and their place decides the image's bytes */
