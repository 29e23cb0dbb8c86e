#include "daemon/region_options.h"

#include <stddef.h>
#include <string.h>

#include "daemon/handle.h"
#include "daemon/units.h"
#include "proto/methods.h"

enum kind { DURABILITY, FIT, CHECKSUM, TIME, SIZE, COUNT };

static bool read_durability(const char *text, size_t length, void *field)
{
    return durability_from_name(text, length, field);
}

static bool read_fit(const char *text, size_t length, void *field)
{
    return fit_from_name(text, length, field);
}

static bool read_checksum(const char *text, size_t length, void *field)
{
    return checksum_from_name(text, length, field);
}

/* How a kind's values are written: as words, or as numbers or texts that one parses. */
static const struct {
    bool (*read)(const char *text, size_t length, void *field);
    bool (*parse)(const char *text, size_t length, uint64_t *ret);
    const char *expected;
} kinds[] = {
    [DURABILITY] = {read_durability, NULL, "\"sync\", \"interval\" or \"none\""},
    [FIT] = {read_fit, NULL, "\"tight\", \"lowest\" or \"largest\""},
    [CHECKSUM] = {read_checksum, NULL, "\"on\" or \"off\""},
    [TIME] = {NULL, units_parse_time, "a number of milliseconds, or a text such as \"100ms\""},
    [SIZE] = {NULL, units_parse_size, "a number of bytes, or a text such as \"64MiB\""},
    [COUNT] = {0}, /* a number alone */
};

#define FIELD(field)                                                                               \
    offsetof(struct region_options, field), sizeof(((struct region_options *)0)->field)

static const struct known {
    const char *key;
    enum kind kind;
    size_t offset, size;
} table[] = {
    {"durability", DURABILITY, FIELD(durability)},
    {"flush_interval", TIME, FIELD(flush_interval_ms)},
    {"fit", FIT, FIELD(fit)},
    {"max_size", SIZE, FIELD(max_size)},
    {"journal_size", SIZE, FIELD(journal_size)},
    {"checksum", CHECKSUM, FIELD(checksum)},
    {"token_window", COUNT, FIELD(token_window)},
    {"discard", SIZE, FIELD(discard)},
    {"scrub_interval", TIME, FIELD(scrub_interval_ms)},
    {"scrub_rate", SIZE, FIELD(scrub_rate)},
    {"page_cache", SIZE, FIELD(page_cache)},
};

#define OPTIONS (sizeof table / sizeof table[0])
_Static_assert(OPTIONS <= 32, "those that are given are bits of a mask");

static bool is_text(const struct option *option)
{
    return option->value.type == VALUE_STR || option->value.type == VALUE_BIN;
}

static bool read_text(const struct option *option, enum kind kind, void *field)
{
    const char *text = (const char *)option->value.raw.bytes;
    size_t length = option->value.raw.size;
    return kinds[kind].read != NULL ? kinds[kind].read(text, length, field)
                                    : kinds[kind].parse(text, length, field);
}

static int read_value(const struct call *call, const struct option *option, enum kind kind,
                      void *field, struct err *err)
{
    if (kind == COUNT)
        return option_uint(call, option, field, err);
    if (option->value.type == VALUE_UINT && kinds[kind].read == NULL) {
        *(uint64_t *)field = option->value.number;
        return 0;
    }
    if (is_text(option) && read_text(option, kind, field))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "%s: option %.*s must be %s",
                   methods[call->args.method].name, (int)option->key_size,
                   (const char *)option->key, kinds[kind].expected);
}

int region_options_read(struct call *call, struct region_options *options, uint32_t *ret_given,
                        struct err *err)
{
    struct option option;
    *ret_given = 0;
    while (call_option(call, &option)) {
        size_t i = 0;
        while (!option_is(&option, table[i].key))
            i++; /* it is one of them: the keys were checked against methods.def */
        *ret_given |= (uint32_t)1 << i;
        int code = read_value(call, &option, table[i].kind, (char *)options + table[i].offset, err);
        if (code != 0)
            return code;
    }
    return 0;
}

void region_options_merge(struct region_options *options, const struct region_options *from,
                          uint32_t given)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (given & (uint32_t)1 << i)
            memcpy((char *)options + table[i].offset, (const char *)from + table[i].offset,
                   table[i].size);
}
