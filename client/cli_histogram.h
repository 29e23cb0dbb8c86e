/* Histograms of latencies, as stats answers them. */
#ifndef MREGION_CLIENT_CLI_HISTOGRAM_H
#define MREGION_CLIENT_CLI_HISTOGRAM_H

#include <msgpack.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_HISTOGRAM_MAX 512

struct cli_bucket {
    uint64_t upper_us; /* more than any in it */
    uint64_t count;
};

/* Zero it first. */
struct cli_histogram {
    uint64_t count;
    size_t size;
    struct cli_bucket buckets[CLI_HISTOGRAM_MAX]; /* ascending */
};

/* Adds what an array of [upper, count] holds; times -1 where it is an earlier one of the same. What
 * is no such array adds nothing. */
void cli_histogram_add(struct cli_histogram *histogram, const msgpack_object *array);
void cli_histogram_subtract(struct cli_histogram *histogram, const msgpack_object *array);

/* So many microseconds at most took that share (0 to 1) of all; 0 where there are none. */
uint64_t cli_histogram_percentile(const struct cli_histogram *histogram, double share);

/* "3us", "1.2ms", "15ms", "2.1s"; "-" for 0. */
#define CLI_HISTOGRAM_TIME_SIZE 16
void cli_histogram_format(uint64_t time_us, char text[CLI_HISTOGRAM_TIME_SIZE]);

#endif
