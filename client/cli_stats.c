#include "client/cli_stats.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli_parse.h"
#include "proto/methods.h"

enum { OPTION_INTERVAL, OPTION_COUNT };

const struct cli_option cli_stats_options[] = {
    {"interval", "TIME", 'M', NULL, 'i'},
    {"count", "COUNT", 'N', NULL, 'n'},
    {NULL, NULL, 0, NULL, 0},
};

/* ---- Looks ---- */

/* Each region is looked for among those of the look before. */
#define REGIONS_MAX 10000
#define NAME_SIZE 512

static msgpack_object_map *regions_of(struct cli_answer *answer)
{
    const msgpack_object *regions = cli_value(&answer->unpacked.data, "regions");

    return regions != NULL && regions->type == MSGPACK_OBJECT_MAP
               ? (msgpack_object_map *)(uintptr_t)&regions->via.map
               : NULL;
}

/* Puts the regions of a further part behind those that the answer has. */
static bool join(struct cli_answer *answer, const msgpack_object_map *more)
{
    msgpack_object_map *all = regions_of(answer);
    uint32_t count = all->size + more->size;
    msgpack_object_kv *both =
        msgpack_zone_malloc(answer->unpacked.zone, count * sizeof(msgpack_object_kv));

    if (both == NULL)
        return false;
    memcpy(both, all->ptr, all->size * sizeof *both);
    memcpy(both + all->size, more->ptr, more->size * sizeof *both);
    *all = (msgpack_object_map){.ptr = both, .size = count};
    return true;
}

/* The server tells so many regions at once as it likes to. A part without any, or one that begins
 * anew, is the end. */
static int fetch_rest(struct cli *cli, struct cli_answer *answer, struct mregion_error *error)
{
    struct cli_answer *part = answer;

    while (cli_value_bool(&part->unpacked.data, "more") && regions_of(answer)->size < REGIONS_MAX) {
        const msgpack_object regions = {.type = MSGPACK_OBJECT_MAP, .via.map = *regions_of(answer)};
        char last[NAME_SIZE], first[NAME_SIZE];
        int code;

        if (!cli_value_key(&regions, regions.via.map.size - 1, last, sizeof last))
            return MREGION_OK;
        part = calloc(1, sizeof *part);
        if (part == NULL)
            return cli_answer_no_memory(error);
        part->rest = answer->rest;
        answer->rest = part;
        code = cli_answer_call_option(cli, "stats", "after", cli_object_text(last), part, error);
        if (code != MREGION_OK)
            return code;
        if (regions_of(part) == NULL ||
            !cli_value_key(cli_value(&part->unpacked.data, "regions"), 0, first, sizeof first) ||
            strcmp(first, last) <= 0)
            return MREGION_OK;
        if (!join(answer, regions_of(part)))
            return cli_answer_no_memory(error);
    }
    return MREGION_OK;
}

static int fetch(struct cli *cli, bool has_regions, struct cli_answer *ret_answer,
                 struct mregion_error *error)
{
    int code;

    if (!has_regions)
        return cli_answer_call_option(cli, "stats", "limit", cli_object_number(0), ret_answer,
                                      error);
    code = cli_answer_call(cli, "stats", NULL, ret_answer, error);
    return code == MREGION_OK && regions_of(ret_answer) != NULL ? fetch_rest(cli, ret_answer, error)
                                                                : code;
}

int cli_stats_look(struct cli *cli, struct cli_stats *stats, bool has_regions)
{
    struct cli_answer *older = &stats->answers[0], *newer = &stats->answers[1];
    struct mregion_error error;
    uint64_t time_us, before_us = 0;

    cli_answer_release(older);
    *older = *newer;
    *newer = (struct cli_answer){.is_there = false};
    stats->now = stats->before = NULL;
    if (fetch(cli, has_regions, newer, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    stats->now = &newer->unpacked.data;
    time_us = cli_value_number(stats->now, "time_us");
    if (older->is_there && cli_value_number(&older->unpacked.data, "time_us") <= time_us) {
        stats->before = &older->unpacked.data;
        before_us = cli_value_number(stats->before, "time_us");
    }
    stats->seconds = time_us > before_us ? (double)(time_us - before_us) / 1e6 : 1e-6;
    return CLI_OK;
}

void cli_stats_release(struct cli_stats *stats)
{
    cli_answer_release(&stats->answers[0]);
    cli_answer_release(&stats->answers[1]);
}

struct cli_pair cli_stats_whole(const struct cli_stats *stats)
{
    return (struct cli_pair){stats->now, stats->before};
}

struct cli_pair cli_stats_within(struct cli_pair pair, const char *key)
{
    return (struct cli_pair){cli_value(pair.now, key), cli_value(pair.before, key)};
}

uint64_t cli_stats_grown(struct cli_pair pair, const char *key)
{
    uint64_t now = cli_value_number(pair.now, key), before = cli_value_number(pair.before, key);

    return now > before ? now - before : 0;
}

double cli_stats_rate(const struct cli_stats *stats, struct cli_pair pair, const char *key)
{
    return (double)cli_stats_grown(pair, key) / stats->seconds;
}

void cli_stats_histogram(struct cli_pair pair, const char *key, struct cli_histogram *histogram)
{
    cli_histogram_add(histogram, cli_value(pair.now, key));
    cli_histogram_subtract(histogram, cli_value(pair.before, key));
}

/* ---- By method ---- */

/* What is no method of ours changes something, for all we know. */
static bool is_read(const char *name)
{
#define METHOD(symbol, method, parameters, names, options, result, access)                         \
    if (strcmp(name, method) == 0)                                                                 \
        return METHOD_##access <= METHOD_OPEN || METHOD_##access == METHOD_LOGIN;
#include "proto/methods.def"
#undef METHOD
    return strcmp(name, "stats") == 0;
}

static void count_kind(const struct cli_stats *stats, const char *name, uint64_t count,
                       double *reads, double *writes)
{
    *(is_read(name) ? reads : writes) += (double)count / stats->seconds;
}

void cli_stats_kinds(const struct cli_stats *stats, struct cli_pair operations, double *ret_reads,
                     double *ret_writes)
{
    char name[64];

    *ret_reads = *ret_writes = 0;
    for (uint32_t i = 0; (cli_value_key(operations.now, i, name, sizeof name)); i++)
        count_kind(stats, name, cli_stats_grown(operations, name), ret_reads, ret_writes);
}

void cli_stats_all_kinds(const struct cli_stats *stats, double *ret_reads, double *ret_writes)
{
    struct cli_pair kinds = cli_stats_within(cli_stats_whole(stats), "methods");
    char name[64];

    *ret_reads = *ret_writes = 0;
    for (uint32_t i = 0; cli_value_key(kinds.now, i, name, sizeof name); i++)
        count_kind(stats, name, cli_stats_grown(cli_stats_within(kinds, name), "requests"),
                   ret_reads, ret_writes);
}

void cli_stats_requests(const struct cli_stats *stats, struct cli_histogram *ret_histogram)
{
    struct cli_pair kinds = cli_stats_within(cli_stats_whole(stats), "methods");
    char name[64];

    *ret_histogram = (struct cli_histogram){0};
    for (uint32_t i = 0; cli_value_key(kinds.now, i, name, sizeof name); i++)
        cli_stats_histogram(cli_stats_within(kinds, name), "latency", ret_histogram);
}

/* ---- Options ---- */

int cli_stats_plan(const struct cli *cli, const struct cli_arguments *arguments,
                   struct cli_stats_plan *ret_plan)
{
    const char *interval = arguments->options[OPTION_INTERVAL];
    const char *count = arguments->options[OPTION_COUNT];
    const char *name = arguments->command->name;

    *ret_plan = (struct cli_stats_plan){
        .is_repeated = interval != NULL || count != NULL, .interval_ms = 1000, .count = UINT64_MAX};
    if (interval != NULL && !cli_live_parse(interval, &ret_plan->interval_ms))
        return cli_fail(cli, CLI_USAGE, "%s: --interval: \"%s\" is not " CLI_LIVE_EXPECTED, name,
                        interval);
    if (count != NULL && (!cli_parse_number(count, &ret_plan->count) || ret_plan->count == 0))
        return cli_fail(cli, CLI_USAGE, "%s: --count: \"%s\" is not " CLI_PARSE_NUMBER, name,
                        count);
    return CLI_OK;
}

static int watch(struct cli *cli, struct cli_stats *stats, const struct cli_stats_plan *plan,
                 cli_stats_print *print, void *context)
{
    struct cli_live live;
    uint64_t line = 0;
    int status = cli_stats_look(cli, stats, plan->has_regions);

    if (status == CLI_OK && !plan->is_repeated)
        return print(cli, stats, context, false, 0);
    cli_live_begin(&live, plan->interval_ms, plan->count, false);
    live.has_begun = true; /* the first line is of the first interval */
    while (status == CLI_OK && cli_live_next(&live)) {
        status = cli_stats_look(cli, stats, plan->has_regions);
        if (status == CLI_OK)
            status = print(cli, stats, context, true, line++);
        cli_live_show(&live);
    }
    cli_live_end(&live);
    return status;
}

int cli_stats_watch(struct cli *cli, const struct cli_stats_plan *plan, cli_stats_print *print,
                    void *context)
{
    struct cli_stats stats = {.now = NULL};
    int status = cli_connect(cli);

    if (status == CLI_OK)
        status = watch(cli, &stats, plan, print, context);
    cli_stats_release(&stats);
    return status;
}
