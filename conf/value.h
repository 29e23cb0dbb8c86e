/* Sizes, times, counts and octal modes: from the words of the configuration, and back.
 *
 * Numbers are whole, decimal and without sign, leading zero, space or separator: "64MiB", "100ms",
 * "1024". A parser either uses up all length bytes at text or says why not. */
#ifndef MREGION_CONF_VALUE_H
#define MREGION_CONF_VALUE_H

#include <stddef.h>
#include <stdint.h>

enum value_error {
    VALUE_OK = 0,
    VALUE_MALFORMED,    /* no number, or something behind it that is no unit */
    VALUE_NEGATIVE,     /* a minus in front of a number */
    VALUE_FRACTION,     /* a number with a decimal point or an exponent */
    VALUE_LEADING_ZERO, /* ambiguous: octal to some, decimal to others */
    VALUE_UNIT,         /* a number and then a word that is not one of the units */
    VALUE_NO_UNIT,      /* a time without unit */
    VALUE_OVERFLOW,     /* does not fit 64 bits once multiplied by its unit */
};

/* Bytes: a number, bare or with KiB, MiB, GiB or TiB. */
enum value_error value_parse_size(const char *text, size_t length, uint64_t *ret_bytes);
/* Milliseconds: a number with ms, s, m or h; the unit is required, 0 too. */
enum value_error value_parse_time(const char *text, size_t length, uint64_t *ret_ms);
/* A bare number. */
enum value_error value_parse_count(const char *text, size_t length, uint64_t *ret_count);
/* One to four octal digits, as chmod takes them. VALUE_OVERFLOW above 0777. */
enum value_error value_parse_mode(const char *text, size_t length, unsigned *ret_mode);

/* Longest is "18446744073709551615TiB". */
#define VALUE_TEXT_SIZE 32

/* Writes the shortest form that parses back to the same value: the largest unit that divides
 * it. */
void value_format_size(uint64_t bytes, char text[VALUE_TEXT_SIZE]);
void value_format_time(uint64_t ms, char text[VALUE_TEXT_SIZE]);

/* The unit that was perhaps meant by the word after the number: "MiB" for "MB", "mb", "M" or
 * " MiB", "ms" for "MS" or "msec"; NULL where nothing comes to mind. */
const char *value_guess_size_unit(const char *text, size_t length);
const char *value_guess_time_unit(const char *text, size_t length);

#endif
