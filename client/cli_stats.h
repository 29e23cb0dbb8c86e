/* What the server has done between two looks at it: stat, top and latency. */
#ifndef MREGION_CLIENT_CLI_STATS_H
#define MREGION_CLIENT_CLI_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cli_command.h"
#include "client/cli_histogram.h"
#include "client/cli_terminal.h"
#include "client/cli_values.h"

int cli_stat(struct cli *cli, const struct cli_arguments *arguments);
int cli_top(struct cli *cli, const struct cli_arguments *arguments);
int cli_latency(struct cli *cli, const struct cli_arguments *arguments);
extern const struct cli_option cli_stats_options[];

/* ---- Two looks ---- */

/* Zero it first. */
struct cli_stats {
    struct cli_answer answers[2];
    const msgpack_object *now;
    const msgpack_object *before; /* NULL: since the server's start */
    double seconds;               /* in between */
};

/* Looks anew, at the regions too or, which is cheaper for a server that has many, not. The look
 * before is what it is compared with, unless the server was started anew. 0, or an exit code with
 * the reason printed. */
int cli_stats_look(struct cli *cli, struct cli_stats *stats, bool has_regions);
void cli_stats_release(struct cli_stats *stats);

/* A map within now, and the same one within before; either may be NULL. */
struct cli_pair {
    const msgpack_object *now;
    const msgpack_object *before;
};
struct cli_pair cli_stats_whole(const struct cli_stats *stats);
struct cli_pair cli_stats_within(struct cli_pair pair, const char *key);

/* What a count has grown by. */
uint64_t cli_stats_grown(struct cli_pair pair, const char *key);
/* The same for each second. */
double cli_stats_rate(const struct cli_stats *stats, struct cli_pair pair, const char *key);
/* What has been added to a histogram. */
void cli_stats_histogram(struct cli_pair pair, const char *key, struct cli_histogram *histogram);

/* All requests that were executed, of every method. */
void cli_stats_requests(const struct cli_stats *stats, struct cli_histogram *ret_histogram);

/* Operations a second of a map by method: those that only read, and the others. */
void cli_stats_kinds(const struct cli_stats *stats, struct cli_pair operations, double *ret_reads,
                     double *ret_writes);
/* The same of all methods. */
void cli_stats_all_kinds(const struct cli_stats *stats, double *ret_reads, double *ret_writes);

/* ---- Again and again ---- */

struct cli_stats_plan {
    bool is_repeated;
    uint64_t interval_ms;
    uint64_t count;
    bool has_regions; /* what is printed tells of them */
};

/* From the options of cli_stats_options. */
int cli_stats_plan(const struct cli *cli, const struct cli_arguments *arguments,
                   struct cli_stats_plan *ret_plan);

/* Looks and prints: once, of all that was since the server's start, or again and again, each time
 * of what was since the look before, of which there is one that is not printed. 0, or an exit code
 * with the reason printed. */
typedef int cli_stats_print(struct cli *cli, const struct cli_stats *stats, void *context,
                            bool is_line, uint64_t line);
int cli_stats_watch(struct cli *cli, const struct cli_stats_plan *plan, cli_stats_print *print,
                    void *context);

/* ---- For programs ---- */

/* One object in a line, with everything. */
int cli_stats_print_json(const struct cli *cli, const struct cli_stats *stats);

#endif
