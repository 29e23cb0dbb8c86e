#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "client/cli_bench.h"
#include "client/cli_histogram.h"
#include "client/cli_output.h"
#include "client/cli_table.h"
#include "client/cli_terminal.h"

static const double shares[] = {0.5, 0.9, 0.99, 0.999, 0.9999, 1};
static const char *const share_keys[] = {"p50_us",   "p90_us",    "p99_us",
                                         "p99_9_us", "p99_99_us", "max_us"};
#define SHARES (sizeof shares / sizeof *shares)

struct row {
    const char *name;
    const struct latencies *latencies;
    uint64_t errors;
    double seconds;
};

static double percentile_us(const struct row *row, size_t share)
{
    return (double)latencies_percentile(row->latencies, shares[share]) / 1000;
}

/* ---- For people ---- */

static void put_row(struct cli_table *table, const struct row *row, size_t shares_shown)
{
    cli_table_put(table, "%s", row->name);
    cli_table_put(table, "%.0f", (double)row->latencies->count / row->seconds);
    cli_table_put(table, "%" PRIu64, row->errors);
    for (size_t i = 0; i < shares_shown; i++) {
        char text[CLI_HISTOGRAM_TIME_SIZE];

        cli_histogram_format((uint64_t)(percentile_us(row, i) + 0.5), text);
        cli_table_put(table, "%s", text);
    }
}

static void print_table(const struct row *rows, size_t count)
{
    static const struct cli_column wide[] = {
        {"", CLI_LEFT},     {"/S", CLI_RIGHT},  {"ERRORS", CLI_RIGHT}, {"P50", CLI_RIGHT},
        {"P90", CLI_RIGHT}, {"P99", CLI_RIGHT}, {"P99.9", CLI_RIGHT},  {"P99.99", CLI_RIGHT},
        {"MAX", CLI_RIGHT}, {NULL, CLI_LEFT},
    };
    static const struct cli_column narrow[] = {
        {"", CLI_LEFT},     {"/S", CLI_RIGHT},  {"ERR", CLI_RIGHT}, {"P50", CLI_RIGHT},
        {"P90", CLI_RIGHT}, {"P99", CLI_RIGHT}, {NULL, CLI_LEFT},
    };
    struct cli_terminal terminal;
    struct cli_table *table;
    bool is_wide;
    char *text = NULL;

    cli_terminal_look(&terminal);
    is_wide = terminal.columns >= 70;
    table = cli_table_new(is_wide ? wide : narrow, terminal.is_terminal ? terminal.columns : 0);
    for (size_t i = 0; table != NULL && i < count; i++)
        put_row(table, &rows[i], is_wide ? SHARES : 3);
    if (table != NULL)
        text = cli_table_text(table);
    if (text != NULL)
        (void)fputs(text, stdout);
    free(text);
    cli_table_free(table);
}

static void print_for_people(const struct bench_plan *plan, const struct row *rows, size_t count)
{
    char least[CLI_OUTPUT_SIZE_SIZE], most[CLI_OUTPUT_SIZE_SIZE];

    cli_output_format_size(plan->size_min, least);
    cli_output_format_size(plan->size_max, most);
    (void)printf("%s%s%s in %.2f s\n", least, plan->size_min < plan->size_max ? " to " : "",
                 plan->size_min < plan->size_max ? most : "", rows[0].seconds);
    (void)printf("%" PRIu64 " connection%s, pipeline %" PRIu64 "\n", plan->connections,
                 plan->connections == 1 ? "" : "s", plan->pipeline);
    if (plan->rate > 0)
        (void)printf("open loop, %" PRIu64 "/s\n", plan->rate);
    (void)putchar('\n');
    print_table(rows, count);
}

/* ---- For programs ---- */

static void print_csv(const struct row *rows, size_t count)
{
    (void)fputs("request,count,errors,per_s", stdout);
    for (size_t i = 0; i < SHARES; i++)
        (void)printf(",%s", share_keys[i]);
    (void)putchar('\n');
    for (const struct row *row = rows; row < rows + count; row++) {
        (void)printf("%s,%" PRIu64 ",%" PRIu64 ",%.1f", row->name, row->latencies->count,
                     row->errors, (double)row->latencies->count / row->seconds);
        for (size_t i = 0; i < SHARES; i++)
            (void)printf(",%.1f", percentile_us(row, i));
        (void)putchar('\n');
    }
}

static json_t *row_json(const struct row *row)
{
    json_t *object = json_object();

    (void)json_object_set_new(object, "count", json_integer((json_int_t)row->latencies->count));
    (void)json_object_set_new(object, "errors", json_integer((json_int_t)row->errors));
    (void)json_object_set_new(object, "per_s",
                              json_real((double)row->latencies->count / row->seconds));
    for (size_t i = 0; i < SHARES; i++)
        (void)json_object_set_new(object, share_keys[i], json_real(percentile_us(row, i)));
    return object;
}

static void print_json(const struct bench_plan *plan, const struct row *rows, size_t count)
{
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {{"size_min", plan->size_min},
                   {"size_max", plan->size_max},
                   {"connections", plan->connections},
                   {"pipeline", plan->pipeline},
                   {"rate", plan->rate},
                   {"blobs", plan->blobs}};
    json_t *object = json_object();

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        (void)json_object_set_new(object, numbers[i].key,
                                  json_integer((json_int_t)numbers[i].number));
    (void)json_object_set_new(object, "seconds", json_real(rows[0].seconds));
    for (size_t i = 0; i < count; i++)
        (void)json_object_set_new(object, rows[i].name, row_json(&rows[i]));
    (void)json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    (void)putchar('\n');
    json_decref(object);
}

/* All, and each kind that there was. */
void bench_print(enum cli_form form, const struct bench_plan *plan,
                 const struct bench_result *result, double seconds)
{
    struct latencies *all = calloc(1, sizeof *all);
    struct row rows[BENCH_KINDS + 1];
    size_t count = 1;

    if (all == NULL)
        return;
    rows[0] = (struct row){.name = "all", .latencies = all, .seconds = seconds};
    for (int kind = 0; kind < BENCH_KINDS; kind++) {
        latencies_merge(all, &result->latencies[kind]);
        rows[0].errors += result->errors[kind];
        if (result->latencies[kind].count > 0)
            rows[count++] = (struct row){bench_names[kind], &result->latencies[kind],
                                         result->errors[kind], seconds};
    }
    if (form == CLI_JSON)
        print_json(plan, rows, count);
    else if (form == CLI_RAW)
        print_csv(rows, count);
    else
        print_for_people(plan, rows, count);
    free(all);
}
