/* LMDB, embedded: what a store without a socket does on the same disk, on one thread.
 *
 *     bench_lmdb [--size BYTES] [--per-sync N] [--operation put|get|del] [--blobs N] [--seconds S]
 *                FOLDER
 *
 * Keys are numbers. Puts and dels go N to a transaction, each of which is durable when it is done;
 * gets are of blobs that were put before, N to a transaction too, and look at the first byte of
 * every page. FOLDER is created, and must not hold a database. Prints its result as JSON. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "histogram.h"
#include "meter.h"
#include "raw.h"

#define MAP_SIZE (16UL << 30)
#define PAGE 4096
#define PUTS_AHEAD 64 /* in a transaction, when blobs are put for gets and dels */

enum operation { PUT, GET, DEL };

static struct {
    const char *folder;
    size_t size, per_sync, blobs;
    enum operation operation;
    double seconds;
} options = {.size = 64, .per_sync = 1, .blobs = 1000, .seconds = 5};

static MDB_env *environment;
static MDB_dbi database;
static uint8_t *payload;
static uint64_t next_put, next_del, random_state = 88172645463325252;
static volatile uint8_t seen; /* keeps the reading from being left out */

static void check(int result, const char *what)
{
    if (result == 0)
        return;
    fprintf(stderr, "bench_lmdb: %s: %s: %s\n", options.folder, what, mdb_strerror(result));
    exit(EXIT_FAILURE);
}

static void open_database(void)
{
    MDB_txn *transaction;
    if (mkdir(options.folder, 0700) != 0 && errno != EEXIST)
        check(errno, "mkdir");
    check(mdb_env_create(&environment), "mdb_env_create");
    check(mdb_env_set_mapsize(environment, MAP_SIZE), "mdb_env_set_mapsize");
    check(mdb_env_open(environment, options.folder, 0, 0600), "mdb_env_open");
    check(mdb_txn_begin(environment, NULL, 0, &transaction), "mdb_txn_begin");
    check(mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &database), "mdb_dbi_open");
    check(mdb_txn_commit(transaction), "mdb_txn_commit");
}

/* ---- The operations ---- */

static void put(MDB_txn *transaction)
{
    uint64_t number = next_put++;
    MDB_val key = {sizeof number, &number}, value = {options.size, payload};
    check(mdb_put(transaction, database, &key, &value, 0), "mdb_put");
}

static void get(MDB_txn *transaction)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    uint64_t number = random_state % next_put;
    MDB_val key = {sizeof number, &number}, value;
    check(mdb_get(transaction, database, &key, &value), "mdb_get");
    for (size_t i = 0; i < value.mv_size; i += PAGE)
        seen = (uint8_t)(seen + ((const uint8_t *)value.mv_data)[i]);
}

static void del(MDB_txn *transaction)
{
    uint64_t number = next_del++;
    MDB_val key = {sizeof number, &number};
    check(mdb_del(transaction, database, &key, NULL), "mdb_del");
}

static void transact(void (*operation)(MDB_txn *), size_t times)
{
    MDB_txn *transaction;
    unsigned flags = operation == get ? MDB_RDONLY : 0;
    check(mdb_txn_begin(environment, NULL, flags, &transaction), "mdb_txn_begin");
    for (size_t i = 0; i < times; i++)
        operation(transaction);
    check(mdb_txn_commit(transaction), "mdb_txn_commit");
}

/* Dels end when nothing is left. Returns how many operations there were. */
static uint64_t measure(struct histogram *latencies, double *ret_seconds)
{
    static void (*const operations[])(MDB_txn *) = {put, get, del};
    double began = meter_now(), before = began;
    uint64_t count = 0;
    while (before - began < options.seconds &&
           (options.operation != DEL || next_del + options.per_sync <= next_put)) {
        transact(operations[options.operation], options.per_sync);
        double now = meter_now();
        histogram_add(latencies, (uint64_t)((now - before) * 1e9));
        count += options.per_sync;
        before = now;
    }
    *ret_seconds = before - began;
    return count;
}

static void run(void)
{
    static struct histogram latencies;
    double seconds;
    if (options.operation != PUT)
        while (next_put < options.blobs)
            transact(put, PUTS_AHEAD);
    double device = meter_device_bytes(options.folder), cpu = meter_cpu(0);
    double process = meter_process_bytes(getpid());
    uint64_t count = measure(&latencies, &seconds);
    cpu = meter_cpu(0) - cpu;
    printf("{\"operations\": %" PRIu64 ", \"errors\": 0, \"seconds\": %.6f, \"per_second\": %.3f, "
           "\"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, \"server_cpu_us\": %.3f",
           count, seconds, (double)count / seconds, histogram_us(&latencies, 0.5),
           histogram_us(&latencies, 0.99), histogram_us(&latencies, 0.999),
           cpu * 1e6 / (double)count);
    if (device >= 0)
        printf(", \"device_bytes\": %.3f",
               (meter_device_bytes(options.folder) - device) / (double)count);
    if (process >= 0)
        printf(", \"process_bytes\": %.3f",
               (meter_process_bytes(getpid()) - process) / (double)count);
    puts("}");
}

/* ---- The command line ---- */

static size_t parse_count(const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long count = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || count < 1)
        argp_error(state, "%s: not a number of at least 1", text);
    return count;
}

static enum operation parse_operation(const char *text, struct argp_state *state)
{
    static const char *const names[] = {"put", "get", "del"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum operation)i;
    argp_error(state, "%s: neither put, get nor del", text);
    return PUT;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case 'z':
        options.size = parse_count(argument, state);
        return 0;
    case 'n':
        options.per_sync = parse_count(argument, state);
        return 0;
    case 'b':
        options.blobs = parse_count(argument, state);
        return 0;
    case 'o':
        options.operation = parse_operation(argument, state);
        return 0;
    case 't':
        options.seconds = atof(argument);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_usage(state);
        options.folder = argument;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"size", 'z', "BYTES", 0, "Of a blob (default 64)", 0},
        {"per-sync", 'n', "N", 0, "Operations in a transaction (default 1)", 0},
        {"operation", 'o', "NAME", 0, "put (default), get or del", 0},
        {"blobs", 'b', "N", 0, "Put before gets and dels (default 1000)", 0},
        {"seconds", 't', "S", 0, "How long (default 5)", 0},
        {0},
    };
    static const struct argp argp = {.options = argp_options,
                                     .parser = parse_option,
                                     .args_doc = "FOLDER",
                                     .doc = "What LMDB takes for puts, gets and dels."};
    argp_err_exit_status = EX_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
        return EX_OSERR;
    payload = malloc(options.size);
    if (payload == NULL) {
        fprintf(stderr, "bench_lmdb: out of memory\n");
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < options.size; i++)
        payload[i] = raw_byte(i);
    open_database();
    run();
    mdb_env_close(environment);
    free(payload);
    return EXIT_SUCCESS;
}
