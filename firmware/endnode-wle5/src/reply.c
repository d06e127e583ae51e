#include "reply.h"

#include "hal.h"

void reply_text(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0') {
        length++;
    }
    hal_console_write(text, length);
}

void reply_char(char c)
{
    if (c < ' ' || c > '~') {
        c = '?';
    }
    hal_console_write(&c, 1);
}

void reply_hex(const uint8_t *bytes, size_t length)
{
    static const char DIGITS[] = "0123456789ABCDEF";

    for (size_t i = 0; i < length; i++) {
        reply_char(DIGITS[bytes[i] >> 4]);
        reply_char(DIGITS[bytes[i] & 0x0Fu]);
    }
}

void reply_u32(uint32_t value)
{
    char digits[10];
    size_t first = sizeof digits;

    do {
        digits[--first] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0u);
    hal_console_write(digits + first, sizeof digits - first);
}

void reply_hex32(uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};

    reply_hex(bytes, sizeof bytes);
}

void reply_end(void)
{
    reply_text("\r\n");
}

static void reply_key(const char *key)
{
    reply_text(key);
    reply_text("=");
}

void reply_value(const char *key, const char *text)
{
    reply_key(key);
    while (*text != '\0') {
        reply_char(*text++);
    }
    reply_end();
}

void reply_value_u32(const char *key, uint32_t value)
{
    reply_key(key);
    reply_u32(value);
    reply_end();
}

void reply_value_hex32(const char *key, uint32_t value)
{
    reply_key(key);
    reply_hex32(value);
    reply_end();
}

void reply_value_hex(const char *key, const uint8_t *bytes, size_t length)
{
    reply_key(key);
    reply_hex(bytes, length);
    reply_end();
}
