/* Taking changes of a gathering batch back: all of them, or those since a mark. */
#include "core/batch.h"

/* Takes back what was noted from undo number `from` on, the last first; the region had `size` bytes
 * then. */
static int undo(const struct batch *batch, size_t from, uint64_t size, struct freespace *space)
{
    int result = 0;
    for (size_t i = batch->undo_count; i > from; i--) {
        const struct batch_undo *one = &batch->undos[i - 1];
        int error = one->kind == UNDO_TAKE ? freespace_mark_free(space, one->extent)
                                           : freespace_mark_used(space, one->extent);
        if (error != 0)
            result = error;
    }
    if (space->size > size) {
        /* Takes what is free there out of the tree: the region never had these bytes. */
        int error = freespace_mark_used(space, (struct extent){size, space->size - size});
        if (error != 0)
            result = error;
        else
            space->size = size;
    }
    return result;
}

int batch_roll_back(const struct batch *batch, struct freespace *space, uint64_t *pages)
{
    *pages = batch->pages_before;
    return undo(batch, 0, batch->size_before, space);
}

/* ---- Since a mark ---- */

static struct runs_mark mark_runs(const struct page_runs *runs)
{
    struct runs_mark mark = {.count = runs->count};
    if (runs->count > 0)
        mark.last = runs->items[runs->count - 1];
    return mark;
}

/* The last one may have been joined to those that came. */
static void restore_runs(struct page_runs *runs, const struct runs_mark *mark)
{
    runs->count = mark->count;
    if (mark->count > 0)
        runs->items[mark->count - 1] = mark->last;
}

struct batch_mark batch_mark(const struct batch *batch, const struct freespace *space)
{
    return (struct batch_mark){
        .size = space->size,
        .length = batch->record.length,
        .effects = batch->record.effects,
        .put_count = batch->put_count,
        .direct_count = batch->direct_count,
        .copy_count = batch->copy_count,
        .undo_count = batch->undo_count,
        .touched = mark_runs(&batch->touched),
        .straight = mark_runs(&batch->straight),
        .fresh = mark_runs(&batch->fresh),
        .images = batch->images,
        .runs_room = batch->runs_room,
        .slots_room = batch->slots_room,
        .sums_room = batch->sums_room,
        .last_image = batch->last_image,
        .moves = batch->moves,
    };
}

/* Without memory a set holds everything, and no further change gets into the batch. */
static void find_dirty(struct batch *batch)
{
    extentset_clear(&batch->dirty);
    for (size_t i = 0; i < batch->put_count; i++)
        (void)extentset_add(&batch->dirty,
                            (struct extent){batch->puts[i].address, batch->puts[i].size});
    for (size_t i = 0; i < batch->direct_count; i++)
        (void)extentset_add(&batch->dirty,
                            (struct extent){batch->directs[i].address, batch->directs[i].size});
    for (size_t i = 0; i < batch->copy_count; i++)
        (void)extentset_add(&batch->dirty,
                            (struct extent){batch->copies[i].to, batch->copies[i].size});
    for (size_t i = 0; i < batch->upload_count; i++)
        (void)extentset_add(&batch->dirty, batch->uploads[i].extent);
    for (size_t i = 0; i < batch->fresh.count; i++)
        (void)extentset_add(&batch->dirty, bytes_of(batch->fresh.items[i]));
}

static void find_frees(struct batch *batch)
{
    struct record_header header = {.length = batch->record.length,
                                   .effects = batch->record.effects};
    struct effect_cursor cursor;
    struct effect effect;
    extentset_clear(&batch->frees);
    effect_begin(&cursor, batch->record.bytes, &header);
    while (effect_next(&cursor, &effect) == 1)
        if (effect.kind == EFFECT_FREE)
            (void)extentset_add(&batch->frees, effect.extent);
}

int batch_undo_to(struct batch *batch, const struct batch_mark *mark, struct freespace *space)
{
    int result = undo(batch, mark->undo_count, mark->size, space);
    bool has_changed = batch->record.length != mark->length;
    batch->record.length = mark->length;
    batch->record.effects = mark->effects;
    batch->put_count = mark->put_count;
    batch->direct_count = mark->direct_count;
    batch->copy_count = mark->copy_count;
    batch->undo_count = mark->undo_count;
    restore_runs(&batch->touched, &mark->touched);
    restore_runs(&batch->straight, &mark->straight);
    restore_runs(&batch->fresh, &mark->fresh);
    batch->images = mark->images;
    batch->runs_room = mark->runs_room;
    batch->slots_room = mark->slots_room;
    batch->sums_room = mark->sums_room;
    batch->last_image = mark->last_image;
    batch->moves = mark->moves;
    if (has_changed) {
        find_dirty(batch);
        find_frees(batch);
    }
    return result;
}
