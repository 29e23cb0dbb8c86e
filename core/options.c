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

struct region_options region_options_default(void)
{
    return (struct region_options){
        .durability = DURABILITY_SYNC,
        .flush_interval_ms = 100,
        .fit = FIT_TIGHT,
        .max_size = 0,
        .journal_size = 256 * MIB,
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
    code = check_range("flush_interval", "milliseconds", options->flush_interval_ms,
                       FLUSH_INTERVAL_MIN_MS, FLUSH_INTERVAL_MAX_MS, err);
    if (code == 0)
        code = check_range("max_size", "bytes", options->max_size, 0, REGION_SIZE_MAX, err);
    if (code == 0)
        code = check_range("journal_size", "bytes", options->journal_size, JOURNAL_SIZE_MIN,
                           JOURNAL_SIZE_MAX, err);
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
