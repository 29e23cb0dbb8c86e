/* The commit lane: one batch at a time becomes durable, in order.
 *
 * What a job does, in this order:
 *   1. flush_first: sync the journal as written so far and put the pending pages in place. Only
 * where the batch touches fresh space before its record is written, and older records are not
 * durable.
 *   2. Whole pages of large blobs and straight copies go to the data file, and so do those of many
 * small blobs in fresh space (batch_ahead.c); it is synced. The pages that puts touch are put
 * together in memory, and all sums go into the record.
 *   3. The record is written to the journal.
 *   4. sync_journal: the segments are synced. From here on the batch is durable: that is where the
 *      loop is told, which answers, while the job goes on.
 *   5. apply: the pages and their sums are put in place, without a sync; a checkpoint does that.
 *      Until the job is done no other batch is committed, and whoever would read these pages waits.
 *      A failure fails the region, which keeps the batch: it was acknowledged, and a restart puts
 *      it in place.
 *
 * With durability interval and none the record of step 3 goes through the page cache, so that
 * nobody waits for the disk, and steps 4 and 5 are left out until the interval is over or somebody
 * wants to read what was not put in place yet; until then the batch is pending, and later batches
 * build on its pages. A page and its sum are in two files: only the record makes them one. With
 * none the data file is not synced in step 2 but before step 4, unless a power cut between the two
 * would take a blob that was there before, or a part of what is all or nothing. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

/* ---- Batches ---- */

void batch_list_append(struct batch_list *list, struct batch *batch)
{
    batch->next = NULL;
    if (list->first == NULL)
        list->first = batch;
    else
        list->last->next = batch;
    list->last = batch;
}

struct batch *batch_list_take_first(struct batch_list *list)
{
    struct batch *batch = list->first;
    if (batch != NULL) {
        list->first = batch->next;
        batch->next = NULL;
    }
    return batch;
}

static void recycle(struct region *region, struct batch *batch)
{
    region_discard_freed(region, &batch->frees);
    if (region->spare_count == SPARE_BATCHES) {
        batch_free(batch);
        return;
    }
    batch_reset(batch);
    region->spares[region->spare_count++] = batch;
}

void region_rest(struct region *region)
{
    while (region->spare_count > 0)
        batch_free(region->spares[--region->spare_count]);
}

struct batch *region_gathering(struct region *region)
{
    if (region->gathering != NULL)
        return region->gathering;
    struct batch *batch =
        region->spare_count > 0 ? region->spares[--region->spare_count] : batch_new();
    if (batch == NULL)
        return NULL;
    batch->ticket = ++region->newest_ticket;
    batch->size_before = region->space.size;
    batch->pages_before = region->pages;
    batch->tokens_before = region->tokens.next;
    region->gathering = batch;
    return batch;
}

/* Whether pending batches may wait for the flush interval to pass. */
static bool is_patient(const struct region *region)
{
    return region->meta.options.durability != DURABILITY_SYNC;
}

void region_seal(struct region *region)
{
    struct batch *batch = region->gathering;
    if (batch == NULL || batch_is_empty(batch))
        return;
    batch_lay_out(batch, !is_patient(region));
    batch->lsn = region->journal.next;
    batch->end = batch->lsn + record_padded(batch_journaled(batch)->length);
    assert(batch->end <= journal_prepared(&region->journal));
    region->journal.next = batch->end;
    region->queued_bytes += batch->record.length;
    batch_list_append(&region->queue, batch);
    region->gathering = NULL;
}

/* ---- Worker ---- */

static int apply_pending(struct commit_job *job, struct err *err)
{
    int code = 0;
    job->is_applying = true;
    for (const struct batch *batch = job->pending; code == 0 && batch != NULL; batch = batch->next)
        code = batch_apply(batch, &job->files, err);
    if (code == 0)
        page_table_clear(job->files.pages);
    return code;
}

static int sync_data(const struct commit_job *job, struct err *err)
{
    const struct batch_files *files = &job->files;
    int result = files->io->ops->sync(files->io, files->data);
    return result == 0 ? 0 : err_io_at(err, result, "sync", files->folder, "data");
}

static int sync_segments(const struct commit_job *job, struct err *err)
{
    return journal_sync(job->files.io, job->files.folder, job->segments, job->segment_count, err);
}

/* Makes what is written durable. */
static int sync_written(struct commit_job *job, struct err *err)
{
    /* No record becomes durable before the bytes that it says are there. */
    int code = job->sync_direct ? sync_data(job, err) : 0;
    if (code == 0)
        code = sync_segments(job, err);
    job->is_flushed = code == 0;
    return code;
}

static int run_flush(struct commit_job *job, struct err *err)
{
    int code = sync_written(job, err);
    return code == 0 ? apply_pending(job, err) : code;
}

static int write_record(struct commit_job *job, struct err *err)
{
    struct batch *batch = job->batch;
    struct record *record = batch_journaled(batch);
    record_seal(record, job->seed, batch->lsn, job->flush_first ? batch->lsn : job->synced);
    return journal_write(job->files.io, job->files.folder, job->segments, job->segment_count,
                         batch->lsn, record->bytes, record_padded(record->length), job->past_cache,
                         err);
}

static int run_batch(struct commit_job *job, struct err *err)
{
    int code = batch_build(job->batch, &job->files, &job->damages, err);
    if (code == 0 && job->sync_data)
        code = sync_data(job, err);
    return code == 0 ? write_record(job, err) : code;
}

static int flush_only(struct region_job *base, struct err *err)
{
    return run_flush((struct commit_job *)(void *)base, err);
}

static int write_batch(struct region_job *base, struct err *err)
{
    struct commit_job *job = (struct commit_job *)(void *)base;
    int code = job->flush_first ? run_flush(job, err) : 0;
    return code == 0 ? run_batch(job, err) : code;
}

static int make_durable(struct region_job *base, struct err *err)
{
    struct commit_job *job = (struct commit_job *)(void *)base;
    int code = write_batch(base, err);
    if (code == 0)
        code = job->flush_first ? sync_segments(job, err) : sync_written(job, err);
    job->is_synced = code == 0;
    return code;
}

static int put_in_place(struct region_job *base, struct err *err)
{
    struct commit_job *job = (struct commit_job *)(void *)base;
    int code = job->flush_first ? 0 : apply_pending(job, err);
    return code == 0 ? batch_apply(job->batch, &job->files, err) : code;
}

/* The batch is written, and will be durable some time. */
static int write_only(struct region_job *base, struct err *err)
{
    struct commit_job *job = (struct commit_job *)(void *)base;
    int code = write_batch(base, err);
    return code == 0 ? batch_keep_pages(job->batch, job->files.pages, err) : code;
}

/* ---- Done ---- */

/* The worker opened segments: they stay open until they are full and synced. */
static void keep_segments(struct region *region, const struct commit_job *job)
{
    struct journal *journal = &region->journal;
    for (size_t i = 0; i < job->segment_count; i++) {
        const struct journal_segment *used = &job->segments[i];
        struct journal_segment *live = &journal->live[used->seq - journal->live[0].seq];
        assert(live->seq == used->seq);
        live->file = used->file;
        if (live->file != NULL && (live->seq + 1) * JOURNAL_PAYLOAD <= journal->synced) {
            region->io->ops->close(region->io, live->file);
            live->file = NULL;
        }
    }
}

static void applied(struct region *region, struct batch *batch)
{
    region->applied = batch->end;
    region->applied_ticket = batch->ticket;
    region_pages_applied(region, batch);
    region_backup_applied(region, batch);
    recycle(region, batch);
}

static void pending_applied(struct region *region)
{
    for (struct batch *batch; (batch = batch_list_take_first(&region->pending)) != NULL;)
        applied(region, batch);
    region->pending_bytes = 0;
    region->pending_count = 0;
}

static void batch_done(struct region *region, const struct batch *batch)
{
    if (region->done_ticket == batch->ticket)
        return; /* as soon as it was durable */
    region->written = batch->end;
    region->done_ticket = batch->ticket;
    region->commits++;
}

/* The worker may be in put_in_place: what it looks at stays as it is. */
static void commit_durable(struct region *region, struct region_job *base)
{
    struct commit_job *job = (struct commit_job *)(void *)base;
    batch_done(region, job->batch);
    region->journal.synced = job->flushed;
}

static void batch_written(struct region *region, struct commit_job *job)
{
    struct batch *batch = job->batch;
    job->batch = NULL;
    batch_done(region, batch);
    if (job->sync_journal) {
        assert(region->pending.first == NULL);
        applied(region, batch);
        return;
    }
    region->has_direct_unsynced = region->has_direct_unsynced || batch_is_direct(batch);
    if (region->pending.first == NULL)
        region->pending_since_ms = region->now_ms;
    region->pending_bytes += batch->record.length + batch->images_used * DATA_PAGE;
    region->pending_count++;
    batch_list_append(&region->pending, batch);
}

static void commit_done(struct region *region, struct region_job *base)
{
    struct commit_job *job = (struct commit_job *)(void *)base;
    for (size_t i = 0; i < job->damages.count; i++)
        (void)region_note_damage(region, job->damages.addresses[i]);
    if (base->code != 0) {
        if (job->is_synced)
            commit_durable(region, base);
        keep_segments(region, job);
        if (!region->is_failing)
            region_fail(region, &base->err);
        return;
    }
    if (job->flush_first)
        region->journal.synced = max_u64(region->journal.synced, region->written);
    if (job->sync_journal)
        region->journal.synced = job->flushed;
    keep_segments(region, job);
    if (job->flush_first || job->sync_journal) {
        pending_applied(region);
        region->has_direct_unsynced = false;
    }
    job->is_flushed = job->is_synced = false;
    if (job->batch != NULL)
        batch_written(region, job);
}

/* ---- Next ---- */

static uint64_t due_ms(const struct region *region)
{
    if (!is_patient(region) || region->pending.first->ticket <= region->hurry_ticket)
        return region->now_ms;
    return region->pending_since_ms + region->meta.options.flush_interval_ms;
}

static bool is_pending_pinned(const struct region *region)
{
    for (const struct batch *batch = region->pending.first; batch != NULL; batch = batch->next)
        if (region_is_pinned(region, batch))
            return true;
    return false;
}

uint64_t region_flush_deadline_ms(const struct region *region)
{
    if (region->pending.first == NULL || region->is_failed || region->is_failing ||
        is_pending_pinned(region))
        return UINT64_MAX;
    return due_ms(region);
}

void region_hurry(struct region *region)
{
    region->hurry_ticket = region->newest_ticket;
}

/* Whether what is written must be synced now. */
static bool is_flush_due(const struct region *region)
{
    if (region->journal.synced < min_u64(region->flush_to, region->written))
        return true;
    /* It bounds the segments that are not synced, too: each of them holds a file open. */
    return region->pending.first != NULL &&
           (region->now_ms >= due_ms(region) || region->pending_bytes > BATCH_BYTES ||
            region->pending_count >= BATCHES_PENDING);
}

/* Hands the worker its own copy of the segments that hold [from, to). */
static int take_segments(struct region *region, uint64_t from, uint64_t to)
{
    struct commit_job *job = &region->commit;
    size_t count;
    const struct journal_segment *segments = journal_segments(&region->journal, from, to, &count);
    struct journal_segment *copy =
        array_grown(job->segments, &job->segment_capacity, count, sizeof *copy);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, segments, count * sizeof *copy);
    job->segments = copy;
    job->segment_count = count;
    return 0;
}

static struct region_job *commit_job(struct region *region)
{
    struct commit_job *job = &region->commit;
    job->files = (struct batch_files){
        .io = region->io,
        .folder = region->folder,
        .data = region->data,
        .sums = region->sums,
        .sum_seed = region->sum_seed,
        .has_checksums = region->meta.options.checksum == CHECKSUM_ON,
        .pages = &region->pending_pages,
    };
    job->damages.count = 0;
    job->is_flushed = job->is_synced = job->is_applying = false;
    job->sync_direct = region->has_direct_unsynced;
    job->past_cache = !is_patient(region);
    job->seed = region->journal.seed;
    job->synced = region->journal.synced;
    job->pending = region->pending.first;
    job->job.begin = job->batch != NULL && job->sync_journal ? make_durable : NULL;
    job->job.durable = commit_durable;
    job->job.run = job->job.begin != NULL ? put_in_place
                   : job->batch != NULL   ? write_only
                                          : flush_only;
    job->job.done = commit_done;
    return &job->job;
}

static struct region_job *flush(struct region *region)
{
    struct commit_job *job = &region->commit;
    if (is_pending_pinned(region) ||
        take_segments(region, region->journal.synced, region->written) != 0)
        return NULL;
    job->batch = NULL;
    job->flush_first = job->sync_data = false;
    job->sync_journal = true;
    job->flushed = region->written;
    return commit_job(region);
}

static struct region_job *commit(struct region *region, struct batch *batch)
{
    struct commit_job *job = &region->commit;
    enum durability durability = region->meta.options.durability;
    uint64_t synced = region->journal.synced;
    bool is_direct = batch_is_direct(batch);
    bool is_unsynced = region->pending.first != NULL || region->last_free > synced;
    job->flush_first = is_direct && is_unsynced && synced < region->written;
    job->sync_journal = durability == DURABILITY_SYNC || is_flush_due(region) || batch->is_vast ||
                        synced < min_u64(region->flush_to, batch->end) ||
                        batch->ticket <= region->hurry_ticket ||
                        (durability == DURABILITY_INTERVAL && is_direct);
    job->sync_data = batch->moves || (is_direct && job->sync_journal);
    job->flushed = batch->end;
    bool has_pending = job->sync_journal || job->flush_first;
    /* Held or not, what is direct is written by this job. */
    if (((job->sync_journal || is_direct) && region_is_pinned(region, batch)) ||
        (has_pending && is_pending_pinned(region)) ||
        take_segments(region, min_u64(synced, batch->lsn), batch->end) != 0)
        return NULL;
    region->queued_bytes -= batch->record.length;
    (void)batch_list_take_first(&region->queue);
    if (!extentset_is_empty(&batch->frees))
        region->last_free = batch->end;
    job->batch = batch;
    return commit_job(region);
}

struct region_job *region_next_commit(struct region *region)
{
    const struct batch *pending = region->pending.first;
    bool is_due = is_flush_due(region);
    /* Somebody waits to read what is pending, as it is now and not as the next batch leaves it. */
    if (pending != NULL && (pending->ticket <= region->hurry_ticket || !is_patient(region)))
        return flush(region);
    if (region->queue.first == NULL)
        region_seal(region);
    if (region->queue.first != NULL)
        return commit(region, region->queue.first);
    return is_due ? flush(region) : NULL;
}
