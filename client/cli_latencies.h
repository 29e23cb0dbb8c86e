/* How long things took here: counts of nanoseconds, 64 to each power of two, so that a percentile
 * is at most a sixty-fourth too high. */
#ifndef MREGION_CLIENT_CLI_LATENCIES_H
#define MREGION_CLIENT_CLI_LATENCIES_H

#include <stdint.h>

#define LATENCY_STEPS 64
#define LATENCY_BUCKETS ((64 - 6 + 1) * LATENCY_STEPS)

/* Zero it first. */
struct latencies {
    uint64_t count;
    uint64_t most_ns;
    uint64_t counts[LATENCY_BUCKETS];
};

void latencies_add(struct latencies *latencies, uint64_t ns);
void latencies_merge(struct latencies *latencies, const struct latencies *other);

/* So many nanoseconds at most took that share (0 to 1) of all; 0 where there are none. */
uint64_t latencies_percentile(const struct latencies *latencies, double share);

#endif
