#include "daemon/worker.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"

/* Jobs keep their buffers on the heap. */
#define WORKER_STACK ((size_t)512 * 1024)

/* ---- On the worker threads ---- */

void workers_tell(struct workers *workers, struct work *note)
{
    note->next = NULL;
    pthread_mutex_lock(&workers->done_lock);
    bool was_empty = workers->done_first == NULL;
    *workers->done_last = note;
    workers->done_last = &note->next;
    pthread_mutex_unlock(&workers->done_lock);
    if (was_empty)
        uv_async_send(&workers->async);
}

/* Under the queue's lock. */
static struct work *take_first(struct worker_queue *queue)
{
    struct work *work = queue->first;
    if (work == NULL)
        return NULL;
    queue->first = work->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    return work;
}

static void limit(struct timespec *until, unsigned ms)
{
    clock_gettime(CLOCK_MONOTONIC, until);
    long ns = until->tv_nsec + (long)(ms % 1000) * 1000000;
    until->tv_sec += ms / 1000 + ns / 1000000000;
    until->tv_nsec = ns % 1000000000;
}

/* Whether it was not woken in time. The one at the bottom sleeps without a limit, which is
 * cheaper. */
static bool sleep_until_woken(struct worker *worker, bool is_last)
{
    struct timespec until = {0};
    int result;
    if (!is_last)
        limit(&until, worker->queue->workers->idle_ms);
    do
        result = is_last ? sem_wait(&worker->wake)
                         : sem_clockwait(&worker->wake, CLOCK_MONOTONIC, &until);
    while (result != 0 && errno == EINTR);
    return result != 0;
}

/* Takes the worker from among those that sleep; false: somebody has, and wakes it. */
static bool leave_idle(struct worker *worker)
{
    struct worker **link = &worker->queue->idle;
    while (*link != NULL && *link != worker)
        link = &(*link)->below;
    if (*link == NULL)
        return false;
    *link = worker->below;
    return true;
}

/* NULL: the thread ends. */
static struct work *next_work(struct worker *worker)
{
    struct worker_queue *queue = worker->queue;
    pthread_mutex_lock(&queue->lock);
    struct work *work = take_first(queue);
    if (work != NULL || queue->stopping) {
        pthread_mutex_unlock(&queue->lock);
        return work;
    }
    bool is_last = queue->idle == NULL;
    worker->below = queue->idle;
    worker->work = NULL;
    queue->idle = worker;
    pthread_mutex_unlock(&queue->lock);
    if (sleep_until_woken(worker, is_last)) {
        pthread_mutex_lock(&queue->lock);
        bool is_over = leave_idle(worker);
        queue->threads_count -= is_over;
        worker->state = is_over ? WORKER_ENDED : WORKER_ALIVE;
        pthread_mutex_unlock(&queue->lock);
        if (is_over)
            return NULL;
        (void)sleep_until_woken(worker, true);
    }
    return worker->work;
}

static void *worker_main(void *context)
{
    struct worker *worker = context;
    struct work *work;
    while ((work = next_work(worker)) != NULL) {
        work->run(work);
        workers_tell(worker->queue->workers, work);
    }
    return NULL;
}

/* ---- On the loop ---- */

/* Where a thread may be started; there are fewer than the limit. */
static struct worker *free_worker(struct worker_queue *queue)
{
    struct worker *worker = queue->threads;
    while (worker->state == WORKER_ALIVE)
        worker++;
    if (worker->state == WORKER_ENDED) {
        pthread_join(worker->thread, NULL); /* it has nothing more to do */
        sem_destroy(&worker->wake);
    }
    worker->state = WORKER_FREE;
    return worker;
}

/* Under the queue's lock. 0 or -errno. */
static int start_thread(struct worker_queue *queue)
{
    struct worker *worker = free_worker(queue);
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    worker->queue = queue;
    sem_init(&worker->wake, 0, 0);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    error = pthread_attr_setstacksize(&attributes, WORKER_STACK);
    if (error == 0)
        error = pthread_create(&worker->thread, &attributes, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        sem_destroy(&worker->wake);
        return -error;
    }
    worker->state = WORKER_ALIVE;
    queue->threads_count++;
    return 0;
}

static void on_async(uv_async_t *async)
{
    struct workers *workers = async->data;
    pthread_mutex_lock(&workers->done_lock);
    struct work *work = workers->done_first;
    workers->done_first = NULL;
    workers->done_last = &workers->done_first;
    pthread_mutex_unlock(&workers->done_lock);
    while (work != NULL) {
        struct work *next = work->next;
        work->done(work);
        work = next;
    }
}

static int queue_init(struct worker_queue *queue, struct workers *workers, size_t threads_max)
{
    memset(queue, 0, sizeof *queue);
    queue->workers = workers;
    queue->last = &queue->first;
    queue->threads_max = threads_max;
    pthread_mutex_init(&queue->lock, NULL);
    return start_thread(queue);
}

static void queue_stop(struct worker_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    for (; queue->idle != NULL; queue->idle = queue->idle->below)
        sem_post(&queue->idle->wake);
    pthread_mutex_unlock(&queue->lock);
    for (size_t i = 0; i < queue->threads_max; i++) {
        struct worker *worker = &queue->threads[i];
        if (worker->state == WORKER_FREE)
            continue;
        pthread_join(worker->thread, NULL);
        sem_destroy(&worker->wake);
    }
    pthread_mutex_destroy(&queue->lock);
}

int workers_init(struct workers *workers, uv_loop_t *loop)
{
    workers->idle_ms = WORKER_IDLE_MS;
    workers->done_first = NULL;
    workers->done_last = &workers->done_first;
    int error = uv_async_init(loop, &workers->async, on_async);
    if (error != 0)
        return error;
    workers->async.data = workers;
    pthread_mutex_init(&workers->done_lock, NULL);
    for (int kind = 0; kind < WORK_CLASSES; kind++) {
        size_t threads_max = kind == WORK_COMMIT ? COMMIT_THREADS_MAX : WORKER_THREADS_MAX;
        error = queue_init(&workers->queues[kind], workers, threads_max);
        if (error != 0) {
            for (int started = 0; started <= kind; started++)
                queue_stop(&workers->queues[started]);
            pthread_mutex_destroy(&workers->done_lock);
            uv_close((uv_handle_t *)&workers->async, NULL);
            return error;
        }
    }
    return 0;
}

void workers_submit(struct workers *workers, enum work_class kind, struct work *work)
{
    struct worker_queue *queue = &workers->queues[kind];
    int error = 0;
    work->next = NULL;
    pthread_mutex_lock(&queue->lock);
    struct worker *worker = queue->idle;
    if (worker != NULL) {
        queue->idle = worker->below;
        worker->work = work;
    } else {
        *queue->last = work;
        queue->last = &work->next;
        if (queue->threads_count < queue->threads_max)
            error = start_thread(queue);
    }
    pthread_mutex_unlock(&queue->lock);
    if (worker != NULL)
        sem_post(&worker->wake);
    if (error != 0) /* no harm: those that run take it in turn */
        log_warning("cannot start another worker thread: %s", strerror(-error));
}

void workers_stop(struct workers *workers)
{
    for (int kind = 0; kind < WORK_CLASSES; kind++)
        queue_stop(&workers->queues[kind]);
    pthread_mutex_destroy(&workers->done_lock);
    uv_close((uv_handle_t *)&workers->async, NULL);
}
