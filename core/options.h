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

/* Each token costs some 64 bytes of memory and 40 of a checkpoint. */
#define TOKEN_WINDOW_MAX ((uint64_t)16 * 1024 * 1024)
/* Ten years: in effect never, which is said with 0. */
#define SCRUB_INTERVAL_MAX_MS ((uint64_t)10 * 365 * 24 * 3600 * 1000)

/* Whether pages are given checksums when they are written, and checked when they are read. The
 * numbers are written into meta files: never renumber. */
enum checksum { CHECKSUM_ON, CHECKSUM_OFF, CHECKSUMS };

struct region_options {
    enum durability durability;
    uint64_t flush_interval_ms; /* only used with DURABILITY_INTERVAL */
    enum fit fit;
    uint64_t max_size;     /* bytes that the region may grow to, 0 = no limit but the disk */
    uint64_t journal_size; /* bytes of journal kept before a checkpoint is taken */
    enum checksum checksum;
    uint64_t token_window;      /* tokens remembered */
    uint64_t discard;           /* free blocks from this size on are given back to the file system;
                                   0 = never */
    uint64_t scrub_interval_ms; /* from the end of a scrub to the next one, 0 = only when asked */
    uint64_t scrub_rate;        /* bytes a second, 0 = no limit */
    uint64_t page_cache;        /* bytes of verified pages kept in memory, 0 = none */
};

/* sync, 100 ms, tight, no limit, 256 MiB; on, 65536, 1 MiB, a week, 8 MiB, 128 MiB. */
struct region_options region_options_default(void);

bool region_options_equal(const struct region_options *a, const struct region_options *b);

/* 0, or ERR_INVALID_ARGUMENT and a sentence that names the option and its range. */
int region_options_check(const struct region_options *options, struct err *err);

/* The words of the protocol and the configuration: "sync", "tight". NULL for a number that is
 * none of the enum. */
const char *durability_name(enum durability durability);
const char *fit_name(enum fit fit);
const char *checksum_name(enum checksum checksum);

/* The reverse, from length bytes at name; false (and *ret untouched) for any other word. */
bool durability_from_name(const char *name, size_t length, enum durability *ret_durability);
bool fit_from_name(const char *name, size_t length, enum fit *ret_fit);
bool checksum_from_name(const char *name, size_t length, enum checksum *ret_checksum);

/* Whether the length bytes at name are a region's name: [A-Za-z0-9][A-Za-z0-9._-]{0,63}. */
bool region_name_is_valid(const char *name, size_t length);

#endif
