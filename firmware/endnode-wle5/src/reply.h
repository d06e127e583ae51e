/* Text to the serial line. A reply is any number of "key=value" lines, then "OK" or "ERR <sentence>". */
#ifndef REPLY_H
#define REPLY_H

#include <stddef.h>
#include <stdint.h>

/* A piece of a line; reply_end() ends the line with CR LF. */
void reply_text(const char *text);
void reply_char(char c); /* one that could break the line (not printable ASCII) is shown as '?' */
void reply_hex(const uint8_t *bytes, size_t length); /* upper case, in memory order */
void reply_u32(uint32_t value);                      /* decimal */
void reply_hex32(uint32_t value);                    /* 8 upper-case digits */
void reply_end(void);

/* Whole "key=value" lines. */
void reply_value(const char *key, const char *text);
void reply_value_u32(const char *key, uint32_t value);
void reply_value_hex32(const char *key, uint32_t value);
void reply_value_hex(const char *key, const uint8_t *bytes, size_t length);

#endif
