#include "core/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"
#include "core/sums.h"

/* Runs that a put or direct, and a take, add at most: its own, and one that it splits. */
#define RUNS_PER_PUT 3
#define RUNS_PER_TAKE 2
struct batch *batch_new(void)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    record_init(&batch->record);
    record_init(&batch->journaled);
    extentset_init(&batch->dirty);
    extentset_init(&batch->frees);
    extentset_init(&batch->reads);
    batch->last_image = UINT64_MAX;
    return batch;
}

static void free_sums(struct batch *batch)
{
    for (size_t i = 0; i < batch->upload_count; i++)
        free(batch->uploads[i].sums);
    batch->upload_count = 0;
}

void batch_free(struct batch *batch)
{
    if (batch == NULL)
        return;
    record_release(&batch->record);
    extentset_release(&batch->dirty);
    extentset_release(&batch->frees);
    extentset_release(&batch->reads);
    free(batch->puts);
    free(batch->directs);
    free(batch->copies);
    free_sums(batch);
    free(batch->uploads);
    free(batch->undos);
    free(batch->touched.items);
    free(batch->straight.items);
    free(batch->fresh.items);
    free(batch->runs);
    free(batch->slots);
    for (size_t i = 0; i < batch->block_count; i++)
        free(batch->blocks[i]);
    free(batch->blocks);
    record_release(&batch->journaled);
    free(batch);
}

void batch_reset(struct batch *batch)
{
    record_reset(&batch->record);
    extentset_clear(&batch->dirty);
    extentset_clear(&batch->frees);
    extentset_clear(&batch->reads);
    free_sums(batch);
    batch->put_count = batch->direct_count = batch->copy_count = batch->undo_count = 0;
    batch->touched.count = batch->straight.count = batch->fresh.count = 0;
    batch->images = batch->runs_room = batch->slots_room = 0;
    batch->last_image = UINT64_MAX;
    batch->sums_room = 0;
    batch->run_count = batch->slot_count = batch->images_used = 0;
    batch->moves = batch->is_vast = false;
    batch_forget_ahead(batch);
    batch->next = NULL;
}

static uint64_t runs_of(const struct batch_need *need)
{
    return RUNS_PER_PUT * (need->puts + need->directs + need->copies + need->uploads) +
           RUNS_PER_TAKE * need->takes;
}

/* What a change adds to the effects with sums, at most. */
static uint64_t sums_of(const struct batch_need *need)
{
    return need->pages * RECORD_SUM + runs_of(need) * RECORD_ZERO_EFFECT;
}

uint64_t batch_need_length(const struct batch_need *need)
{
    return need->record + sums_of(need);
}

static int reserve_images(struct batch *batch, size_t more)
{
    size_t need = (batch->images + more + IMAGES_PER_BLOCK - 1) / IMAGES_PER_BLOCK;
    uint8_t **blocks = array_grown(batch->blocks, &batch->block_capacity, need, sizeof blocks[0]);
    if (blocks == NULL)
        return -ENOMEM;
    batch->blocks = blocks;
    while (batch->block_count < need) {
        void *block;
        if (posix_memalign(&block, DATA_PAGE, (size_t)IMAGES_PER_BLOCK * DATA_PAGE) != 0)
            return -ENOMEM;
        blocks[batch->block_count++] = block;
    }
    return 0;
}

/* What sealing and the worker need: neither can fail for it. */
static int reserve_pages(struct batch *batch, const struct batch_need *need)
{
    size_t run_room = batch->runs_room + (size_t)runs_of(need);
    size_t slot_room = batch->slots_room + (size_t)need->pages;
    struct batch_run *runs = array_grown(batch->runs, &batch->run_capacity, run_room, sizeof *runs);
    if (runs == NULL)
        return -ENOMEM;
    batch->runs = runs;
    struct page_slot *slots =
        array_grown(batch->slots, &batch->slot_capacity, slot_room, sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    batch->slots = slots;
    if (page_runs_reserve(&batch->touched, need->puts) != 0 ||
        page_runs_reserve(&batch->straight, need->directs + need->copies + need->uploads) != 0 ||
        reserve_images(batch, 2 * need->puts) != 0)
        return -ENOMEM;
    return 0;
}

int batch_reserve(struct batch *batch, const struct batch_need *need)
{
    uint64_t length = batch->sums_room + batch_need_length(need);
    if (need->pages > SIZE_MAX / 64 || length > SIZE_MAX / 2 ||
        record_reserve(&batch->record, (size_t)length) != 0 || reserve_pages(batch, need) != 0)
        return -ENOMEM;
    struct batch_put *puts =
        array_grown(batch->puts, &batch->put_capacity, batch->put_count + need->puts, sizeof *puts);
    if (puts == NULL)
        return -ENOMEM;
    batch->puts = puts;
    struct batch_undo *undos = array_grown(batch->undos, &batch->undo_capacity,
                                           batch->undo_count + need->undos, sizeof *undos);
    if (undos == NULL)
        return -ENOMEM;
    batch->undos = undos;
    struct batch_direct *directs =
        array_grown(batch->directs, &batch->direct_capacity, batch->direct_count + need->directs,
                    sizeof *directs);
    if (directs == NULL)
        return -ENOMEM;
    batch->directs = directs;
    struct batch_copy *copies = array_grown(batch->copies, &batch->copy_capacity,
                                            batch->copy_count + need->copies, sizeof *copies);
    if (copies == NULL)
        return -ENOMEM;
    batch->copies = copies;
    struct batch_upload *uploads =
        array_grown(batch->uploads, &batch->upload_capacity, batch->upload_count + need->uploads,
                    sizeof *uploads);
    if (uploads == NULL)
        return -ENOMEM;
    batch->uploads = uploads;
    return 0;
}

void batch_counted(struct batch *batch, const struct batch_need *need)
{
    batch->sums_room += sums_of(need);
    batch->runs_room += (size_t)runs_of(need);
    batch->slots_room += (size_t)need->pages;
}

static void add_undo(struct batch *batch, enum batch_undo_kind kind, struct extent extent)
{
    assert(batch->undo_count < batch->undo_capacity);
    batch->undos[batch->undo_count++] = (struct batch_undo){kind, extent};
}

void batch_took(struct batch *batch, struct extent extent)
{
    record_add_use(&batch->record, extent);
    add_undo(batch, UNDO_TAKE, extent);
}

void batch_fresh(struct batch *batch, struct page_run run)
{
    page_runs_add(&batch->fresh, run);
    (void)extentset_add(&batch->dirty, bytes_of(run));
}

void batch_gave(struct batch *batch, struct extent extent)
{
    batch_free_range(batch, extent);
    add_undo(batch, UNDO_GIVE, extent);
}

void batch_gave_part(struct batch *batch, struct extent extent)
{
    add_undo(batch, UNDO_GIVE, extent);
}

void batch_free_range(struct batch *batch, struct extent extent)
{
    record_add_free(&batch->record, extent);
    /* Without memory the set holds everything, which is only more careful; so below. */
    (void)extentset_add(&batch->frees, extent);
}

void batch_grew(struct batch *batch, struct extent extent)
{
    record_add_use(&batch->record, extent);
    batch_free_range(batch, extent);
}

/* Counts a page of which a put has only a part. */
static void note_image(struct batch *batch, uint64_t page)
{
    if (page == batch->last_image)
        return;
    batch->last_image = page;
    batch->images++;
}

static size_t add_put(struct batch *batch, uint64_t address, uint64_t size)
{
    struct extent extent = {address, size};
    page_runs_add(&batch->touched, pages_around(extent));
    if (size >= DATA_PAGE)
        batch->last_image = UINT64_MAX; /* a page written whole gives up its image */
    if (address % DATA_PAGE != 0 || size < DATA_PAGE)
        note_image(batch, page_of(address));
    if (extent_end(extent) % DATA_PAGE != 0)
        note_image(batch, page_of(extent_end(extent)));
    size_t offset = record_add_put(&batch->record, extent);
    assert(batch->put_count < batch->put_capacity);
    batch->puts[batch->put_count++] = (struct batch_put){address, offset, (size_t)size};
    (void)extentset_add(&batch->dirty, extent);
    return offset;
}

void batch_put(struct batch *batch, uint64_t address, const void *bytes, size_t size)
{
    if (size > 0) {
        size_t offset = add_put(batch, address, size);
        memcpy(batch->record.bytes + offset, bytes, size);
    }
}

void batch_write_direct(struct batch *batch, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    assert(batch->direct_count < batch->direct_capacity);
    batch->directs[batch->direct_count++] = (struct batch_direct){address, bytes, size};
    page_runs_add(&batch->straight, pages_around((struct extent){address, size}));
    (void)extentset_add(&batch->dirty, (struct extent){address, size});
}

void batch_copy_journaled(struct batch *batch, uint64_t from, uint64_t to, uint64_t size,
                          bool is_own)
{
    if (size == 0)
        return;
    size_t offset = add_put(batch, to, size);
    assert(batch->copy_count < batch->copy_capacity);
    batch->copies[batch->copy_count++] =
        (struct batch_copy){from, to, size, batch->put_count - 1, offset, is_own};
}

void batch_copy_direct(struct batch *batch, uint64_t from, uint64_t to, uint64_t size, bool is_own)
{
    assert(size > 0);
    assert(batch->copy_count < batch->copy_capacity);
    batch->copies[batch->copy_count++] =
        (struct batch_copy){from, to, size, batch->put_count, 0, is_own};
    page_runs_add(&batch->straight, pages_around((struct extent){to, size}));
    batch->moves = true;
    (void)extentset_add(&batch->dirty, (struct extent){to, size});
}

void batch_uploaded(struct batch *batch, struct extent extent, struct page_run run, uint32_t *sums)
{
    assert(batch->upload_count < batch->upload_capacity);
    batch->uploads[batch->upload_count++] = (struct batch_upload){extent, run, sums};
    if (run.count > 0)
        page_runs_add(&batch->straight, run);
    batch->moves = true;
    (void)extentset_add(&batch->dirty, extent);
}

/* ---- Sealing ---- */

/* The pages that stand next in a list. */
struct run_cursor {
    const struct page_runs *runs;
    size_t at;
};

/* Whether the list has `page`, and where that ends: the run's end, or where the next begins. */
static bool has_page(struct run_cursor *cursor, uint64_t page, uint64_t *end)
{
    const struct page_runs *runs = cursor->runs;
    while (cursor->at < runs->count && run_end(runs->items[cursor->at]) <= page)
        cursor->at++;
    if (cursor->at == runs->count)
        return false;
    struct page_run run = runs->items[cursor->at];
    bool has = run.first <= page;
    *end = min_u64(*end, has ? run_end(run) : run.first);
    return has;
}

static uint64_t next_first(const struct run_cursor *cursor)
{
    bool is_left = cursor->at < cursor->runs->count;
    return is_left ? cursor->runs->items[cursor->at].first : UINT64_MAX;
}

static void add_run(struct batch *batch, enum effect_kind kind, struct page_run run)
{
    struct batch_run *last = batch->run_count > 0 ? &batch->runs[batch->run_count - 1] : NULL;
    if (last != NULL && last->kind == kind && run_end(last->run) == run.first) {
        last->run.count += run.count;
        return;
    }
    assert(batch->runs != NULL && batch->run_count < batch->run_capacity);
    batch->runs[batch->run_count++] = (struct batch_run){.kind = kind, .run = run};
}

static void find_runs(struct batch *batch)
{
    struct run_cursor touched = {&batch->touched, 0}, straight = {&batch->straight, 0},
                      fresh = {&batch->fresh, 0};
    uint64_t page = 0, end;
    for (;; page = end) {
        end = UINT64_MAX;
        bool is_touched = has_page(&touched, page, &end);
        bool is_straight = has_page(&straight, page, &end);
        bool is_fresh = has_page(&fresh, page, &end);
        struct page_run run = {page, end - page};
        if (is_straight)
            add_run(batch, EFFECT_DIRECT, run);
        else if (is_touched)
            add_run(batch, is_fresh ? EFFECT_FRESH : EFFECT_CHANGED, run);
        else if (is_fresh)
            add_run(batch, EFFECT_ZERO, run);
        else if (end == UINT64_MAX)
            return;
        else
            end = min_u64(next_first(&touched), min_u64(next_first(&straight), next_first(&fresh)));
    }
}

/* Slots for the run's pages; a vast run of zeros has none. */
static void take_slots(struct batch *batch, struct batch_run *run)
{
    size_t count = (size_t)run->run.count;
    run->slot = SIZE_MAX;
    if (run->kind == EFFECT_ZERO &&
        (run->run.count > ZERO_SLOTS || batch->slot_count + count > batch->slot_capacity)) {
        batch->is_vast = true;
        return;
    }
    assert(batch->slot_count + count <= batch->slot_capacity);
    run->slot = batch->slot_count;
    memset(&batch->slots[run->slot], 0, count * sizeof batch->slots[0]);
    batch->slot_count += count;
}

size_t batch_run_from(const struct batch *batch, uint64_t page)
{
    size_t low = 0, high = batch->run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (run_end(batch->runs[middle].run) > page)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void add_sums(struct batch *batch)
{
    struct record *record = batch_journaled(batch);
    for (size_t i = 0; i < batch->run_count; i++) {
        struct batch_run *run = &batch->runs[i];
        enum effect_kind kind = run->is_ahead ? EFFECT_DIRECT : run->kind;
        if (kind == EFFECT_ZERO)
            record_add_zero(record, run->run);
        else
            run->offset = record_add_sums(record, kind, run->run);
    }
}

void batch_lay_out(struct batch *batch, bool may_write_ahead)
{
    page_runs_tidy(&batch->touched);
    page_runs_tidy(&batch->straight);
    page_runs_tidy(&batch->fresh);
    find_runs(batch);
    if (may_write_ahead)
        batch_choose_ahead(batch);
    add_sums(batch);
    /* Those that must have slots first. */
    for (size_t i = 0; i < batch->run_count; i++)
        if (batch->runs[i].kind != EFFECT_ZERO)
            take_slots(batch, &batch->runs[i]);
    for (size_t i = 0; i < batch->run_count; i++)
        if (batch->runs[i].kind == EFFECT_ZERO)
            take_slots(batch, &batch->runs[i]);
    batch->sums_room = 0;
}
