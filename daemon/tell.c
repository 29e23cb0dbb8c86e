#include "daemon/tell.h"

#include <assert.h>
#include <string.h>

#include "daemon/snapshot.h"
#include "proto/pack.h"

/* ---- As MessagePack ---- */

static struct tell_msgpack *msgpack_of(struct teller *teller)
{
    return (struct tell_msgpack *)(void *)teller;
}

void tell_msgpack_end(struct tell_msgpack *teller)
{
    textbuf_add(teller->to, (const char *)teller->bytes, teller->used);
    teller->used = 0;
}

/* Where size bytes may be written, which are at most TELL_BYTES. */
static uint8_t *room_for(struct tell_msgpack *teller, size_t size)
{
    if (sizeof teller->bytes - teller->used < size)
        tell_msgpack_end(teller);
    return teller->bytes + teller->used;
}

static void wrote(struct tell_msgpack *teller, const uint8_t *end)
{
    teller->used = (size_t)(end - teller->bytes);
}

static void pack_map(struct teller *teller, size_t count)
{
    struct tell_msgpack *to = msgpack_of(teller);
    wrote(to, pack_map_header(room_for(to, PACK_HEADER_MAX), (uint32_t)count));
}

static void pack_array(struct teller *teller, size_t count)
{
    struct tell_msgpack *to = msgpack_of(teller);
    wrote(to, pack_array_header(room_for(to, PACK_HEADER_MAX), (uint32_t)count));
}

static void pack_end(struct teller *teller)
{
    (void)teller;
}

static void pack_text(struct teller *teller, const char *text)
{
    struct tell_msgpack *to = msgpack_of(teller);
    size_t length = strlen(text);
    if (length > TELL_BYTES - PACK_HEADER_MAX)
        length = TELL_BYTES - PACK_HEADER_MAX; /* no sentence is */
    uint8_t *at = pack_str_header(room_for(to, PACK_HEADER_MAX + length), (uint32_t)length);
    /* not memcpy, which gcc makes a string instruction of where it knows a bound: three times as
     * slow for a key */
    memmove(at, text, length);
    wrote(to, at + length);
}

static void pack_number(struct teller *teller, uint64_t number)
{
    struct tell_msgpack *to = msgpack_of(teller);
    wrote(to, pack_uint(room_for(to, PACK_UINT_MAX), number));
}

static void pack_flag(struct teller *teller, bool flag)
{
    struct tell_msgpack *to = msgpack_of(teller);
    wrote(to, pack_bool(room_for(to, 1), flag));
}

void tell_msgpack_init(struct tell_msgpack *teller, struct textbuf *to)
{
    teller->teller = (struct teller){
        .map = pack_map,
        .array = pack_array,
        .end = pack_end,
        .key = pack_text,
        .number = pack_number,
        .flag = pack_flag,
        .text = pack_text,
    };
    teller->to = to;
    teller->used = 0;
}

/* ---- As JSON ---- */

static struct tell_json *json_of(struct teller *teller)
{
    return (struct tell_json *)(void *)teller;
}

/* What stands before the next member. */
static void write_comma(struct tell_json *json)
{
    unsigned depth = json->depth;
    if (json->is_behind_key)
        json->is_behind_key = false;
    else if (json->has_members[depth])
        textbuf_put(json->to, ",");
    json->has_members[depth] = true;
}

static void write_begin(struct teller *teller, bool is_map)
{
    struct tell_json *json = json_of(teller);
    write_comma(json);
    textbuf_put(json->to, is_map ? "{" : "[");
    assert(json->depth + 1 < TELL_DEPTH);
    json->depth++;
    json->is_map[json->depth] = is_map;
    json->has_members[json->depth] = false;
}

static void write_map(struct teller *teller, size_t count)
{
    (void)count;
    write_begin(teller, true);
}

static void write_array(struct teller *teller, size_t count)
{
    (void)count;
    write_begin(teller, false);
}

static void write_end(struct teller *teller)
{
    struct tell_json *json = json_of(teller);
    assert(json->depth > 0);
    textbuf_put(json->to, json->is_map[json->depth--] ? "}" : "]");
}

static void write_key(struct teller *teller, const char *key)
{
    struct tell_json *json = json_of(teller);
    write_comma(json);
    textbuf_json(json->to, key);
    textbuf_put(json->to, ":");
    json->is_behind_key = true;
}

static void write_number(struct teller *teller, uint64_t number)
{
    write_comma(json_of(teller));
    textbuf_number(json_of(teller)->to, number);
}

static void write_flag(struct teller *teller, bool flag)
{
    write_comma(json_of(teller));
    textbuf_put(json_of(teller)->to, flag ? "true" : "false");
}

static void write_text(struct teller *teller, const char *text)
{
    write_comma(json_of(teller));
    textbuf_json(json_of(teller)->to, text);
}

void tell_json_init(struct tell_json *teller, struct textbuf *to)
{
    *teller = (struct tell_json){
        .teller =
            {
                .map = write_map,
                .array = write_array,
                .end = write_end,
                .key = write_key,
                .number = write_number,
                .flag = write_flag,
                .text = write_text,
            },
        .to = to,
    };
}

/* ---- Members ---- */

void tell_entry(struct teller *teller, const char *key, uint64_t number)
{
    teller->key(teller, key);
    teller->number(teller, number);
}

void tell_flag_entry(struct teller *teller, const char *key, bool flag)
{
    teller->key(teller, key);
    teller->flag(teller, flag);
}

void tell_text_entry(struct teller *teller, const char *key, const char *text)
{
    teller->key(teller, key);
    teller->text(teller, text);
}

/* ---- The shape ---- */

/* Its buckets that are not empty, each as [upper, count]. */
static void tell_histogram(struct teller *teller, const char *key,
                           const struct histogram *histogram)
{
    size_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        count += histogram->counts[i] > 0;
    teller->key(teller, key);
    teller->array(teller, count);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (histogram->counts[i] == 0)
            continue;
        teller->array(teller, 2);
        teller->number(teller, histogram_upper_us(i));
        teller->number(teller, histogram->counts[i]);
        teller->end(teller);
    }
    teller->end(teller);
}

static void tell_methods(struct teller *teller, const struct stats *stats)
{
    size_t count = 0;
    for (unsigned i = 0; i < STATS_KINDS; i++)
        count += stats->by_kind[i].requests > 0;
    teller->key(teller, "methods");
    teller->map(teller, count);
    for (unsigned i = 0; i < STATS_KINDS; i++) {
        const struct kind_stats *kind = &stats->by_kind[i];
        if (kind->requests == 0)
            continue;
        teller->key(teller, stats_kind_name(i));
        teller->map(teller, 4);
        tell_entry(teller, "requests", kind->requests);
        tell_entry(teller, "errors", kind->errors);
        tell_entry(teller, "latency_us", kind->latency.sum_us);
        tell_histogram(teller, "latency", &kind->latency);
        teller->end(teller);
    }
    teller->end(teller);
}

static void tell_codes(struct teller *teller, const struct stats *stats)
{
    size_t count = 0;
    for (unsigned i = 0; i < ERR_CODES; i++)
        count += stats->error_codes[i] > 0;
    teller->key(teller, "error_codes");
    teller->map(teller, count);
    for (unsigned i = 0; i < ERR_CODES; i++)
        if (stats->error_codes[i] > 0)
            tell_entry(teller, err_name((enum err_code)i), stats->error_codes[i]);
    teller->end(teller);
}

static void tell_operations(struct teller *teller, const struct snapshot_region *region)
{
    size_t count = 0;
    for (unsigned i = 0; i < STATS_KINDS; i++)
        count += region->operations[i] > 0;
    teller->key(teller, "operations");
    teller->map(teller, count);
    for (unsigned i = 0; i < STATS_KINDS; i++)
        if (region->operations[i] > 0)
            tell_entry(teller, stats_kind_name(i), region->operations[i]);
    teller->end(teller);
}

static void tell_region(struct teller *teller, const struct snapshot_region *region)
{
    const struct region_info *info = &region->info;
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {"id", info->id},
        {"errors", region->errors},
        {"size", info->size},
        {"capacity", info->capacity},
        {"max_size", info->options.max_size},
        {"allocated", info->allocated},
        {"deallocated", info->deallocated},
        {"free_blocks", info->free_blocks},
        {"largest_free", info->largest_free},
        {"uploads", info->uploads},
        {"journal_bytes", info->journal_bytes},
        {"journal_written", info->journal_written},
        {"commits", info->commits},
        {"checkpoints", info->checkpoints},
        {"cache_hits", info->cache_hits},
        {"cache_misses", info->cache_misses},
        {"page_cache_used", info->page_cache_used},
        {"damaged_pages", info->damaged_pages},
    };
    const size_t count = sizeof numbers / sizeof numbers[0];
    teller->map(teller, count + (region->failure != NULL ? 3 : 2));
    for (size_t i = 0; i < count; i++)
        tell_entry(teller, numbers[i].key, numbers[i].number);
    tell_flag_entry(teller, "read_only", info->read_only);
    if (region->failure != NULL)
        tell_text_entry(teller, "failure", region->failure);
    tell_operations(teller, region);
    teller->end(teller);
}

void tell_stats_region(struct teller *teller, const struct snapshot_region *region)
{
    teller->key(teller, region->name);
    tell_region(teller, region);
}

void tell_stats_begin(struct teller *teller, const struct snapshot *snapshot, size_t regions)
{
    const struct stats *stats = &snapshot->stats;
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {"time_us", snapshot->time_us},
        {"connections", snapshot->connections},
        {"connections_total", snapshot->connections_total},
        {"requests", stats_requests(stats)},
        {"errors", stats_errors(stats)},
        {"bytes_received", snapshot->received_bytes},
        {"bytes_sent", snapshot->sent_bytes},
        {"buffered", snapshot->buffered},
        {"uploads", snapshot->uploads},
        {"commits", histogram_count(&stats->commit)},
        {"commit_latency_us", stats->commit.sum_us},
        {"syncs", histogram_count(&snapshot->sync)},
        {"sync_latency_us", snapshot->sync.sum_us},
        {"checkpoints", histogram_count(&stats->checkpoint)},
        {"checkpoint_latency_us", stats->checkpoint.sum_us},
    };
    const size_t count = sizeof numbers / sizeof numbers[0];
    teller->map(teller, count + 7);
    for (size_t i = 0; i < count; i++)
        tell_entry(teller, numbers[i].key, numbers[i].number);
    tell_histogram(teller, "commit_latency", &stats->commit);
    tell_histogram(teller, "sync_latency", &snapshot->sync);
    tell_histogram(teller, "checkpoint_latency", &stats->checkpoint);
    tell_methods(teller, stats);
    tell_codes(teller, stats);
    teller->key(teller, "regions");
    teller->map(teller, regions);
}

void tell_stats_end(struct teller *teller, bool has_more)
{
    teller->end(teller);
    tell_flag_entry(teller, "more", has_more);
    teller->end(teller);
}

void tell_stats(struct teller *teller, const struct snapshot *snapshot, bool has_more)
{
    tell_stats_begin(teller, snapshot, snapshot->count);
    for (size_t i = 0; i < snapshot->count; i++)
        tell_stats_region(teller, &snapshot->regions[i]);
    tell_stats_end(teller, has_more);
}
