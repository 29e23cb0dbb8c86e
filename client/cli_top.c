/* top: what goes on, region by region and method by method. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_connections.h"
#include "client/cli_output.h"
#include "client/cli_stats.h"
#include "client/cli_table.h"

/* Rows of a table whose busiest come first. */
struct row {
    char name[80];
    struct cli_pair pair;
    double rate;
};

static int by_rate(const void *a, const void *b)
{
    const struct row *one = a, *other = b;

    if (one->rate != other->rate)
        return one->rate > other->rate ? -1 : 1;
    return strcmp(one->name, other->name);
}

/* The entries of a map, sorted; NULL where there is none, or memory is out. */
static struct row *rows_of(const struct cli_stats *stats, const char *key, size_t *ret_count)
{
    struct cli_pair map = cli_stats_within(cli_stats_whole(stats), key);
    uint32_t count =
        map.now != NULL && map.now->type == MSGPACK_OBJECT_MAP ? map.now->via.map.size : 0;
    struct row *rows = count > 0 ? calloc(count, sizeof *rows) : NULL;

    *ret_count = 0;
    for (uint32_t i = 0; rows != NULL && i < count; i++) {
        struct row *row = &rows[*ret_count];
        double reads, writes;

        if (!cli_value_key(map.now, i, row->name, sizeof row->name))
            continue;
        row->pair = cli_stats_within(map, row->name);
        cli_stats_kinds(stats, cli_stats_within(row->pair, "operations"), &reads, &writes);
        row->rate = cli_stats_rate(stats, row->pair, "requests") + reads + writes;
        ++*ret_count;
    }
    if (rows != NULL)
        qsort(rows, *ret_count, sizeof *rows, by_rate);
    return rows;
}

static void put_time(struct cli_table *table, const struct cli_histogram *histogram, double share)
{
    char text[CLI_HISTOGRAM_TIME_SIZE];

    cli_histogram_format(cli_histogram_percentile(histogram, share), text);
    cli_table_put(table, "%s", text);
}

/* Of two counts, the share of the first; nothing where both are 0. */
static void put_share(struct cli_table *table, uint64_t part, uint64_t rest)
{
    if (part + rest == 0)
        cli_table_put(table, "-");
    else
        cli_table_put(table, "%.0f%%", 100 * (double)part / ((double)part + (double)rest));
}

/* ---- Tables ---- */

#define WIDE 78 /* columns of the terminal for all columns of the table */

/* What a narrow terminal has. */
static const struct cli_column narrow_columns[] = {
    {"REGION", CLI_CUT}, {"READ/S", CLI_RIGHT}, {"WRITE/S", CLI_RIGHT},
    {"USED", CLI_RIGHT}, {"HOLES", CLI_RIGHT},  {NULL, CLI_LEFT},
};

static void put_narrow_region(const struct cli_stats *stats, struct cli_table *table,
                              const struct row *row)
{
    const msgpack_object *now = row->pair.now;
    double reads, writes;

    cli_stats_kinds(stats, cli_stats_within(row->pair, "operations"), &reads, &writes);
    cli_table_put(table, "%s", row->name);
    cli_table_put(table, "%.0f", reads);
    cli_table_put(table, "%.0f", writes);
    put_share(table, cli_value_number(now, "allocated"), cli_value_number(now, "deallocated"));
    cli_table_put(table, "%" PRIu64, cli_value_number(now, "free_blocks"));
}

static const struct cli_column region_columns[] = {
    {"REGION", CLI_CUT},  {"READ/S", CLI_RIGHT},   {"WRITE/S", CLI_RIGHT}, {"ERR/S", CLI_RIGHT},
    {"SIZE", CLI_RIGHT},  {"USED", CLI_RIGHT},     {"HOLES", CLI_RIGHT},   {"LARGEST", CLI_RIGHT},
    {"CACHE", CLI_RIGHT}, {"COMMIT/S", CLI_RIGHT}, {NULL, CLI_LEFT},
};

static void put_region(const struct cli_stats *stats, struct cli_table *table,
                       const struct row *row)
{
    const msgpack_object *now = row->pair.now;
    double reads, writes;

    cli_stats_kinds(stats, cli_stats_within(row->pair, "operations"), &reads, &writes);
    cli_table_put(table, "%s%s", row->name, cli_value(now, "failure") != NULL ? " (failed)" : "");
    cli_table_put(table, "%.0f", reads);
    cli_table_put(table, "%.0f", writes);
    cli_table_put(table, "%.0f", cli_stats_rate(stats, row->pair, "errors"));
    cli_table_put_size(table, cli_value_number(now, "size"));
    put_share(table, cli_value_number(now, "allocated"), cli_value_number(now, "deallocated"));
    cli_table_put(table, "%" PRIu64, cli_value_number(now, "free_blocks"));
    cli_table_put_size(table, cli_value_number(now, "largest_free"));
    put_share(table, cli_stats_grown(row->pair, "cache_hits"),
              cli_stats_grown(row->pair, "cache_misses"));
    cli_table_put(table, "%.0f", cli_stats_rate(stats, row->pair, "commits"));
}

static const struct cli_column method_columns[] = {
    {"METHOD", CLI_CUT}, {"/S", CLI_RIGHT},  {"ERR/S", CLI_RIGHT}, {"P50", CLI_RIGHT},
    {"P99", CLI_RIGHT},  {"MAX", CLI_RIGHT}, {NULL, CLI_LEFT},
};

static void put_method(const struct cli_stats *stats, struct cli_table *table,
                       const struct row *row)
{
    struct cli_histogram histogram = {0};

    cli_stats_histogram(row->pair, "latency", &histogram);
    cli_table_put(table, "%s", row->name);
    cli_table_put(table, "%.0f", row->rate);
    cli_table_put(table, "%.0f", cli_stats_rate(stats, row->pair, "errors"));
    put_time(table, &histogram, 0.5);
    put_time(table, &histogram, 0.99);
    put_time(table, &histogram, 1);
}

/* ---- The screen ---- */

struct screen {
    const struct cli_stats *stats;
    const struct cli_connections *connections; /* the busiest first; NULL: nobody may see them */
    const struct cli_terminal *terminal;
    const struct cli_live *live;
    int left; /* lines; nothing is cut where it is no screen */
};

/* Lines of a text, as many as there is room for. */
static void print_lines(struct screen *screen, const char *text)
{
    while (*text != '\0' && (!screen->live->is_screen || screen->left > 0)) {
        size_t length = strcspn(text, "\n");

        (void)fwrite(text, 1, length, stdout);
        cli_live_line(screen->live, stdout);
        screen->left--;
        text += length + (text[length] == '\n');
    }
}

static void print_table(struct screen *screen, const char *key, const struct cli_column *columns,
                        void (*put)(const struct cli_stats *, struct cli_table *,
                                    const struct row *))
{
    struct cli_table *table =
        cli_table_new(columns, screen->terminal->is_terminal ? screen->terminal->columns : 0);
    size_t count;
    struct row *rows = rows_of(screen->stats, key, &count);
    char *text = NULL;

    for (size_t i = 0; table != NULL && rows != NULL && i < count; i++)
        put(screen->stats, table, &rows[i]);
    if (table != NULL && count > 0)
        text = cli_table_text(table);
    print_lines(screen, "\n");
    if (text != NULL)
        print_lines(screen, text);
    free(text);
    free(rows);
    cli_table_free(table);
}

/* So many of the busiest are shown. */
#define CONNECTIONS_SHOWN 10

static const struct cli_column narrow_connection_columns[] = {
    {"CONNECTION", CLI_CUT}, {"REQ/S", CLI_RIGHT}, {"BUFFERED", CLI_RIGHT}, {NULL, CLI_LEFT}};

static const struct cli_column connection_columns[] = {
    {"CONNECTION", CLI_CUT}, {"USER", CLI_LEFT},      {"REQ/S", CLI_RIGHT},
    {"IN/S", CLI_RIGHT},     {"OUT/S", CLI_RIGHT},    {"FLIGHT", CLI_RIGHT},
    {"IDLE", CLI_RIGHT},     {"BUFFERED", CLI_RIGHT}, {NULL, CLI_LEFT}};

static void put_connection(struct cli_table *table, const struct cli_connection *one, bool is_wide)
{
    char idle[CLI_CONNECTIONS_AGE_SIZE];

    cli_table_put(table, "%s", one->peer);
    if (is_wide)
        cli_table_put(table, "%s", one->user[0] != '\0' ? one->user : "-");
    cli_table_put(table, "%.0f", one->rate);
    if (is_wide) {
        cli_table_put_size(table, (uint64_t)one->rate_in);
        cli_table_put_size(table, (uint64_t)one->rate_out);
        cli_table_put(table, "%" PRIu64, one->in_flight);
        cli_connections_format_age(one->idle_ms / 1000, idle);
        cli_table_put(table, "%s", idle);
    }
    cli_table_put_size(table, one->buffered);
}

static void print_connections(struct screen *screen)
{
    const struct cli_connections *list = screen->connections;
    bool is_wide = screen->terminal->columns >= WIDE;
    struct cli_table *table;
    char *text = NULL;

    if (list == NULL || list->count == 0)
        return;
    table = cli_table_new(is_wide ? connection_columns : narrow_connection_columns,
                          screen->terminal->is_terminal ? screen->terminal->columns : 0);
    for (size_t i = 0; table != NULL && i < list->count && i < CONNECTIONS_SHOWN; i++)
        put_connection(table, &list->items[i], is_wide);
    if (table != NULL)
        text = cli_table_text(table);
    print_lines(screen, "\n");
    if (text != NULL)
        print_lines(screen, text);
    free(text);
    cli_table_free(table);
}

static void print_summary(struct screen *screen)
{
    const struct cli_stats *stats = screen->stats;
    struct cli_pair whole = cli_stats_whole(stats);
    char in[CLI_OUTPUT_SIZE_SIZE], out[CLI_OUTPUT_SIZE_SIZE], buffered[CLI_OUTPUT_SIZE_SIZE];
    char p50[CLI_HISTOGRAM_TIME_SIZE], p99[CLI_HISTOGRAM_TIME_SIZE], line[160];
    struct cli_histogram requests, syncs = {0};
    uint64_t connections;

    cli_stats_requests(stats, &requests);
    cli_histogram_format(cli_histogram_percentile(&requests, 0.5), p50);
    cli_histogram_format(cli_histogram_percentile(&requests, 0.99), p99);
    (void)snprintf(line, sizeof line, "%.0f requests/s, p50 %s, p99 %s\n",
                   cli_stats_rate(stats, whole, "requests"), p50, p99);
    print_lines(screen, line);
    cli_output_format_size((uint64_t)cli_stats_rate(stats, whole, "bytes_received"), in);
    cli_output_format_size((uint64_t)cli_stats_rate(stats, whole, "bytes_sent"), out);
    (void)snprintf(line, sizeof line, "%s/s in, %s/s out\n", in, out);
    print_lines(screen, line);
    cli_stats_histogram(whole, "sync_latency", &syncs);
    cli_histogram_format(cli_histogram_percentile(&syncs, 0.99), p99);
    (void)snprintf(line, sizeof line, "%.0f syncs/s, p99 %s\n",
                   cli_stats_rate(stats, whole, "syncs"), p99);
    print_lines(screen, line);
    cli_output_format_size(cli_value_number(stats->now, "buffered"), buffered);
    connections = cli_value_number(stats->now, "connections");
    (void)snprintf(line, sizeof line, "%" PRIu64 " connection%s, %s buffered\n", connections,
                   connections == 1 ? "" : "s", buffered);
    print_lines(screen, line);
}

/* Many regions leave the lower half of a screen to the rest. */
static void print_regions(struct screen *screen)
{
    int left = screen->left, share = left / 2;

    screen->left = share;
    if (screen->terminal->columns < WIDE)
        print_table(screen, "regions", narrow_columns, put_narrow_region);
    else
        print_table(screen, "regions", region_columns, put_region);
    screen->left += left - share;
}

static int print(struct cli *cli, const struct cli_stats *stats,
                 const struct cli_connections *connections, const struct cli_live *live)
{
    struct cli_terminal terminal;
    struct screen screen = {
        .stats = stats, .connections = connections, .terminal = &terminal, .live = live};

    if (cli->form == CLI_JSON)
        return cli_stats_print_json(cli, stats);
    cli_terminal_look(&terminal);
    screen.left = terminal.rows - 1;
    print_summary(&screen);
    print_regions(&screen);
    print_connections(&screen);
    print_table(&screen, "methods", method_columns, put_method);
    return CLI_OK;
}

/* ---- Looks at the connections ---- */

struct crowd {
    struct cli_connections now, before;
    double seconds;  /* since they were looked at */
    uint64_t passed; /* pictures that show what they were then */
    bool is_hidden;  /* the server does not tell them, or not us */
};

/* So many connections are asked for in a second: that costs the server a quarter of a percent of
 * its time at most. Of more the server is asked with every so manieth picture. */
#define CROWD_RATE 4000

static bool is_due(const struct crowd *crowd, const struct cli_stats_plan *plan)
{
    return crowd->passed >= crowd->now.count * 1000 / (CROWD_RATE * plan->interval_ms);
}

static int look_at_crowd(struct cli *cli, struct crowd *crowd, const struct cli_stats_plan *plan,
                         double seconds)
{
    struct mregion_error error;

    if (crowd->is_hidden || cli->form == CLI_JSON)
        return CLI_OK;
    crowd->seconds += seconds;
    if (!is_due(crowd, plan)) {
        crowd->passed++;
        return CLI_OK;
    }
    cli_connections_release(&crowd->before);
    crowd->before = crowd->now;
    crowd->now = (struct cli_connections){.items = NULL};
    switch (cli_connections_fetch(cli, &crowd->now, &error)) {
    case MREGION_OK:
        break;
    case MREGION_ERR_NO_SUCH_METHOD:
    case MREGION_ERR_DENIED:
        crowd->is_hidden = true;
        return CLI_OK;
    default:
        return cli_fail_library(cli, &error, NULL);
    }
    cli_connections_rank(&crowd->now, &crowd->before, crowd->seconds);
    crowd->seconds = 0;
    crowd->passed = 0;
    return CLI_OK;
}

int cli_top(struct cli *cli, const struct cli_arguments *arguments)
{
    struct cli_stats stats = {.now = NULL};
    struct crowd crowd = {.is_hidden = false};
    struct cli_terminal terminal;
    struct cli_stats_plan plan;
    struct cli_live live;
    int status = cli_stats_plan(cli, arguments, &plan);

    if (status == CLI_OK)
        status = cli_connect(cli);
    /* The first picture is of all since the server's start; where there are more, each is of the
     * time since the one before. */
    if (status != CLI_OK)
        return status;
    cli_terminal_look(&terminal);
    if (!terminal.is_terminal && !plan.is_repeated)
        plan.count = 1;
    cli_live_begin(&live, plan.interval_ms, plan.count,
                   terminal.is_terminal && cli->form == CLI_TABLE);
    while (status == CLI_OK && cli_live_next(&live)) {
        status = cli_stats_look(cli, &stats, true);
        if (status == CLI_OK)
            status = look_at_crowd(cli, &crowd, &plan, stats.seconds);
        if (status == CLI_OK)
            status = print(cli, &stats, crowd.is_hidden ? NULL : &crowd.now, &live);
        cli_live_show(&live);
    }
    cli_live_end(&live);
    cli_connections_release(&crowd.now);
    cli_connections_release(&crowd.before);
    cli_stats_release(&stats);
    return status;
}
