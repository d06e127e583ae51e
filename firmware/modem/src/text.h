/* Pieces of command lines. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What follows `name` in `text`, or NULL; the second one takes upper and lower case for the same. */
const char *text_behind(const char *text, const char *name);
const char *text_behind_any_case(const char *text, const char *name);

/* Whether both are the same; the second one takes upper and lower case for the same. */
bool text_is(const char *text, const char *wanted);
bool text_is_any_case(const char *text, const char *wanted);

size_t text_length(const char *text);

/* 0..15, or -1. */
int text_hex_digit(char c);

/* Exactly 2 * size hex digits and nothing else. `out` is left alone unless they are. */
bool text_hex(const char *text, uint8_t *out, size_t size);

/* A decimal number, and what stands behind it in *end; false without a digit or above 2^31. */
bool text_number(const char *text, uint32_t *value, const char **end);

/* Upper-case hex digits, bytes parted by `separator` ('\0': not parted). */
void text_write_hex(const uint8_t *bytes, size_t size, char separator);

#endif
