#include "conf/value.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/limits.h"

struct unit {
    const char *name;
    uint64_t factor;
};

#define UNITS 4

/* Ascending: the last one that divides is the one to print. */
static const struct unit size_units[UNITS] = {
    {"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}, {"TiB", TIB}};
static const struct unit time_units[UNITS] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t count_digits(const char *text, size_t length)
{
    size_t digits = 0;

    while (digits < length && is_digit(text[digits]))
        digits++;
    return digits;
}

/* The number at the start of text and how many bytes it takes. */
static enum value_error parse_number(const char *text, size_t length, uint64_t *ret_number,
                                     size_t *ret_used)
{
    size_t digits = count_digits(text, length);
    uint64_t number = 0;

    if (length > 1 && text[0] == '-' && is_digit(text[1]))
        return VALUE_NEGATIVE;
    if (digits == 0)
        return VALUE_MALFORMED;
    if (length > digits && text[digits] == '.')
        return VALUE_FRACTION;
    if (length > digits + 1 && (text[digits] | 0x20) == 'e' &&
        strchr("+-0123456789", text[digits + 1]) != NULL)
        return VALUE_FRACTION;
    if (digits > 1 && text[0] == '0')
        return VALUE_LEADING_ZERO;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
            return VALUE_OVERFLOW;
    *ret_number = number;
    *ret_used = digits;
    return VALUE_OK;
}

static const struct unit *find_unit(const struct unit *units, const char *name, size_t length)
{
    for (size_t i = 0; i < UNITS; i++)
        if (strlen(units[i].name) == length && memcmp(units[i].name, name, length) == 0)
            return &units[i];
    return NULL;
}

static enum value_error parse_with_unit(const struct unit *units, bool unit_required,
                                        const char *text, size_t length, uint64_t *ret_value)
{
    const struct unit *unit;
    uint64_t value;
    size_t used;
    enum value_error error = parse_number(text, length, &value, &used);

    if (error != VALUE_OK)
        return error;
    if (used < length) {
        unit = find_unit(units, text + used, length - used);
        if (unit == NULL)
            return VALUE_UNIT;
        if (__builtin_mul_overflow(value, unit->factor, &value))
            return VALUE_OVERFLOW;
    } else if (unit_required) {
        return VALUE_NO_UNIT;
    }
    *ret_value = value;
    return VALUE_OK;
}

enum value_error value_parse_size(const char *text, size_t length, uint64_t *ret_bytes)
{
    return parse_with_unit(size_units, false, text, length, ret_bytes);
}

enum value_error value_parse_time(const char *text, size_t length, uint64_t *ret_ms)
{
    return parse_with_unit(time_units, true, text, length, ret_ms);
}

enum value_error value_parse_count(const char *text, size_t length, uint64_t *ret_count)
{
    uint64_t count;
    size_t used;
    enum value_error error = parse_number(text, length, &count, &used);

    if (error != VALUE_OK)
        return error;
    if (used < length)
        return VALUE_UNIT;
    *ret_count = count;
    return VALUE_OK;
}

enum value_error value_parse_mode(const char *text, size_t length, unsigned *ret_mode)
{
    unsigned mode = 0;

    if (length == 0)
        return VALUE_MALFORMED;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '7')
            return VALUE_MALFORMED;
        if (i < 4)
            mode = mode * 8 + (unsigned)(text[i] - '0');
    }
    if (length > 4 || mode > 0777)
        return VALUE_OVERFLOW;
    *ret_mode = mode;
    return VALUE_OK;
}

static void format_with_unit(const struct unit *units, uint64_t value, char *text)
{
    const struct unit *best = NULL;

    for (size_t i = 0; i < UNITS && value != 0; i++)
        if (value % units[i].factor == 0)
            best = &units[i];
    if (best == NULL)
        (void)snprintf(text, VALUE_TEXT_SIZE, "%" PRIu64, value);
    else
        (void)snprintf(text, VALUE_TEXT_SIZE, "%" PRIu64 "%s", value / best->factor, best->name);
}

void value_format_size(uint64_t bytes, char text[VALUE_TEXT_SIZE])
{
    format_with_unit(size_units, bytes, text);
}

void value_format_time(uint64_t ms, char text[VALUE_TEXT_SIZE])
{
    if (ms == 0)
        (void)snprintf(text, VALUE_TEXT_SIZE, "0ms");
    else
        format_with_unit(time_units, ms, text);
}

/* The word after the number, with the space that some put in between left out. */
static const char *unit_word(const char *text, size_t length, size_t *ret_length)
{
    size_t start = count_digits(text, length);

    while (start < length && text[start] == ' ')
        start++;
    *ret_length = length - start;
    return text + start;
}

static bool is_word(const char *word, size_t length, const char *candidate)
{
    return strlen(candidate) == length && strncasecmp(word, candidate, length) == 0;
}

const char *value_guess_size_unit(const char *text, size_t length)
{
    static const char *const forms[UNITS][4] = {{"KiB", "K", "KB", "Ki"},
                                                {"MiB", "M", "MB", "Mi"},
                                                {"GiB", "G", "GB", "Gi"},
                                                {"TiB", "T", "TB", "Ti"}};
    size_t word_length;
    const char *word = unit_word(text, length, &word_length);

    for (size_t i = 0; i < UNITS; i++)
        for (size_t form = 0; form < 4; form++)
            if (is_word(word, word_length, forms[i][form]))
                return forms[i][0];
    return NULL;
}

const char *value_guess_time_unit(const char *text, size_t length)
{
    static const char *const forms[UNITS][5] = {
        {"ms", "msec", "msecs", "millisecond", "milliseconds"},
        {"s", "sec", "secs", "second", "seconds"},
        {"m", "min", "mins", "minute", "minutes"},
        {"h", "hr", "hrs", "hour", "hours"}};
    size_t word_length;
    const char *word = unit_word(text, length, &word_length);

    for (size_t i = 0; i < UNITS; i++)
        for (size_t form = 0; form < 5; form++)
            if (is_word(word, word_length, forms[i][form]))
                return forms[i][0];
    return NULL;
}
