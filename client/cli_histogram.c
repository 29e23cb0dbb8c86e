#include "client/cli_histogram.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The bucket of this upper bound, which is made where there is none; NULL where there is no room.
 */
static struct cli_bucket *bucket_of(struct cli_histogram *histogram, uint64_t upper_us)
{
    struct cli_bucket *buckets = histogram->buckets;
    size_t at = histogram->size;

    while (at > 0 && buckets[at - 1].upper_us >= upper_us)
        at--;
    if (at < histogram->size && buckets[at].upper_us == upper_us)
        return &buckets[at];
    if (histogram->size == CLI_HISTOGRAM_MAX)
        return NULL;
    memmove(buckets + at + 1, buckets + at, (histogram->size - at) * sizeof *buckets);
    buckets[at] = (struct cli_bucket){.upper_us = upper_us};
    histogram->size++;
    return &buckets[at];
}

static bool take_pair(const msgpack_object *object, struct cli_bucket *ret_bucket)
{
    const msgpack_object *pair = object->via.array.ptr;

    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != 2 ||
        pair[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
        pair[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return false;
    *ret_bucket = (struct cli_bucket){pair[0].via.u64, pair[1].via.u64};
    return true;
}

static void change(struct cli_histogram *histogram, const msgpack_object *array, bool is_earlier)
{
    struct cli_bucket given, *bucket;

    if (array == NULL || array->type != MSGPACK_OBJECT_ARRAY)
        return;
    for (uint32_t i = 0; i < array->via.array.size; i++) {
        if (!take_pair(&array->via.array.ptr[i], &given) ||
            (bucket = bucket_of(histogram, given.upper_us)) == NULL)
            continue;
        /* Counts only grow. */
        if (is_earlier && given.count > bucket->count)
            given.count = bucket->count;
        bucket->count += is_earlier ? -given.count : given.count;
        histogram->count += is_earlier ? -given.count : given.count;
    }
}

void cli_histogram_add(struct cli_histogram *histogram, const msgpack_object *array)
{
    change(histogram, array, false);
}

void cli_histogram_subtract(struct cli_histogram *histogram, const msgpack_object *array)
{
    change(histogram, array, true);
}

uint64_t cli_histogram_percentile(const struct cli_histogram *histogram, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)histogram->count), seen = 0;

    if (histogram->count == 0)
        return 0;
    if (rank < 1)
        rank = 1;
    for (size_t i = 0; i < histogram->size; i++) {
        seen += histogram->buckets[i].count;
        if (seen >= rank)
            return histogram->buckets[i].upper_us;
    }
    return histogram->buckets[histogram->size - 1].upper_us;
}

void cli_histogram_format(uint64_t time_us, char text[CLI_HISTOGRAM_TIME_SIZE])
{
    double ms = (double)time_us / 1000, s = ms / 1000;

    if (time_us == 0)
        (void)snprintf(text, CLI_HISTOGRAM_TIME_SIZE, "-");
    else if (time_us < 1000)
        (void)snprintf(text, CLI_HISTOGRAM_TIME_SIZE, "%" PRIu64 "us", time_us);
    else if (ms < 1000)
        (void)snprintf(text, CLI_HISTOGRAM_TIME_SIZE, "%.*fms", ms < 10, ms);
    else
        (void)snprintf(text, CLI_HISTOGRAM_TIME_SIZE, "%.*fs", s < 10, s < 1e7 ? s : 1e7);
}
