/* A LoRaWAN modem on its serial line: takes lines, hands them to its dialect, and sleeps. */
#include "dialect.h"
#include "hal.h"
#include "lorafab_identity.h"
#include "lorafab_image.h"
#include "port.h"
#include "version.h"

#define LINE_MAX 200u /* characters; the longest command of any dialect has 80 */

/* Read by lorafab before it writes the image: see lorafab_image.h. */
__attribute__((section(".lorafab_image"), used)) static const struct lorafab_image_note image_note = {
    .magic = LORAFAB_IMAGE_NOTE_MAGIC,
    .version = FIRMWARE_VERSION,
    .product = FIRMWARE_PRODUCT,
    .mcu = FIRMWARE_MCU,
};

static char line[LINE_MAX + 1];
static unsigned length;
static bool too_long, damaged;

static bool ends_line(char c)
{
    for (const char *end = DIALECT_LINE_ENDS; *end != '\0'; end++) {
        if (c == *end) {
            return true;
        }
    }
    return false;
}

static void finish_line(void)
{
    line[length] = '\0';
    if (too_long || damaged) {
        dialect_line_lost(too_long);
    } else if (length != 0) {
        dialect_line(line);
    }
    lorafab_wipe(line, sizeof line); /* a key may have come in it */
    length = 0;
    too_long = damaged = false;
}

static void feed(int event)
{
    if (event == HAL_CONSOLE_DAMAGED) {
        damaged = true;
    } else if (ends_line((char)event)) {
        finish_line();
    } else if (event != '\r' && event != '\n') {
        if (length == LINE_MAX) {
            too_long = true;
        } else {
            line[length++] = (char)event;
        }
    }
}

int main(void)
{
    enum settings_state stored;

    hal_init();
    dialect_factory(&settings);
    stored = settings_load(&settings);
    dialect_boot(stored);
    for (;;) {
        int event = port_wait();
        if (event == PORT_TIMER) {
            dialect_join_timer();
        } else {
            feed(event);
        }
    }
}
