/* How long a request takes from bytes to a checked call: frame_scan, rpc_parse, rpc_call_parse on
 * addBlob of 64 bytes, in a buffer with many of them behind one another as a pipelining client
 * sends them.
 *
 *     bench_rpc [ROUNDS] */
#include <msgpack.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/frame.h"
#include "proto/rpc.h"

#define REQUESTS 512 /* some 46 KiB: what one read of a busy socket brings */
#define PASSES 200
#define BLOB 64

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int pack_requests(msgpack_sbuffer *buffer)
{
    msgpack_packer packer;
    char blob[BLOB];

    memset(blob, 'b', sizeof blob);
    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    for (uint32_t i = 0; i < REQUESTS; i++)
        if (msgpack_pack_array(&packer, 4) != 0 || msgpack_pack_uint8(&packer, 0) != 0 ||
            msgpack_pack_uint32(&packer, 100000 + i) != 0 ||
            msgpack_pack_str_with_body(&packer, "addBlob", 7) != 0 ||
            msgpack_pack_array(&packer, 2) != 0 ||
            msgpack_pack_str_with_body(&packer, "main", 4) != 0 ||
            msgpack_pack_bin_with_body(&packer, blob, sizeof blob) != 0)
            return -1;
    return 0;
}

/* Takes every request of the buffer apart; returns something that depends on all of them. */
static uint64_t parse_all(const uint8_t *bytes, size_t size)
{
    uint64_t sum = 0;

    while (size > 0) {
        struct frame_scanner scanner;
        struct rpc_request request;
        struct rpc_call call;
        struct err err;
        uint64_t frame;

        frame_reset(&scanner);
        if (frame_scan(&scanner, bytes, size, UINT32_MAX, &frame) != FRAME_COMPLETE ||
            rpc_parse(bytes, (size_t)frame, &request, &err) != 0 ||
            rpc_call_parse(&request, &call, &err) != 0) {
            fprintf(stderr, "bench_rpc: a request of its own is refused\n");
            exit(EXIT_FAILURE);
        }
        sum += request.msgid + call.params[1].size;
        bytes += frame;
        size -= (size_t)frame;
    }
    return sum;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 31;
    msgpack_sbuffer buffer;
    volatile uint64_t sum = 0;
    double *ns;

    if (rounds < 1 || rounds > 100000) {
        fprintf(stderr, "usage: bench_rpc [ROUNDS], 1 to 100000\n");
        return 64;
    }
    ns = malloc((size_t)rounds * sizeof *ns);
    msgpack_sbuffer_init(&buffer);
    if (ns == NULL || pack_requests(&buffer) != 0) {
        fprintf(stderr, "bench_rpc: out of memory\n");
        free(ns);
        return EXIT_FAILURE;
    }
    for (long round = 0; round < rounds; round++) {
        double start = now_ns();

        for (unsigned pass = 0; pass < PASSES; pass++)
            sum += parse_all((const uint8_t *)buffer.data, buffer.size);
        ns[round] = (now_ns() - start) / (REQUESTS * PASSES);
    }
    qsort(ns, (size_t)rounds, sizeof *ns, compare);
    printf("addBlob of %d bytes, scanned, parsed and checked: %.1f ns (median), %.1f ns (best), "
           "%zu bytes a request\n",
           BLOB, ns[rounds / 2], ns[0], buffer.size / REQUESTS);
    msgpack_sbuffer_destroy(&buffer);
    free(ns);
    return EXIT_SUCCESS;
}
