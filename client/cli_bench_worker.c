/* A connection's requests, in one thread: as many as may be are sent, then the oldest is waited
 * for.
 *
 * With a rate each request has a moment at which it ought to be sent, and its latency counts from
 * then: what could not be sent because earlier ones were not answered yet has waited, and says so
 * (else the slowest moments would be those of which least is heard). Without one it counts from the
 * submit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli_bench.h"
#include "client/cli_signal.h"

#define SECOND_NS ((uint64_t)1000000000)
#define FILL_WINDOW 64

struct under_way {
    mregion_ticket ticket;
    enum bench_kind kind;
    struct mregion_block block; /* for add only its size */
    uint64_t begun_ns;
};

struct bench_worker {
    const struct bench_plan *plan;
    struct cli *cli;
    const char *region;
    uint64_t number;
    uint64_t random;
    uint64_t done; /* requests that were begun */
    uint64_t limit;
    uint8_t *bytes;  /* what is added and stored: as many as the largest */
    uint8_t *loaded; /* for each of the pipeline as many */
    struct under_way *queue;
    size_t first;
    size_t count;
    struct mregion_block *blobs;
    size_t blobs_count;
    size_t blobs_room;
    struct bench_result result;
};

uint64_t bench_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* splitmix64 */
static uint64_t next_random(struct bench_worker *worker)
{
    uint64_t x = worker->random += 0x9e3779b97f4a7c15;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/* ---- Made and freed ---- */

struct bench_worker *bench_worker_new(const struct bench_plan *plan, struct cli *cli,
                                      const char *region, uint64_t number)
{
    struct bench_worker *worker = calloc(1, sizeof *worker);

    if (worker == NULL)
        return NULL;
    worker->plan = plan;
    worker->cli = cli;
    worker->region = region;
    worker->number = number;
    worker->random = number + 1;
    worker->limit = plan->count / plan->connections + (number < plan->count % plan->connections);
    worker->bytes = malloc(plan->size_max);
    worker->loaded = malloc(plan->size_max * plan->pipeline);
    worker->queue = calloc(plan->pipeline, sizeof *worker->queue);
    if (worker->bytes == NULL || worker->loaded == NULL || worker->queue == NULL) {
        bench_worker_free(worker);
        return NULL;
    }
    for (uint64_t i = 0; i < plan->size_max; i++)
        worker->bytes[i] = (uint8_t)next_random(worker);
    return worker;
}

void bench_worker_free(struct bench_worker *worker)
{
    if (worker == NULL)
        return;
    /* The library writes to buffers until then. */
    cli_release(worker->cli);
    free(worker->cli);
    free(worker->bytes);
    free(worker->loaded);
    free(worker->queue);
    free(worker->blobs);
    free(worker);
}

const struct bench_result *bench_worker_result(const struct bench_worker *worker)
{
    return &worker->result;
}

/* ---- Blobs ---- */

static uint64_t choose_size(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;

    return plan->size_min + next_random(worker) % (plan->size_max - plan->size_min + 1);
}

static bool remember(struct bench_worker *worker, struct mregion_block blob)
{
    if (worker->blobs_count == worker->blobs_room) {
        size_t room = worker->blobs_room > 0 ? worker->blobs_room * 2 : 1024;
        struct mregion_block *blobs = reallocarray(worker->blobs, room, sizeof *blobs);

        if (blobs == NULL)
            return false;
        worker->blobs = blobs;
        worker->blobs_room = room;
    }
    worker->blobs[worker->blobs_count++] = blob;
    return true;
}

/* Those that are there before it begins, of this connection. */
int bench_worker_fill(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    uint64_t wanted =
        plan->blobs / plan->connections + (worker->number < plan->blobs % plan->connections);
    struct mregion *connection = worker->cli->connection;
    struct mregion_error error;

    while (worker->blobs_count < wanted && !cli_signal_pending()) {
        mregion_ticket tickets[FILL_WINDOW];
        struct mregion_block blobs[FILL_WINDOW];
        size_t count = 0;

        while (count < FILL_WINDOW && worker->blobs_count + count < wanted &&
               (count == 0 || count * plan->size_max < BENCH_SIZE_MAX)) {
            blobs[count].size = choose_size(worker);
            if (mregion_submit_add(connection, worker->region, worker->bytes, blobs[count].size,
                                   &tickets[count], &error) != MREGION_OK)
                return cli_fail_library(worker->cli, &error, NULL);
            count++;
        }
        for (size_t i = 0; i < count; i++) {
            if (mregion_collect_uint(connection, tickets[i], &blobs[i].address, &error) !=
                MREGION_OK)
                return cli_fail_library(worker->cli, &error, NULL);
            if (!remember(worker, blobs[i]))
                return cli_no_memory(worker->cli);
        }
    }
    return CLI_OK;
}

/* ---- Requests ---- */

/* Something has to be there to be loaded, stored or removed: else it is an add. */
static enum bench_kind choose_kind(struct bench_worker *worker)
{
    unsigned sum = 0, chosen;
    int kind = 0;

    for (int i = 0; i < BENCH_KINDS; i++)
        sum += worker->plan->mix[i];
    chosen = (unsigned)(next_random(worker) % sum);
    for (; chosen >= worker->plan->mix[kind]; kind++)
        chosen -= worker->plan->mix[kind];
    return worker->blobs_count > 0 ? (enum bench_kind)kind : BENCH_ADD;
}

static int submit(struct bench_worker *worker, size_t place, struct mregion_error *error)
{
    struct mregion *connection = worker->cli->connection;
    struct under_way *request = &worker->queue[place];
    size_t chosen;

    request->kind = choose_kind(worker);
    if (request->kind == BENCH_ADD) {
        request->block.size = choose_size(worker);
        return mregion_submit_add(connection, worker->region, worker->bytes, request->block.size,
                                  &request->ticket, error);
    }
    chosen = (size_t)(next_random(worker) % worker->blobs_count);
    request->block = worker->blobs[chosen];
    if (request->kind == BENCH_LOAD)
        return mregion_submit_load(
            connection, worker->region, request->block.address, request->block.size,
            worker->loaded + place * worker->plan->size_max, &request->ticket, error);
    if (request->kind == BENCH_STORE)
        return mregion_submit_store(connection, worker->region, request->block.address,
                                    worker->bytes, request->block.size, &request->ticket, error);
    worker->blobs[chosen] = worker->blobs[--worker->blobs_count];
    return mregion_submit_deallocate(connection, worker->region, request->block.address,
                                     request->block.size, &request->ticket, error);
}

static int begin_request(struct bench_worker *worker, uint64_t due_ns)
{
    size_t place = (worker->first + worker->count) % worker->plan->pipeline;
    struct mregion_error error;

    worker->queue[place].begun_ns = due_ns;
    if (submit(worker, place, &error) != MREGION_OK)
        return cli_fail_library(worker->cli, &error, NULL);
    worker->count++;
    worker->done++;
    return CLI_OK;
}

/* What the server refuses is counted; what is no answer ends it. */
static int end_request(struct bench_worker *worker)
{
    struct under_way *request = &worker->queue[worker->first];
    struct mregion *connection = worker->cli->connection;
    struct mregion_error error;
    int code;

    worker->first = (worker->first + 1) % worker->plan->pipeline;
    worker->count--;
    if (request->kind == BENCH_ADD)
        code = mregion_collect_uint(connection, request->ticket, &request->block.address, &error);
    else
        code = mregion_collect_done(connection, request->ticket, &error);
    if (code >= MREGION_ERR_CONNECT)
        return cli_fail_library(worker->cli, &error, NULL);
    latencies_add(&worker->result.latencies[request->kind], bench_now_ns() - request->begun_ns);
    worker->result.errors[request->kind] += code != MREGION_OK;
    if (request->kind == BENCH_ADD && code == MREGION_OK && !remember(worker, request->block))
        return cli_no_memory(worker->cli);
    return CLI_OK;
}

/* ---- The run ---- */

/* When the next request is due: of all connections together they come evenly. */
static uint64_t due_at(const struct bench_worker *worker, uint64_t start_ns)
{
    const struct bench_plan *plan = worker->plan;
    uint64_t nth = worker->number + worker->done * plan->connections;

    return start_ns + (uint64_t)((double)nth * (double)SECOND_NS / (double)plan->rate);
}

static void sleep_until(uint64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};

    while (!cli_signal_pending() &&
           clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        ;
}

static bool is_over(const struct bench_worker *worker, uint64_t due_ns, uint64_t end_ns)
{
    if (cli_signal_pending())
        return true;
    return worker->plan->count > 0 ? worker->done >= worker->limit : due_ns >= end_ns;
}

int bench_worker_run(struct bench_worker *worker, uint64_t start_ns)
{
    const struct bench_plan *plan = worker->plan;
    uint64_t end_ns = start_ns + plan->duration_ms * (SECOND_NS / 1000);
    int status = CLI_OK;

    sleep_until(start_ns);
    while (status == CLI_OK) {
        uint64_t now = bench_now_ns();
        uint64_t due = plan->rate > 0 ? due_at(worker, start_ns) : now;
        bool has_more = !is_over(worker, due, end_ns);

        if (has_more && worker->count < plan->pipeline && due <= now)
            status = begin_request(worker, due);
        else if (worker->count > 0)
            status = end_request(worker);
        else if (has_more)
            sleep_until(due);
        else
            break;
    }
    return status;
}
