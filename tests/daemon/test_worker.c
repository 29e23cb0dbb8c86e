#include <check.h>
#include <sched.h>
#include <string.h>

#include "daemon/worker.h"
#include "tests/support_main.h"

#define WORKS 200

struct counted {
    struct work work; /* first */
    pthread_t thread;
    int runs;
    int dones;
    struct counted *then; /* submitted when this one is done */
};

static uv_loop_t loop;
static struct workers workers;
static pthread_t loop_thread;
static int left;

static void setup(void)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(workers_init(&workers, &loop), 0);
    loop_thread = pthread_self();
}

static void teardown(void)
{
    workers_stop(&workers);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void run_counted(struct work *work)
{
    struct counted *counted = (struct counted *)work;
    counted->runs++;
    counted->thread = pthread_self();
}

static void on_counted(struct work *work)
{
    struct counted *counted = (struct counted *)work;
    ck_assert(pthread_equal(pthread_self(), loop_thread));
    counted->dones++;
    if (counted->then != NULL)
        workers_submit(&workers, WORK_COMMIT, &counted->then->work);
    if (--left == 0)
        uv_stop(&loop);
}

static void prepare(struct counted *counted, size_t count)
{
    memset(counted, 0, count * sizeof *counted);
    for (size_t i = 0; i < count; i++)
        counted[i].work = (struct work){.run = run_counted, .done = on_counted};
    left = (int)count;
}

static void check_once(const struct counted *counted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(counted[i].runs, 1);
        ck_assert_int_eq(counted[i].dones, 1);
        ck_assert(!pthread_equal(counted[i].thread, loop_thread));
    }
}

START_TEST(every_work_runs_and_is_done_once)
{
    static struct counted counted[WORKS];
    prepare(counted, WORKS);
    for (size_t i = 0; i < WORKS; i++)
        workers_submit(&workers, i % 3 == 0 ? WORK_COMMIT : WORK_OTHER, &counted[i].work);
    for (size_t i = 0; i < WORKS; i++)
        ck_assert_int_eq(counted[i].dones, 0); /* never from within the submit */
    uv_run(&loop, UV_RUN_DEFAULT);
    check_once(counted, WORKS);
    ck_assert_uint_le(workers.queues[WORK_COMMIT].threads_count, COMMIT_THREADS_MAX);
    ck_assert_uint_le(workers.queues[WORK_OTHER].threads_count, WORKER_THREADS_MAX);
}
END_TEST

START_TEST(done_may_submit)
{
    static struct counted counted[WORKS];
    prepare(counted, WORKS);
    for (size_t i = 0; i + 1 < WORKS; i++)
        counted[i].then = &counted[i + 1];
    workers_submit(&workers, WORK_COMMIT, &counted[0].work);
    uv_run(&loop, UV_RUN_DEFAULT);
    check_once(counted, WORKS);
}
END_TEST

/* ---- Reads that block do not hold up commits ---- */

static pthread_barrier_t barrier;

static void run_blocked(struct work *work)
{
    run_counted(work);
    pthread_barrier_wait(&barrier);
}

static void on_commit(struct work *work)
{
    on_counted(work);
    pthread_barrier_wait(&barrier);
}

START_TEST(a_commit_passes_blocked_reads)
{
    static struct counted blocked[WORKER_THREADS_MAX];
    static struct counted waiting[3];
    static struct counted commit[1];
    pthread_barrier_init(&barrier, NULL, WORKER_THREADS_MAX + 1);
    prepare(blocked, WORKER_THREADS_MAX);
    prepare(waiting, 3);
    prepare(commit, 1);
    for (size_t i = 0; i < WORKER_THREADS_MAX; i++) {
        blocked[i].work.run = run_blocked;
        workers_submit(&workers, WORK_OTHER, &blocked[i].work);
    }
    for (size_t i = 0; i < 3; i++)
        workers_submit(&workers, WORK_OTHER, &waiting[i].work);
    commit[0].work.done = on_commit;
    workers_submit(&workers, WORK_COMMIT, &commit[0].work);
    left = WORKER_THREADS_MAX + 3 + 1;
    uv_run(&loop, UV_RUN_DEFAULT);
    check_once(blocked, WORKER_THREADS_MAX);
    check_once(waiting, 3);
    check_once(commit, 1);
    pthread_barrier_destroy(&barrier);
}
END_TEST

/* ---- Commits do not wait for each other ---- */

#define COMMITS 20

static size_t commit_threads(void)
{
    struct worker_queue *queue = &workers.queues[WORK_COMMIT];
    pthread_mutex_lock(&queue->lock);
    size_t count = queue->threads_count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}

/* None of them comes to its end before all have begun. Threads that nobody needs any more end, and
 * others take their places. */
START_TEST(each_commit_has_a_thread)
{
    static struct counted commits[COMMITS];
    workers.idle_ms = 1;
    for (int round = 0; round < 3; round++) {
        pthread_barrier_init(&barrier, NULL, COMMITS);
        prepare(commits, COMMITS);
        for (size_t i = 0; i < COMMITS; i++) {
            commits[i].work.run = run_blocked;
            workers_submit(&workers, WORK_COMMIT, &commits[i].work);
        }
        uv_run(&loop, UV_RUN_DEFAULT);
        check_once(commits, COMMITS);
        pthread_barrier_destroy(&barrier);
        while (commit_threads() > 1)
            sched_yield();
    }
}
END_TEST

/* ---- A note on the way ---- */

struct telling {
    struct counted counted; /* first */
    struct work note;
    pthread_barrier_t told;
    int notes;
};

static struct telling telling;

/* The run goes on only once the loop has seen the note. */
static void run_telling(struct work *work)
{
    run_counted(work);
    workers_tell(&workers, &telling.note);
    pthread_barrier_wait(&telling.told);
    workers_tell(&workers, &telling.note);
}

static void on_note(struct work *note)
{
    ck_assert_ptr_eq(note, &telling.note);
    ck_assert(pthread_equal(pthread_self(), loop_thread));
    ck_assert_int_eq(telling.counted.dones, 0);
    if (telling.notes++ == 0)
        pthread_barrier_wait(&telling.told);
}

START_TEST(a_note_comes_before_the_end)
{
    telling.notes = 0;
    prepare(&telling.counted, 1);
    telling.counted.work.run = run_telling;
    telling.note = (struct work){.done = on_note};
    pthread_barrier_init(&telling.told, NULL, 2);
    workers_submit(&workers, WORK_COMMIT, &telling.counted.work);
    uv_run(&loop, UV_RUN_DEFAULT);
    check_once(&telling.counted, 1);
    ck_assert_int_eq(telling.notes, 2);
    pthread_barrier_destroy(&telling.told);
}
END_TEST

START_TEST(stop_runs_what_was_submitted)
{
    static struct counted counted[WORKS];
    prepare(counted, WORKS);
    for (size_t i = 0; i < WORKS; i++)
        workers_submit(&workers, WORK_OTHER, &counted[i].work);
    teardown();
    for (size_t i = 0; i < WORKS; i++)
        ck_assert_int_eq(counted[i].runs, 1);
    setup();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *tcase = tcase_create("worker");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_work_runs_and_is_done_once);
    tcase_add_test(tcase, done_may_submit);
    tcase_add_test(tcase, a_commit_passes_blocked_reads);
    tcase_add_test(tcase, each_commit_has_a_thread);
    tcase_add_test(tcase, a_note_comes_before_the_end);
    tcase_add_test(tcase, stop_runs_what_was_submitted);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
