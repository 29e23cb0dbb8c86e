#include "support_pump.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "support_backups.h"
#include "support_loads.h"
#include "support_uploads.h"

#define STACK_SIZE (256 * 1024)
#define PATIENCE 1000000 /* steps without progress after which the engine is said to hang */
#define TRIES_MAX 2000   /* of one change, each after a job: as many mean that it never ends */

enum lane_state {
    LANE_IDLE,
    LANE_RUNNING, /* stopped before an operation on the disk */
    LANE_DONE,    /* the job has run, region_job_done is due */
};

struct lane {
    enum lane_state state;
    struct region_job *job;
    enum simdisk_op op; /* the one it stopped before */
    bool is_durable;    /* its batch is: region_job_durable is due */
    ucontext_t context;
    void *stack;
};

struct stage {
    struct shadow after;
    uint64_t ticket;
};

/* Bytes that the region still borrows. */
struct loan {
    uint64_t ticket;
    struct change change;
};

struct pump {
    struct simdisk *disk;
    struct region *region;
    struct pump_options options;
    struct rng rng;
    uint64_t now_ms;
    uint64_t next_content;
    unsigned eagerness; /* percent of the steps that stage, while changes are to be staged */

    struct stage *stages; /* [0] is the state after `first` changes */
    size_t stage_capacity;
    uint64_t first, begun, acknowledged, durable;
    uint64_t token_window;
    uint64_t refused;
    unsigned empty_deadlines; /* in a row */
    struct err refusal;
    uint64_t checkpoint_ticket, scrub_ticket;
    uint64_t *directs; /* contents, ascending */
    size_t direct_count, direct_capacity;
    uint64_t checkpoint_begun; /* the changes that had begun when the checkpoint was asked for */
    uint64_t other_durability; /* the changes that had begun when durability changed last */

    struct change waiting; /* the change that was told to wait */
    bool is_waiting;       /* until a job is done */
    bool has_waiting;
    unsigned tries; /* of the change that waits */

    struct loan *loans;
    size_t loan_count, loan_capacity;
    struct loads loads;
    struct uploads uploads;
    struct backups backups;

    struct lane lanes[LANES];
    struct lane *current; /* whose coroutine runs */
    ucontext_t main;
    bool in_worker; /* the pump itself does a worker's work */
    char complaint[512];
};

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

__attribute__((format(printf, 2, 3))) static const char *complain(struct pump *pump,
                                                                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(pump->complaint, sizeof pump->complaint, format, arguments);
    va_end(arguments);
    return pump->complaint;
}

/* ---- History ---- */

static struct stage *stage_at(const struct pump *pump, uint64_t n)
{
    if (n < pump->first || n > pump->begun)
        abort();
    return &pump->stages[n - pump->first];
}

const struct shadow *pump_state(const struct pump *pump, uint64_t n)
{
    return &stage_at(pump, n)->after;
}

static struct shadow *newest(struct pump *pump)
{
    return &stage_at(pump, pump->begun)->after;
}

static void push_stage(struct pump *pump, struct shadow after, uint64_t ticket)
{
    size_t count = (size_t)(pump->begun - pump->first) + 1;
    if (count == pump->stage_capacity) {
        pump->stage_capacity *= 2;
        pump->stages = need(realloc(pump->stages, pump->stage_capacity * sizeof pump->stages[0]));
    }
    pump->stages[count] = (struct stage){after, ticket};
    pump->begun++;
}

/* Forgets the states before the last one that a power cut is certain to keep. */
static void trim_history(struct pump *pump)
{
    size_t old = (size_t)(pump->durable - pump->first);
    if (old < 64)
        return;
    for (size_t i = 0; i < old; i++)
        shadow_release(&pump->stages[i].after);
    memmove(pump->stages, pump->stages + old,
            (size_t)(pump->begun - pump->durable + 1) * sizeof pump->stages[0]);
    pump->first = pump->durable;
}

static void return_loans(struct pump *pump, bool all)
{
    size_t left = 0;
    uint64_t done = all ? UINT64_MAX : region_done_ticket(pump->region);
    for (size_t i = 0; i < pump->loan_count; i++) {
        if (pump->loans[i].ticket <= done)
            change_release(&pump->loans[i].change);
        else
            pump->loans[left++] = pump->loans[i];
    }
    pump->loan_count = left;
}

static void note_progress(struct pump *pump)
{
    uint64_t done = region_done_ticket(pump->region);
    bool early = pump->options.acknowledge_early;
    while (pump->acknowledged < pump->begun &&
           (early || stage_at(pump, pump->acknowledged + 1)->ticket <= done))
        pump->acknowledged++;
    struct region_info info;
    region_get_info(pump->region, &info);
    if (info.options.durability == DURABILITY_SYNC && pump->acknowledged > pump->other_durability)
        pump->durable = max_u64(pump->durable, pump->acknowledged);
    else if (region_failure(pump->region) == NULL && region_idle(pump->region) &&
             info.options.durability == DURABILITY_INTERVAL && pump->begun > pump->other_durability)
        pump->durable = pump->begun;
    if (pump->checkpoint_ticket > 0 && region_failure(pump->region) == NULL &&
        region_checkpoint_ticket(pump->region) >= pump->checkpoint_ticket)
        pump->durable = max_u64(pump->durable, pump->checkpoint_begun);
    trim_history(pump);
}

/* ---- Staging ---- */

static void lend(struct pump *pump, struct change change)
{
    if (pump->loan_count == pump->loan_capacity) {
        pump->loan_capacity = pump->loan_capacity == 0 ? 16 : pump->loan_capacity * 2;
        pump->loans = need(realloc(pump->loans, pump->loan_capacity * sizeof pump->loans[0]));
    }
    pump->loans[pump->loan_count++] = (struct loan){region_ticket(pump->region), change};
}

static const char *describe(const struct change *change)
{
    static char text[160];
    FILE *out = need(fmemopen(text, sizeof text, "w"));
    change_print(change, out);
    fclose(out);
    return text;
}

static void note_direct(struct pump *pump, uint64_t content)
{
    if (pump->direct_count == pump->direct_capacity) {
        pump->direct_capacity = pump->direct_capacity == 0 ? 64 : pump->direct_capacity * 2;
        pump->directs =
            need(realloc(pump->directs, pump->direct_capacity * sizeof pump->directs[0]));
    }
    pump->directs[pump->direct_count++] = content;
}

bool pump_is_direct(const struct pump *pump, uint64_t content)
{
    size_t low = 0, high = pump->direct_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pump->directs[middle] < content)
            low = middle + 1;
        else
            high = middle;
    }
    return low < pump->direct_count && pump->directs[low] == content;
}

static const char *accept_change(struct pump *pump, struct change *change, uint64_t value)
{
    uint64_t ticket = region_ticket(pump->region);
    if (ticket < stage_at(pump, pump->begun)->ticket)
        return complain(pump, "%s: its ticket is lower than the one before", describe(change));
    struct shadow after;
    shadow_copy(&after, newest(pump));
    const char *wrong = change_apply(&after, change, value);
    push_stage(pump, after, ticket);
    if (wrong != NULL)
        return complain(pump, "%s answered %llu: %s", describe(change), (unsigned long long)value,
                        wrong);
    if (change->kind == CHANGE_ADD && change->size >= LARGE_BLOB)
        note_direct(pump, change->content);
    if (change->bytes != NULL && change->size >= LARGE_BLOB)
        lend(pump, *change);
    else
        change_release(change);
    note_progress(pump);
    return NULL;
}

/* A region that is about to fail refuses changes, too, while its last commit is still under way. */
static bool is_refusing(const struct pump *pump)
{
    struct region_info info;
    region_get_info(pump->region, &info);
    return info.read_only;
}

static void note_refusal(struct pump *pump, const struct err *err)
{
    pump->refused++;
    pump->refusal = *err;
}

/* Takes the change, unless it is told to wait. */
static const char *stage_change(struct pump *pump, struct change *change, int *ret_code)
{
    struct err err = {0};
    uint64_t value = UINT64_MAX;
    enum err_code expected = change_expect(newest(pump), change);
    bool had_failed = is_refusing(pump);
    int code = change_stage(pump->region, change, &value, &err);
    *ret_code = code;
    if (code == REGION_WAIT)
        return NULL;
    const char *wrong = NULL;
    bool failed = is_refusing(pump);
    if (code == 0 && expected == ERR_OK && !failed)
        return accept_change(pump, change, value);
    /* Without memory a change may fail the region that it cannot be taken back from. A resize that
     * moves reads the block first. */
    if (failed && code != ERR_READ_ONLY && (had_failed || code != ERR_INTERNAL))
        wrong = complain(pump, "%s answered %s by a region that has failed", describe(change),
                         err_name((enum err_code)code));
    else if (pump->options.faults && (failed || code == ERR_NO_SPACE || code == ERR_INTERNAL ||
                                      (code == ERR_IO_ERROR && change->kind == CHANGE_RESIZE)))
        note_refusal(pump, &err);
    else if (code != (int)expected)
        wrong = complain(pump, "%s answered %s (%s), not %s", describe(change),
                         err_name((enum err_code)code), err.text, err_name(expected));
    else if (err.code != expected || err.text[0] == '\0')
        wrong = complain(pump, "%s: the error is not filled in", describe(change));
    change_release(change);
    return wrong;
}

/* Whoever asks again is answered as before, and waits for the first. */
static const char *ask_again(struct pump *pump)
{
    const struct shadow *now = newest(pump);
    uint64_t age = rng_below(&pump->rng, SHADOW_TOKENS);
    if (age >= min_u64(now->tokens, pump->token_window))
        return NULL;
    uint64_t content = now->token_contents[(now->tokens - 1 - age) % SHADOW_TOKENS], ticket;
    uint8_t id[16], answer[SHADOW_ANSWER_MAX];
    const uint8_t *result;
    size_t size = shadow_token_answer(content, answer), got;
    struct err err = {0};
    shadow_token_id(content, id);
    int found = region_token_find(pump->region, id, SHADOW_FINGERPRINT(content), &result, &got,
                                  &ticket, &err);
    if (found != REGION_FOUND || got != size || memcmp(result, answer, size) != 0 ||
        ticket > region_ticket(pump->region))
        return complain(pump, "token %llu, asked for again, answered %d",
                        (unsigned long long)content, found);
    return NULL;
}

/* ---- All or nothing ---- */

#define PARTS_MAX 12

/* Several changes that are made together, each chosen by what those before it make of the region;
 * the content chooses, so that each attempt is the same. */
struct parts {
    struct shadow after;
    struct change list[PARTS_MAX];
    size_t count; /* staged */
    enum err_code expected;
    bool is_whole;
};

static const char *stage_parts(struct pump *pump, const struct change *whole, struct parts *parts,
                               int *ret_code, struct err *err)
{
    struct rng rng = {whole->content};
    size_t want = (size_t)rng_between(&rng, 0, PARTS_MAX);
    bool gives_up = rng_chance(&rng, 20);
    *ret_code = 0;
    for (size_t i = 0; i < want && *ret_code == 0; i++) {
        uint64_t value = UINT64_MAX;
        struct change part = change_choose(&parts->after, &pump->options.weights, &rng,
                                           (whole->content + 1) * 4096 + i);
        part.has_token = false;
        parts->expected = change_expect(&parts->after, &part);
        *ret_code = change_stage(pump->region, &part, &value, err);
        if (*ret_code != 0 || parts->expected != ERR_OK) {
            change_release(&part);
            continue;
        }
        parts->list[parts->count++] = part;
        const char *wrong = change_apply(&parts->after, &part, value);
        if (wrong != NULL)
            return complain(pump, "%s, part %zu of a whole, answered %llu: %s", describe(&part), i,
                            (unsigned long long)value, wrong);
    }
    parts->is_whole = *ret_code == 0 && parts->expected == ERR_OK && !gives_up;
    return NULL;
}

/* The region is what it was. */
static const char *compare_undone(struct pump *pump)
{
    struct observation seen;
    const char *wrong = observation_take_blocks(&seen, pump->region);
    if (wrong == NULL)
        wrong = shadow_difference(newest(pump), &seen);
    observation_release(&seen);
    return wrong == NULL ? NULL : complain(pump, "changes that were undone: %s", wrong);
}

static const char *accept_parts(struct pump *pump, const struct change *whole, struct parts *parts)
{
    uint8_t id[16], answer[SHADOW_ANSWER_MAX];
    if (whole->has_token) {
        shadow_token_id(whole->content, id);
        size_t size = shadow_token_answer(whole->content, answer);
        region_token_keep(pump->region, id, SHADOW_FINGERPRINT(whole->content), answer, size);
        shadow_keep_token(&parts->after, whole->content);
    }
    for (size_t i = 0; i < parts->count; i++)
        if (parts->list[i].bytes != NULL && parts->list[i].size >= LARGE_BLOB)
            lend(pump, parts->list[i]);
        else
            change_release(&parts->list[i]);
    push_stage(pump, parts->after, region_ticket(pump->region));
    note_progress(pump);
    return NULL;
}

static const char *judge_refusal(struct pump *pump, int code, enum err_code expected,
                                 bool had_failed, const struct err *err)
{
    bool failed = is_refusing(pump);
    if (failed && !had_failed && code == ERR_INTERNAL)
        return NULL;
    if (failed && code != ERR_READ_ONLY)
        return complain(pump, "a whole answered %s by a region that has failed",
                        err_name((enum err_code)code));
    /* A block that is to move is read first. */
    if (pump->options.faults &&
        (failed || code == ERR_NO_SPACE || code == ERR_INTERNAL || code == ERR_IO_ERROR)) {
        note_refusal(pump, err);
        return NULL;
    }
    if (code != (int)expected)
        return complain(pump, "part of a whole answered %s (%s), not %s",
                        err_name((enum err_code)code), err->text, err_name(expected));
    return NULL;
}

static const char *stage_whole(struct pump *pump, struct change *whole, int *ret_code)
{
    struct err err = {0};
    struct parts parts = {.expected = ERR_OK};
    bool had_failed = is_refusing(pump);
    const char *wrong = NULL;
    size_t size = whole->has_token ? shadow_token_answer(whole->content, NULL) : 0;
    int code = region_token_expect(pump->region, size, &err);
    if (code == 0)
        code = region_atomic_begin(pump->region, 20000, &err);
    shadow_copy(&parts.after, newest(pump));
    if (code == 0) {
        wrong = stage_parts(pump, whole, &parts, &code, &err);
        region_atomic_end(pump->region, wrong == NULL && parts.is_whole);
    }
    *ret_code = code;
    if (wrong == NULL && parts.is_whole)
        return accept_parts(pump, whole, &parts);
    (void)region_token_expect(pump->region, 0, &err);
    for (size_t i = 0; i < parts.count; i++)
        change_release(&parts.list[i]);
    shadow_release(&parts.after);
    if (wrong != NULL)
        return wrong;
    if (code != REGION_WAIT && (code != 0 || parts.expected != ERR_OK))
        wrong = judge_refusal(pump, code, parts.expected, had_failed, &err);
    return wrong != NULL || is_refusing(pump) ? wrong : compare_undone(pump);
}

static struct change choose_change(struct pump *pump)
{
    uint64_t content = pump->next_content++;
    if (content % 8 == 0)
        return (struct change){
            .kind = CHANGE_ATOMIC, .content = content, .has_token = content % 16 == 0};
    return change_choose(newest(pump), &pump->options.weights, &pump->rng, content);
}

static const char *stage_next(struct pump *pump, bool *ret_staged)
{
    if (!pump->has_waiting)
        pump->waiting = choose_change(pump);
    int code;
    if (rng_chance(&pump->rng, 20) && !is_refusing(pump)) {
        const char *wrong = ask_again(pump);
        if (wrong != NULL)
            return wrong;
    }
    const char *wrong = pump->waiting.kind == CHANGE_ATOMIC
                            ? stage_whole(pump, &pump->waiting, &code)
                            : stage_change(pump, &pump->waiting, &code);
    pump->is_waiting = pump->has_waiting = code == REGION_WAIT;
    pump->tries = pump->is_waiting ? pump->tries + 1 : 0;
    *ret_staged = code != REGION_WAIT;
    if (wrong == NULL && pump->tries > TRIES_MAX)
        return complain(pump, "%s: told to wait again and again", describe(&pump->waiting));
    return wrong;
}

static const char *request_checkpoint(struct pump *pump)
{
    struct err err = {0};
    uint64_t ticket = 0;
    int code = region_request_checkpoint(pump->region, &ticket, &err);
    if (code == 0) {
        pump->checkpoint_ticket = ticket;
        pump->checkpoint_begun = pump->begun;
    } else if (code != REGION_WAIT && !pump->options.faults)
        return complain(pump, "checkpoint answered %s", err.text);
    return NULL;
}

static void reload_durability(struct pump *pump, struct region_options *options)
{
    enum durability durability = (enum durability)rng_below(&pump->rng, DURABILITIES);
    if (durability == options->durability)
        return;
    options->durability = durability;
    pump->other_durability = pump->begun;
}

static void reload(struct pump *pump)
{
    struct region_info info;
    region_get_info(pump->region, &info);
    struct region_options options = info.options;
    if (rng_chance(&pump->rng, 60))
        options.checksum = options.checksum == CHECKSUM_ON ? CHECKSUM_OFF : CHECKSUM_ON;
    if (rng_chance(&pump->rng, 30))
        options.page_cache = rng_below(&pump->rng, 100) * DATA_PAGE;
    if (rng_chance(&pump->rng, 30))
        options.discard = rng_below(&pump->rng, 4) * DATA_PAGE;
    if (rng_chance(&pump->rng, 30))
        options.fit = (enum fit)rng_below(&pump->rng, FIT_LARGEST + 1);
    if (pump->options.reload_durability && rng_chance(&pump->rng, 20))
        reload_durability(pump, &options);
    region_set_options(pump->region, &options);
}

static const char *request_scrub(struct pump *pump)
{
    struct err err = {0};
    struct region_info info;
    region_get_info(pump->region, &info);
    int code = region_request_scrub(pump->region, &pump->scrub_ticket, &err);
    if (code == ERR_INVALID_ARGUMENT && info.options.checksum == CHECKSUM_OFF)
        return NULL;
    if (code != 0 && !pump->options.faults)
        return complain(pump, "scrub answered %s", err.text);
    return NULL;
}

/* ---- Backups ---- */

static const char *backup_moved(struct pump *pump)
{
    pump->in_worker = true;
    const char *wrong =
        backups_moved(&pump->backups, pump->region, pump->disk, newest(pump), pump->options.faults);
    pump->in_worker = false;
    return wrong == NULL ? NULL : complain(pump, "%s", wrong);
}

static const char *backup_step(struct pump *pump)
{
    pump->in_worker = true;
    const char *wrong = backups_step(&pump->backups, pump->region, pump->disk, &pump->rng);
    pump->in_worker = false;
    return wrong == NULL ? NULL : complain(pump, "%s", wrong);
}

const char *pump_look_at_backup(const struct pump *pump, struct simdisk *disk)
{
    return backups_look(&pump->backups, disk);
}

bool pump_backup_is_made(const struct pump *pump)
{
    return pump->backups.is_made;
}

uint64_t pump_backups(const struct pump *pump)
{
    return pump->backups.made;
}

/* ---- Uploads ---- */

static const char *accept_upload(struct pump *pump, const struct upload_result *result)
{
    struct shadow after;
    shadow_copy(&after, newest(pump));
    const char *wrong = shadow_take(&after, result->size, result->address, result->content);
    if (result->has_token)
        shadow_keep_token(&after, result->content);
    push_stage(pump, after, region_ticket(pump->region));
    note_progress(pump);
    return wrong == NULL ? NULL
                         : complain(pump, "an upload of %llu bytes came to %llu: %s",
                                    (unsigned long long)result->size,
                                    (unsigned long long)result->address, wrong);
}

/* That the region grew for an upload is a change by itself. */
static const char *note_growth(struct pump *pump)
{
    struct shadow after;
    uint64_t size = region_size(pump->region), before = newest(pump)->size;
    if (size == before)
        return NULL;
    if (size < before)
        return complain(pump, "an upload made the region smaller");
    shadow_copy(&after, newest(pump));
    shadow_reach(&after, size);
    push_stage(pump, after, region_ticket(pump->region));
    note_progress(pump);
    return NULL;
}

static const char *upload_step(struct pump *pump)
{
    struct upload_result result;
    const char *wrong = uploads_step(&pump->uploads, pump->region, pump->options.weights.size_max,
                                     pump->next_content++, &pump->rng, &result);
    if (wrong != NULL)
        return complain(pump, "an upload: %s", wrong);
    if (is_refusing(pump))
        return NULL;
    return result.event == UPLOAD_DONE ? accept_upload(pump, &result) : note_growth(pump);
}

/* Nothing is ever damaged here; a page may be unreadable where the disk fails. */
static const char *check_findings(struct pump *pump)
{
    struct region_finding findings[8];
    uint64_t more;
    size_t count = region_take_findings(pump->region, findings, 8, &more);
    for (size_t i = 0; i < count; i++)
        if (!findings[i].is_unreadable || !pump->options.faults)
            return complain(pump, "page at %llu is said to be damaged",
                            (unsigned long long)findings[i].address);
    return NULL;
}

/* No pass begins by itself any more; or they do again. */
static void set_scrub_interval(struct pump *pump, uint64_t interval_ms)
{
    struct region_info info;
    region_get_info(pump->region, &info);
    info.options.scrub_interval_ms = interval_ms;
    region_set_options(pump->region, &info.options);
}

/* ---- Jobs as coroutines ---- */

static void lane_main(unsigned high, unsigned low)
{
    struct pump *pump = (struct pump *)(((uintptr_t)high << 32) | low);
    struct lane *lane = pump->current;
    if (region_job_begin(lane->job)) {
        lane->is_durable = true;
        lane->op = SIM_OPS;
        swapcontext(&lane->context, &pump->main);
    }
    region_job_run(lane->job);
    lane->state = LANE_DONE;
    /* Returns to pump->main through uc_link. */
}

static void lane_resume(struct pump *pump, struct lane *lane)
{
    pump->current = lane;
    swapcontext(&pump->main, &lane->context);
    pump->current = NULL;
}

static void lane_start(struct pump *pump, struct lane *lane, struct region_job *job)
{
    uintptr_t self = (uintptr_t)pump;
    lane->job = job;
    lane->state = LANE_RUNNING;
    if (lane->stack == NULL)
        lane->stack = need(malloc(STACK_SIZE));
    getcontext(&lane->context);
    lane->context.uc_stack.ss_sp = lane->stack;
    lane->context.uc_stack.ss_size = STACK_SIZE;
    lane->context.uc_link = &pump->main;
    makecontext(&lane->context, (void (*)(void))lane_main, 2, (unsigned)(self >> 32),
                (unsigned)self);
    lane_resume(pump, lane);
}

static void pump_hook(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    struct pump *pump = context;
    struct lane *lane = pump->current;
    (void)disk;
    if (lane != NULL) {
        lane->op = op;
        swapcontext(&lane->context, &pump->main);
    } else if (op != SIM_READ_NOW && op != SIM_USAGE && !pump->in_worker) {
        complain(pump, "%s of %s on the loop, which must never wait", simdisk_op_name(op), path);
    }
}

/* The batch is acknowledged, and is not in place yet, or in part. */
static const char *lane_durable(struct pump *pump, struct lane *lane)
{
    uint64_t done = region_done_ticket(pump->region);
    uint64_t applied = region_applied_ticket(pump->region);
    lane->is_durable = false;
    region_job_durable(pump->region, lane->job);
    if (region_done_ticket(pump->region) <= done || region_applied_ticket(pump->region) != applied)
        return complain(pump, "a batch is durable and that is not so");
    note_progress(pump);
    return_loans(pump, false);
    return pump->options.before_sync != NULL
               ? pump->options.before_sync(pump->options.context, pump)
               : NULL;
}

static const char *lane_finish(struct pump *pump, struct lane *lane)
{
    uint64_t done = region_done_ticket(pump->region);
    uint64_t applied = region_applied_ticket(pump->region);
    region_job_done(pump->region, lane->job);
    lane->job = NULL;
    lane->state = LANE_IDLE;
    pump->is_waiting = false;
    if (region_done_ticket(pump->region) < done || region_applied_ticket(pump->region) < applied)
        return complain(pump, "a ticket went back");
    bool failed = region_failure(pump->region) != NULL;
    if (failed && !pump->options.faults)
        return complain(pump, "the region failed: %s", region_failure(pump->region)->text);
    note_progress(pump);
    if (lane == &pump->lanes[LANE_UPLOAD])
        uploads_reap(&pump->uploads);
    if (lane == &pump->lanes[LANE_BACKUP]) {
        const char *wrong = backup_moved(pump);
        if (wrong != NULL)
            return wrong;
    }
    return_loans(pump, failed);
    const char *wrong = loads_serve(&pump->loads, pump->region, failed);
    return wrong == NULL ? check_findings(pump) : complain(pump, "a load: %s", wrong);
}

/* *ret_moved says whether there was anything to do. */
static const char *lane_step(struct pump *pump, enum region_lane which, bool *ret_moved)
{
    struct lane *lane = &pump->lanes[which];
    const char *wrong = NULL;
    *ret_moved = true;
    if (lane->state == LANE_IDLE) {
        struct region_job *job = region_next_job(pump->region, which, pump->now_ms);
        if (job == NULL) {
            *ret_moved = false;
            return NULL;
        }
        lane_start(pump, lane, job);
    } else if (lane->is_durable && (lane->state == LANE_DONE || rng_chance(&pump->rng, 70))) {
        wrong = lane_durable(pump, lane);
    } else if (lane->state == LANE_RUNNING) {
        bool is_sync = lane->op == SIM_SYNC || lane->op == SIM_SYNC_DIRECTORY;
        if (is_sync && pump->options.before_sync != NULL)
            wrong = pump->options.before_sync(pump->options.context, pump);
        if (wrong != NULL)
            return wrong;
        lane_resume(pump, lane);
    } else {
        wrong = lane_finish(pump, lane);
    }
    return wrong;
}

/* ---- Steps ---- */

static bool are_lanes_idle(const struct pump *pump)
{
    for (unsigned i = 0; i < LANES; i++)
        if (pump->lanes[i].state != LANE_IDLE)
            return false;
    return true;
}

static const char *load_step(struct pump *pump, bool begin)
{
    const char *wrong = NULL;
    if (begin && region_failure(pump->region) == NULL)
        wrong = loads_begin(&pump->loads, pump->region, newest(pump), &pump->rng);
    /* A change may have made it fail, with no job under way whose end would tell. */
    if (region_failure(pump->region) != NULL)
        wrong = loads_serve(&pump->loads, pump->region, true);
    if (wrong == NULL && (!begin || rng_chance(&pump->rng, 30))) {
        pump->in_worker = true;
        wrong = loads_finish_one(&pump->loads, pump->region, &pump->rng);
        pump->in_worker = false;
    }
    return wrong == NULL ? NULL : complain(pump, "a load: %s", wrong);
}

/* One step of something other than staging. */
static const char *work(struct pump *pump, bool *ret_moved)
{
    unsigned first = (unsigned)rng_below(&pump->rng, LANES);
    const char *wrong = NULL;
    *ret_moved = false;
    for (unsigned i = 0; i < LANES && wrong == NULL && !*ret_moved; i++)
        wrong = lane_step(pump, (enum region_lane)((first + i) % LANES), ret_moved);
    if (wrong == NULL && (!*ret_moved || rng_chance(&pump->rng, 5)) && loads_any(&pump->loads)) {
        wrong = load_step(pump, false);
        *ret_moved = true;
    }
    if (wrong == NULL && !*ret_moved) {
        /* One that is over says that a lane has given another something to do. */
        uint64_t deadline = region_deadline_ms(pump->region);
        if (deadline != UINT64_MAX) {
            pump->empty_deadlines = deadline > pump->now_ms ? 0 : pump->empty_deadlines + 1;
            pump->now_ms = max_u64(pump->now_ms, deadline);
            *ret_moved = true;
        }
        if (pump->empty_deadlines > 100)
            return complain(pump, "the deadline is over and there is no job");
    } else {
        pump->empty_deadlines = 0;
    }
    pump->now_ms += rng_chance(&pump->rng, 10);
    if (wrong == NULL && pump->complaint[0] != '\0')
        wrong = pump->complaint;
    return wrong;
}

static const char *stage_step(struct pump *pump, uint64_t *count)
{
    bool staged = false;
    if (rng_chance(&pump->rng, 2))
        pump->eagerness = (unsigned[]){3, 8, 20, 80}[rng_below(&pump->rng, 4)];
    if (!pump->has_waiting && rng_chance(&pump->rng, pump->options.checkpoint_percent)) {
        const char *wrong = request_checkpoint(pump);
        if (wrong != NULL)
            return wrong;
    }
    if (pump->options.reload_percent > 0 && rng_chance(&pump->rng, pump->options.reload_percent))
        reload(pump);
    if (!pump->has_waiting && pump->options.scrub_percent > 0 &&
        rng_chance(&pump->rng, pump->options.scrub_percent)) {
        const char *wrong = request_scrub(pump);
        if (wrong != NULL)
            return wrong;
    }
    if (!pump->has_waiting && rng_chance(&pump->rng, pump->options.load_percent)) {
        const char *wrong = load_step(pump, true);
        if (wrong != NULL)
            return wrong;
    }
    if (!pump->has_waiting && pump->options.upload_percent > 0 &&
        rng_chance(&pump->rng, pump->options.upload_percent)) {
        const char *wrong = upload_step(pump);
        if (wrong != NULL)
            return wrong;
    }
    if (!pump->has_waiting && pump->options.backup_percent > 0 &&
        rng_chance(&pump->rng, pump->options.backup_percent)) {
        const char *wrong = backup_step(pump);
        if (wrong != NULL)
            return wrong;
    }
    const char *wrong = stage_next(pump, &staged);
    *count -= staged;
    return wrong;
}

const char *pump_run(struct pump *pump, uint64_t count)
{
    uint64_t idle_steps = 0;
    while (count > 0) {
        const char *wrong = NULL;
        bool moved = true;
        if (region_failure(pump->region) != NULL && are_lanes_idle(pump))
            return NULL;
        if (!pump->is_waiting && rng_chance(&pump->rng, pump->eagerness))
            wrong = stage_step(pump, &count);
        else
            wrong = work(pump, &moved);
        if (wrong != NULL)
            return wrong;
        idle_steps = pump->is_waiting && !moved ? idle_steps + 1 : 0;
        if (idle_steps > 1000)
            return complain(pump, "%s: told to wait, and no job is there to wait for",
                            describe(&pump->waiting));
    }
    return NULL;
}

static const char *settle(struct pump *pump)
{
    for (uint64_t steps = 0; steps < PATIENCE; steps++) {
        bool moved = false;
        const char *wrong = work(pump, &moved);
        if (wrong != NULL)
            return wrong;
        if (moved)
            continue;
        if (region_failure(pump->region) != NULL)
            return NULL;
        if (!region_idle(pump->region))
            return complain(pump, "there is no job and yet the region is not idle");
        note_progress(pump);
        bool durable = pump_acknowledged(pump) == pump->begun;
        if (!durable)
            return complain(pump, "the region is idle and a change is not done");
        if (!pump->options.faults &&
            region_checkpoint_ticket(pump->region) < pump->checkpoint_ticket)
            return complain(pump, "the region is idle and a checkpoint is not done");
        if (region_scrub_ticket(pump->region) < pump->scrub_ticket &&
            region_scrub_failure(pump->region, pump->scrub_ticket) == NULL)
            return complain(pump, "the region is idle and a scrub is not done");
        return NULL;
    }
    return complain(pump, "the region never becomes idle");
}

const char *pump_settle(struct pump *pump)
{
    struct region_info info;
    region_get_info(pump->region, &info);
    set_scrub_interval(pump, 0);
    const char *wrong = settle(pump);
    set_scrub_interval(pump, info.options.scrub_interval_ms);
    return wrong;
}

bool pump_abandon(struct pump *pump)
{
    pump->options.before_sync = NULL;
    pump->options.faults = true;
    loads_release(&pump->loads, pump->region);
    set_scrub_interval(pump, 0);
    for (uint64_t steps = 0; steps < PATIENCE; steps++) {
        bool moved = false;
        work(pump, &moved);
        bool over = region_failure(pump->region) != NULL || region_idle(pump->region);
        if (!moved && are_lanes_idle(pump) && over)
            return true;
    }
    return false;
}

const char *pump_change(struct pump *pump, struct change change, int *ret_code)
{
    for (uint64_t steps = 0; steps < PATIENCE; steps++) {
        bool moved;
        const char *wrong = stage_change(pump, &change, ret_code);
        if (wrong != NULL || *ret_code != REGION_WAIT)
            return wrong;
        wrong = work(pump, &moved);
        if (wrong != NULL) {
            change_release(&change);
            return wrong;
        }
    }
    change_release(&change);
    return complain(pump, "told to wait for ever");
}

/* ---- Life ---- */

struct pump *pump_new(struct simdisk *disk, struct region *region, const struct shadow *base,
                      const struct pump_options *options)
{
    struct pump *pump = need(calloc(1, sizeof *pump));
    pump->disk = disk;
    pump->region = region;
    pump->options = *options;
    pump->rng.state = options->seed;
    pump->next_content = options->seed * 1000003 + 1;
    pump->eagerness = 10;
    pump->loads.may_fail = options->faults;
    pump->uploads.may_fail = options->faults;
    pump->stage_capacity = 256;
    pump->stages = need(malloc(pump->stage_capacity * sizeof pump->stages[0]));
    shadow_copy(&pump->stages[0].after, base);
    pump->stages[0].ticket = region_done_ticket(region);
    struct region_info info;
    region_get_info(region, &info);
    pump->token_window = info.options.token_window;
    simdisk_set_hook(disk, pump_hook, pump);
    return pump;
}

void pump_detach(struct pump *pump)
{
    if (pump->region == NULL)
        return;
    simdisk_set_hook(pump->disk, NULL, NULL);
    loads_release(&pump->loads, pump->region);
    uploads_release(&pump->uploads);
    return_loans(pump, true);
    pump->region = NULL;
    pump->disk = NULL;
}

void pump_free(struct pump *pump)
{
    if (pump == NULL)
        return;
    pump_detach(pump);
    backups_release(&pump->backups);
    if (pump->has_waiting)
        change_release(&pump->waiting);
    for (uint64_t n = pump->first; n <= pump->begun; n++)
        shadow_release(&stage_at(pump, n)->after);
    for (unsigned i = 0; i < LANES; i++)
        free(pump->lanes[i].stack);
    free(pump->stages);
    free(pump->loans);
    free(pump->directs);
    free(pump);
}

void pump_as_worker(struct pump *pump, bool is_worker)
{
    pump->in_worker = is_worker;
}

uint64_t pump_begun(const struct pump *pump)
{
    return pump->begun;
}

uint64_t pump_acknowledged(const struct pump *pump)
{
    return pump->acknowledged;
}

uint64_t pump_durable(const struct pump *pump)
{
    return pump->durable;
}

uint64_t pump_uploads(const struct pump *pump)
{
    return pump->uploads.committed;
}

struct simdisk *pump_disk(const struct pump *pump)
{
    return pump->disk;
}

struct region *pump_region(const struct pump *pump)
{
    return pump->region;
}

uint64_t pump_refused(const struct pump *pump)
{
    return pump->refused;
}

const char *pump_refusal(const struct pump *pump)
{
    return pump->refusal.text;
}
