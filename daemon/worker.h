/* Threads that do what blocks: commit jobs, background jobs, reads of uncached blobs, creating and
 * dropping regions.
 *
 * Two classes, so that a commit never queues behind reads. A class starts with one thread and
 * gains more, up to its limit, when work waits: so each region that commits has a thread of its
 * own, and none waits behind another one's sync. The thread that went to sleep last is woken first;
 * those that nobody has needed for some time end. A trip to a thread of ours and back costs less
 * than one through libuv's pool: see DESIGN.md.
 *
 * A struct work is embedded in what it is about. workers_submit never fails; exactly one done()
 * follows, on the loop thread, never from within the submit. */
#ifndef MREGION_DAEMON_WORKER_H
#define MREGION_DAEMON_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

enum work_class {
    WORK_COMMIT, /* one job per region at a time; latency counts */
    WORK_OTHER,  /* everything else that may take long */
    WORK_CLASSES,
};

/* Threads per class, each of which costs some 16 KiB of memory once it has run. Reads: a disk of
 * this class has little more to give to more than four. Commits: a region's next batch needs its
 * own sync, whatever others do; beyond so many regions that commit at the same time they take
 * turns. */
#define WORKER_THREADS_MAX 4
#define COMMIT_THREADS_MAX 64
/* Milliseconds that one sleeps before it ends; the one that has slept for the longest stays. */
#define WORKER_IDLE_MS 10000

struct work {
    void (*run)(struct work *work);  /* on a worker thread */
    void (*done)(struct work *work); /* on the loop, afterwards */
    struct work *next;
};

struct workers;
struct worker_queue;

enum worker_state {
    WORKER_FREE,
    WORKER_ALIVE,
    WORKER_ENDED, /* to be joined */
};

struct worker {
    struct worker_queue *queue;
    pthread_t thread;
    sem_t wake;
    enum worker_state state;
    struct work *work;    /* that it is woken for; NULL: to end */
    struct worker *below; /* of those that sleep */
};

struct worker_queue {
    struct workers *workers;
    pthread_mutex_t lock;       /* over everything below */
    struct work *first, **last; /* there was no thread that slept */
    struct worker *idle;        /* who sleeps; the last to have fallen asleep is on top */
    size_t threads_count, threads_max;
    struct worker threads[COMMIT_THREADS_MAX];
    bool stopping;
};

struct workers {
    struct worker_queue queues[WORK_CLASSES];
    pthread_mutex_t done_lock;
    struct work *done_first, **done_last; /* under done_lock */
    uv_async_t async;
    unsigned idle_ms; /* WORKER_IDLE_MS */
};

/* Starts the threads. 0 or -errno. */
int workers_init(struct workers *workers, uv_loop_t *loop);
/* Borrows the work until its done(). Loop. */
void workers_submit(struct workers *workers, enum work_class kind, struct work *work);
/* On a worker thread, from within a run(): the note's done() is called on the loop, before that of
 * the work. Borrows the note until then. */
void workers_tell(struct workers *workers, struct work *note);
/* Waits until every submitted work has run, without calling done(), and ends the threads; closes
 * the handle on the loop. The struct must live until the loop has closed it. */
void workers_stop(struct workers *workers);

#endif
