/* Checkpoints, and what becomes of the journal behind them.
 *
 * A checkpoint goes on in small steps: a slice is encoded on the loop and written by a worker,
 * until all free blocks are told; then everything that was staged meanwhile must become durable;
 * then the data file, the body and the header are synced. Segments of the journal that lie wholly
 * before its start are recycled only after that. */
#include <assert.h>
#include <string.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

int region_request_checkpoint(struct region *region, uint64_t *ret_ticket, struct err *err)
{
    if (region->read_only || region->is_failing || region->is_failed)
        return err_set(err, ERR_READ_ONLY, "region %s is read-only: %s", region->meta.name,
                       region->read_only ? "it was opened so" : region->failure.text);
    /* One that is under way began before whatever the caller has in mind. */
    region->checkpoint_wanted = region->checkpoint_started + 1;
    *ret_ticket = region->checkpoint_wanted;
    return 0;
}

/* Where the journal will end whatever becomes of the changes that are being staged: those that are
 * made all or nothing are taken back when they have to wait. */
static uint64_t certain_end(const struct region *region)
{
    const struct batch *batch = region->gathering;
    const struct batch_mark *mark = &region->atomic.mark;
    uint64_t end = region->journal.next;
    if (region->atomic.is_open)
        return mark->effects > 0 || batch->upload_count > 0
                   ? end + record_padded(mark->length + mark->sums_room)
                   : end;
    return batch != NULL && !batch_is_empty(batch) ? end + record_padded(batch_length(batch)) : end;
}

bool region_press_checkpoint(struct region *region)
{
    if (region->checkpoint_state != CHECKPOINT_IDLE ||
        region->checkpoint_wanted > region->checkpoint_started)
        return true;
    if (region->under_way[LANE_BACKGROUND] == &region->recycle.job ||
        (region->journal.old_count > 0 && !region->is_recycling_tight))
        return true;
    uint64_t end = certain_end(region);
    bool is_useful = journal_seq(end) > journal_seq(region->checkpoint.start);
    if (!is_useful || (region->checkpoint_failed && end < region->checkpoint_retry))
        return false;
    region->checkpoint_wanted = region->checkpoint_started + 1;
    return true;
}

/* ---- The end of one ---- */

void region_abandon_checkpoint(struct region *region)
{
    if (region->checkpoint_state != CHECKPOINT_IDLE)
        checkpoint_release(&region->writer);
    region->checkpoint_state = CHECKPOINT_IDLE;
}

/* A checkpoint that found no space: the old one still stands, and the region goes on. */
static void give_up(struct region *region, const struct err *err)
{
    region_abandon_checkpoint(region);
    region->checkpoint_failed = true;
    region->checkpoint_failed_ticket = region->checkpoint_started;
    region->checkpoint_failure = *err;
    region->checkpoint_retry = region->journal.next + JOURNAL_PAYLOAD;
}

static void finish(struct region *region)
{
    region->checkpoint = region->writer.checkpoint;
    region->checkpoint_done = region->checkpoint_started;
    region->checkpoint_failed = false;
    region->checkpoints++;
    region_abandon_checkpoint(region);
    journal_retire(&region->journal, region->checkpoint.start);
    region->is_recycling_tight = false;
}

static void checkpoint_step_done(struct region *region, struct region_job *base)
{
    struct checkpoint_job *job = (struct checkpoint_job *)(void *)base;
    if (region->is_failed || region->is_failing)
        region_abandon_checkpoint(region);
    else if (base->code == ERR_NO_SPACE || base->code == ERR_INTERNAL)
        give_up(region, &base->err);
    else if (base->code != 0) {
        region_abandon_checkpoint(region);
        region_fail(region, &base->err);
    } else if (job->is_last)
        finish(region);
}

/* ---- Steps ---- */

static int run_slice(struct region_job *base, struct err *err)
{
    struct checkpoint_job *job = (struct checkpoint_job *)(void *)base;
    return checkpoint_write_chunk(job->writer, err);
}

static int run_last(struct region_job *base, struct err *err)
{
    struct checkpoint_job *job = (struct checkpoint_job *)(void *)base;
    struct checkpoint_writer *writer = job->writer;
    /* The bytes of records before its start are in the data file's cache only, and replay will not
     * put them again. */
    int result = writer->io->ops->sync(writer->io, job->data);
    if (result != 0)
        return err_io_at(err, result, "sync", writer->folder, "data");
    result = writer->io->ops->sync(writer->io, job->sums);
    if (result != 0)
        return err_io_at(err, result, "sync", writer->folder, SUMS_FILE);
    return checkpoint_complete(writer, err);
}

static struct region_job *step(struct region *region, bool is_last)
{
    struct checkpoint_job *job = &region->checkpointing;
    job->writer = &region->writer;
    job->data = region->data_for_sync;
    job->sums = region->sums_for_sync;
    job->is_last = is_last;
    job->job.run = is_last ? run_last : run_slice;
    job->job.done = checkpoint_step_done;
    return &job->job;
}

static bool is_due(const struct region *region)
{
    if (region->checkpoint_wanted > region->checkpoint_started)
        return true;
    if (region->checkpoint_failed && region->journal.next < region->checkpoint_retry)
        return false;
    return region->journal.next - region->checkpoint.start > region->meta.options.journal_size;
}

static void begin(struct region *region)
{
    struct err err;
    uint64_t sequence = region->checkpoint.sequence + 1;
    /* An attempt that failed may have left a header all the same: chunks of this one must not pass
     * for its. */
    if (sequence <= region->checkpoint_sequence)
        sequence = region->checkpoint_sequence + CHECKPOINT_SLOTS;
    region->checkpoint_sequence = sequence;
    region->checkpoint_started++;
    if (checkpoint_begin(&region->writer, region->io, region->folder, region->meta.secret, sequence,
                         region->applied) != 0) {
        (void)err_no_memory(&err);
        give_up(region, &err);
        return;
    }
    region->checkpoint_state = CHECKPOINT_SLICES;
}

/* All slices are told: what they show must be durable before anybody may believe them. */
static void wait_for_end(struct region *region)
{
    struct region_info info;
    region_seal(region);
    region_get_info(region, &info);
    region->writer.checkpoint.end = region->journal.next;
    region->writer.checkpoint.size = info.size;
    region->writer.checkpoint.pages = info.pages;
    region->flush_to = region->journal.next;
    region->checkpoint_state = CHECKPOINT_WAITS;
}

struct region_job *region_next_checkpoint(struct region *region)
{
    if (region->checkpoint_state == CHECKPOINT_IDLE && is_due(region))
        begin(region);
    if (region->checkpoint_state == CHECKPOINT_SLICES) {
        tokens_settle(&region->tokens, region->done_ticket);
        region->writer.reserved = &region->reserved;
        if (checkpoint_encode_slice(&region->writer, &region->space.tree, &region->tokens))
            wait_for_end(region);
        return step(region, false);
    }
    if (region->checkpoint_state == CHECKPOINT_WAITS &&
        region->journal.synced >= region->writer.checkpoint.end)
        return step(region, true);
    return NULL;
}

/* ---- Write-back ---- */

static int run_write_back(struct region_job *base, struct err *err)
{
    struct write_back_job *job = (struct write_back_job *)(void *)base;
    (void)err;
    job->io->ops->write_back(job->io, job->data);
    job->io->ops->write_back(job->io, job->sums);
    return 0;
}

static void write_back_done(struct region *region, struct region_job *base)
{
    (void)region, (void)base;
}

struct region_job *region_next_write_back(struct region *region)
{
    struct write_back_job *job = &region->write_back;
    if (region->applied - region->written_back < WRITE_BACK)
        return NULL;
    region->written_back = region->applied;
    *job = (struct write_back_job){
        .job = {.run = run_write_back, .done = write_back_done},
        .io = region->io,
        .data = region->data_for_sync,
        .sums = region->sums_for_sync,
    };
    return &job->job;
}

/* ---- Recycling ---- */

static int run_recycling(struct region_job *base, struct err *err)
{
    struct recycle_job *job = (struct recycle_job *)(void *)base;
    char name[JOURNAL_NAME_SIZE], path[IO_PATH_SIZE];
    int code = 0;
    for (job->done = 0; code == 0 && job->done < job->count; job->done += code == 0) {
        uint64_t from = job->from[job->done];
        if (job->done < job->keep) {
            code = journal_recycle_segment(job->io, job->folder, job->secret, from,
                                           job->to + job->done, job->floor, err);
            continue;
        }
        code = io_join(path, job->folder, journal_name(name, from), err);
        int result = code == 0 ? job->io->ops->remove(job->io, path) : 0;
        if (result != 0)
            code = err_io(err, result, "remove", path);
    }
    int result = job->io->ops->sync_directory(job->io, job->folder);
    if (result != 0)
        return err_io(err, result, "sync", job->folder);
    return code;
}

static void recycling_done(struct region *region, struct region_job *base)
{
    struct recycle_job *job = (struct recycle_job *)(void *)base;
    struct journal *journal = &region->journal;
    /* A rename or a write in place may need space, too. What is left is tried again later. */
    region->is_recycling_tight = base->code == ERR_NO_SPACE || base->code == ERR_INTERNAL;
    if (base->code != 0 && !region->is_recycling_tight) {
        region_fail(region, &base->err);
        return;
    }
    for (size_t i = 0; i < job->keep && i < job->done; i++)
        journal_add(journal, job->to + i);
    journal->old_count -= job->done;
    memmove(journal->old, journal->old + job->done, journal->old_count * sizeof journal->old[0]);
    if (job->done == 0)
        return;
    /* There is room again for whom it was refused. */
    region->journal_room.is_owed = false;
    region->journal_room.is_tight = false;
}

struct region_job *region_next_recycling(struct region *region)
{
    struct recycle_job *job = &region->recycle;
    struct journal *journal = &region->journal;
    size_t target =
        (size_t)max_u64(region->meta.options.journal_size / JOURNAL_PAYLOAD, JOURNAL_SEGMENTS_MIN);
    if (journal->old_count == 0 || region->is_recycling_tight)
        return NULL;
    job->count = (size_t)min_u64(journal->old_count, RECYCLE_MAX);
    job->keep = journal->live_count < target ? target - journal->live_count : 0;
    /* One is always kept: its header is the witness that the journal before the checkpoint may be
     * gone. */
    job->keep = (size_t)min_u64(max_u64(job->keep, 1), job->count);
    if (journal_reserve(journal, job->keep) != 0)
        return NULL;
    memcpy(job->from, journal->old, job->count * sizeof job->from[0]);
    memcpy(job->secret, region->meta.secret, sizeof job->secret);
    job->to = journal_seq(journal_prepared(journal));
    job->floor = region->checkpoint.start;
    job->io = region->io;
    job->folder = region->folder;
    job->job.run = run_recycling;
    job->job.done = recycling_done;
    return &job->job;
}
