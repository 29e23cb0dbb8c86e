/* What the disk takes for durable writes into a file that was preallocated and written once before,
 * from its beginning to its end, again and again.
 *
 *     bench_sync [--size BYTES] [--per-sync N] [--direct] [--seconds S] [--json] FILE [WRITES]
 *
 * A write is a pwrite; each Nth of them is followed by an fdatasync. Prints the latency below which
 * 50, 99 and 99.9 percent of the writes with their syncs were. FILE is overwritten. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "histogram.h"
#include "meter.h"

#define BLOCK 4096
#define FILE_MIN (4UL << 20)
#define FILE_MAX (256UL << 20)
#define SIZE_MAX_MIB 16

static struct {
    const char *path;
    size_t size, per_sync, writes;
    double seconds;
    bool is_direct, is_json;
} options = {.path = "", .size = BLOCK, .per_sync = 1, .writes = 2000};

/* So large that the writes between two syncs go to different places. */
static size_t file_size(void)
{
    size_t size = options.size * options.per_sync * 4;
    size = size < FILE_MIN ? FILE_MIN : size > FILE_MAX ? FILE_MAX : size;
    return size / options.size * options.size;
}

/* Opens the file with all its blocks written; -1. */
static int open_written(const uint8_t *bytes)
{
    int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
    int fd = open(options.path, flags | (options.is_direct ? O_DIRECT : 0), 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)file_size()) != 0)
        return -1;
    for (size_t at = 0; at < file_size(); at += options.size)
        if (pwrite(fd, bytes, options.size, (off_t)at) != (ssize_t)options.size)
            return -1;
    return fsync(fd) == 0 ? fd : -1;
}

/* Returns how many writes there were, 0 when one failed. */
static uint64_t measure(int fd, uint8_t *bytes, struct histogram *latencies, double *ret_seconds)
{
    double began = meter_now(), before = began;
    uint64_t writes = 0;
    off_t at = 0;
    while (options.seconds > 0 ? before - began < options.seconds : writes < options.writes) {
        for (size_t i = 0; i < options.per_sync; i++) {
            memset(bytes, (int)writes, BLOCK < options.size ? BLOCK : options.size);
            if (pwrite(fd, bytes, options.size, at) != (ssize_t)options.size)
                return 0;
            at = (at + (off_t)options.size) % (off_t)file_size();
            writes++;
        }
        if (fdatasync(fd) != 0)
            return 0;
        double now = meter_now();
        histogram_add(latencies, (uint64_t)((now - before) * 1e9));
        before = now;
    }
    *ret_seconds = before - began;
    return writes;
}

static void print_result(const struct histogram *latencies, uint64_t writes, double seconds,
                         double cpu)
{
    double p50 = histogram_us(latencies, 0.5), p99 = histogram_us(latencies, 0.99),
           p999 = histogram_us(latencies, 0.999);
    if (options.is_json)
        printf("{\"operations\": %" PRIu64 ", \"errors\": 0, \"seconds\": %.6f, "
               "\"per_second\": %.3f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "
               "\"server_cpu_us\": %.3f}\n",
               writes, seconds, (double)writes / seconds, p50, p99, p999,
               cpu * 1e6 / (double)writes);
    else
        printf("%-10s %-28s p50 %8.1f  p99 %8.1f  p99.9 %8.1f us\n", "bare", "pwrite + fdatasync",
               p50, p99, p999);
}

static size_t parse_count(const char *text, size_t most, struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long count = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || count < 1 || count > most)
        argp_error(state, "%s: not a number from 1 to %zu", text, most);
    return count;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case 'z':
        options.size = parse_count(argument, (size_t)SIZE_MAX_MIB << 20, state);
        return 0;
    case 'n':
        options.per_sync = parse_count(argument, 1000000, state);
        return 0;
    case 'd':
        options.is_direct = true;
        return 0;
    case 't':
        options.seconds = atof(argument);
        return 0;
    case 'j':
        options.is_json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            options.path = argument;
        else if (state->arg_num == 1)
            options.writes = parse_count(argument, SIZE_MAX / 2, state);
        else
            argp_usage(state);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    case ARGP_KEY_END:
        if (options.is_direct && options.size % BLOCK != 0)
            argp_error(state, "--direct takes multiples of %d bytes", BLOCK);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"size", 'z', "BYTES", 0, "Of one write (default 4096)", 0},
        {"per-sync", 'n', "N", 0, "Writes for each fdatasync (default 1)", 0},
        {"direct", 'd', NULL, 0, "Past the page cache", 0},
        {"seconds", 't', "S", 0, "How long, in place of WRITES", 0},
        {"json", 'j', NULL, 0, "Print the result as JSON", 0},
        {0},
    };
    static const struct argp argp = {.options = argp_options,
                                     .parser = parse_option,
                                     .args_doc = "FILE [WRITES]",
                                     .doc = "What the disk takes for durable writes."};
    static struct histogram latencies;
    double seconds = 0;
    argp_err_exit_status = EX_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
        return EX_OSERR;
    uint8_t *bytes = aligned_alloc(BLOCK, (options.size + BLOCK - 1) / BLOCK * BLOCK);
    if (bytes == NULL) {
        fprintf(stderr, "bench_sync: out of memory\n");
        return EXIT_FAILURE;
    }
    memset(bytes, 0, options.size);
    int fd = open_written(bytes);
    double cpu = meter_cpu(0);
    uint64_t writes = fd < 0 ? 0 : measure(fd, bytes, &latencies, &seconds);
    if (writes == 0) {
        fprintf(stderr, "bench_sync: %s: %s\n", options.path, strerror(errno));
        return EXIT_FAILURE;
    }
    cpu = meter_cpu(0) - cpu;
    close(fd);
    free(bytes);
    print_result(&latencies, writes, seconds, cpu);
    return EXIT_SUCCESS;
}
