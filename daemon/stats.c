#include "daemon/stats.h"

#include <uv.h>

/* ---- Histograms ---- */

/* Below HISTOGRAM_STEPS microseconds each has a bucket of its own. */
unsigned histogram_bucket(uint64_t us)
{
    if (us < HISTOGRAM_STEPS)
        return (unsigned)us;
    unsigned exponent = 63 - (unsigned)__builtin_clzll(us);
    unsigned step = (unsigned)(us >> (exponent - 3)) % HISTOGRAM_STEPS;
    unsigned bucket = (exponent - 2) * HISTOGRAM_STEPS + step;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

void histogram_add(struct histogram *histogram, uint64_t us, uint64_t count)
{
    histogram->sum_us += us * count;
    histogram->counts[histogram_bucket(us)] += count;
}

uint64_t histogram_upper_us(unsigned bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket + 1;
    unsigned exponent = bucket / HISTOGRAM_STEPS + 2, step = bucket % HISTOGRAM_STEPS;
    return (uint64_t)(HISTOGRAM_STEPS + step + 1) << (exponent - 3);
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += histogram->counts[i];
    return count;
}

/* ---- Requests ---- */

const char *stats_kind_name(unsigned kind)
{
    return kind < METHODS ? methods[kind].name : "unknown";
}

uint64_t stats_begin_turn(struct stats *stats)
{
    stats->turn_ns = uv_hrtime();
    return stats->turn_ns;
}

static void record_runs(struct stats *stats, uint64_t now_ns)
{
    for (; stats->run_count > 0; stats->run_count--) {
        const struct stats_run *run = &stats->runs[stats->run_count];
        histogram_add(&stats->by_kind[run->kind].latency, (now_ns - run->begun_ns) / 1000,
                      run->count);
    }
}

/* Where few kinds take turns they are found again. */
#define LOOK_BACK 4

void stats_add_run(struct stats *stats, unsigned kind, uint64_t begun_ns)
{
    size_t last = stats->run_count;
    for (size_t i = last; i > 0 && i + LOOK_BACK > last; i--)
        if (stats->runs[i].begun_ns == begun_ns && stats->runs[i].kind == kind) {
            stats->runs[i].count++;
            return;
        }
    if (last == STATS_RUNS)
        record_runs(stats, uv_hrtime());
    stats->runs[++stats->run_count] = (struct stats_run){begun_ns, kind, 1};
}

void stats_record_turn(struct stats *stats)
{
    uint64_t now_ns = uv_hrtime(), us = (now_ns - stats->turn_ns) / 1000;
    for (uint64_t kinds = stats->kinds; kinds != 0; kinds &= kinds - 1) {
        unsigned kind = (unsigned)__builtin_ctzll(kinds);
        histogram_add(&stats->by_kind[kind].latency, us, stats->answered[kind]);
        stats->by_kind[kind].requests += stats->answered[kind];
        stats->answered[kind] = 0;
    }
    stats->kinds = 0;
    record_runs(stats, now_ns);
}

void stats_error(struct stats *stats, unsigned kind, enum err_code code)
{
    stats->by_kind[kind].errors++;
    stats->error_codes[code < ERR_CODES ? code : ERR_INTERNAL]++;
}

void stats_copy(struct stats *stats, const struct stats *from)
{
    *stats = *from;
    for (unsigned i = 0; i < STATS_KINDS; i++)
        stats->by_kind[i].requests += from->answered[i];
}

uint64_t stats_requests(const struct stats *stats)
{
    uint64_t requests = 0;
    for (unsigned i = 0; i < STATS_KINDS; i++)
        requests += stats->by_kind[i].requests;
    return requests;
}

uint64_t stats_errors(const struct stats *stats)
{
    uint64_t errors = 0;
    for (unsigned i = 0; i < STATS_KINDS; i++)
        errors += stats->by_kind[i].errors;
    return errors;
}
