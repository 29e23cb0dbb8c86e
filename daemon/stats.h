/* What the server has done since it started: counts, and histograms of latency.
 *
 * Counting a request costs some 25 instructions, and no look at the clock: one turn of the loop has
 * one moment at which it begins, which is when its first request was looked at, and one at which it
 * ends, when its answers have been sent. A request's latency is from the beginning of the turn in
 * which its turn came to the end of the one in which it was answered. So what is answered in the
 * same turn is only counted, and recorded at the turn's end, all at once; what waited is remembered
 * with its beginning, those that came in one turn and are answered in one as one run.
 *
 * Histograms are log-linear: of each power of two, eighths. Loop thread. */
#ifndef MREGION_DAEMON_STATS_H
#define MREGION_DAEMON_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "proto/methods.h"

/* Of every power of two of microseconds. */
#define HISTOGRAM_STEPS 8
/* Up to 2^26 microseconds, a little more than a minute; what is longer is in the last one. */
#define HISTOGRAM_BUCKETS 192

struct histogram {
    uint64_t sum_us;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t us, uint64_t count);
unsigned histogram_bucket(uint64_t us);
/* What is in the bucket took less than so many microseconds. */
uint64_t histogram_upper_us(unsigned bucket);
uint64_t histogram_count(const struct histogram *histogram);

/* By method; what is no method's comes last. */
#define STATS_KINDS (METHODS + 1)
_Static_assert(STATS_KINDS <= 64, "kinds are bits of a mask");

/* "unknown" for the last one. */
const char *stats_kind_name(unsigned kind);

struct kind_stats {
    uint64_t requests; /* executed, notifications too; without those answered in this turn */
    uint64_t errors;   /* of which failed */
    struct histogram latency;
};

/* Requests of one kind that came in one turn, and have been answered in this one. */
struct stats_run {
    uint64_t begun_ns;
    unsigned kind;
    uint32_t count;
};
#define STATS_RUNS 16

struct stats {
    /* The turn, and the request at hand. */
    uint64_t turn_ns; /* 0: none has begun */
    uint64_t begun_ns;
    unsigned kind;
    enum err_code code; /* that it fails with */
    bool is_waiting;    /* a struct request was made of it, which counts when it is answered */
    uint64_t kinds;     /* bits: of which some were answered in the turn in which they came... */
    uint32_t answered[STATS_KINDS];        /* ...so many */
    struct stats_run runs[STATS_RUNS + 1]; /* the first stands for none */
    size_t run_count;

    uint64_t received_bytes;
    uint64_t error_codes[ERR_CODES];
    struct kind_stats by_kind[STATS_KINDS];
    struct histogram commit;     /* from handing a batch to a worker until it is durable */
    struct histogram checkpoint; /* from the first slice to the end */
};

/* The clock is looked at once in a turn. */
uint64_t stats_begin_turn(struct stats *stats);

/* A request is going to be executed whose turn came at waited_ns, where that was in an earlier
 * turn; else 0. */
static inline void stats_begin(struct stats *stats, uint64_t waited_ns)
{
    uint64_t turn_ns = stats->turn_ns;
    if (__builtin_expect(turn_ns == 0, 0))
        turn_ns = stats_begin_turn(stats);
    stats->begun_ns = waited_ns != 0 ? waited_ns : turn_ns;
    stats->code = ERR_OK;
    stats->is_waiting = false;
}

void stats_add_run(struct stats *stats, unsigned kind, uint64_t begun_ns);

/* A request that was begun then is answered. */
static inline void stats_answered(struct stats *stats, unsigned kind, uint64_t begun_ns)
{
    struct stats_run *run = &stats->runs[stats->run_count];
    if (run->begun_ns == begun_ns && run->kind == kind)
        run->count++;
    else
        stats_add_run(stats, kind, begun_ns);
}

/* The request at hand, of size bytes, was executed. */
static inline void stats_executed(struct stats *stats, unsigned kind, size_t size)
{
    stats->received_bytes += size;
    if (stats->is_waiting) {
        stats->by_kind[kind].requests++;
    } else if (__builtin_expect(stats->begun_ns == stats->turn_ns, 1)) {
        stats->answered[kind]++;
        stats->kinds |= (uint64_t)1 << kind;
    } else {
        stats->by_kind[kind].requests++;
        stats_answered(stats, kind, stats->begun_ns);
    }
}

/* Answers have been sent. Looks at the clock if there was a turn. */
void stats_record_turn(struct stats *stats);
static inline void stats_end_turn(struct stats *stats)
{
    if (stats->kinds != 0 || stats->run_count > 0)
        stats_record_turn(stats);
    stats->turn_ns = 0;
}

void stats_error(struct stats *stats, unsigned kind, enum err_code code);

/* Another's figures as they are now, this turn's requests among them. */
void stats_copy(struct stats *stats, const struct stats *from);

/* Of all kinds together. */
uint64_t stats_requests(const struct stats *stats);
uint64_t stats_errors(const struct stats *stats);

#endif
