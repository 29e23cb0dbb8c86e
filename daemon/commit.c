#include "daemon/commit.h"

#include <assert.h>
#include <utlist.h>

#include "daemon/admin.h"
#include "daemon/backup.h"
#include "daemon/conn.h"
#include "daemon/events.h"
#include "daemon/handle.h"
#include "daemon/log.h"
#include "daemon/probes.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/scrub.h"
#include "daemon/server.h"
#include "daemon/stream.h"
#include "daemon/upload.h"

/* ---- When a job is done ---- */

static void answer_changes(struct region_entry *entry)
{
    uint64_t done = region_done_ticket(entry->region);
    const struct err *failure = region_failure(entry->region);
    struct request *request;
    while ((request = entry->changes) != NULL) {
        if (request->ticket > done && failure == NULL)
            break;
        DL_DELETE2(entry->changes, request, previous, next);
        if (request->ticket <= done)
            request_succeed(request);
        else
            request_fail(request, failure);
    }
}

/* They wait for changes of others, in no order of tickets. */
static void answer_retries(struct region_entry *entry)
{
    uint64_t done = region_done_ticket(entry->region);
    const struct err *failure = region_failure(entry->region);
    struct request *request, *next;
    DL_FOREACH_SAFE(entry->retries, request, next)
    {
        if (request->ticket > done && failure == NULL)
            continue;
        DL_DELETE2(entry->retries, request, previous, next);
        if (request->ticket <= done)
            request_succeed(request);
        else
            request_fail(request, failure);
    }
}

/* Before the next commit job: it may overwrite what they read. */
static void start_loads(struct region_entry *entry)
{
    uint64_t applied = region_applied_ticket(entry->region);
    const struct err *failure = region_failure(entry->region);
    struct request *request, *next;
    DL_FOREACH_SAFE(entry->loads, request, next)
    {
        if (request->ticket > applied && failure == NULL)
            continue;
        DL_DELETE2(entry->loads, request, previous, next);
        if (request->ticket <= applied)
            handle_load_ready(request);
        else
            request_fail(request, failure);
    }
}

static void answer_checkpoints(struct region_entry *entry)
{
    uint64_t done = region_checkpoint_ticket(entry->region);
    struct request *request, *next;
    DL_FOREACH_SAFE(entry->checkpoints, request, next)
    {
        const struct err *failure = region_failure(entry->region);
        if (failure == NULL)
            failure = region_checkpoint_failure(entry->region, request->ticket);
        if (request->ticket > done && failure == NULL)
            continue;
        DL_DELETE2(entry->checkpoints, request, previous, next);
        if (request->ticket <= done)
            request_succeed(request);
        else
            request_fail(request, failure);
    }
}

static void run_parked(struct region_entry *entry)
{
    struct conn *conn;
    entry->is_retrying = true;
    while ((conn = entry->parked) != NULL) {
        conn_unpark(conn);
        conn_run(conn);
        if (conn->wait_entry == entry)
            break; /* it waits again, in front of all others */
    }
    entry->is_retrying = false;
}

static void log_failure(struct region_entry *entry)
{
    const struct err *failure = region_failure(entry->region);
    if (failure == NULL || entry->has_failed)
        return;
    entry->has_failed = true;
    log_error_about((&(struct log_about){.region = entry->name, .error = err_name(failure->code)}),
                    "region %s has failed and is read-only now; a restart recovers it: %s",
                    entry->name, failure->text);
    events_read_only(entry, failure);
}

static void log_discard(struct region_entry *entry)
{
    if (!region_cannot_discard(entry->region) || entry->cannot_discard)
        return;
    entry->cannot_discard = true;
    log_warning_about(
        (&(struct log_about){.region = entry->name}),
        "region %s: its file system cannot take free space back: discard has no effect",
        entry->name);
}

static void settle(struct region_entry *entry)
{
    log_failure(entry);
    log_discard(entry);
    answer_changes(entry);
    answer_retries(entry);
    start_loads(entry);
    answer_checkpoints(entry);
    upload_settle(entry);
    scrub_answer(entry);
    run_parked(entry);
}

/* ---- Statistics ---- */

static void count_commit(const struct lane *lane)
{
    struct region_entry *entry = lane->entry;
    uint64_t commits = region_commits(entry->region);
    if (commits == entry->commits)
        return; /* a flush, or it was counted when it was durable */
    entry->commits = commits;
    uint64_t us = (lane->durable_ns - lane->begun_ns) / 1000;
    histogram_add(&entry->server->stats.commit, us, 1);
    PROBE_COMMIT(entry->name, us);
}

static void note_checkpoint(struct region_entry *entry)
{
    if (entry->checkpoint_ns != 0 || !region_is_checkpointing(entry->region))
        return;
    PROBE_CHECKPOINT_BEGIN(entry->name);
    entry->checkpoint_ns = uv_hrtime();
    entry->checkpoint_ticket = region_checkpoint_ticket(entry->region);
}

static void count_checkpoint(struct region_entry *entry)
{
    if (entry->checkpoint_ns == 0 || region_is_checkpointing(entry->region))
        return;
    uint64_t us = (uv_hrtime() - entry->checkpoint_ns) / 1000;
    bool is_complete = region_checkpoint_ticket(entry->region) != entry->checkpoint_ticket;
    entry->checkpoint_ns = 0;
    PROBE_CHECKPOINT_END(entry->name, us, is_complete);
    if (!is_complete)
        return;
    histogram_add(&entry->server->stats.checkpoint, us, 1);
    events_checkpoint(entry, us);
}

/* ---- Jobs ---- */

/* The worker goes on with the job: nothing of the region's but who waited for the batch is looked
 * at. */
static void on_durable(struct work *note)
{
    struct lane *lane = (struct lane *)(void *)((char *)note - offsetof(struct lane, durable));
    region_job_durable(lane->entry->region, lane->job);
    count_commit(lane);
    answer_changes(lane->entry);
    answer_retries(lane->entry);
}

static void on_job_done(struct work *work)
{
    struct lane *lane = (struct lane *)work;
    struct region_entry *entry = lane->entry;
    struct region_job *job = lane->job;
    lane->job = NULL;
    region_job_done(entry->region, job);
    if (lane == &entry->lanes[LANE_COMMIT])
        count_commit(lane);
    else if (lane == &entry->lanes[LANE_BACKGROUND])
        count_checkpoint(entry);
    if (lane == &entry->lanes[LANE_SCRUB])
        scrub_piece_done(entry);
    if (lane == &entry->lanes[LANE_BACKUP])
        backup_settle(entry);
    settle(entry);
    commit_touch(entry);
}

/* ---- Starting jobs ---- */

static void run_job(struct work *work)
{
    struct lane *lane = (struct lane *)work;
    bool is_durable;
    lane->begun_ns = uv_hrtime();
    is_durable = region_job_begin(lane->job);
    lane->durable_ns = uv_hrtime();
    if (is_durable)
        workers_tell(&lane->entry->server->workers, &lane->durable);
    region_job_run(lane->job);
    if (!is_durable)
        lane->durable_ns = uv_hrtime();
}

static void start_lane(struct region_entry *entry, enum region_lane number, uint64_t at_ms)
{
    struct lane *lane = &entry->lanes[number];
    if (lane->job != NULL)
        return;
    lane->job = region_next_job(entry->region, number, at_ms);
    if (lane->job == NULL)
        return;
    if (number == LANE_BACKGROUND)
        note_checkpoint(entry);
    enum work_class kind = number == LANE_COMMIT ? WORK_COMMIT : WORK_OTHER;
    workers_submit(&entry->server->workers, kind, &lane->work);
}

/* Where there is no job yet, what it waits for may have been asked for just now: space for the
 * journal, or a checkpoint. Or an upload has failed for want of these. */
static void start_upload(struct region_entry *entry, uint64_t at_ms)
{
    start_lane(entry, LANE_UPLOAD, at_ms);
    if (entry->uploads == NULL || entry->lanes[LANE_UPLOAD].job != NULL)
        return;
    start_lane(entry, LANE_COMMIT, at_ms);
    start_lane(entry, LANE_BACKGROUND, at_ms);
    upload_settle(entry);
}

static void start_scrub(struct region_entry *entry, uint64_t at_ms)
{
    struct lane *lane = &entry->lanes[LANE_SCRUB];
    if (lane->job != NULL || !scrub_may_start(entry))
        return;
    start_lane(entry, LANE_SCRUB, at_ms);
    scrub_started(entry, lane->job != NULL);
}

static void on_deadline(uv_timer_t *timer)
{
    commit_touch(timer->data);
}

static void set_deadline(struct region_entry *entry, uint64_t at_ms)
{
    uint64_t deadline_ms = region_lane_deadline_ms(entry->region, LANE_COMMIT);
    uint64_t scrub_ms = region_lane_deadline_ms(entry->region, LANE_SCRUB);
    bool is_scrubbing = !entry->is_dropping && entry->server->phase == SERVER_RUNNING;
    if (is_scrubbing && !scrub_is_queued(entry) && scrub_ms < deadline_ms)
        deadline_ms = scrub_ms;
    if (deadline_ms == UINT64_MAX || entry->lanes[LANE_COMMIT].job != NULL) {
        uv_timer_stop(&entry->deadline);
        return;
    }
    uv_update_time(entry->deadline.loop);
    uv_timer_start(&entry->deadline, on_deadline, deadline_ms > at_ms ? deadline_ms - at_ms : 0, 0);
}

void commit_init(struct region_entry *entry)
{
    for (int lane = 0; lane < LANES; lane++) {
        entry->lanes[lane].work = (struct work){.run = run_job, .done = on_job_done};
        entry->lanes[lane].durable = (struct work){.done = on_durable};
        entry->lanes[lane].entry = entry;
    }
    uv_timer_init(&entry->server->loop, &entry->deadline);
    entry->deadline.data = entry;
    commit_touch(entry);
}

void commit_touch(struct region_entry *entry)
{
    if (entry->is_touched || entry->region == NULL)
        return; /* where a worker drops it, a timer may still run out */
    entry->is_touched = true;
    entry->touched_next = entry->server->regions.touched;
    entry->server->regions.touched = entry;
}

static bool has_no_job(const struct region_entry *entry)
{
    for (int lane = 0; lane < LANES; lane++)
        if (entry->lanes[lane].job != NULL)
            return false;
    return true;
}

void commit_pump(struct server *server)
{
    struct region_entry *entry;
    if (server->regions.touched == NULL)
        return;
    uint64_t at_ms = now_ms();
    while ((entry = server->regions.touched) != NULL) {
        server->regions.touched = entry->touched_next;
        entry->is_touched = false;
        if (entry->region == NULL)
            continue; /* being dropped */
        if (entry->is_held) {
            if (has_no_job(entry))
                admin_region_still(entry);
            continue;
        }
        /* An upload may stage a record, and have loads yield: this one first. */
        start_lane(entry, LANE_UPLOAD, at_ms);
        start_lane(entry, LANE_COMMIT, at_ms);
        stream_yield(entry);
        start_lane(entry, LANE_BACKGROUND, at_ms);
        start_upload(entry, at_ms);
        start_scrub(entry, at_ms);
        start_lane(entry, LANE_BACKUP, at_ms);
        scrub_log_findings(entry);
        scrub_answer(entry);
        /* Either may come to its end before there is a job, for want of memory. */
        answer_checkpoints(entry);
        if (region_failure(entry->region) != NULL && !entry->has_failed)
            settle(entry);
        set_deadline(entry, at_ms);
        if (entry->is_dropping && commit_is_quiet(entry))
            admin_region_quiet(entry);
    }
}

/* ---- Waiting ---- */

void commit_wait_change(struct request *request)
{
    struct region_entry *entry = request->entry;
    request->ticket = region_ticket(entry->region);
    request_move(request, REQUEST_STAGED);
    commit_touch(entry);
    if (request->ticket <= region_done_ticket(entry->region))
        request_succeed(request); /* it had nothing to write */
    else
        DL_APPEND2(entry->changes, request, previous, next);
}

void commit_wait_earlier(struct request *request, uint64_t ticket)
{
    struct region_entry *entry = request->entry;
    request->ticket = ticket;
    request_move(request, REQUEST_STAGED);
    commit_touch(entry);
    if (ticket <= region_done_ticket(entry->region))
        request_succeed(request);
    else
        DL_APPEND2(entry->retries, request, previous, next);
}

void commit_wait_applied(struct request *request)
{
    request_move(request, REQUEST_LOADING);
    commit_touch(request->entry);
    DL_APPEND2(request->entry->loads, request, previous, next);
}

void commit_wait_checkpoint(struct request *request)
{
    struct region_entry *entry = request->entry;
    request_move(request, REQUEST_CHECKPOINTING);
    commit_touch(entry);
    DL_APPEND2(entry->checkpoints, request, previous, next);
}

bool commit_is_quiet(const struct region_entry *entry)
{
    if (entry->changes != NULL || entry->retries != NULL || entry->loads != NULL ||
        entry->checkpoints != NULL || entry->scrubs != NULL || entry->uploads != NULL ||
        entry->reads > 0 || entry->parked != NULL || region_is_backed_up(entry->region))
        return false;
    if (entry->is_held || !has_no_job(entry))
        return false;
    return region_failure(entry->region) != NULL || region_idle(entry->region);
}
