/* A region's options: how durable it is, how it chooses a hole, how large it may become.
 *
 * They are given in the configuration or when a region is created, and kept in its meta file. */
#ifndef MREGION_CORE_OPTIONS_H
#define MREGION_CORE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/freespace.h"
#include "core/limits.h"

/* What "answered" means. The numbers are written into meta files: never renumber. */
enum durability {
    DURABILITY_SYNC,     /* on stable storage before the answer */
    DURABILITY_INTERVAL, /* on stable storage at most flush_interval_ms later */
    DURABILITY_NONE,     /* handed to the operating system, which writes it when it likes */
    DURABILITIES
};

/* Below a millisecond a sync per interval is no cheaper than `sync`; above an hour nobody means
 * it. */
#define FLUSH_INTERVAL_MIN_MS 1
#define FLUSH_INTERVAL_MAX_MS ((uint64_t)3600 * 1000)

/* At least a few segments, so that a checkpoint does not follow every burst; at most what can
 * still be replayed within minutes at a start. */
#define JOURNAL_SIZE_MIN (4 * JOURNAL_SEGMENT)
#define JOURNAL_SIZE_MAX (64 * GIB)

struct region_options {
    enum durability durability;
    uint64_t flush_interval_ms; /* only used with DURABILITY_INTERVAL */
    enum fit fit;
    uint64_t max_size;     /* bytes that the region may grow to, 0 = no limit but the disk */
    uint64_t journal_size; /* bytes of journal kept before a checkpoint is taken */
};

/* sync, 100 ms, tight, no limit, 256 MiB. */
struct region_options region_options_default(void);

/* 0, or ERR_INVALID_ARGUMENT and a sentence that names the option and its range. */
int region_options_check(const struct region_options *options, struct err *err);

/* The words of the protocol and the configuration: "sync", "tight". NULL for a number that is
 * none of the enum. */
const char *durability_name(enum durability durability);
const char *fit_name(enum fit fit);

/* The reverse, from length bytes at name; false (and *ret untouched) for any other word. */
bool durability_from_name(const char *name, size_t length, enum durability *ret_durability);
bool fit_from_name(const char *name, size_t length, enum fit *ret_fit);

/* Whether the length bytes at name are a region's name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}. */
bool region_name_is_valid(const char *name, size_t length);

#endif
