#include "support_workers.h"

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "tests/fuzz/fuzz.h"

/* Those that run side by side: of commits one for each region, of which there are few; of others as
 * many as there are threads. */
#define COMMITS_MAX 8
#define FIBERS_MAX (COMMITS_MAX + WORKER_THREADS_MAX)
/* More than a thread has: sanitizers make frames larger. */
#define STACK_SIZE ((size_t)1024 * 1024)

struct fiber {
    ucontext_t context;
    void *stack;
    struct work *work; /* NULL: it is free */
    enum work_class kind;
};

static struct {
    struct workers *workers;
    struct fiber fibers[FIBERS_MAX];
    struct work *queues[WORK_CLASSES]; /* that have no fiber yet */
    struct fiber *running;
    ucontext_t loop;
} sim;

void (*workers_on_start)(struct workers *workers);
void (*workers_on_stop)(struct workers *workers);

/* ---- In a work ---- */

void workers_give_way(void)
{
    struct fiber *fiber = sim.running;
    if (fiber == NULL)
        return;
    FUZZ_REQUIRE(swapcontext(&fiber->context, &sim.loop) == 0);
}

void workers_tell(struct workers *workers, struct work *note)
{
    note->next = NULL;
    *workers->done_last = note;
    workers->done_last = &note->next;
    workers_give_way();
}

static void fiber_main(void)
{
    for (;;) {
        struct fiber *fiber = sim.running;
        struct work *work = fiber->work;
        work->run(work);
        fiber->work = NULL;
        workers_tell(sim.workers, work);
    }
}

/* ---- On the loop ---- */

static void start(struct fiber *fiber, enum work_class kind, struct work *work)
{
    fiber->work = work;
    fiber->kind = kind;
    if (fiber->stack != NULL)
        return; /* it is in fiber_main, before the next work */
    fiber->stack = malloc(STACK_SIZE);
    FUZZ_REQUIRE(fiber->stack != NULL && getcontext(&fiber->context) == 0);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK_SIZE;
    makecontext(&fiber->context, fiber_main, 0);
}

static unsigned count_of(enum work_class kind)
{
    unsigned count = 0;
    for (size_t i = 0; i < FIBERS_MAX; i++)
        count += sim.fibers[i].work != NULL && sim.fibers[i].kind == kind;
    return count;
}

static struct fiber *free_fiber(void)
{
    struct fiber *fiber = sim.fibers;
    while (fiber->work != NULL)
        fiber++;
    return fiber;
}

static void start_queued(enum work_class kind)
{
    unsigned most = kind == WORK_COMMIT ? COMMITS_MAX : WORKER_THREADS_MAX;
    struct work *work;
    while ((work = sim.queues[kind]) != NULL && count_of(kind) < most) {
        sim.queues[kind] = work->next;
        start(free_fiber(), kind, work);
    }
}

bool workers_step(unsigned which)
{
    unsigned count = 0;
    start_queued(WORK_COMMIT);
    start_queued(WORK_OTHER);
    count = count_of(WORK_COMMIT) + count_of(WORK_OTHER);
    if (count == 0)
        return false;
    struct fiber *fiber = sim.fibers;
    for (which %= count; fiber->work == NULL || which > 0; fiber++)
        which -= fiber->work != NULL;
    sim.running = fiber;
    FUZZ_REQUIRE(swapcontext(&sim.loop, &fiber->context) == 0);
    sim.running = NULL;
    return true;
}

void workers_deliver(void)
{
    struct work *work = sim.workers->done_first;
    sim.workers->done_first = NULL;
    sim.workers->done_last = &sim.workers->done_first;
    while (work != NULL) {
        struct work *next = work->next;
        work->done(work);
        work = next;
    }
}

bool workers_are_idle(void)
{
    return count_of(WORK_COMMIT) + count_of(WORK_OTHER) == 0 && sim.queues[WORK_COMMIT] == NULL &&
           sim.queues[WORK_OTHER] == NULL && sim.workers->done_first == NULL;
}

int workers_init(struct workers *workers, uv_loop_t *loop)
{
    (void)loop;
    workers->done_first = NULL;
    workers->done_last = &workers->done_first;
    sim.workers = workers;
    workers_on_start(workers);
    return 0;
}

void workers_submit(struct workers *workers, enum work_class kind, struct work *work)
{
    struct work **last = &sim.queues[kind];
    (void)workers;
    while (*last != NULL)
        last = &(*last)->next;
    work->next = NULL;
    *last = work;
}

void workers_stop(struct workers *workers)
{
    while (workers_step(0))
        continue;
    workers_on_stop(workers);
}
