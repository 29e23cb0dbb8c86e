#include "client/cli_latencies.h"

#include <math.h>

/* Below 64 each number has its own; from there on the six bits behind the highest count. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < LATENCY_STEPS)
        return (unsigned)ns;
    shift = 63 - (unsigned)__builtin_clzll(ns) - 6;
    return (shift + 1) * LATENCY_STEPS + (unsigned)(ns >> shift) - LATENCY_STEPS;
}

/* The largest number in a bucket. */
static uint64_t highest_in(unsigned bucket)
{
    unsigned shift = bucket / LATENCY_STEPS;

    if (shift == 0)
        return bucket;
    return (((uint64_t)LATENCY_STEPS + bucket % LATENCY_STEPS + 1) << (shift - 1)) - 1;
}

void latencies_add(struct latencies *latencies, uint64_t ns)
{
    latencies->counts[bucket_of(ns)]++;
    latencies->count++;
    if (ns > latencies->most_ns)
        latencies->most_ns = ns;
}

void latencies_merge(struct latencies *latencies, const struct latencies *other)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        latencies->counts[i] += other->counts[i];
    latencies->count += other->count;
    if (other->most_ns > latencies->most_ns)
        latencies->most_ns = other->most_ns;
}

uint64_t latencies_percentile(const struct latencies *latencies, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)latencies->count), seen = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS && latencies->count > 0; i++) {
        seen += latencies->counts[i];
        if (seen > 0 && seen >= rank)
            return highest_in(i) < latencies->most_ns ? highest_in(i) : latencies->most_ns;
    }
    return latencies->most_ns;
}
