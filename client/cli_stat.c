/* stat: a line for each interval. */
#include <inttypes.h>
#include <stdio.h>

#include "client/cli_stats.h"

/* Lines from one heading to the next. */
#define HEADING_EVERY 20

/* "1234", "56.7k", "8.9M", in 6 characters. */
static void format_rate(double rate, char text[16])
{
    static const char units[] = "\0kMGTPE";
    size_t unit = 0;

    while (rate >= 9999.5 && unit < sizeof units - 2) {
        rate /= 1000;
        unit++;
    }
    (void)snprintf(text, 16, "%.*f%.1s", unit > 0 && rate < 999.5, rate, &units[unit]);
}

/* A narrow terminal has the first columns only. */
struct line {
    int left;
};

#define COLUMN 8

static void put(struct line *line, const char *text)
{
    if (line->left-- > 0)
        (void)printf("%*s", COLUMN, text);
}

static void put_rate(struct line *line, double rate)
{
    char text[16];

    format_rate(rate, text);
    put(line, text);
}

static void put_time(struct line *line, const struct cli_histogram *histogram, double share)
{
    char text[CLI_HISTOGRAM_TIME_SIZE];

    cli_histogram_format(cli_histogram_percentile(histogram, share), text);
    put(line, text);
}

static struct line begin_line(void)
{
    struct cli_terminal terminal;

    cli_terminal_look(&terminal);
    return (struct line){terminal.columns / COLUMN};
}

static void print_heading(void)
{
    static const char *const names[] = {"READ/S", "WRITE/S", "ERR/S",  "P50",    "P99",
                                        "IN/S",   "OUT/S",   "SYNC/S", "SYNC99", "CONNS"};
    struct line line = begin_line();

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        put(&line, names[i]);
    (void)putchar('\n');
}

static void print_line(const struct cli_stats *stats)
{
    struct cli_pair whole = cli_stats_whole(stats);
    struct cli_histogram requests, syncs = {0};
    struct line line = begin_line();
    double reads, writes;

    cli_stats_all_kinds(stats, &reads, &writes);
    cli_stats_requests(stats, &requests);
    cli_stats_histogram(whole, "sync_latency", &syncs);
    put_rate(&line, reads);
    put_rate(&line, writes);
    put_rate(&line, cli_stats_rate(stats, whole, "errors"));
    put_time(&line, &requests, 0.5);
    put_time(&line, &requests, 0.99);
    put_rate(&line, cli_stats_rate(stats, whole, "bytes_received"));
    put_rate(&line, cli_stats_rate(stats, whole, "bytes_sent"));
    put_rate(&line, cli_stats_rate(stats, whole, "syncs"));
    put_time(&line, &syncs, 0.99);
    put_rate(&line, (double)cli_value_number(stats->now, "connections"));
    (void)putchar('\n');
}

static void print_raw(const struct cli_stats *stats)
{
    double reads, writes;

    cli_stats_all_kinds(stats, &reads, &writes);
    (void)printf("%" PRIu64 "\t%.3f\t%.3f\n", cli_value_number(stats->now, "time_us"), reads,
                 writes);
}

static int print(struct cli *cli, const struct cli_stats *stats, void *nothing, bool is_line,
                 uint64_t line)
{
    (void)nothing;
    (void)is_line;
    if (cli->form == CLI_JSON)
        return cli_stats_print_json(cli, stats);
    if (cli->form == CLI_RAW) {
        print_raw(stats);
        return CLI_OK;
    }
    if (line % HEADING_EVERY == 0)
        print_heading();
    print_line(stats);
    return CLI_OK;
}

int cli_stat(struct cli *cli, const struct cli_arguments *arguments)
{
    struct cli_stats_plan plan;
    int status = cli_stats_plan(cli, arguments, &plan);

    plan.has_regions = cli->form == CLI_JSON;
    return status == CLI_OK ? cli_stats_watch(cli, &plan, print, NULL) : status;
}
