/* A program for the virtual nRF52840: one letter on the console, one answer. Build line: see programs.py. */
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))
#define UARTE(offset) REG(0x40002000 + (offset))
#define POWER(offset) REG(0x40000000 + (offset))
#define NVMC(offset) REG(0x4001E000 + (offset))
#define RTC1(offset) REG(0x40011000 + (offset))
#define SPIM(offset) REG(0x40003000 + (offset))
#define P0(offset) REG(0x50000000 + (offset))
#define NVIC_ISER REG(0xE000E100)
#define PLACE 0x000FF000u

static volatile uint32_t letter;
static uint8_t received[1];
static char line[16];

static void send(const char *text, uint32_t length) {
    for (uint32_t i = 0; i < length; i++) line[i] = text[i]; /* EasyDMA does not read flash */
    UARTE(0x120) = 0;
    UARTE(0x544) = (uint32_t)line;
    UARTE(0x548) = length;
    UARTE(0x008) = 1;
    while (!UARTE(0x120)) {}
}

static void send_number(uint32_t value) {
    char text[9];
    for (int i = 0; i < 8; i++) text[i] = "0123456789ABCDEF"[value >> (28 - 4 * i) & 15];
    text[8] = '\n';
    send(text, 9);
}

void uarte0_handler(void) {
    if (UARTE(0x110)) {
        UARTE(0x110) = 0;
        letter = received[0];
    }
}

void rtc1_handler(void) {
    RTC1(0x140) = 0;
    RTC1(0x304 + 4) = 1 << 16;
    letter = 't';
}

void hard_fault_handler(void) {
    send("fault\n", 6);
    for (;;) {}
}

static void wait_nvmc(void) {
    while (!NVMC(0x400)) {}
}

static void store_word(uint32_t address, uint32_t value) {
    NVMC(0x504) = 1;
    REG(address) = value;
    wait_nvmc();
    NVMC(0x504) = 0;
}

static void erase_and_write(void) {
    NVMC(0x504) = 2;
    NVMC(0x508) = PLACE;
    wait_nvmc();
    store_word(PLACE, 0x12345678);
    store_word(PLACE, 0xFFFF00FF); /* bits go down only */
    send_number(REG(PLACE));
}

static void jedec_id(void) {
    static uint8_t command[1] = {0}, answer[4];
    command[0] = 0x9F;
    P0(0x508) = 1 << 17;
    P0(0x518) = 1 << 17;
    SPIM(0x500) = 7;
    SPIM(0x508) = 19, SPIM(0x50C) = 22, SPIM(0x510) = 23;
    SPIM(0x524) = 0x80000000;
    SPIM(0x544) = (uint32_t)command, SPIM(0x548) = 1;
    SPIM(0x534) = (uint32_t)answer, SPIM(0x538) = 4;
    P0(0x50C) = 1 << 17;
    SPIM(0x010) = 1;
    while (!SPIM(0x118)) {}
    SPIM(0x118) = 0;
    P0(0x508) = 1 << 17;
    send_number((uint32_t)answer[1] << 16 | answer[2] << 8 | answer[3]);
}

static void obey(uint32_t command) {
    if (command == 'V') send("nrf52\n", 6);
    if (command == 'R') send_number(POWER(0x400));
    if (command == 'W') erase_and_write();
    if (command == 'J') jedec_id();
    if (command == 'B') { NVMC(0x504) = 1; *(volatile uint8_t *)PLACE = 0; }
    if (command == 'N') REG(PLACE) = 0;
    if (command == 't') send("woken\n", 6);
    if (command == 'T') { /* a second by the RTC */
        RTC1(0x140) = 0;
        RTC1(0x540) = RTC1(0x504) + 32768 & 0xFFFFFF;
        RTC1(0x304) = 1 << 16;
    }
    if (command == 'O') { /* System OFF until P0.11 is low */
        P0(0x700 + 4 * 11) = 3 << 2 | 3 << 16;
        POWER(0x500) = 1;
        for (;;) {}
    }
    if (command == 'D') { /* a watchdog of 0.1 s that nobody feeds */
        REG(0x40010504) = 3276;
        REG(0x40010000) = 1;
        for (;;) {}
    }
    if (command == 'S') REG(0xE000ED0C) = 0x05FA0004;
}

void reset(void) {
    letter = 0;
    if (REG(0x10000134) >= 5) POWER(0x558) = REG(0x10001208); /* as Nordic's start-up code does */
    POWER(0x008) = 1;
    while (!POWER(0x104)) {}
    RTC1(0x000) = 1;
    UARTE(0x524) = 0x01D60000;
    UARTE(0x50C) = 6;
    UARTE(0x514) = 8;
    UARTE(0x500) = 8;
    UARTE(0x200) = 1 << 5;
    UARTE(0x534) = (uint32_t)received;
    UARTE(0x538) = 1;
    UARTE(0x304) = 1 << 4;
    UARTE(0x000) = 1;
    NVIC_ISER = 1 << 2 | 1 << 17;
    send("ready\n", 6);
    for (;;) {
        __asm__ volatile("cpsid i" ::: "memory");
        if (!letter) __asm__ volatile("wfi");
        __asm__ volatile("cpsie i" ::: "memory");
        uint32_t command = letter;
        letter = 0;
        if (command) obey(command);
    }
}

void spin(void) {
    for (;;) {}
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16 + 48])(void) = {
    (void (*)(void))0x20040000, reset, spin, hard_fault_handler, spin, spin, spin, spin, spin, spin, spin, spin, spin,
    spin, spin, spin, [16 + 2] = uarte0_handler, [16 + 17] = rtc1_handler,
};
