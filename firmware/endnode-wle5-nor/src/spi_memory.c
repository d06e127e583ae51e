/* An SPI memory on SPI1 of the STM32WLE5: SCK PA5, MISO PA6, MOSI PA7, chip-selects PA4 and PA9.
 *
 * Addresses and bits: CMSIS header stm32wle5xx.h; rules: RM0453 (RM0461), chapters SPI and GPIO. Alternate function 5:
 * mbed OS, NUCLEO_WL55JC, PeripheralPins.c (made from CubeMX data). Instructions: AT25SF041, DS-25SF041-044G;
 * 25AA02E64, DS20002123F, table 2-1. No vendor code is used.
 */
#include "spi_memory.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_AHB2ENR REGISTER(0x5800004Cu)
#define RCC_AHB2ENR_GPIOAEN (1u << 0)
#define RCC_APB2ENR REGISTER(0x58000060u)
#define RCC_APB2ENR_SPI1EN (1u << 12)

#define GPIOA_MODER REGISTER(0x48000000u)
#define GPIOA_MODER_MASK 0x000CFF00u /* PA4 to PA7, PA9 */
#define GPIOA_MODER_BITS 0x0004A900u /* outputs PA4, PA9; alternate functions PA5 to PA7 */
#define GPIOA_PUPDR REGISTER(0x4800000Cu)
#define GPIOA_PUPDR_PA6_UP (1u << 12) /* without a part MISO reads 1 */
#define GPIOA_BSRR REGISTER(0x48000018u)
#define GPIOA_AFRL REGISTER(0x48000020u)
#define GPIOA_AFRL_MASK 0xFFF00000u
#define GPIOA_AFRL_SPI1 0x55500000u
#define SELECTS ((1u << 4) | (1u << 9))

#define SPI1_CR1 REGISTER(0x40013000u)
#define SPI_CR1_ON 0x0354u /* SSM, SSI, SPE, BR 2 (2 MHz from 16 MHz), MSTR; mode 0 */
#define SPI1_CR2 REGISTER(0x40013004u)
#define SPI_CR2_BYTES 0x1700u /* FRXTH, DS 8 bits */
#define SPI1_SR REGISTER(0x40013008u)
#define SPI_SR_RXNE (1u << 0)
#define SPI1_DR (*(volatile uint8_t *)0x4001300Cu)
#define POLLS_MAX 10000u /* a byte takes 4 us */

#define READ_ARRAY 0x03u
#define RELEASE_POWER_DOWN 0xABu
#define DEEP_POWER_DOWN 0xB9u
#define WAKE_TURNS 100u /* more than 5 us at 16 MHz (AT25SF041) */

static void start(void)
{
    RCC_AHB2ENR |= RCC_AHB2ENR_GPIOAEN;
    RCC_APB2ENR |= RCC_APB2ENR_SPI1EN;
    (void)RCC_APB2ENR; /* a read back gives the clocks the time to start */
    SPI1_CR2 = SPI_CR2_BYTES;
    SPI1_CR1 = SPI_CR1_ON;
    GPIOA_BSRR = SELECTS;
    GPIOA_PUPDR |= GPIOA_PUPDR_PA6_UP;
    GPIOA_AFRL = (GPIOA_AFRL & ~GPIOA_AFRL_MASK) | GPIOA_AFRL_SPI1;
    GPIOA_MODER = (GPIOA_MODER & ~GPIOA_MODER_MASK) | GPIOA_MODER_BITS;
}

static bool exchange(uint8_t out, uint8_t *in)
{
    SPI1_DR = out;
    for (uint32_t polls = 0; polls < POLLS_MAX; polls++) {
        if ((SPI1_SR & SPI_SR_RXNE) != 0u) {
            *in = SPI1_DR;
            return true;
        }
    }
    return false;
}

static void select(bool low)
{
    GPIOA_BSRR = 1u << (SPI_MEMORY_SELECT + (low ? 16u : 0u));
}

/* An instruction without address and data, for parts that sleep between two reads. */
static bool simple(uint8_t opcode)
{
    uint8_t unused;
    bool done;

    select(true);
    done = exchange(opcode, &unused);
    select(false);
    return done;
}

static bool wake(void)
{
    bool done = simple(RELEASE_POWER_DOWN);

    for (volatile uint32_t turn = 0; turn < WAKE_TURNS; turn++) {
    }
    return done;
}

bool spi_memory_read(uint32_t address, uint8_t out[8])
{
    uint8_t unused;
    bool done;

    start();
    done = !SPI_MEMORY_SLEEPS || wake();
    select(true);
    done = done && exchange(READ_ARRAY, &unused);
    for (uint32_t n = SPI_MEMORY_ADDRESS_BYTES; done && n-- > 0u;) {
        done = exchange((uint8_t)(address >> (8u * n)), &unused);
    }
    for (uint32_t n = 0; done && n < 8u; n++) {
        done = exchange(0xFF, &out[n]);
    }
    select(false);
    if (SPI_MEMORY_SLEEPS) {
        done = simple(DEEP_POWER_DOWN) && done;
    }
    SPI1_CR1 = 0;
    return done;
}
