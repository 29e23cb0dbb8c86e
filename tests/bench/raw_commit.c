#include "raw_commit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "raw.h"

#define BLOCK 4096
#define SMALL_ROOM (8UL << 20)
#define LARGE_MAX 64           /* in a batch */
#define BUFFERS 192            /* two batches, and one for each of 64 connections */
#define FILE_SIZE (96UL << 20) /* more than a batch */
#define ZEROS (1UL << 20)

struct batch {
    uint8_t *small;
    size_t small_size;
    struct iovec large[LARGE_MAX];
    int large_count;
};

static struct batch batches[2], *gathering = &batches[0];
static uint8_t *buffers[BUFFERS];
static size_t buffer_count;
static int fd, event_fd;
static off_t position;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static struct batch *handed_over; /* under the lock */
static struct batch *under_way;   /* the loop's own */

static void fail(const char *what)
{
    fprintf(stderr, "bench_raw: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static uint8_t *aligned(size_t size)
{
    uint8_t *memory = aligned_alloc(BLOCK, size);
    if (memory == NULL)
        fail("memory");
    return memory;
}

/* ---- The batch that gathers ---- */

bool commit_add(const void *bytes, size_t size)
{
    if (size > SMALL_ROOM - gathering->small_size)
        return false;
    memcpy(gathering->small + gathering->small_size, bytes, size);
    gathering->small_size += size;
    return true;
}

uint8_t *commit_buffer(void)
{
    return buffer_count > 0 ? buffers[--buffer_count] : NULL;
}

void commit_give_back(uint8_t *buffer)
{
    buffers[buffer_count++] = buffer;
}

bool commit_add_buffer(uint8_t *buffer, size_t size)
{
    if (gathering->large_count == LARGE_MAX)
        return false;
    gathering->large[gathering->large_count++] =
        (struct iovec){buffer, (size + BLOCK - 1) / BLOCK * BLOCK};
    return true;
}

bool commit_is_empty(void)
{
    return gathering->small_size == 0 && gathering->large_count == 0;
}

/* ---- Writing it ---- */

static void write_batch(const struct batch *batch)
{
    struct iovec vectors[LARGE_MAX + 1];
    size_t small = (batch->small_size + BLOCK - 1) / BLOCK * BLOCK, size = small;
    int count = 0;
    if (small > 0)
        vectors[count++] = (struct iovec){batch->small, small};
    for (int i = 0; i < batch->large_count; i++) {
        vectors[count++] = batch->large[i];
        size += batch->large[i].iov_len;
    }
    if (position + (off_t)size > (off_t)FILE_SIZE)
        position = 0;
    if (pwritev(fd, vectors, count, position) != (ssize_t)size)
        fail("write");
    position += (off_t)size;
}

static void batch_done(struct batch *batch)
{
    for (int i = 0; i < batch->large_count; i++)
        commit_give_back(batch->large[i].iov_base);
    batch->small_size = 0;
    batch->large_count = 0;
}

static void *run_thread(void *data)
{
    (void)data;
    for (;;) {
        pthread_mutex_lock(&lock);
        while (handed_over == NULL)
            pthread_cond_wait(&wake, &lock);
        struct batch *batch = handed_over;
        handed_over = NULL;
        pthread_mutex_unlock(&lock);
        write_batch(batch);
        if (eventfd_write(event_fd, 1) != 0)
            fail("eventfd");
    }
    return NULL;
}

void commit_start(void)
{
    struct batch *batch = gathering;
    if (event_fd < 0) {
        write_batch(batch);
        batch_done(batch);
        return;
    }
    gathering = batch == &batches[0] ? &batches[1] : &batches[0];
    under_way = batch;
    pthread_mutex_lock(&lock);
    handed_over = batch;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&lock);
}

bool commit_is_busy(void)
{
    return under_way != NULL;
}

void commit_wait(void)
{
    eventfd_t count;
    if (eventfd_read(event_fd, &count) != 0)
        fail("eventfd");
    batch_done(under_way);
    under_way = NULL;
}

/* ---- The beginning ---- */

void commit_open(const char *path, bool is_threaded, int *ret_event_fd)
{
    pthread_t thread;
    uint8_t *zeros = aligned(ZEROS);
    memset(zeros, 0, ZEROS);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT | O_DSYNC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)FILE_SIZE) != 0)
        fail(path);
    for (size_t at = 0; at < FILE_SIZE; at += ZEROS)
        if (pwrite(fd, zeros, ZEROS, (off_t)at) != (ssize_t)ZEROS)
            fail(path);
    free(zeros);
    batches[0].small = aligned(SMALL_ROOM);
    batches[1].small = aligned(SMALL_ROOM);
    while (buffer_count < BUFFERS)
        buffers[buffer_count++] = aligned(RAW_BLOB_MAX);
    event_fd = -1;
    if (is_threaded) {
        event_fd = eventfd(0, EFD_CLOEXEC);
        if (event_fd < 0 || pthread_create(&thread, NULL, run_thread, NULL) != 0)
            fail("thread");
    }
    *ret_event_fd = event_fd;
}
