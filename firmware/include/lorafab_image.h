/* The image note: tells lorafab what a firmware image is, and for which MCU, before a byte of it is written.
 *
 * It lies 0x200 bytes after the start of the image, behind the vector table. 0x200 leaves room for 112
 * interrupts, more than any of the MCUs that lorafab knows has (STM32WLE5: 62, nRF52840: 48, CMSIS headers).
 *
 *     offset  size  field
 *          0     4  magic "LFFW"
 *          4    16  version, ASCII, NUL padded
 *         20    16  product, ASCII, NUL padded: the name of its folder in firmware/
 *         36    16  MCU, ASCII, NUL padded, lower case: "stm32wle5jc"
 *
 * An image without the note is not refused by lorafab, it is only not protected against the wrong MCU.
 */
#ifndef LORAFAB_IMAGE_H
#define LORAFAB_IMAGE_H

#define LORAFAB_IMAGE_NOTE_OFFSET 0x200
#define LORAFAB_IMAGE_NOTE_SIZE 52
#define LORAFAB_IMAGE_NOTE_MAGIC {'L', 'F', 'F', 'W'}

struct lorafab_image_note {
    char magic[4];
    char version[16];
    char product[16];
    char mcu[16];
};

#ifdef __cplusplus
static_assert(sizeof(struct lorafab_image_note) == LORAFAB_IMAGE_NOTE_SIZE, "image note is 52 bytes");
#else
_Static_assert(sizeof(struct lorafab_image_note) == LORAFAB_IMAGE_NOTE_SIZE, "image note is 52 bytes");
#endif

#endif
