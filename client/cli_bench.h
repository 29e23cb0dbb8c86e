/* A load for the server, and how long it takes. */
#ifndef MREGION_CLIENT_CLI_BENCH_H
#define MREGION_CLIENT_CLI_BENCH_H

#include "client/cli_command.h"
#include "client/cli_latencies.h"

int cli_bench(struct cli *cli, const struct cli_arguments *arguments);
extern const struct cli_option cli_bench_options[];

enum bench_kind { BENCH_ADD, BENCH_LOAD, BENCH_STORE, BENCH_REMOVE, BENCH_KINDS };
extern const char *const bench_names[BENCH_KINDS];

#define BENCH_CONNECTIONS_MAX 1024
#define BENCH_PIPELINE_MAX 1024
#define BENCH_BLOBS_MAX 10000000
#define BENCH_SIZE_MAX ((uint64_t)16 << 20)

struct bench_plan {
    unsigned mix[BENCH_KINDS]; /* parts of the sum */
    uint64_t size_min;
    uint64_t size_max;
    uint64_t connections;
    uint64_t pipeline;      /* of each connection */
    uint64_t rate;          /* requests a second, of all; 0: as many as are answered */
    uint64_t duration_ms;   /* where count is 0 */
    uint64_t count;         /* requests, of all */
    uint64_t blobs;         /* that are there at the beginning, of all */
    const char *durability; /* NULL: the server's default */
};

/* 0, or CLI_USAGE with the reason printed. */
int bench_parse(const struct cli *cli, const struct cli_arguments *arguments,
                struct bench_plan *ret_plan);

struct bench_result {
    struct latencies latencies[BENCH_KINDS];
    uint64_t errors[BENCH_KINDS]; /* requests that the server refused, among the latencies */
};

/* ---- One connection, in a thread of its own ---- */

struct bench_worker;

/* Takes the cli, whose connection is its own, and gives it back with bench_worker_free. NULL when
 * memory is out. number: from 0, below connections. */
struct bench_worker *bench_worker_new(const struct bench_plan *plan, struct cli *cli,
                                      const char *region, uint64_t number);
void bench_worker_free(struct bench_worker *worker);

/* Each returns 0, or an exit code with the reason printed. */
int bench_worker_fill(struct bench_worker *worker);
/* Until start_ns nothing is sent. Stops early when a signal comes. */
int bench_worker_run(struct bench_worker *worker, uint64_t start_ns);

/* Complete when it has run. */
const struct bench_result *bench_worker_result(const struct bench_worker *worker);

uint64_t bench_now_ns(void);

/* ---- What is printed ---- */

void bench_print(enum cli_form form, const struct bench_plan *plan,
                 const struct bench_result *result, double seconds);

#endif
