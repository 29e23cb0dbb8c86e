#include "core/options.h"

#include <inttypes.h>
#include <string.h>

static const char *const durability_names[DURABILITIES] = {
    [DURABILITY_SYNC] = "sync",
    [DURABILITY_INTERVAL] = "interval",
    [DURABILITY_NONE] = "none",
};

#define FITS (FIT_LARGEST + 1)

static const char *const fit_names[FITS] = {
    [FIT_TIGHT] = "tight",
    [FIT_LOWEST] = "lowest",
    [FIT_LARGEST] = "largest",
};

static const char *const checksum_names[CHECKSUMS] = {
    [CHECKSUM_ON] = "on",
    [CHECKSUM_OFF] = "off",
};

struct region_options region_options_default(void)
{
    return (struct region_options){
        .durability = DURABILITY_SYNC,
        .flush_interval_ms = 100,
        .fit = FIT_TIGHT,
        .max_size = 0,
        .journal_size = 256 * MIB,
        .checksum = CHECKSUM_ON,
        .token_window = 65536,
        .discard = 1 * MIB,
        .scrub_interval_ms = (uint64_t)7 * 24 * 3600 * 1000,
        .scrub_rate = 8 * MIB,
        .page_cache = 128 * MIB,
    };
}

static int check_range(const char *name, const char *unit, uint64_t value, uint64_t low,
                       uint64_t high, struct err *err)
{
    if (value >= low && value <= high)
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "%s must be between %" PRIu64 " and %" PRIu64 " %s, not %" PRIu64, name, low,
                   high, unit, value);
}

int region_options_check(const struct region_options *options, struct err *err)
{
    int code;

    if (durability_name(options->durability) == NULL)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "durability must be sync, interval or none, not number %u",
                       (unsigned)options->durability);
    if (fit_name(options->fit) == NULL)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "fit must be tight, lowest or largest, not number %u",
                       (unsigned)options->fit);
    if (checksum_name(options->checksum) == NULL)
        return err_set(err, ERR_INVALID_ARGUMENT, "checksum must be on or off, not number %u",
                       (unsigned)options->checksum);
    code = check_range("flush_interval", "milliseconds", options->flush_interval_ms,
                       FLUSH_INTERVAL_MIN_MS, FLUSH_INTERVAL_MAX_MS, err);
    if (code == 0)
        code = check_range("max_size", "bytes", options->max_size, 0, REGION_SIZE_MAX, err);
    if (code == 0)
        code = check_range("journal_size", "bytes", options->journal_size, JOURNAL_SIZE_MIN,
                           JOURNAL_SIZE_MAX, err);
    if (code == 0)
        code =
            check_range("token_window", "tokens", options->token_window, 1, TOKEN_WINDOW_MAX, err);
    if (code == 0)
        code = check_range("discard", "bytes", options->discard, 0, REGION_SIZE_MAX, err);
    if (code == 0)
        code = check_range("scrub_interval", "milliseconds", options->scrub_interval_ms, 0,
                           SCRUB_INTERVAL_MAX_MS, err);
    if (code == 0)
        code = check_range("scrub_rate", "bytes a second", options->scrub_rate, 0, REGION_SIZE_MAX,
                           err);
    if (code == 0)
        code = check_range("page_cache", "bytes", options->page_cache, 0, 1 * TIB, err);
    return code;
}

const char *durability_name(enum durability durability)
{
    return (unsigned)durability < DURABILITIES ? durability_names[durability] : NULL;
}

const char *fit_name(enum fit fit)
{
    return (unsigned)fit < FITS ? fit_names[fit] : NULL;
}

const char *checksum_name(enum checksum checksum)
{
    return (unsigned)checksum < CHECKSUMS ? checksum_names[checksum] : NULL;
}

static bool find_name(const char *const *names, unsigned count, const char *name, size_t length,
                      unsigned *ret_index)
{
    for (unsigned i = 0; i < count; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

bool durability_from_name(const char *name, size_t length, enum durability *ret_durability)
{
    unsigned index;

    if (!find_name(durability_names, DURABILITIES, name, length, &index))
        return false;
    *ret_durability = (enum durability)index;
    return true;
}

bool fit_from_name(const char *name, size_t length, enum fit *ret_fit)
{
    unsigned index;

    if (!find_name(fit_names, FITS, name, length, &index))
        return false;
    *ret_fit = (enum fit)index;
    return true;
}

bool checksum_from_name(const char *name, size_t length, enum checksum *ret_checksum)
{
    unsigned index;

    if (!find_name(checksum_names, CHECKSUMS, name, length, &index))
        return false;
    *ret_checksum = (enum checksum)index;
    return true;
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool region_name_is_valid(const char *name, size_t length)
{
    if (length == 0 || length > REGION_NAME_MAX || !is_alphanumeric(name[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_alphanumeric(name[i]) && (name[i] == '\0' || strchr("._-", name[i]) == NULL))
            return false;
    return true;
}

bool region_options_equal(const struct region_options *a, const struct region_options *b)
{
    return a->durability == b->durability && a->flush_interval_ms == b->flush_interval_ms &&
           a->fit == b->fit && a->max_size == b->max_size && a->journal_size == b->journal_size &&
           a->checksum == b->checksum && a->token_window == b->token_window &&
           a->discard == b->discard && a->scrub_interval_ms == b->scrub_interval_ms &&
           a->scrub_rate == b->scrub_rate && a->page_cache == b->page_cache;
}
