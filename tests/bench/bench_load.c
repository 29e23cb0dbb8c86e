/* Load on a server, and how fast it answers: mregiond by its own protocol, Redis, memcached,
 * Tarantool or bench_raw by theirs, so that all are measured by the same program in the same run.
 *
 *     bench_load [--server ADDR] [--protocol NAME] [--region NAME] [--size N] [--connections N]
 *                [--pipeline N] [--mix ADD:LOAD:REMOVE] [--deallocate] [--preload N] [--first N]
 *                [--clear | --renew] [--warmup S] [--seconds S] [--requests N] [--pid PID]
 *                [--folder DIR] [--certificate FILE --key FILE] [--label TEXT] [--json]
 *
 * Loads and removes take blobs that were added before; every loaded blob is checked against what
 * was stored. A run that only removes ends when a connection has no blob left. Prints one line:
 * requests per second, and the latency below which 50, 99 and 99.9 percent of them were; with
 * --json more. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "histogram.h"
#include "load.h"
#include "raw.h"

#define SECONDS 5 /* of a run, where neither they nor requests are given */

struct options options = {
    .protocol = &protocol_mregion,
    .server = "unix:/run/mregiond/mregiond.sock",
    .region = "main",
    .label = "",
    .size = 64,
    .connections = 1,
    .pipeline = 1,
    .preload = 1000,
    .mix = {100, 0, 0},
};

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench_load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

void *need(void *memory)
{
    if (memory == NULL)
        die("out of memory");
    return memory;
}

/* ---- The result ---- */

static void print_line(const struct histogram *latencies, const struct result *result)
{
    double rate = (double)result->operations / result->seconds;
    printf("%-10s %-28s %8" PRIu64 " B %3" PRIu64 "x%-4" PRIu64 " %2u:%u:%u %10.0f/s "
           "%8.1f MiB/s  p50 %8.1f  p99 %8.1f  p99.9 %8.1f us",
           options.protocol->name, options.label, options.size, options.connections,
           options.pipeline, options.mix[ADD], options.mix[LOAD], options.mix[REMOVE], rate,
           rate * (double)options.size / 1048576, histogram_us(latencies, 0.5),
           histogram_us(latencies, 0.99), histogram_us(latencies, 0.999));
    if (result->errors > 0)
        printf("  %" PRIu64 " errors", result->errors);
    putchar('\n');
}

/* A figure that is not known is left out. */
static void print_known(const char *name, double total, uint64_t operations)
{
    if (total >= 0 && operations > 0)
        printf(", \"%s\": %.3f", name, total / (double)operations);
}

static void print_json(const struct histogram *latencies, const struct result *result)
{
    printf("{\"operations\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"seconds\": %.6f, "
           "\"per_second\": %.3f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "
           "\"generator_load\": %.3f",
           result->operations, result->errors, result->seconds,
           (double)result->operations / result->seconds, histogram_us(latencies, 0.5),
           histogram_us(latencies, 0.99), histogram_us(latencies, 0.999),
           result->own_cpu / result->seconds);
    print_known("server_cpu_us", result->server_cpu * 1e6, result->operations);
    print_known("device_bytes", result->device_bytes, result->all);
    print_known("process_bytes", result->process_bytes, result->all);
    puts("}");
}

/* ---- The command line ---- */

enum {
    OPTION_CERTIFICATE = 256,
    OPTION_CLEAR,
    OPTION_DEALLOCATE,
    OPTION_FIRST,
    OPTION_FOLDER,
    OPTION_JSON,
    OPTION_KEY,
    OPTION_PID,
    OPTION_RENEW,
    OPTION_WARMUP
};

static uint64_t parse_count(const char *text, uint64_t least, struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long long count = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || count < least)
        argp_error(state, "%s: not a number of at least %" PRIu64, text, least);
    return count;
}

static double parse_seconds(const char *text, struct argp_state *state)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds < 1e6))
        argp_error(state, "%s: not a number of seconds", text);
    return seconds;
}

static void parse_mix(const char *text, struct argp_state *state)
{
    if (sscanf(text, "%u:%u:%u", &options.mix[ADD], &options.mix[LOAD], &options.mix[REMOVE]) !=
            3 ||
        options.mix[ADD] + options.mix[LOAD] + options.mix[REMOVE] != 100)
        argp_error(state, "%s: not three percentages that make 100, such as 50:40:10", text);
}

static void parse_protocol(const char *text, struct argp_state *state)
{
    static const struct protocol *const protocols[] = {
        &protocol_mregion, &protocol_resp, &protocol_memcached, &protocol_iproto, &protocol_raw};
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++)
        if (strcmp(text, protocols[i]->name) == 0) {
            options.protocol = protocols[i];
            return;
        }
    argp_error(state, "%s: not one of mregion, resp, memcached, iproto, raw", text);
}

static error_t parse_load(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case 'z':
        options.size = parse_count(argument, 1, state);
        return 0;
    case 'c':
        options.connections = parse_count(argument, 1, state);
        return 0;
    case 'p':
        options.pipeline = parse_count(argument, 1, state);
        return 0;
    case 'P':
        options.preload = parse_count(argument, 0, state);
        return 0;
    case 'm':
        parse_mix(argument, state);
        return 0;
    case 't':
        options.seconds = parse_seconds(argument, state);
        return 0;
    case 'n':
        options.requests = parse_count(argument, 1, state);
        return 0;
    case OPTION_WARMUP:
        options.warmup = parse_seconds(argument, state);
        return 0;
    case OPTION_DEALLOCATE:
        options.deallocates = true;
        return 0;
    case OPTION_FIRST:
        options.first = parse_count(argument, 0, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case 's':
        options.server = argument;
        return 0;
    case 'R':
        options.protocol = &protocol_resp;
        return 0;
    case 'o':
        parse_protocol(argument, state);
        return 0;
    case 'r':
        if (strlen(argument) > 64)
            argp_error(state, "%s: not a region's name", argument);
        options.region = argument;
        return 0;
    case 'L':
        options.label = argument;
        return 0;
    case OPTION_CERTIFICATE:
        options.certificate = argument;
        return 0;
    case OPTION_KEY:
        options.key = argument;
        return 0;
    case OPTION_CLEAR:
        options.clears = true;
        return 0;
    case OPTION_RENEW:
        options.clears = options.renews = true;
        return 0;
    case OPTION_FOLDER:
        options.folder = argument;
        return 0;
    case OPTION_JSON:
        options.is_json = true;
        return 0;
    case OPTION_PID:
        options.pid = (int)parse_count(argument, 1, state);
        return 0;
    default:
        return parse_load(key, argument, state);
    }
}

static const struct argp_option argp_options[] = {
    {"server", 's', "ADDR", 0, "tcp:HOST:PORT, tls:HOST:PORT or unix:PATH", 0},
    {"certificate", OPTION_CERTIFICATE, "FILE", 0, "Shown to the server, with TLS", 0},
    {"key", OPTION_KEY, "FILE", 0, "The certificate's", 0},
    {"protocol", 'o', "NAME", 0, "mregion (default), resp, memcached, iproto or raw", 0},
    {"redis", 'R', NULL, 0, "The same as --protocol resp", 0},
    {"region", 'r', "NAME", 0, "Region to work in (default main)", 0},
    {"size", 'z', "BYTES", 0, "Size of a blob (default 64)", 0},
    {"connections", 'c', "N", 0, "Connections (default 1)", 0},
    {"pipeline", 'p', "N", 0, "Requests in flight per connection (default 1)", 0},
    {"mix", 'm', "A:L:R", 0, "Percentages of adds, loads, removes (default 100:0:0)", 0},
    {"deallocate", OPTION_DEALLOCATE, NULL, 0, "deallocate in place of removeBlob", 0},
    {"preload", 'P', "N", 0, "Blobs added before a mix with loads or removes (default 1000)", 0},
    {"first", OPTION_FIRST, "N", 0, "Number of the first blob, its key (default 0)", 0},
    {"clear", OPTION_CLEAR, NULL, 0, "Empty the server (the region) afterwards", 0},
    {"renew", OPTION_RENEW, NULL, 0, "Drop the region afterwards and create it anew", 0},
    {"warmup", OPTION_WARMUP, "S", 0, "How long before it counts (default 0)", 0},
    {"seconds", 't', "S", 0, "How long (default 5)", 0},
    {"requests", 'n', "N", 0,
     "How many requests, or the seconds if both are given: what ends first", 0},
    {"pid", OPTION_PID, "PID", 0, "The server's, to tell its processor time", 0},
    {"folder", OPTION_FOLDER, "DIR", 0, "Tell what is written to the disk of this folder", 0},
    {"label", 'L', "TEXT", 0, "Printed with the result", 0},
    {"json", OPTION_JSON, NULL, 0, "Print the result as JSON", 0},
    {0},
};

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = argp_options, .parser = parse_option, .doc = "Load on a server."};
    static struct histogram latencies;
    struct result result;
    argp_err_exit_status = EX_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
        return EX_OSERR;
    if (options.seconds <= 0 && options.requests == 0)
        options.seconds = SECONDS;
    payload = need(malloc((size_t)options.size));
    for (uint64_t i = 0; i < options.size; i++)
        payload[i] = raw_byte(i);
    run_load(&latencies, &result);
    if (options.clears)
        wire_clear();
    (options.is_json ? print_json : print_line)(&latencies, &result);
    free(payload);
    return result.errors > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
