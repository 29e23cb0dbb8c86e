#include "client/cli_parse.h"

#include <string.h>

#include "core/limits.h"

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1}, {"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB}, {"TiB", TIB}, {NULL, 0},
};

static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {NULL, 0},
};

/* Digits, then one of the units, up to end. */
static bool parse(const char *text, const char *end, const struct unit *units, uint64_t *ret_value)
{
    const char *at = text;
    uint64_t value = 0;

    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    }
    if (at == text)
        return false;
    for (; units->name != NULL; units++) {
        if (strlen(units->name) == (size_t)(end - at) &&
            memcmp(units->name, at, (size_t)(end - at)) == 0)
            break;
    }
    if (units->name == NULL || __builtin_mul_overflow(value, units->factor, &value))
        return false;
    *ret_value = value;
    return true;
}

bool cli_parse_number(const char *text, uint64_t *ret_number)
{
    static const struct unit none[] = {{"", 1}, {NULL, 0}};

    return parse(text, text + strlen(text), none, ret_number);
}

bool cli_parse_size(const char *text, uint64_t *ret_size)
{
    return parse(text, text + strlen(text), size_units, ret_size);
}

bool cli_parse_reference(const char *text, struct mregion_block *ret_block)
{
    const char *plus = strchr(text, '+');
    struct mregion_block block;

    if (plus == NULL || !parse(text, plus, size_units, &block.address) ||
        !cli_parse_size(plus + 1, &block.size))
        return false;
    *ret_block = block;
    return true;
}

bool cli_parse_time(const char *text, uint64_t *ret_ms)
{
    return parse(text, text + strlen(text), time_units, ret_ms);
}
