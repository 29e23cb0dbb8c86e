#include "core/replay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"

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
    *overlay = (struct overlay){0};
}

void overlay_complete(struct overlay *overlay)
{
    sort(overlay->pieces, overlay->count);
}

static int overlay_add(struct overlay *overlay, const struct overlay_piece *piece)
{
    struct overlay_piece *pieces =
        array_grown(overlay->pieces, &overlay->capacity, overlay->count + 1, sizeof *pieces);
    if (pieces == NULL)
        return -ENOMEM;
    overlay->pieces = pieces;
    uint8_t *bytes = malloc(piece->extent.size);
    if (bytes == NULL)
        return -ENOMEM;
    memcpy(bytes, piece->bytes, piece->extent.size);
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
        memcpy(buffer + (from - address), piece->bytes + (from - piece->extent.address),
               (size_t)(to - from));
    }
}

/* ---- The replay ---- */

void replay_init(struct replay *replay, struct io *io, const char *folder, struct io_file *data,
                 struct overlay *overlay)
{
    *replay = (struct replay){.io = io, .folder = folder, .data = data, .overlay = overlay};
    extentset_init(&replay->mask);
}

void replay_release(struct replay *replay)
{
    extentset_release(&replay->mask);
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

/* The parts of a put that no later effect touched. */
static int collect_pieces(struct replay *replay, const uint8_t *bytes, const struct effect *put)
{
    struct extent rest = put->extent, gap;
    while (extentset_gap(&replay->mask, rest, &gap)) {
        struct overlay_piece *pieces = array_grown(replay->pieces, &replay->pieces_capacity,
                                                   replay->piece_count + 1, sizeof *pieces);
        if (pieces == NULL)
            return -ENOMEM;
        replay->pieces = pieces;
        size_t offset = put->offset + (size_t)(gap.address - put->extent.address);
        pieces[replay->piece_count++] =
            (struct overlay_piece){gap, (uint8_t *)(uintptr_t)bytes + offset};
        rest = (struct extent){extent_end(gap), extent_end(rest) - extent_end(gap)};
    }
    return 0;
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
        uint64_t address = replay->pieces[i].extent.address, end = address;
        size_t count = 0;
        for (; i < replay->piece_count && replay->pieces[i].extent.address == end; i++) {
            const struct overlay_piece *piece = &replay->pieces[i];
            vectors[count++] = (struct iovec){piece->bytes, (size_t)piece->extent.size};
            end = extent_end(piece->extent);
        }
        int result = replay->io->ops->write(replay->io, replay->data, vectors, count, address);
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
    while (result == 0 && count > 0) {
        const struct effect *effect = &replay->effects[--count];
        if (effect->kind == EFFECT_PUT)
            result = collect_pieces(replay, bytes, effect);
        if (result == 0 && (effect->kind == EFFECT_PUT || effect->kind == EFFECT_FREE))
            result = extentset_add(&replay->mask, effect->extent);
    }
    if (result != 0)
        return err_no_memory(err);
    if (replay->data == NULL)
        return keep_pieces(replay, err);
    sort(replay->pieces, replay->piece_count);
    return write_pieces(replay, err);
}
