/* What the disk takes for one durable write: pwrite of 4 KiB and fdatasync, again and again, into a
 * file that was preallocated and written once before.
 *
 *     bench_sync FILE [WRITES]
 *
 * Prints the latency below which 50, 99 and 99.9 percent of the writes were. FILE is overwritten.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define BLOCKS 1024

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    const double *first = a, *second = b;
    return (*first > *second) - (*first < *second);
}

/* Opens the file with BLOCKS blocks in it that were written; -1. */
static int open_written(const char *path)
{
    static const uint8_t block[BLOCK];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)BLOCK * BLOCKS) != 0)
        return -1;
    for (off_t at = 0; at < BLOCKS; at++)
        if (pwrite(fd, block, BLOCK, at * BLOCK) != BLOCK)
            return -1;
    return fsync(fd) == 0 ? fd : -1;
}

/* Fills latency, in microseconds. */
static int measure(int fd, double *latency, size_t writes)
{
    static uint8_t block[BLOCK];
    for (size_t i = 0; i < writes; i++) {
        memset(block, (int)i, sizeof block);
        double began = now_us();
        if (pwrite(fd, block, BLOCK, (off_t)(i % BLOCKS) * BLOCK) != BLOCK || fdatasync(fd) != 0)
            return -1;
        latency[i] = now_us() - began;
    }
    return 0;
}

#define WRITES_MAX 1000000

int main(int argc, char **argv)
{
    static double latency[WRITES_MAX];
    size_t writes = argc > 2 ? strtoul(argv[2], NULL, 10) : 2000;
    if (argc < 2 || writes == 0 || writes > WRITES_MAX) {
        fprintf(stderr, "usage: bench_sync FILE [WRITES], at most %d\n", WRITES_MAX);
        return 64;
    }
    int fd = open_written(argv[1]);
    if (fd < 0 || measure(fd, latency, writes) != 0) {
        fprintf(stderr, "bench_sync: %s: %s\n", argv[1], strerror(errno));
        return EXIT_FAILURE;
    }
    close(fd);
    qsort(latency, writes, sizeof latency[0], compare);
    printf("%-10s %-28s p50 %8.1f  p99 %8.1f  p99.9 %8.1f us\n", "bare", "pwrite + fdatasync",
           latency[writes / 2], latency[writes * 99 / 100], latency[writes * 999 / 1000]);
    return EXIT_SUCCESS;
}
