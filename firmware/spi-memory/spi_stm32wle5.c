/* SPI1 of the STM32WLE5. Addresses and bits: CMSIS header stm32wle5xx.h; rules: RM0453 (RM0461), chapters SPI, GPIO. */
#include "spi.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define RCC_AHB2ENR REGISTER(0x5800004Cu) /* GPIOA 0, GPIOB 1, GPIOC 2 */
#define RCC_APB2ENR REGISTER(0x58000060u)
#define RCC_APB2RSTR REGISTER(0x58000040u)
#define RCC_APB2_SPI1 (1u << 12)

#define GPIO(pin) (0x48000000u + 0x400u * ((pin) / 16u))
#define GPIO_MODER(pin) REGISTER(GPIO(pin) + 0x00u)
#define GPIO_PUPDR(pin) REGISTER(GPIO(pin) + 0x0Cu)
#define GPIO_BSRR(pin) REGISTER(GPIO(pin) + 0x18u)
#define GPIO_AFR(pin) REGISTER(GPIO(pin) + 0x20u + 4u * ((pin) % 16u / 8u))
#define MODE_OUTPUT 1u
#define MODE_ALTERNATE 2u
#define PULL_UP 1u
/* Of every pin that can be SPI1's: mbed OS, NUCLEO_WL55JC, PeripheralPins.c (made from CubeMX data). */
#define AF_SPI1 5u

#define SPI1 0x40013000u
#define SPI_CR1 REGISTER(SPI1 + 0x00u)
#define SPI_CR1_MSTR (1u << 2)
#define SPI_CR1_BR_8 (2u << 3) /* 0.5 MHz from the 4 MHz after reset, 6 MHz from the highest PCLK2 of 48 MHz */
#define SPI_CR1_SPE (1u << 6)
#define SPI_CR1_SSI (1u << 8)
#define SPI_CR1_SSM (1u << 9)
#define SPI_CR2 REGISTER(SPI1 + 0x04u)
#define SPI_CR2_DS_8 (7u << 8)
#define SPI_CR2_FRXTH (1u << 12) /* RXNE from one byte on */
#define SPI_SR REGISTER(SPI1 + 0x08u)
#define SPI_SR_RXNE (1u << 0)
#define SPI_SR_TXE (1u << 1)
#define SPI_DR (*(volatile uint8_t *)(SPI1 + 0x0Cu)) /* bytes: the FIFO packs what is written wider */

/* A byte takes 64 cycles of PCLK2, and PCLK2 is at least a 16th of the core's clock. */
#define WAIT_TURNS 10000u

static void set_field(volatile uint32_t *reg, uint32_t position, uint32_t mask, uint32_t value)
{
    *reg = (*reg & ~(mask << position)) | (value << position);
}

static void mode(uint32_t pin, uint32_t value)
{
    set_field(&GPIO_MODER(pin), 2u * (pin % 16u), 3u, value);
}

static void drive_high(uint32_t pin)
{
    if (pin != NO_PIN) {
        RCC_AHB2ENR |= 1u << (pin / 16u);
        (void)RCC_AHB2ENR; /* a read back gives the clock the time to start */
        GPIO_BSRR(pin) = 1u << (pin % 16u); /* before it is an output: no low pulse */
        mode(pin, MODE_OUTPUT);
    }
}

static void give_to_spi(uint32_t pin)
{
    RCC_AHB2ENR |= 1u << (pin / 16u);
    (void)RCC_AHB2ENR;
    set_field(&GPIO_AFR(pin), 4u * (pin % 8u), 0xFu, AF_SPI1);
    mode(pin, MODE_ALTERNATE);
}

static void reset_spi(void)
{
    RCC_APB2RSTR |= RCC_APB2_SPI1;
    RCC_APB2RSTR &= ~RCC_APB2_SPI1;
}

void spi_open(const struct mailbox *wiring)
{
    drive_high(wiring->select);
    for (uint32_t n = 0; n < sizeof wiring->others; n++) {
        drive_high(wiring->others[n]);
    }
    RCC_APB2ENR |= RCC_APB2_SPI1;
    (void)RCC_APB2ENR;
    reset_spi(); /* the firmware may have been halted in the middle of something */
    SPI_CR2 = SPI_CR2_DS_8 | SPI_CR2_FRXTH;
    SPI_CR1 = SPI_CR1_MSTR | SPI_CR1_BR_8 | SPI_CR1_SSI | SPI_CR1_SSM;
    SPI_CR1 |= SPI_CR1_SPE;
    set_field(&GPIO_PUPDR(wiring->miso), 2u * (wiring->miso % 16u), 3u, PULL_UP); /* nobody there reads 0xFF */
    give_to_spi(wiring->sck);
    give_to_spi(wiring->miso);
    give_to_spi(wiring->mosi);
}

void spi_select(const struct mailbox *wiring, bool low)
{
    uint32_t pin = wiring->select;

    GPIO_BSRR(pin) = 1u << (pin % 16u + (low ? 16u : 0u));
}

static bool wait_for(uint32_t flag)
{
    for (uint32_t turn = 0; turn < WAIT_TURNS; turn++) {
        if ((SPI_SR & flag) != 0u) {
            return true;
        }
    }
    return false;
}

bool spi_exchange(uint8_t out, uint8_t *in)
{
    if (!wait_for(SPI_SR_TXE)) {
        return false;
    }
    SPI_DR = out;
    if (!wait_for(SPI_SR_RXNE)) {
        return false;
    }
    *in = SPI_DR;
    return true;
}

void spi_close(void)
{
    reset_spi();
}
