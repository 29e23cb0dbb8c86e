#include "histogram.h"

#include <stddef.h>
#include <string.h>

#define PARTS HISTOGRAM_PARTS
#define BUCKETS ((size_t)64 * PARTS)

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    unsigned power = ns < PARTS ? 0 : 63 - (unsigned)__builtin_clzll(ns) - 6;
    histogram->buckets[power * PARTS + (unsigned)(ns >> power)]++;
}

double histogram_us(const struct histogram *histogram, double part)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        total += histogram->buckets[i];
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= part * (double)total) {
            size_t power = i < (size_t)2 * PARTS ? 0 : i / PARTS - 1;
            return (double)((uint64_t)(i - power * PARTS) << power) / 1e3;
        }
    }
    return 0;
}
