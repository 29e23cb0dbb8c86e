/* Changes. Each one goes the same way: check what was asked; make sure that journal, memory and
 * data file have room, so that nothing can fail later; change the free space; note the effects and
 * how to undo them in the gathering batch.
 *
 * Two things make a change begin a batch of its own (region_needs_own_batch), both because batches
 * become durable one after the other and what is within one does not: it would write straight into
 * space that the same batch frees; it would write what a load still has to read as it is in that
 * batch. */
#include <assert.h>
#include <errno.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

/* Extents that are listed in one go when a range is freed. */
#define RANGE_EXTENTS 256

/* ---- Checks ---- */

int region_check_writable(const struct region *region, struct err *err)
{
    if (region->read_only)
        return err_set(err, ERR_READ_ONLY, "region %s was opened read-only", region->meta.name);
    if (region->is_failing || region->is_failed)
        return err_set(
            err, ERR_READ_ONLY,
            "region %s is read-only since a failure (%s): restart mregiond to recover it",
            region->meta.name, region->failure.text);
    return 0;
}

int region_check_used(const struct region *region, struct extent block, struct err *err)
{
    int code = region_check_block(region, block, err);
    if (code != 0 || block.size == 0 || region_is_used(region, block))
        return code;
    return err_set(err, ERR_NOT_ALLOCATED, "block [%llu, +%llu) is not wholly in use",
                   (unsigned long long)block.address, (unsigned long long)block.size);
}

static int too_large(const struct region *region, uint64_t size, struct err *err)
{
    if (region->meta.options.max_size != 0)
        return err_set(err, ERR_NO_SPACE,
                       "region %s has no hole of %llu bytes and may not grow past its max_size "
                       "%llu: remove blobs or raise max_size",
                       region->meta.name, (unsigned long long)size,
                       (unsigned long long)region->meta.options.max_size);
    return err_set(err, ERR_NO_SPACE, "%llu bytes are more than a region can ever have, %llu",
                   (unsigned long long)size, (unsigned long long)REGION_SIZE_MAX);
}

/* ---- Preparing ---- */

static int too_many_pages(struct err *err)
{
    return err_set(
        err, ERR_TOO_LARGE,
        "changes that are made all or nothing may be in at most %llu pages of %llu bytes: "
        "make them in several batches",
        (unsigned long long)ATOMIC_IMAGES, (unsigned long long)DATA_PAGE);
}

/* Memory for a change, and for the token that it may be given. */
static int reserve(const struct region *region, struct batch *batch, const struct batch_need *need)
{
    struct batch_need whole = *need;
    whole.record += region_token_need(region);
    return batch_reserve(batch, &whole);
}

int region_prepare(struct region *region, const struct batch_need *need, bool is_free,
                   struct err *err)
{
    const struct batch *gathering = region->gathering;
    uint64_t length = batch_need_length(need) + region_token_need(region);
    uint64_t waiting = region->queued_bytes;
    bool has_staged = waiting > 0;
    if (gathering != NULL && !batch_is_empty(gathering)) {
        has_staged = true;
        waiting += batch_length(gathering);
        size_t images = gathering->images + 2 * need->puts;
        /* Others in the batch have BATCH_IMAGES at most: else they would not have begun yet. */
        if (region->atomic.is_open && images - region->atomic.mark.images > ATOMIC_IMAGES)
            return too_many_pages(err);
        /* Without memory it is not known what the batch has touched. */
        if (region->atomic.is_open && gathering->dirty.everything)
            return err_no_memory(err);
        if (!region->atomic.is_open && (batch_length(gathering) + length > BATCH_BYTES ||
                                        images > BATCH_IMAGES || gathering->dirty.everything))
            return REGION_WAIT;
    }
    /* Batches that had to be closed early may be queued; memory is bounded all the same. Changes
     * that are made all or nothing found room for their blobs when they began. */
    if (has_staged && !region->atomic.is_open && waiting + length > 2 * BATCH_BYTES)
        return REGION_WAIT;
    region->size_before_change = region->space.size;
    int code = region_need_slot(region, is_free, err);
    if (code == 0)
        code = region_need_journal(region, length, is_free, err);
    if (code != 0)
        return code;
    region->need = *need;
    struct batch *batch = region_gathering(region);
    if (batch == NULL || reserve(region, batch, need) != 0)
        return err_no_memory(err);
    return 0;
}

/* Closes the gathering batch and prepares another: there is journal for it, prepare saw to that. */
int region_begin_own_batch(struct region *region, const struct batch_need *need)
{
    assert(!region->atomic.is_open);
    region_seal(region);
    struct batch *batch = region_gathering(region);
    if (batch == NULL)
        return -ENOMEM;
    batch->size_before = region->size_before_change;
    return reserve(region, batch, need);
}

/* Whole blocks within an extent. */
static struct extent whole_blocks(struct extent extent)
{
    uint64_t from = round_up(extent.address, DISK_BLOCK);
    uint64_t to = round_down(extent_end(extent), DISK_BLOCK);
    return (struct extent){from, to > from ? to - from : 0};
}

bool region_is_large(uint64_t size)
{
    return size >= LARGE_BLOB;
}

/* The part of a fresh extent that is written before the record is. */
struct extent region_direct_part(struct extent fresh, uint64_t size)
{
    return whole_blocks((struct extent){fresh.address, region_is_large(size) ? size : 0});
}

/* Undoes a freespace_take. Without memory the region fails. */
static int put_back(struct region *region, struct extent extent)
{
    struct freespace *space = &region->space;
    uint64_t before = region->size_before_change;
    struct err why;
    int result = freespace_give(space, extent);
    if (result == 0 && space->size > before) {
        result = freespace_mark_used(space, (struct extent){before, space->size - before});
        if (result == 0)
            space->size = before;
    }
    if (result != 0) {
        (void)err_set(&why, ERR_INTERNAL, "out of memory while a change was taken back");
        region_fail(region, &why);
    }
    return result;
}

/* What was taken is kept if it has its disk space. */
static int keep_taken(struct region *region, struct extent taken, uint64_t *ret_address,
                      struct err *err)
{
    int code = region_need_holes(region, taken, err);
    if (code == 0)
        *ret_address = taken.address;
    else if (put_back(region, taken) != 0)
        code = err_no_memory(err);
    return code;
}

/* Takes size bytes; where the region would have to grow beyond what is reserved, asks for that. */
int region_take(struct region *region, uint64_t size, uint64_t *ret_address, struct err *err)
{
    struct freespace *space = &region->space;
    struct extent last;
    uint64_t limit = region_limit(region);
    uint64_t base = space->size, address;
    if (size > limit)
        return too_large(region, size, err);
    if (freespace_take(space, size, min_u64(limit, region->data_size), &address) == 0)
        return keep_taken(region, (struct extent){address, size}, ret_address, err);
    if (maxtree_last(&space->tree, &last) && extent_end(last) == space->size)
        base = last.address;
    if (base > limit || size > limit - base)
        return too_large(region, size, err);
    return region_need_data(region, base + size, err);
}

/* Takes the bytes behind a block so that it has new_size. 0, REGION_WAIT or ERR_NO_SPACE, which
 * here means: not in place. */
int region_take_behind(struct region *region, struct extent block, uint64_t new_size,
                       struct err *err)
{
    struct freespace *space = &region->space;
    struct extent behind = {extent_end(block), new_size - block.size};
    uint64_t limit = region_limit(region);
    if (new_size > limit || block.address > limit - new_size)
        return ERR_NO_SPACE;
    uint64_t end = extent_end(behind);
    struct extent hole = {behind.address, min_u64(end, space->size) - behind.address};
    if (hole.size > 0 && !freespace_is_free(space, hole))
        return ERR_NO_SPACE;
    if (end > region->data_size)
        return region_need_data(region, end, err);
    int code = region_need_holes(region, behind, err);
    if (code != 0)
        return code;
    return freespace_take_exact(space, behind) == 0 ? 0 : ERR_NO_SPACE;
}

/* Gives back what a change took that cannot go on for want of memory. */
int region_give_back(struct region *region, struct extent extent, struct err *err)
{
    (void)put_back(region, extent);
    return err_no_memory(err);
}

int region_staged(struct region *region)
{
    batch_counted(region->gathering, &region->need);
    region->change_ticket = region->gathering->ticket;
    region->changes++;
    return 0;
}

static void wait_for_all(struct region *region)
{
    const struct batch *gathering = region->gathering;
    bool is_gathering = gathering != NULL && !batch_is_empty(gathering);
    region->change_ticket = is_gathering ? gathering->ticket : region->change_ticket;
}

int region_staged_nothing(struct region *region, bool is_free, struct err *err)
{
    const struct batch_need nothing = {0};
    int code = region->token_answer > 0 ? region_prepare(region, &nothing, is_free, err) : 0;
    if (code == 0)
        wait_for_all(region);
    return code;
}

/* ---- Fresh extents ---- */

bool region_needs_own_batch(const struct region *region, struct extent dirty, struct extent direct)
{
    const struct batch *batch = region->gathering;
    return !region->atomic.is_open &&
           (extentset_overlaps(&batch->reads, dirty) || extentset_overlaps(&batch->frees, direct));
}

/* Whether no byte of the extent is in use; past the region's size none is. */
static bool is_unused(const struct region *region, uint64_t from, uint64_t to)
{
    uint64_t end = min_u64(to, region->space.size);
    return from >= end || region_is_free(region, (struct extent){from, end - from});
}

/* The pages of an extent, which has just been taken, that were wholly free before. */
static struct page_run fresh_pages(const struct region *region, struct extent taken)
{
    struct page_run run = pages_around(taken);
    uint64_t from = run.first * DATA_PAGE, to = run_end(run) * DATA_PAGE;
    if (!is_unused(region, from, taken.address)) {
        run.first++;
        run.count--;
    }
    if (run.count > 0 && !is_unused(region, extent_end(taken), to))
        run.count--;
    return run;
}

/* Adds those of them that the gathering batch has not touched to the list: what it has touched goes
 * on from there. */
static int find_fresh(struct region *region, struct page_run run)
{
    const struct batch *batch = region->gathering;
    struct page_runs *fresh = &region->fresh;
    struct extent block;
    uint64_t page = run.first;
    while (page < run_end(run)) {
        struct page_run rest = {page, run_end(run) - page};
        bool is_touched = extentset_overlaps(&batch->dirty, bytes_of(rest)) &&
                          maxtree_seek(&batch->dirty.tree, page * DATA_PAGE, &block);
        uint64_t until = is_touched ? max_u64(page, page_of(block.address)) : run_end(run);
        if (page_runs_reserve(fresh, 1) != 0)
            return -ENOMEM;
        page_runs_add(fresh, (struct page_run){page, until - page});
        page = is_touched ? page_of(extent_end(block) - 1) + 1 : until;
    }
    return 0;
}

/* Has the bytes that were to be written directly go through the journal. */
static int journal_direct(struct region *region, const struct batch_need *need, struct extent taken,
                          struct extent *direct, struct err *err)
{
    struct batch_need journaled = *need;
    uint64_t size_before = region->size_before_change;
    struct err ignored;
    journaled.record += direct->size;
    int code = region_prepare(region, &journaled, false, err);
    region->size_before_change = size_before;
    if (code != 0)
        (void)region_give_back(region, taken, &ignored);
    else
        *direct = (struct extent){0, 0};
    return code;
}

int region_place(struct region *region, const struct batch_need *need, struct extent taken,
                 struct extent *direct, struct err *err)
{
    if (region->atomic.is_open && extentset_overlaps(&region->gathering->frees, *direct)) {
        int code = journal_direct(region, need, taken, direct, err);
        if (code != 0)
            return code;
    }
    struct page_run run = fresh_pages(region, taken);
    bool is_waited_for =
        run.count > 0 && extentset_overlaps(&region->gathering->reads, bytes_of(run));
    if ((is_waited_for || region_needs_own_batch(region, taken, *direct)) &&
        region_begin_own_batch(region, need) != 0)
        return region_give_back(region, taken, err);
    region->fresh.count = 0;
    if (find_fresh(region, run) != 0 ||
        page_runs_reserve(&region->gathering->fresh, region->fresh.count) != 0)
        return region_give_back(region, taken, err);
    return 0;
}

/* The pages of a run in front of some others, and those behind. */
static struct page_run run_before(struct page_run run, struct page_run others)
{
    uint64_t end = min_u64(run_end(run), others.first);
    return (struct page_run){run.first, end > run.first ? end - run.first : 0};
}

static struct page_run run_behind(struct page_run run, struct page_run others)
{
    uint64_t first = max_u64(run.first, run_end(others));
    return (struct page_run){first, run_end(run) > first ? run_end(run) - first : 0};
}

int region_place_upload(struct region *region, const struct batch_need *need, struct extent taken,
                        struct extent written)
{
    struct page_run run = fresh_pages(region, taken), rest = {run.first, 0};
    if (written.size > 0) {
        rest = run_behind(run, pages_around(written));
        run = run_before(run, pages_around(written));
    }
    const struct extentset *reads = &region->gathering->reads;
    if (extentset_overlaps(reads, bytes_of(pages_around(taken))) &&
        region_begin_own_batch(region, need) != 0)
        return -ENOMEM;
    region->fresh.count = 0;
    if (find_fresh(region, run) != 0 || find_fresh(region, rest) != 0)
        return -ENOMEM;
    return page_runs_reserve(&region->gathering->fresh, region->fresh.count);
}

void region_took(struct region *region, struct extent taken)
{
    batch_took(region->gathering, taken);
    for (size_t i = 0; i < region->fresh.count; i++) {
        batch_fresh(region->gathering, region->fresh.items[i]);
        if (region->atomic.is_open)
            (void)extentset_add(&region->atomic.fresh, bytes_of(region->fresh.items[i]));
    }
}

/* Notes a fresh extent with a blob in it. */
void region_stage_blob(struct region *region, struct extent fresh, struct extent direct,
                       const uint8_t *bytes)
{
    struct batch *batch = region->gathering;
    region_took(region, fresh);
    if (direct.size == 0) {
        batch_put(batch, fresh.address, bytes, (size_t)fresh.size);
        return;
    }
    uint64_t head = direct.address - fresh.address;
    uint64_t tail = extent_end(fresh) - extent_end(direct);
    batch_put(batch, fresh.address, bytes, (size_t)head);
    batch_write_direct(batch, direct.address, bytes + head, direct.size);
    batch_put(batch, extent_end(direct), bytes + head + direct.size, (size_t)tail);
}

/* Pages that so many bytes touch, wherever they lie. */
uint64_t region_pages_of(uint64_t size)
{
    return size / DATA_PAGE + 2;
}

/* What stage_blob needs, wherever the extent lies: a large one's ragged ends are journaled. */
struct batch_need region_blob_need(uint64_t size)
{
    bool is_large = region_is_large(size);
    size_t puts = is_large ? 2 : 1;
    uint64_t journaled = is_large ? 2 * (uint64_t)DISK_BLOCK : size;
    return (struct batch_need){.record = (1 + puts) * RECORD_EXTENT_EFFECT + journaled,
                               .puts = puts,
                               .directs = is_large ? 1 : 0,
                               .undos = 1,
                               .takes = 1,
                               .pages = region_pages_of(size)};
}

/* What taking an extent needs that nothing is put into. */
struct batch_need region_take_need(uint64_t size)
{
    return (struct batch_need){.record = RECORD_EXTENT_EFFECT,
                               .undos = 1,
                               .takes = 1,
                               .pages = min_u64(region_pages_of(size), ZERO_SLOTS)};
}

int region_allocate(struct region *region, uint64_t size, uint64_t *ret_address, struct err *err)
{
    struct batch_need need = region_take_need(size);
    uint64_t address = 0;
    int code = region_check_writable(region, err);
    if (code == 0 && size == 0) {
        *ret_address = region->space.size;
        return region_staged_nothing(region, false, err);
    }
    if (code == 0)
        code = region_prepare(region, &need, false, err);
    if (code == 0)
        code = region_take(region, size, &address, err);
    struct extent taken = {address, size}, direct = {0, 0};
    if (code == 0)
        code = region_place(region, &need, taken, &direct, err);
    if (code != 0)
        return code;
    region_took(region, taken);
    *ret_address = address;
    return region_staged(region);
}

int region_add(struct region *region, const void *bytes, uint64_t size, uint64_t *ret_address,
               struct err *err)
{
    struct batch_need need = region_blob_need(size);
    uint64_t address = 0;
    if (size == 0)
        return region_allocate(region, 0, ret_address, err);
    int code = region_check_writable(region, err);
    if (code == 0)
        code = region_prepare(region, &need, false, err);
    if (code == 0)
        code = region_take(region, size, &address, err);
    struct extent fresh = {address, size}, direct = region_direct_part(fresh, size);
    if (code == 0)
        code = region_place(region, &need, fresh, &direct, err);
    if (code != 0)
        return code;
    region_stage_blob(region, fresh, direct, bytes);
    *ret_address = address;
    return region_staged(region);
}

/* ---- Freeing ---- */

int region_deallocate(struct region *region, struct extent block, struct err *err)
{
    struct batch_need need = {.record = RECORD_EXTENT_EFFECT, .undos = 1};
    int code = region_check_writable(region, err);
    if (code == 0)
        code = region_check_used(region, block, err);
    if (code == 0 && block.size == 0)
        return region_staged_nothing(region, true, err);
    if (code == 0)
        code = region_prepare(region, &need, true, err);
    if (code != 0)
        return code;
    if (freespace_give(&region->space, block) != 0)
        return err_no_memory(err);
    batch_gave(region->gathering, block);
    return region_staged(region);
}

/* Notes for undoing all that is in use in the range. */
static int note_used(struct region *region, struct extent range, uint64_t *ret_used)
{
    struct batch *batch = region->gathering;
    struct extent used[RANGE_EXTENTS];
    struct batch_need more = {.undos = RANGE_EXTENTS};
    size_t count_before = batch->undo_count, count;
    uint64_t at = range.address;
    *ret_used = 0;
    do {
        if (batch_reserve(batch, &more) != 0) {
            batch->undo_count = count_before;
            return -ENOMEM;
        }
        count = region_used_in(region, at, extent_end(range), used, RANGE_EXTENTS);
        for (size_t i = 0; i < count; i++) {
            batch_gave_part(batch, used[i]);
            *ret_used += used[i].size;
            at = extent_end(used[i]);
        }
    } while (count == RANGE_EXTENTS);
    return 0;
}

/* Frees all in the range but what uploads have reserved. */
static int mark_free(struct region *region, struct extent range, size_t first_undo)
{
    const struct batch *batch = region->gathering;
    struct err why;
    int back = 0;
    int result = region_free_around_reserved(region, range);
    if (result == 0)
        return 0;
    for (size_t i = first_undo; back == 0 && i < batch->undo_count; i++)
        back = freespace_mark_used(&region->space, batch->undos[i].extent);
    if (back != 0) {
        (void)err_set(&why, ERR_INTERNAL, "out of memory while a change was taken back");
        region_fail(region, &why);
    }
    return result;
}

static int free_range(struct region *region, struct extent range, uint64_t *ret_freed,
                      struct err *err)
{
    struct batch_need need = {.record = RECORD_EXTENT_EFFECT};
    int code = region_prepare(region, &need, true, err);
    if (code != 0)
        return code;
    size_t count_before = region->gathering->undo_count;
    uint64_t freed = 0;
    if (note_used(region, range, &freed) != 0)
        return err_no_memory(err);
    *ret_freed = freed;
    if (freed == 0) {
        wait_for_all(region);
        return 0;
    }
    if (mark_free(region, range, count_before) != 0) {
        /* Where the region failed the gathering batch is gone. */
        if (region->gathering != NULL)
            region->gathering->undo_count = count_before;
        return err_no_memory(err);
    }
    batch_free_range(region->gathering, range);
    return region_staged(region);
}

int region_deallocate_range(struct region *region, uint64_t start, uint64_t end,
                            uint64_t *ret_freed, struct err *err)
{
    int code = region_check_writable(region, err);
    if (code != 0)
        return code;
    if (start > end || end > region->space.size)
        return err_set(err, ERR_OUT_OF_BOUNDS,
                       "the range [%llu, %llu) is not within the region's size %llu",
                       (unsigned long long)start, (unsigned long long)end,
                       (unsigned long long)region->space.size);
    if (start == end) {
        *ret_freed = 0;
        return region_staged_nothing(region, true, err);
    }
    return free_range(region, (struct extent){start, end - start}, ret_freed, err);
}

int region_clear(struct region *region, uint64_t header_size, struct err *err)
{
    uint64_t size = region->space.size, freed;
    if (header_size > size) {
        int code = region_check_writable(region, err);
        if (code != 0)
            return code;
        return err_set(err, ERR_OUT_OF_BOUNDS, "header size %llu is past the region's size %llu",
                       (unsigned long long)header_size, (unsigned long long)size);
    }
    return region_deallocate_range(region, header_size, size, &freed, err);
}

/* ---- Growing the region ---- */

int region_grow(struct region *region, uint64_t pages, uint64_t *ret_before, struct err *err)
{
    struct batch_need need = {.record = RECORD_PAGES_EFFECT};
    struct region_info info;
    uint64_t limit = region_limit(region), most = limit / REGION_PAGE;
    int code = region_check_writable(region, err);
    if (code != 0)
        return code;
    region_get_info(region, &info);
    if (pages == 0) {
        *ret_before = info.pages;
        return region_staged_nothing(region, false, err);
    }
    if (info.pages > most || pages > most - info.pages)
        return err_set(err, ERR_NO_SPACE,
                       "region %s has %llu page%s, and %llu more would pass its limit, %llu bytes",
                       region->meta.name, (unsigned long long)info.pages,
                       info.pages == 1 ? "" : "s", (unsigned long long)pages,
                       (unsigned long long)limit);
    code = region_prepare(region, &need, false, err);
    if (code != 0)
        return code;
    uint64_t capacity = (info.pages + pages) * REGION_PAGE;
    if (capacity > region->data_size)
        return region_need_data(region, capacity, err);
    region->pages = info.pages + pages;
    record_add_pages(&region->gathering->record, region->pages);
    *ret_before = info.pages;
    return region_staged(region);
}
