/* Each connection is a thread, for a connection is one thread's at a time and its calls wait. What
 * is measured against other stores is in tests/bench, which speaks their protocols over bare
 * sockets; this is what a program with libmregion sees, TLS and users included. */
#include "client/cli_bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli_signal.h"

/* Time for all threads to be there. */
#define START_NS ((uint64_t)20000000)

struct crew {
    struct bench_worker **workers;
    pthread_t *threads;
    int *statuses;
    uint64_t count;
    uint64_t start_ns;
};

struct start {
    struct bench_worker *worker;
    uint64_t start_ns;
    int *ret_status;
};

static void *run_worker(void *context)
{
    struct start *start = context;

    *start->ret_status = bench_worker_run(start->worker, start->start_ns);
    return NULL;
}

static void *fill_worker(void *context)
{
    struct start *start = context;

    *start->ret_status = bench_worker_fill(start->worker);
    return NULL;
}

/* Has all workers do it at once. 0, or the first exit code that is none. */
static int run_all(const struct cli *cli, struct crew *crew, void *(*work)(void *))
{
    struct start *starts = calloc(crew->count + 1, sizeof *starts);
    uint64_t running = 0;
    int status = CLI_OK;

    if (starts == NULL)
        return cli_no_memory(cli);
    crew->start_ns = bench_now_ns() + START_NS;
    for (; status == CLI_OK && running < crew->count; running++) {
        int number;

        starts[running] =
            (struct start){crew->workers[running], crew->start_ns, &crew->statuses[running]};
        number = pthread_create(&crew->threads[running], NULL, work, &starts[running]);
        if (number != 0) {
            status = cli_fail(cli, CLI_LOCAL_IO, "bench: no thread for a connection: %s",
                              strerror(number));
            break;
        }
    }
    for (uint64_t i = 0; i < running; i++) {
        (void)pthread_join(crew->threads[i], NULL);
        if (status == CLI_OK)
            status = crew->statuses[i];
    }
    free(starts);
    return status;
}

/* ---- Connections ---- */

static struct cli *connect_anew(const struct cli *cli, int *ret_status)
{
    struct cli *copy = malloc(sizeof *copy);

    if (copy == NULL) {
        *ret_status = cli_no_memory(cli);
        return NULL;
    }
    *copy = *cli;
    copy->connection = NULL;
    copy->region = NULL;
    *ret_status = cli_connect(copy);
    if (*ret_status == CLI_OK)
        return copy;
    free(copy);
    return NULL;
}

static int hire(const struct cli *cli, struct crew *crew, const struct bench_plan *plan,
                const char *region)
{
    crew->workers = calloc(plan->connections, sizeof *crew->workers);
    crew->threads = calloc(plan->connections, sizeof *crew->threads);
    crew->statuses = calloc(plan->connections, sizeof *crew->statuses);
    if (crew->workers == NULL || crew->threads == NULL || crew->statuses == NULL)
        return cli_no_memory(cli);
    while (crew->count < plan->connections) {
        int status;
        struct cli *own = connect_anew(cli, &status);

        if (own == NULL)
            return status;
        crew->workers[crew->count] = bench_worker_new(plan, own, region, crew->count);
        if (crew->workers[crew->count] == NULL)
            return cli_no_memory(cli);
        crew->count++;
    }
    return CLI_OK;
}

static void dismiss(struct crew *crew)
{
    for (uint64_t i = 0; i < crew->count; i++)
        bench_worker_free(crew->workers[i]);
    free(crew->workers);
    free(crew->threads);
    free(crew->statuses);
}

/* ---- All of it ---- */

static int measure(struct cli *cli, const struct bench_plan *plan, const char *region)
{
    struct bench_result *result = calloc(1, sizeof *result);
    struct crew crew = {.count = 0};
    int status = result == NULL ? cli_no_memory(cli) : hire(cli, &crew, plan, region);
    double seconds = 0;

    if (status == CLI_OK)
        status = run_all(cli, &crew, fill_worker);
    if (status == CLI_OK) {
        status = run_all(cli, &crew, run_worker);
        seconds = (double)(bench_now_ns() - crew.start_ns) / 1e9;
    }
    for (uint64_t i = 0; status == CLI_OK && i < crew.count; i++) {
        const struct bench_result *one = bench_worker_result(crew.workers[i]);

        for (int kind = 0; kind < BENCH_KINDS; kind++) {
            latencies_merge(&result->latencies[kind], &one->latencies[kind]);
            result->errors[kind] += one->errors[kind];
        }
    }
    if (status == CLI_OK)
        bench_print(cli->form, plan, result, seconds > 0 ? seconds : 1e-9);
    dismiss(&crew);
    free(result);
    return status;
}

int cli_bench(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_region_options options = {0};
    struct mregion_error error;
    struct bench_plan plan;
    char region[32];
    uint64_t id;
    int status = bench_parse(cli, arguments, &plan);

    cli->keeps_password = true;
    if (status == CLI_OK)
        status = cli_connect(cli);
    if (status != CLI_OK)
        return status;
    options.durability = plan.durability;
    (void)snprintf(region, sizeof region, "bench.%ld", (long)getpid());
    if (mregion_create_region(cli->connection, region, &options, &id, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    status = measure(cli, &plan, region);
    if (mregion_drop_region(cli->connection, region, &error) != MREGION_OK)
        status = cli_fail(cli, CLI_REFUSED, "the region %s stays: %s", region, error.text);
    return status;
}
