/* latency: how long requests took, as a histogram, or percentiles interval by interval. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_stats.h"
#include "client/cli_table.h"

#define BAR_WIDTH 30
#define COLUMN 9 /* of the lines with percentiles */

static const double shares[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
static const char *const share_names[] = {"p50", "p90", "p99", "p99.9", "p99.99", "max"};
#define SHARES (sizeof shares / sizeof *shares)

/* What is asked for: a method, one of these, or all requests. */
static const char *const others[][2] = {
    {"commit", "commit_latency"}, {"sync", "sync_latency"}, {"checkpoint", "checkpoint_latency"}};

static void take_histogram(const struct cli_stats *stats, const char *what,
                           struct cli_histogram *ret_histogram)
{
    struct cli_pair whole = cli_stats_whole(stats);

    *ret_histogram = (struct cli_histogram){0};
    if (what == NULL) {
        cli_stats_requests(stats, ret_histogram);
        return;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(others[i][0], what) == 0) {
            cli_stats_histogram(whole, others[i][1], ret_histogram);
            return;
        }
    }
    cli_stats_histogram(cli_stats_within(cli_stats_within(whole, "methods"), what), "latency",
                        ret_histogram);
}

static int check_what(const struct cli *cli, const char *what)
{
    bool is_known = what == NULL;

#define METHOD(symbol, name, parameters, names, options, result, access)                           \
    is_known = is_known || strcmp(what, name) == 0;
#include "proto/methods.def"
#undef METHOD
    for (size_t i = 0; i < sizeof others / sizeof *others && !is_known; i++)
        is_known = strcmp(what, others[i][0]) == 0;
    if (is_known)
        return CLI_OK;
    return cli_fail(cli, CLI_USAGE,
                    "latency: \"%s\" is no method, and none of commit, sync and checkpoint", what);
}

/* ---- Printing ---- */

static void print_json(const struct cli_stats *stats, const struct cli_histogram *histogram)
{
    (void)printf("{\"time_us\":%" PRIu64 ",\"seconds\":%.6f,\"count\":%" PRIu64,
                 cli_value_number(stats->now, "time_us"), stats->seconds, histogram->count);
    for (size_t i = 0; i < SHARES; i++)
        (void)printf(",\"%s_us\":%" PRIu64, share_names[i],
                     cli_histogram_percentile(histogram, shares[i]));
    (void)fputs(",\"histogram\":[", stdout);
    for (size_t i = 0, printed = 0; i < histogram->size; i++) {
        if (histogram->buckets[i].count > 0)
            (void)printf("%s[%" PRIu64 ",%" PRIu64 "]", printed++ > 0 ? "," : "",
                         histogram->buckets[i].upper_us, histogram->buckets[i].count);
    }
    (void)fputs("]}\n", stdout);
}

static void print_raw(const struct cli_histogram *histogram)
{
    for (size_t i = 0; i < histogram->size; i++) {
        if (histogram->buckets[i].count > 0)
            (void)printf("%" PRIu64 "\t%" PRIu64 "\n", histogram->buckets[i].upper_us,
                         histogram->buckets[i].count);
    }
}

static void put_buckets(struct cli_table *table, const struct cli_histogram *histogram,
                        bool has_utf8)
{
    uint64_t most = 1, seen = 0;

    for (size_t i = 0; i < histogram->size; i++)
        most = histogram->buckets[i].count > most ? histogram->buckets[i].count : most;
    for (size_t i = 0; i < histogram->size; i++) {
        const struct cli_bucket *bucket = &histogram->buckets[i];
        size_t width = (size_t)((double)BAR_WIDTH * (double)bucket->count / (double)most);
        char text[CLI_HISTOGRAM_TIME_SIZE], bar[BAR_WIDTH * 3 + 1] = "", *at = bar;

        if (bucket->count == 0)
            continue;
        seen += bucket->count;
        for (width = width == 0 ? 1 : width; width > 0; width--)
            at = stpcpy(at, has_utf8 ? "█" : "#");
        cli_histogram_format(bucket->upper_us, text);
        cli_table_put(table, "%s", text);
        cli_table_put(table, "%" PRIu64, bucket->count);
        cli_table_put(table, "%.2f%%", 100 * (double)seen / (double)histogram->count);
        cli_table_put(table, "%s", bar);
    }
}

static void print_histogram(const struct cli_histogram *histogram)
{
    static const struct cli_column columns[] = {{"BELOW", CLI_RIGHT},
                                                {"COUNT", CLI_RIGHT},
                                                {"ALL", CLI_RIGHT},
                                                {"", CLI_CUT},
                                                {NULL, CLI_LEFT}};
    struct cli_terminal terminal;
    struct cli_table *table;
    char *text = NULL;

    cli_terminal_look(&terminal);
    table = cli_table_new(columns, terminal.is_terminal ? terminal.columns : 0);
    if (table != NULL) {
        put_buckets(table, histogram, terminal.has_utf8);
        text = cli_table_text(table);
    }
    if (text != NULL && histogram->count > 0)
        (void)printf("%s\n", text);
    (void)printf("%" PRIu64 " in all", histogram->count);
    for (size_t i = 0; i < SHARES; i++) {
        char time[CLI_HISTOGRAM_TIME_SIZE];

        cli_histogram_format(cli_histogram_percentile(histogram, shares[i]), time);
        (void)printf("%s%s %s", i % 3 == 0 ? "\n" : ", ", share_names[i], time);
    }
    (void)putchar('\n');
    free(text);
    cli_table_free(table);
}

/* A narrow terminal has the first percentiles only. */
static size_t shares_shown(void)
{
    struct cli_terminal terminal;
    size_t count;

    cli_terminal_look(&terminal);
    count = terminal.columns > COLUMN ? (size_t)(terminal.columns / COLUMN - 1) : 0;
    return count < SHARES ? count : SHARES;
}

static void print_line(const struct cli_stats *stats, const struct cli_histogram *histogram,
                       uint64_t line)
{
    size_t count = shares_shown();

    if (line % 20 == 0) {
        (void)printf("%*s", COLUMN, "COUNT/S");
        for (size_t i = 0; i < count; i++)
            (void)printf("%*s", COLUMN, share_names[i]);
        (void)putchar('\n');
    }
    (void)printf("%*.0f", COLUMN, (double)histogram->count / stats->seconds);
    for (size_t i = 0; i < count; i++) {
        char time[CLI_HISTOGRAM_TIME_SIZE];

        cli_histogram_format(cli_histogram_percentile(histogram, shares[i]), time);
        (void)printf("%*s", COLUMN, time);
    }
    (void)putchar('\n');
}

/* ---- The command ---- */

static int print(struct cli *cli, const struct cli_stats *stats, void *context, bool is_line,
                 uint64_t line)
{
    const char *what = context;
    struct cli_histogram histogram;

    take_histogram(stats, what, &histogram);
    if (cli->form == CLI_JSON)
        print_json(stats, &histogram);
    else if (cli->form == CLI_RAW)
        print_raw(&histogram);
    else if (is_line)
        print_line(stats, &histogram, line);
    else
        print_histogram(&histogram);
    return CLI_OK;
}

int cli_latency(struct cli *cli, const struct cli_arguments *arguments)
{
    char *what = arguments->count > 0 ? arguments->items[0] : NULL;
    struct cli_stats_plan plan;
    int status = check_what(cli, what);

    if (status == CLI_OK)
        status = cli_stats_plan(cli, arguments, &plan);
    return status == CLI_OK ? cli_stats_watch(cli, &plan, print, what) : status;
}
