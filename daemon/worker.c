#include "daemon/worker.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "daemon/log.h"

/* Jobs keep their buffers on the heap. */
#define WORKER_STACK ((size_t)512 * 1024)

/* ---- On the worker threads ---- */

static void give_back(struct workers *workers, struct work *work)
{
    work->next = NULL;
    pthread_mutex_lock(&workers->done_lock);
    bool was_empty = workers->done_first == NULL;
    *workers->done_last = work;
    workers->done_last = &work->next;
    pthread_mutex_unlock(&workers->done_lock);
    if (was_empty)
        uv_async_send(&workers->async);
}

static void *worker_main(void *context)
{
    struct worker_queue *queue = context;
    pthread_mutex_lock(&queue->lock);
    for (;;) {
        while (queue->first == NULL && !queue->stopping) {
            queue->idle++;
            pthread_cond_wait(&queue->wake, &queue->lock);
            queue->idle--;
        }
        struct work *work = queue->first;
        if (work == NULL)
            break;
        queue->first = work->next;
        if (queue->first == NULL)
            queue->last = &queue->first;
        queue->waiting--;
        pthread_mutex_unlock(&queue->lock);

        work->run(work);
        give_back(queue->workers, work);

        pthread_mutex_lock(&queue->lock);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

/* ---- On the loop ---- */

/* Under the queue's lock. 0 or -errno. */
static int start_thread(struct worker_queue *queue)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    error = pthread_attr_setstacksize(&attributes, WORKER_STACK);
    if (error == 0)
        error =
            pthread_create(&queue->threads[queue->threads_count], &attributes, worker_main, queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        return -error;
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

static int queue_init(struct worker_queue *queue, struct workers *workers)
{
    memset(queue, 0, sizeof *queue);
    queue->workers = workers;
    queue->last = &queue->first;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->wake, NULL);
    return start_thread(queue);
}

static void queue_stop(struct worker_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->wake);
    pthread_mutex_unlock(&queue->lock);
    for (size_t i = 0; i < queue->threads_count; i++)
        pthread_join(queue->threads[i], NULL);
    pthread_cond_destroy(&queue->wake);
    pthread_mutex_destroy(&queue->lock);
}

int workers_init(struct workers *workers, uv_loop_t *loop)
{
    workers->done_first = NULL;
    workers->done_last = &workers->done_first;
    int error = uv_async_init(loop, &workers->async, on_async);
    if (error != 0)
        return error;
    workers->async.data = workers;
    pthread_mutex_init(&workers->done_lock, NULL);
    for (int kind = 0; kind < WORK_CLASSES; kind++) {
        error = queue_init(&workers->queues[kind], workers);
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
    work->next = NULL;
    pthread_mutex_lock(&queue->lock);
    *queue->last = work;
    queue->last = &work->next;
    queue->waiting++;
    int error = 0;
    if (queue->waiting > queue->idle && queue->threads_count < WORKER_THREADS_MAX)
        error = start_thread(queue);
    pthread_mutex_unlock(&queue->lock);
    pthread_cond_signal(&queue->wake); /* outside, or the thread wakes up to a lock that is held */
    if (error != 0)                    /* no harm: those that run take it in turn */
        log_warning("cannot start another worker thread: %s", strerror(-error));
}

void workers_stop(struct workers *workers)
{
    for (int kind = 0; kind < WORK_CLASSES; kind++)
        queue_stop(&workers->queues[kind]);
    pthread_mutex_destroy(&workers->done_lock);
    uv_close((uv_handle_t *)&workers->async, NULL);
}
