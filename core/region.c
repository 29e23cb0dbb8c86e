#include "core/region_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/bytes.h"

/* ---- What it is ---- */

uint64_t region_id(const struct region *region)
{
    return region->meta.id;
}

const char *region_name(const struct region *region)
{
    return region->meta.name;
}

uint64_t region_size(const struct region *region)
{
    return region->space.size;
}

static uint64_t pages_of(const struct region *region)
{
    return max_u64(region->pages, round_up(region->space.size, REGION_PAGE) / REGION_PAGE);
}

void region_get_info_now(const struct region *region, struct region_info *ret_info)
{
    const struct freespace *space = &region->space;
    uint64_t pages = pages_of(region);
    *ret_info = (struct region_info){
        .id = region->meta.id,
        .name = region->meta.name,
        .format = region->format,
        .options = region->meta.options,
        .pages = pages,
        .size = space->size,
        .capacity = pages * REGION_PAGE,
        .allocated = space->size - space->tree.bytes - region->reserved.bytes,
        .deallocated = space->tree.bytes + region->reserved.bytes,
        .free_blocks = region_free_count(region),
        .largest_free = maxtree_largest(&space->tree),
        .index_memory = maxtree_memory(&space->tree),
        .journal_bytes = region->written - region->checkpoint.start,
        .journal_written = region->written - region->written_at_open,
        .cache_hits = region->cache_hits,
        .cache_misses = region->cache_misses,
        .checkpoints = region->checkpoints,
        .commits = region->commits,
        .changes = region->changes,
        .tokens = tokens_count(&region->tokens),
        .recovered_records = region->report.records,
        .cut_bytes = region->report.cut_bytes,
        .page_cache_used = pagecache_memory(&region->cache) + pagecache_memory(&region->sum_blocks),
        .damaged_pages = region->damage_count + region->unkept_damages,
        .migrated_from = region->report.migrated_from,
        .discarded_bytes = region->discard.freed,
        .uploads = region->upload_count,
        .reserved = region->reserved.bytes,
        .read_only = region->read_only || region->is_failing || region->is_failed,
    };
    for (size_t i = 0; i < sizeof ret_info->uuid; i++)
        ret_info->uuid[i] = region->meta.uuid[i];
}

void region_get_info(const struct region *region, struct region_info *ret_info)
{
    region_get_info_now(region, ret_info);
    /* Without an answer it is 0, which no data file has. */
    (void)region->io->ops->usage(region->io, region->data, &ret_info->disk_bytes);
}

uint64_t region_commits(const struct region *region)
{
    return region->commits;
}

void region_set_migrated(struct region *region, uint32_t from)
{
    region->report.migrated_from = from;
}

const struct err *region_failure(const struct region *region)
{
    return region->is_failed ? &region->failure : NULL;
}

const struct err *region_checkpoint_failure(const struct region *region, uint64_t ticket)
{
    bool is_void = region->checkpoint_failed && ticket <= region->checkpoint_failed_ticket;
    return is_void ? &region->checkpoint_failure : NULL;
}

void region_set_options(struct region *region, const struct region_options *options)
{
    struct region_options before = region->meta.options;
    if (region_is_verified(region))
        region->sums_ticket = region->newest_ticket;
    region->meta.options = *options;
    region->space.fit = options->fit;
    if (options->discard != before.discard)
        region_discard_rescan(region);
    region_scrub_options(region, &before);
    region->tokens.window = options->token_window;
    tokens_settle(&region->tokens, region->done_ticket);
    pagecache_set_limit(&region->cache, options->page_cache);
    region_sums_set_limit(region, options->page_cache);
}

const char *region_check(const struct region *region)
{
    const struct freespace *space = &region->space;
    struct extent last;
    const char *wrong = maxtree_check(&space->tree);
    if (wrong != NULL)
        return wrong;
    if (maxtree_last(&space->tree, &last) && extent_end(last) > space->size)
        return "a free block ends past the region's size";
    if (space->size > region->data_size)
        return "the data file is shorter than the region";
    if (region->applied_ticket > region->done_ticket || region->done_ticket > region->newest_ticket)
        return "tickets are out of order";
    if (region->journal.synced > region->written || region->written > region->journal.next)
        return "journal positions are out of order";
    wrong = region_check_reserved(region);
    if (wrong == NULL)
        wrong = region_check_holes(region);
    return wrong != NULL ? wrong : tokens_check(&region->tokens);
}

bool region_is_flushed(const struct region *region)
{
    if (region->is_failed || region->read_only)
        return true;
    bool is_gathering = region->gathering != NULL && !batch_is_empty(region->gathering);
    return !is_gathering && region->queue.first == NULL && region->pending.first == NULL;
}

bool region_idle(const struct region *region)
{
    for (unsigned lane = 0; lane < LANES; lane++)
        if (region->under_way[lane] != NULL)
            return false;
    if (region->is_failed || region->read_only)
        return true;
    return region_is_flushed(region) && !region_has_appends(region) &&
           (region->backup.state == BACKUP_NONE || region->backup.state == BACKUP_ENDED) &&
           region->checkpoint_state == CHECKPOINT_IDLE &&
           region->checkpoint_wanted <= region->checkpoint_started;
}

uint64_t region_done_ticket(const struct region *region)
{
    return region->done_ticket;
}

uint64_t region_applied_ticket(const struct region *region)
{
    return region->applied_ticket;
}

uint64_t region_checkpoint_ticket(const struct region *region)
{
    return region->checkpoint_done;
}

bool region_is_checkpointing(const struct region *region)
{
    return region->checkpoint_state != CHECKPOINT_IDLE;
}

uint64_t region_ticket(const struct region *region)
{
    return region->change_ticket;
}

/* ---- Questions ---- */

int region_check_block(const struct region *region, struct extent block, struct err *err)
{
    uint64_t size = region->space.size;
    if (block.address <= size && block.size <= size - block.address)
        return 0;
    return err_set(err, ERR_OUT_OF_BOUNDS, "block [%llu, +%llu) ends past the region's size %llu",
                   (unsigned long long)block.address, (unsigned long long)block.size,
                   (unsigned long long)size);
}

static int check_range(const struct region *region, uint64_t start, uint64_t end, struct err *err)
{
    if (start <= end && end <= region->space.size)
        return 0;
    if (start > end)
        return err_set(err, ERR_OUT_OF_BOUNDS, "the range [%llu, %llu) ends before it starts",
                       (unsigned long long)start, (unsigned long long)end);
    return err_set(
        err, ERR_OUT_OF_BOUNDS, "the range [%llu, %llu) ends past the region's size %llu",
        (unsigned long long)start, (unsigned long long)end, (unsigned long long)region->space.size);
}

int region_is_allocated(const struct region *region, struct extent block, bool *ret,
                        struct err *err)
{
    int code = region_check_block(region, block, err);
    if (code == 0)
        *ret = block.size == 0 || region_is_used(region, block);
    return code;
}

int region_is_freed(const struct region *region, struct extent block, bool *ret, struct err *err)
{
    int code = region_check_block(region, block, err);
    if (code != 0)
        return code;
    if (block.size == 0 || region_is_used(region, block)) {
        *ret = false;
        return 0;
    }
    if (region_is_free(region, block)) {
        *ret = true;
        return 0;
    }
    return err_set(err, ERR_PARTLY_FREE, "block [%llu, +%llu) is partly free and partly in use",
                   (unsigned long long)block.address, (unsigned long long)block.size);
}

int region_allocated_blocks(const struct region *region, uint64_t start, uint64_t end,
                            struct extent *blocks, size_t limit, size_t *ret_count, struct err *err)
{
    int code = check_range(region, start, end, err);
    if (code == 0)
        *ret_count = region_used_in(region, start, end, blocks, limit);
    return code;
}

int region_free_blocks(const struct region *region, uint64_t start, uint64_t end,
                       struct extent *blocks, size_t limit, size_t *ret_count, struct err *err)
{
    int code = check_range(region, start, end, err);
    if (code == 0)
        *ret_count = region_free_in(region, start, end, blocks, limit);
    return code;
}

/* ---- Jobs ---- */

bool region_job_begin(struct region_job *job)
{
    if (job->begin == NULL || job->has_begun)
        return false;
    job->has_begun = true;
    job->code = job->begin(job, &job->err);
    return job->code == 0;
}

void region_job_durable(struct region *region, struct region_job *job)
{
    assert(region->under_way[job->lane] == job);
    job->durable(region, job);
}

void region_job_run(struct region_job *job)
{
    (void)region_job_begin(job);
    if (job->code == 0)
        job->code = job->run(job, &job->err);
}

void region_job_done(struct region *region, struct region_job *job)
{
    assert(region->under_way[job->lane] == job);
    region->under_way[job->lane] = NULL;
    job->done(region, job);
    if (region->is_failing && region->under_way[LANE_COMMIT] == NULL)
        region_finish_failing(region);
}

/* What somebody waits for. */
static struct region_job *next_awaited(struct region *region)
{
    struct region_job *job = region_next_room(region, false);
    if (job == NULL)
        job = region_next_verify(region);
    if (job == NULL)
        job = region_next_recycling(region);
    return job;
}

/* What may be wanted some day. Under load there is always something to write back: every other time
 * at most, so that the rest has its turns. */
static struct region_job *next_for_later(struct region *region)
{
    bool has_had_turn = region->was_write_back;
    struct region_job *job = has_had_turn ? NULL : region_next_write_back(region);
    if (job == NULL)
        job = region_next_checkpoint(region);
    if (job == NULL)
        job = region_next_room(region, true);
    if (job == NULL && has_had_turn)
        job = region_next_write_back(region);
    region->was_write_back = job == &region->write_back.job;
    return job;
}

static struct region_job *next_background(struct region *region)
{
    struct region_job *job = next_awaited(region);
    return job != NULL ? job : next_for_later(region);
}

struct region_job *region_next_job(struct region *region, enum region_lane lane, uint64_t now_ms)
{
    region->now_ms = now_ms;
    bool is_over = region->read_only || region->is_failing || region->is_failed;
    /* A backup that has begun is undone all the same. */
    if (region->under_way[lane] != NULL || (is_over && lane != LANE_BACKUP))
        return NULL;
    struct region_job *job = NULL;
    if (lane == LANE_COMMIT)
        job = region_next_commit(region);
    else if (lane == LANE_BACKGROUND)
        job = next_background(region);
    else if (lane == LANE_UPLOAD)
        job = region_next_upload(region);
    else if (lane == LANE_BACKUP)
        job = region_next_backup(region);
    else
        job = region_next_scrub(region);
    if (job == NULL && lane == LANE_COMMIT)
        job = region_next_discard(region);
    if (job != NULL) {
        job->lane = lane;
        job->code = 0;
        job->has_begun = false;
        region->under_way[lane] = job;
    }
    return job;
}

uint64_t region_lane_deadline_ms(const struct region *region, enum region_lane lane)
{
    if (lane == LANE_COMMIT)
        return min_u64(region_flush_deadline_ms(region), region_discard_deadline_ms(region));
    return lane == LANE_SCRUB ? region_scrub_deadline_ms(region) : UINT64_MAX;
}

uint64_t region_deadline_ms(const struct region *region)
{
    return min_u64(region_lane_deadline_ms(region, LANE_COMMIT),
                   region_lane_deadline_ms(region, LANE_SCRUB));
}

/* ---- Failure ---- */

static void reverse(struct batch_list *list)
{
    struct batch *reversed = NULL;
    list->last = list->first;
    while (list->first != NULL) {
        struct batch *batch = list->first;
        list->first = batch->next;
        batch->next = reversed;
        reversed = batch;
    }
    list->first = reversed;
}

/* Notes what a set has; whole pages of it where is_torn. */
static void note(struct extentset *notes, const struct extentset *dirty, bool is_torn)
{
    struct extent block = {0, 0};
    if (dirty->everything) {
        notes->everything = true;
        return;
    }
    /* Without memory it is everything. */
    while (maxtree_seek(&dirty->tree, extent_end(block), &block))
        (void)extentset_add(notes, is_torn ? bytes_of(pages_around(block)) : block);
}

static void lose(struct region *region, const struct batch *batch, bool is_torn)
{
    note(&region->lost, &batch->dirty, false);
    if (is_torn && region_is_verified(region))
        note(&region->torn, &batch->dirty, true);
}

/* They are durable, but may not be in place: they stand, and only their bytes are not to be had. */
static void leave(struct region *region, struct batch_list *list)
{
    for (struct batch *batch; (batch = batch_list_take_first(list)) != NULL;) {
        lose(region, batch, true);
        batch_free(batch);
    }
}

/* Takes a list of batches back, the youngest first; is_torn: some of it is in place. */
static void roll_back(struct region *region, struct batch_list *list, bool is_torn)
{
    reverse(list);
    for (struct batch *batch; (batch = batch_list_take_first(list)) != NULL;) {
        lose(region, batch, is_torn);
        region_uploads_unfreed(region, batch);
        if (batch_roll_back(batch, &region->space, &region->pages) != 0)
            region->lost.everything = true;
        tokens_take_back(&region->tokens, batch->tokens_before);
        batch_free(batch);
    }
}

void region_finish_failing(struct region *region)
{
    struct batch_list committing = {NULL, NULL};
    region->changes++;
    region_uploads_fail(region);
    if (region->gathering != NULL)
        batch_list_append(&region->queue, region->gathering);
    region->gathering = NULL;
    roll_back(region, &region->queue, false);
    if (region->commit.batch != NULL)
        batch_list_append(&committing, region->commit.batch);
    region->commit.batch = NULL;
    if (region->commit.is_synced)
        leave(region, &committing);
    if (region->commit.is_flushed)
        leave(region, &region->pending);
    roll_back(region, &committing, region->commit.is_applying);
    roll_back(region, &region->pending, region->commit.is_applying);
    region_uploads_cut(region);
    region->queued_bytes = region->pending_bytes = 0;
    region->pending_count = 0;
    if (region->under_way[LANE_BACKGROUND] == NULL)
        region_abandon_checkpoint(region);
    region_scrub_release(region);
    region->is_failing = false;
    region->is_failed = true;
}

void region_fail(struct region *region, const struct err *err)
{
    if (region->is_failing || region->is_failed)
        return;
    region->failure = *err;
    /* A refusal for want of space says that nothing has happened, and that is not known now. */
    if (err->code == ERR_NO_SPACE)
        region->failure.code = ERR_IO_ERROR;
    region->is_failing = true;
    if (region->under_way[LANE_COMMIT] == NULL)
        region_finish_failing(region);
}
