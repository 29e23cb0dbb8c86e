#include "daemon/region_options.h"

#include <stddef.h>
#include <string.h>

#include "daemon/handle.h"
#include "daemon/units.h"
#include "proto/methods.h"

enum kind { DURABILITY, FIT, CHECKSUM, TIME, SIZE, COUNT };

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

static int refuse(const struct call *call, const struct option *option, const char *expected,
                  struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "%s: option %.*s must be %s",
                   methods[call->args.method].name, (int)option->key_size,
                   (const char *)option->key, expected);
}

static bool is_text(const struct option *option)
{
    return option->value.type == VALUE_STR || option->value.type == VALUE_BIN;
}

/* A number, or a text that the parser takes. */
static bool read_amount(const struct option *option,
                        bool (*parse)(const char *text, size_t length, uint64_t *ret),
                        uint64_t *ret)
{
    if (option->value.type == VALUE_UINT) {
        *ret = option->value.number;
        return true;
    }
    return is_text(option) &&
           parse((const char *)option->value.raw.bytes, option->value.raw.size, ret);
}

static int read_value(const struct call *call, const struct option *option, enum kind kind,
                      void *field, struct err *err)
{
    const char *text = is_text(option) ? (const char *)option->value.raw.bytes : "";
    size_t length = is_text(option) ? option->value.raw.size : 0;
    switch (kind) {
    case DURABILITY:
        return durability_from_name(text, length, field)
                   ? 0
                   : refuse(call, option, "\"sync\", \"interval\" or \"none\"", err);
    case FIT:
        return fit_from_name(text, length, field)
                   ? 0
                   : refuse(call, option, "\"tight\", \"lowest\" or \"largest\"", err);
    case CHECKSUM:
        return checksum_from_name(text, length, field)
                   ? 0
                   : refuse(call, option, "\"on\" or \"off\"", err);
    case TIME:
        return read_amount(option, units_parse_time, field)
                   ? 0
                   : refuse(call, option, "a number of milliseconds, or a text such as \"100ms\"",
                            err);
    case SIZE:
        return read_amount(option, units_parse_size, field)
                   ? 0
                   : refuse(call, option, "a number of bytes, or a text such as \"64MiB\"", err);
    case COUNT:
        break;
    }
    return option_uint(call, option, field, err);
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
