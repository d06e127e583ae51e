#include "text.h"

#include "reply.h"

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
}

const char *text_behind(const char *text, const char *name)
{
    while (*name != '\0') {
        if (*text++ != *name++) {
            return NULL;
        }
    }
    return text;
}

const char *text_behind_any_case(const char *text, const char *name)
{
    while (*name != '\0') {
        if (upper(*text++) != upper(*name++)) {
            return NULL;
        }
    }
    return text;
}

bool text_is(const char *text, const char *wanted)
{
    const char *rest = text_behind(text, wanted);

    return rest != NULL && *rest == '\0';
}

bool text_is_any_case(const char *text, const char *wanted)
{
    const char *rest = text_behind_any_case(text, wanted);

    return rest != NULL && *rest == '\0';
}

size_t text_length(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0') {
        length++;
    }
    return length;
}

int text_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = upper(c);
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool text_hex(const char *text, uint8_t *out, size_t size)
{
    if (text_length(text) != 2u * size) {
        return false;
    }
    for (size_t i = 0; i < 2u * size; i++) {
        if (text_hex_digit(text[i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(text_hex_digit(text[2u * i]) << 4 | text_hex_digit(text[2u * i + 1u]));
    }
    return true;
}

bool text_number(const char *text, uint32_t *value, const char **end)
{
    const char *start = text;

    *value = 0;
    while (*text >= '0' && *text <= '9') {
        if (*value > 0x7FFFFFFFu / 10u - 1u) {
            return false;
        }
        *value = *value * 10u + (uint32_t)(*text++ - '0');
    }
    *end = text;
    return text != start;
}

void text_write_hex(const uint8_t *bytes, size_t size, char separator)
{
    for (size_t i = 0; i < size; i++) {
        if (i != 0u && separator != '\0') {
            reply_char(separator);
        }
        reply_hex(bytes + i, 1);
    }
}
