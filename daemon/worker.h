/* Threads that do what blocks: commit jobs, background jobs, reads of uncached blobs, creating and
 * dropping regions.
 *
 * Two classes, so that a commit never queues behind reads. A class starts with one thread and
 * gains more, up to its limit, when work waits. A trip to a thread of ours and back costs less than
 * one through libuv's pool: see DESIGN.md.
 *
 * A struct work is embedded in what it is about. workers_submit never fails; exactly one done()
 * follows, on the loop thread, never from within the submit. */
#ifndef MREGION_DAEMON_WORKER_H
#define MREGION_DAEMON_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

enum work_class {
    WORK_COMMIT, /* one job per region at a time; latency counts */
    WORK_OTHER,  /* everything else that may take long */
    WORK_CLASSES,
};

/* Threads per class. A disk of this class has little more to give to more than four, and each
 * costs some 16 KiB of memory once it has run. */
#define WORKER_THREADS_MAX 4

struct work {
    void (*run)(struct work *work);  /* on a worker thread */
    void (*done)(struct work *work); /* on the loop, afterwards */
    struct work *next;
};

struct workers;

struct worker_queue {
    struct workers *workers;
    pthread_mutex_t lock; /* over everything below */
    pthread_cond_t wake;
    struct work *first, **last;
    size_t waiting; /* works in the queue */
    size_t idle;    /* threads in pthread_cond_wait */
    size_t threads_count;
    pthread_t threads[WORKER_THREADS_MAX];
    bool stopping;
};

struct workers {
    struct worker_queue queues[WORK_CLASSES];
    pthread_mutex_t done_lock;
    struct work *done_first, **done_last; /* under done_lock */
    uv_async_t async;
};

/* Starts the threads. 0 or -errno. */
int workers_init(struct workers *workers, uv_loop_t *loop);
/* Borrows the work until its done(). Loop. */
void workers_submit(struct workers *workers, enum work_class kind, struct work *work);
/* Waits until every submitted work has run, without calling done(), and ends the threads; closes
 * the handle on the loop. The struct must live until the loop has closed it. */
void workers_stop(struct workers *workers);

#endif
