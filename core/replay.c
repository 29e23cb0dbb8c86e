#include "core/replay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"
#include "core/sums.h"

/* ---- The overlay ---- */

static int by_address(const void *a, const void *b)
{
    uint64_t one = ((const struct overlay_piece *)a)->extent.address;
    uint64_t two = ((const struct overlay_piece *)b)->extent.address;
    return (one > two) - (one < two);
}

static void sort(struct overlay_piece *pieces, size_t count)
{
    if (count > 1)
        qsort(pieces, count, sizeof pieces[0], by_address);
}

void overlay_release(struct overlay *overlay)
{
    for (size_t i = 0; i < overlay->count; i++)
        free(overlay->pieces[i].bytes);
    free(overlay->pieces);
    free(overlay->sums.runs);
    free(overlay->sums.values);
    *overlay = (struct overlay){0};
}

static int by_page(const void *a, const void *b)
{
    uint64_t one = ((const struct sum_run *)a)->run.first;
    uint64_t two = ((const struct sum_run *)b)->run.first;
    return (one > two) - (one < two);
}

void overlay_complete(struct overlay *overlay)
{
    struct sum_list *sums = &overlay->sums;
    sort(overlay->pieces, overlay->count);
    if (sums->count > 1)
        qsort(sums->runs, sums->count, sizeof sums->runs[0], by_page);
}

static int overlay_add(struct overlay *overlay, const struct overlay_piece *piece)
{
    struct overlay_piece *pieces =
        array_grown(overlay->pieces, &overlay->capacity, overlay->count + 1, sizeof *pieces);
    if (pieces == NULL)
        return -ENOMEM;
    overlay->pieces = pieces;
    uint8_t *bytes = NULL;
    if (piece->bytes != NULL) {
        bytes = malloc(piece->extent.size);
        if (bytes == NULL)
            return -ENOMEM;
        memcpy(bytes, piece->bytes, piece->extent.size);
    }
    pieces[overlay->count++] = (struct overlay_piece){piece->extent, bytes};
    return 0;
}

/* The index of the first piece that ends after address. */
static size_t first_piece(const struct overlay *overlay, uint64_t address)
{
    size_t low = 0, high = overlay->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (extent_end(overlay->pieces[middle].extent) > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

void overlay_read(const struct overlay *overlay, uint64_t address, uint8_t *buffer, size_t size)
{
    uint64_t end = address + size;
    for (size_t i = first_piece(overlay, address); i < overlay->count; i++) {
        const struct overlay_piece *piece = &overlay->pieces[i];
        uint64_t from = max_u64(address, piece->extent.address);
        uint64_t to = min_u64(end, extent_end(piece->extent));
        if (from >= to)
            return;
        if (piece->bytes == NULL)
            memset(buffer + (from - address), 0, (size_t)(to - from));
        else
            memcpy(buffer + (from - address), piece->bytes + (from - piece->extent.address),
                   (size_t)(to - from));
    }
}

void overlay_sums(const struct overlay *overlay, uint64_t first, size_t count, uint32_t *sums)
{
    const struct sum_list *list = &overlay->sums;
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (run_end(list->runs[middle].run) > first)
            high = middle;
        else
            low = middle + 1;
    }
    for (; low < list->count && list->runs[low].run.first < first + count; low++) {
        const struct sum_run *run = &list->runs[low];
        uint64_t from = max_u64(first, run->run.first);
        uint64_t to = min_u64(first + count, run_end(run->run));
        for (uint64_t page = from; page < to; page++)
            sums[page - first] = run->values == SIZE_MAX
                                     ? SUM_ZEROS
                                     : list->values[run->values + (page - run->run.first)];
    }
}

/* ---- The replay ---- */

void replay_init(struct replay *replay, struct io *io, const char *folder, struct io_file *data,
                 const struct freespace *space, struct overlay *overlay)
{
    *replay = (struct replay){
        .io = io, .folder = folder, .data = data, .space = space, .overlay = overlay};
    extentset_init(&replay->mask);
    extentset_init(&replay->page_mask);
}

void replay_release(struct replay *replay)
{
    extentset_release(&replay->mask);
    extentset_release(&replay->page_mask);
    free(replay->effects);
    free(replay->pieces);
    free(replay->vectors);
}

static int collect_effects(struct replay *replay, const uint8_t *bytes,
                           const struct record_header *header, size_t *ret_count)
{
    struct effect_cursor cursor;
    struct effect effect;
    size_t count = 0;
    int more;
    effect_begin(&cursor, bytes, header);
    while ((more = effect_next(&cursor, &effect)) == 1) {
        struct effect *effects =
            array_grown(replay->effects, &replay->effects_capacity, count + 1, sizeof *effects);
        if (effects == NULL)
            return -ENOMEM;
        replay->effects = effects;
        effects[count++] = effect;
    }
    assert(more == 0);
    *ret_count = count;
    return 0;
}

/* The pages that lie wholly in a free block; past the region's size all is free. */
static struct extent free_pages(const struct freespace *space, struct extent block)
{
    uint64_t end = extent_end(block);
    uint64_t from = round_up(block.address, DATA_PAGE);
    uint64_t to = end == space->size ? round_up(end, DATA_PAGE) : round_down(end, DATA_PAGE);
    return (struct extent){from, to > from ? to - from : 0};
}

bool replay_needed(const struct freespace *space, struct extent extent, struct extent *ret_part)
{
    uint64_t from = extent.address, at = from;
    uint64_t end = min_u64(extent_end(extent), round_up(space->size, DATA_PAGE));
    struct extent block;
    while (from < end && maxtree_seek(&space->tree, at, &block) && block.address < end) {
        struct extent pages = free_pages(space, block);
        at = extent_end(block);
        if (pages.size == 0 || extent_end(pages) <= from)
            continue;
        if (pages.address > from) {
            end = min_u64(end, pages.address);
            break;
        }
        from = extent_end(pages);
    }
    *ret_part = (struct extent){from, end > from ? end - from : 0};
    return ret_part->size > 0;
}

static int add_piece(struct replay *replay, struct extent extent, const uint8_t *bytes)
{
    struct overlay_piece *pieces = array_grown(replay->pieces, &replay->pieces_capacity,
                                               replay->piece_count + 1, sizeof *pieces);
    if (pieces == NULL)
        return -ENOMEM;
    replay->pieces = pieces;
    pieces[replay->piece_count++] = (struct overlay_piece){extent, (uint8_t *)(uintptr_t)bytes};
    return 0;
}

static struct extent behind(struct extent extent, struct extent part)
{
    return (struct extent){extent_end(part), extent_end(extent) - extent_end(part)};
}

/* The parts of an extent that are not settled yet, with their bytes (NULL: zeros); settles it. */
static int settle(struct replay *replay, struct extent extent, const uint8_t *bytes)
{
    struct extent gap, part;
    for (struct extent rest = extent; extentset_gap(&replay->mask, rest, &gap);
         rest = behind(rest, gap)) {
        for (struct extent left = gap; replay_needed(replay->space, left, &part);
             left = behind(left, part)) {
            const uint8_t *from = bytes == NULL ? NULL : bytes + (part.address - extent.address);
            if (add_piece(replay, part, from) != 0)
                return -ENOMEM;
        }
    }
    return extentset_add(&replay->mask, extent);
}

/* The sums of pages that no later record told; bytes NULL: all are SUM_ZEROS. */
static int settle_sums(struct replay *replay, struct page_run run, const uint8_t *bytes,
                       bool has_puts)
{
    struct sum_list *list = &replay->overlay->sums;
    struct extent pages = {run.first, run.count}, gap;
    for (struct extent rest = pages; extentset_gap(&replay->page_mask, rest, &gap);
         rest = behind(rest, gap)) {
        struct sum_run *runs =
            array_grown(list->runs, &list->capacity, list->count + 1, sizeof *runs);
        if (runs == NULL)
            return -ENOMEM;
        list->runs = runs;
        size_t count = bytes == NULL ? 0 : (size_t)gap.size;
        uint32_t *values = array_grown(list->values, &list->value_capacity,
                                       list->value_count + count, sizeof *values);
        if (values == NULL)
            return -ENOMEM;
        list->values = values;
        runs[list->count++] =
            (struct sum_run){.run = {gap.address, gap.size},
                             .values = bytes == NULL ? SIZE_MAX : list->value_count,
                             .has_puts = has_puts};
        for (size_t i = 0; i < count; i++)
            values[list->value_count++] =
                get_u32(bytes + (gap.address - run.first + i) * RECORD_SUM);
    }
    return extentset_add(&replay->page_mask, pages);
}

static int settle_pages(struct replay *replay, const struct effect *effect, const uint8_t *bytes)
{
    struct extent extent = bytes_of(effect->run);
    bool is_zero = effect->kind == EFFECT_ZERO;
    bool has_puts = effect->kind == EFFECT_CHANGED || effect->kind == EFFECT_FRESH;
    int result =
        settle_sums(replay, effect->run, is_zero ? NULL : bytes + effect->offset, has_puts);
    if (result == 0 && (is_zero || effect->kind == EFFECT_FRESH))
        result = settle(replay, extent, NULL);
    else if (result == 0 && effect->kind == EFFECT_DIRECT)
        result = extentset_add(&replay->mask, extent);
    return result;
}

/* ---- Writing ---- */

/* Zeros that are written; larger pieces are left to the file system. */
#define ZEROS_WRITTEN (64 * KIB)

static const uint8_t zeros[ZEROS_WRITTEN];

static bool is_vast(const struct overlay_piece *piece)
{
    return piece->bytes == NULL && piece->extent.size > ZEROS_WRITTEN;
}

/* Writes the record's pieces, which are sorted, neighbors in one call. */
static int write_pieces(struct replay *replay, struct err *err)
{
    struct iovec *vectors = array_grown(replay->vectors, &replay->vectors_capacity,
                                        replay->piece_count + 1, sizeof *vectors);
    if (vectors == NULL)
        return err_no_memory(err);
    replay->vectors = vectors;
    for (size_t i = 0; i < replay->piece_count;) {
        const struct overlay_piece *piece = &replay->pieces[i];
        uint64_t address = piece->extent.address, end = address;
        size_t count = 0;
        int result;
        for (; i < replay->piece_count && piece->extent.address == end && !is_vast(piece);
             piece++) {
            const uint8_t *bytes = piece->bytes == NULL ? zeros : piece->bytes;
            vectors[count++] = (struct iovec){(void *)(uintptr_t)bytes, (size_t)piece->extent.size};
            end = extent_end(piece->extent);
            i++;
        }
        if (count > 0) {
            result = replay->io->ops->write(replay->io, replay->data, vectors, count, address);
        } else {
            result = replay->io->ops->zero(replay->io, replay->data, address, piece->extent.size);
            i++;
        }
        if (result != 0)
            return err_io_at(err, result, "write", replay->folder, "data");
    }
    return 0;
}

static int keep_pieces(struct replay *replay, struct err *err)
{
    for (size_t i = 0; i < replay->piece_count; i++)
        if (overlay_add(replay->overlay, &replay->pieces[i]) != 0)
            return err_no_memory(err);
    return 0;
}

int replay_record(struct replay *replay, const uint8_t *bytes, const struct record_header *header,
                  struct err *err)
{
    size_t count = 0;
    int result = collect_effects(replay, bytes, header, &count);
    replay->piece_count = 0;
    for (size_t i = count; result == 0 && i > 0; i--) {
        const struct effect *effect = &replay->effects[i - 1];
        if (effect->kind == EFFECT_PUT)
            result = settle(replay, effect->extent, bytes + effect->offset);
    }
    for (size_t i = 0; result == 0 && i < count; i++) {
        const struct effect *effect = &replay->effects[i];
        if (effect->kind >= EFFECT_CHANGED && effect->kind <= EFFECT_ZERO)
            result = settle_pages(replay, effect, bytes);
    }
    if (result != 0)
        return err_no_memory(err);
    if (replay->data == NULL)
        return keep_pieces(replay, err);
    sort(replay->pieces, replay->piece_count);
    return write_pieces(replay, err);
}
