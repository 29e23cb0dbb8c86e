#include <jansson.h>

#include "client/cli_stats.h"

/* Whole numbers of the server's are below 2^63. */
static void set_number(json_t *object, const char *key, uint64_t number)
{
    (void)json_object_set_new(object, key, json_integer((json_int_t)number));
}

static void set_real(json_t *object, const char *key, double number)
{
    (void)json_object_set_new(object, key, json_real(number));
}

static void set_percentiles(json_t *object, const struct cli_histogram *histogram)
{
    set_number(object, "p50_us", cli_histogram_percentile(histogram, 0.5));
    set_number(object, "p99_us", cli_histogram_percentile(histogram, 0.99));
    set_number(object, "max_us", cli_histogram_percentile(histogram, 1));
}

static json_t *method(const struct cli_stats *stats, struct cli_pair pair)
{
    struct cli_histogram histogram = {0};
    json_t *object = json_object();

    cli_stats_histogram(pair, "latency", &histogram);
    set_real(object, "requests_per_s", cli_stats_rate(stats, pair, "requests"));
    set_real(object, "errors_per_s", cli_stats_rate(stats, pair, "errors"));
    set_percentiles(object, &histogram);
    return object;
}

static json_t *region(const struct cli_stats *stats, struct cli_pair pair)
{
    static const char *const rates[][2] = {{"errors", "errors_per_s"},
                                           {"commits", "commits_per_s"},
                                           {"journal_written", "journal_bytes_per_s"},
                                           {"cache_hits", "cache_hits_per_s"},
                                           {"cache_misses", "cache_misses_per_s"}};
    static const char *const levels[] = {"size",         "capacity",        "max_size",
                                         "allocated",    "deallocated",     "free_blocks",
                                         "largest_free", "page_cache_used", "damaged_pages"};
    json_t *object = json_object();
    double reads, writes;

    cli_stats_kinds(stats, cli_stats_within(pair, "operations"), &reads, &writes);
    set_real(object, "reads_per_s", reads);
    set_real(object, "writes_per_s", writes);
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        set_real(object, rates[i][1], cli_stats_rate(stats, pair, rates[i][0]));
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        set_number(object, levels[i], cli_value_number(pair.now, levels[i]));
    (void)json_object_set_new(object, "read_only",
                              json_boolean(cli_value_bool(pair.now, "read_only")));
    return object;
}

static json_t *each(const struct cli_stats *stats, const char *key,
                    json_t *(*make)(const struct cli_stats *, struct cli_pair))
{
    struct cli_pair map = cli_stats_within(cli_stats_whole(stats), key);
    json_t *object = json_object();
    char name[80];

    for (uint32_t i = 0; cli_value_key(map.now, i, name, sizeof name); i++)
        (void)json_object_set_new(object, name, make(stats, cli_stats_within(map, name)));
    return object;
}

int cli_stats_print_json(const struct cli *cli, const struct cli_stats *stats)
{
    static const char *const rates[][2] = {{"requests", "requests_per_s"},
                                           {"errors", "errors_per_s"},
                                           {"bytes_received", "bytes_received_per_s"},
                                           {"bytes_sent", "bytes_sent_per_s"},
                                           {"commits", "commits_per_s"},
                                           {"syncs", "syncs_per_s"}};
    static const char *const levels[] = {"time_us", "connections", "connections_total", "buffered",
                                         "uploads"};
    struct cli_pair whole = cli_stats_whole(stats);
    struct cli_histogram requests, syncs = {0};
    json_t *object = json_object();
    double reads, writes;
    int status;

    set_real(object, "seconds", stats->seconds);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        set_number(object, levels[i], cli_value_number(stats->now, levels[i]));
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        set_real(object, rates[i][1], cli_stats_rate(stats, whole, rates[i][0]));
    cli_stats_all_kinds(stats, &reads, &writes);
    set_real(object, "reads_per_s", reads);
    set_real(object, "writes_per_s", writes);
    cli_stats_requests(stats, &requests);
    set_percentiles(object, &requests);
    cli_stats_histogram(whole, "sync_latency", &syncs);
    set_number(object, "sync_p99_us", cli_histogram_percentile(&syncs, 0.99));
    (void)json_object_set_new(object, "methods", each(stats, "methods", method));
    (void)json_object_set_new(object, "regions", each(stats, "regions", region));
    status = object != NULL ? CLI_OK : cli_no_memory(cli);
    if (status == CLI_OK && json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0)
        (void)fputc('\n', stdout);
    json_decref(object);
    return status;
}
