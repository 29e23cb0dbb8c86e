/* Latencies, counted in buckets of 1/64 of a power of two of nanoseconds. */
#ifndef MREGION_BENCH_HISTOGRAM_H
#define MREGION_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_PARTS 64

struct histogram {
    uint64_t buckets[64 * HISTOGRAM_PARTS];
};

void histogram_reset(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t ns);
/* The latency below which this part of them was, in microseconds; 0 when there is none. */
double histogram_us(const struct histogram *histogram, double part);

#endif
