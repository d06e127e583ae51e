/* Reference firmware of a LoRaWAN end node on the production line: a shell on the serial line, and sleep. */
#include "hal.h"
#include "lorafab_image.h"
#include "shell.h"
#include "version.h"

/* Read by lorafab before it writes the image: see lorafab_image.h. */
__attribute__((section(".lorafab_image"), used)) static const struct lorafab_image_note image_note = {
    .magic = LORAFAB_IMAGE_NOTE_MAGIC,
    .version = FIRMWARE_VERSION,
    .product = FIRMWARE_PRODUCT,
    .mcu = FIRMWARE_MCU,
};

int main(void)
{
    hal_init();
    shell_banner();
    for (;;) {
        int event = hal_console_read();
        if (event == HAL_CONSOLE_NOTHING) {
            hal_sleep_until_input();
        } else {
            shell_feed(event);
        }
    }
}
