/* Format 1: from what is on disk to what was acknowledged.
 *
 * Frozen: it reads what the first release wrote (FORMAT.md, the appendix), and is never changed
 * again. It shares no code with later formats but what knows no format. */
#include "core/format1.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/extentset.h"
#include "core/format1_private.h"
#include "core/iofile.h"

struct format1_inside {
    struct format1 *out;
    struct format1_journal_reader reader;
    struct format1_journal_record record;
    uint64_t *records; /* lsns of the valid ones, ascending */
    size_t count, capacity;
    uint64_t start;   /* of the checkpoint that was loaded */
    uint64_t end;     /* of the last valid record */
    uint64_t durable; /* what checkpoints say was durable */
    uint64_t synced;  /* what records say was durable */
};

/* An error about a position of the journal: names the segment's file and the offset in it. */
static int corrupt_at(const struct format1_inside *r, uint64_t lsn, const char *what,
                      struct err *err)
{
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    return err_set(err, ERR_CORRUPT, "%s/%s: %s at offset %llu", r->out->folder,
                   format1_journal_name(name, format1_journal_seq(lsn)), what,
                   (unsigned long long)format1_journal_offset(lsn));
}

/* ---- The checkpoint ---- */

/* Whether the journal still has all that was written since the checkpoint. */
static bool is_reached(const struct format1_inside *r, const struct format1_checkpoint *checkpoint)
{
    return format1_journal_seq(r->reader.floor) <= format1_journal_seq(checkpoint->start);
}

static int load(struct format1_inside *r, const struct format1_checkpoint *checkpoint,
                struct err *err)
{
    struct format1 *out = r->out;
    int code = format1_checkpoint_load(out->io, out->folder, out->secret, checkpoint,
                                       &out->space.tree, err);
    if (code != 0)
        return code;
    out->space.size = checkpoint->size;
    out->pages = checkpoint->pages;
    out->checkpoint_sequence = checkpoint->sequence;
    r->start = checkpoint->start;
    return 0;
}

static int load_newest(struct format1_inside *r, struct err *err)
{
    struct format1 *out = r->out;
    struct format1_checkpoint slots[FORMAT1_CHECKPOINT_SLOTS];
    bool is_valid[FORMAT1_CHECKPOINT_SLOTS];
    struct err why[FORMAT1_CHECKPOINT_SLOTS];
    for (unsigned i = 0; i < FORMAT1_CHECKPOINT_SLOTS; i++) {
        int code = format1_checkpoint_read_header(out->io, out->folder, i, out->secret, &slots[i],
                                                  &is_valid[i], &why[i]);
        if (code != 0) {
            *err = why[i];
            return code;
        }
        if (is_valid[i])
            r->durable = max_u64(r->durable, slots[i].end);
    }
    unsigned newest = is_valid[1] && (!is_valid[0] || slots[1].sequence > slots[0].sequence);
    for (unsigned i = 0; i < FORMAT1_CHECKPOINT_SLOTS; i++) {
        unsigned slot = i == 0 ? newest : 1 - newest;
        if (!is_valid[slot])
            continue;
        if (!is_reached(r, &slots[slot]))
            return err_set(err, ERR_CORRUPT,
                           "%s/%s is damaged, and the journal does not reach back to the older "
                           "checkpoint: it begins at offset %llu of the stream, not at %llu",
                           out->folder, format1_checkpoint_name(1 - slot),
                           (unsigned long long)r->reader.floor,
                           (unsigned long long)slots[slot].start);
        int code = load(r, &slots[slot], &why[slot]);
        if (code == 0)
            return 0;
        if (code != ERR_CORRUPT) {
            *err = why[slot];
            return code;
        }
    }
    return err_set(err, ERR_CORRUPT, "no valid checkpoint: %s; %s", why[newest].text,
                   why[1 - newest].text);
}

/* ---- The free space ---- */

/* Space in the data file is reserved durably before anything counts on it. */
static int short_data(const struct format1 *out, uint64_t need, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "%s/data has %llu bytes where the region has %llu",
                   out->folder, (unsigned long long)out->data_size, (unsigned long long)need);
}

static int apply(struct format1_inside *r, const struct format1_effect *effect)
{
    struct format1 *out = r->out;
    switch (effect->kind) {
    case FORMAT1_EFFECT_USE:
        if (extent_end(effect->extent) > out->data_size)
            return -ENODATA;
        return freespace_mark_used(&out->space, effect->extent);
    case FORMAT1_EFFECT_FREE:
        if (extent_end(effect->extent) > out->space.size)
            return -EINVAL;
        return freespace_mark_free(&out->space, effect->extent);
    case FORMAT1_EFFECT_PUT:
        return extent_end(effect->extent) > out->space.size ? -EINVAL : 0;
    case FORMAT1_EFFECT_PAGES:
        out->pages = max_u64(out->pages, effect->pages);
        return 0;
    }
    return -EINVAL;
}

static int apply_record(struct format1_inside *r, uint64_t lsn, struct err *err)
{
    struct format1_effect_cursor cursor;
    struct format1_effect effect;
    int result;
    format1_effect_begin(&cursor, r->record.bytes, &r->record.header);
    while ((result = format1_effect_next(&cursor, &effect)) == 1) {
        result = apply(r, &effect);
        if (result != 0)
            break;
    }
    if (result == -ENOMEM)
        return err_no_memory(err);
    if (result == -ENODATA)
        return short_data(r->out, extent_end(effect.extent), err);
    if (result != 0)
        return corrupt_at(r, lsn, "the record names what cannot be", err);
    return 0;
}

/* A valid record in a segment without a valid header: the header was damaged since. */
static int check_headers(struct format1_inside *r, uint64_t lsn, uint64_t end, struct err *err)
{
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    for (uint64_t seq = format1_journal_seq(lsn); seq <= format1_journal_seq(end - 1); seq++) {
        const struct format1_journal_file *file =
            format1_journal_reader_find(&r->reader, seq * FORMAT1_JOURNAL_PAYLOAD);
        assert(file != NULL);
        if (!file->has_header)
            return err_set(err, ERR_CORRUPT, "%s/%s: the header at offset 0 is damaged",
                           r->out->folder, format1_journal_name(name, seq));
    }
    return 0;
}

static int forward(struct format1_inside *r, struct err *err)
{
    uint64_t lsn = r->start;
    if (lsn % FORMAT1_JOURNAL_PAYLOAD != 0 && format1_journal_reader_find(&r->reader, lsn) == NULL)
        return corrupt_at(r, lsn, "the segment is missing, and replay begins", err);
    for (;;) {
        bool is_valid = false;
        int code = format1_journal_reader_record(&r->reader, lsn, &r->record, &is_valid, err);
        if (code != 0)
            return code;
        if (!is_valid)
            break;
        uint64_t end = lsn + format1_record_padded(r->record.header.length);
        code = check_headers(r, lsn, end, err);
        if (code == 0)
            code = apply_record(r, lsn, err);
        if (code != 0)
            return code;
        uint64_t *records = array_grown(r->records, &r->capacity, r->count + 1, sizeof *records);
        if (records == NULL)
            return err_no_memory(err);
        r->records = records;
        records[r->count++] = lsn;
        r->synced = max_u64(r->synced, r->record.header.synced);
        lsn = end;
    }
    r->end = lsn;
    r->out->records = r->count;
    return 0;
}

/* Segments become durable one after the other, and records are written only to those that are. */
static int check_missing(const struct format1_inside *r, struct err *err)
{
    uint64_t claimed = r->record.header.length;
    uint64_t reach = format1_journal_reader_reach(&r->reader, r->end);
    bool is_between = reach % FORMAT1_JOURNAL_PAYLOAD == 0;
    bool is_needed = claimed > 0 && r->end + format1_record_padded(claimed) > reach;
    if (is_between &&
        (is_needed || format1_journal_reader_is_missing(&r->reader, format1_journal_seq(reach))))
        return corrupt_at(r, reach, "the segment is missing, and the journal goes on", err);
    return 0;
}

/* A segment has its full length, durably, before its header is written. */
static int check_lengths(const struct format1_inside *r, struct err *err)
{
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    for (size_t i = 0; i < r->reader.count; i++) {
        const struct format1_journal_file *file = &r->reader.files[i];
        if (file->seq >= format1_journal_seq(r->end) && file->has_header &&
            file->size < FORMAT1_JOURNAL_SEGMENT)
            return err_set(err, ERR_CORRUPT, "%s/%s was cut: it has %llu bytes instead of %llu",
                           r->out->folder, format1_journal_name(name, file->seq),
                           (unsigned long long)file->size,
                           (unsigned long long)FORMAT1_JOURNAL_SEGMENT);
    }
    return 0;
}

/* What stands at r->end is no record. Nothing was ever written behind it that was acknowledged, and
 * it is a tail torn by a crash; or something was, and it is damage. */
static int cut_tail(struct format1_inside *r, struct err *err)
{
    uint64_t end, synced;
    uint64_t claimed = r->record.header.length;
    uint64_t reach = format1_journal_reader_reach(&r->reader, r->end);
    int code = check_lengths(r, err);
    if (code == 0)
        code = check_missing(r, err);
    if (code == 0)
        code = format1_journal_reader_look_behind(&r->reader, r->end, &end, &synced, err);
    if (code != 0)
        return code;
    if (r->durable > r->end || synced > r->end)
        return corrupt_at(r, r->end, "a record that was durable is damaged", err);
    if (claimed > 0)
        end = max_u64(end, min_u64(reach, r->end + format1_record_padded(claimed)));
    r->out->cut_bytes = end - r->end;
    r->out->cut_at = r->end;
    return 0;
}

/* ---- What was written and maybe never synced ---- */

/* Whoever wrote the last records may have been killed before the sync, and then they are in a cache
 * only. They must be durable before their bytes overwrite live ones. */
static int settle_journal(struct format1_inside *r, struct err *err)
{
    uint64_t known = max_u64(max_u64(r->durable, r->synced), r->start);
    return format1_journal_reader_sync(&r->reader, min_u64(known, r->end), r->end, err);
}

/* ---- The bytes ---- */

struct piece {
    struct extent extent;
    const uint8_t *bytes;
};

struct replay {
    struct io *io;
    const char *folder;
    struct io_file *data;
    struct extentset mask; /* bytes that a later record put or freed */
    struct format1_effect *effects;
    size_t effects_capacity;
    struct piece *pieces;
    size_t piece_count, pieces_capacity;
    struct iovec *vectors;
    size_t vectors_capacity;
};

static int by_address(const void *a, const void *b)
{
    uint64_t one = ((const struct piece *)a)->extent.address;
    uint64_t two = ((const struct piece *)b)->extent.address;
    return (one > two) - (one < two);
}

static void sort(struct piece *pieces, size_t count)
{
    if (count > 1)
        qsort(pieces, count, sizeof pieces[0], by_address);
}

static int collect_effects(struct replay *replay, const uint8_t *bytes,
                           const struct format1_record_header *header, size_t *ret_count)
{
    struct format1_effect_cursor cursor;
    struct format1_effect effect;
    size_t count = 0;
    int more;
    format1_effect_begin(&cursor, bytes, header);
    while ((more = format1_effect_next(&cursor, &effect)) == 1) {
        struct format1_effect *effects =
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
static int collect_pieces(struct replay *replay, const uint8_t *bytes,
                          const struct format1_effect *put)
{
    struct extent rest = put->extent, gap;
    while (extentset_gap(&replay->mask, rest, &gap)) {
        struct piece *pieces = array_grown(replay->pieces, &replay->pieces_capacity,
                                           replay->piece_count + 1, sizeof *pieces);
        if (pieces == NULL)
            return -ENOMEM;
        replay->pieces = pieces;
        size_t offset = put->offset + (size_t)(gap.address - put->extent.address);
        pieces[replay->piece_count++] = (struct piece){gap, bytes + offset};
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
            const struct piece *piece = &replay->pieces[i];
            vectors[count++] =
                (struct iovec){(void *)(uintptr_t)piece->bytes, (size_t)piece->extent.size};
            end = extent_end(piece->extent);
        }
        int result = replay->io->ops->write(replay->io, replay->data, vectors, count, address);
        if (result != 0)
            return err_io_at(err, result, "write", replay->folder, "data");
    }
    return 0;
}

static int replay_record(struct replay *replay, const uint8_t *bytes,
                         const struct format1_record_header *header, struct err *err)
{
    size_t count = 0;
    int result = collect_effects(replay, bytes, header, &count);
    replay->piece_count = 0;
    /* put_bytes frees what the array grew to. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    while (result == 0 && count > 0) {
        const struct format1_effect *effect = &replay->effects[--count];
        if (effect->kind == FORMAT1_EFFECT_PUT)
            result = collect_pieces(replay, bytes, effect);
        if (result == 0 &&
            (effect->kind == FORMAT1_EFFECT_PUT || effect->kind == FORMAT1_EFFECT_FREE))
            result = extentset_add(&replay->mask, effect->extent);
    }
    if (result != 0)
        return err_no_memory(err);
    sort(replay->pieces, replay->piece_count);
    return write_pieces(replay, err);
}

static int put_bytes(struct format1_inside *r, struct io_file *data, struct err *err)
{
    struct replay replay = {.io = r->out->io, .folder = r->out->folder, .data = data};
    int code = 0;
    extentset_init(&replay.mask);
    for (size_t i = r->count; code == 0 && i > 0; i--) {
        bool is_valid = false;
        uint64_t lsn = r->records[i - 1];
        code = format1_journal_reader_record(&r->reader, lsn, &r->record, &is_valid, err);
        if (code == 0 && !is_valid)
            code = corrupt_at(r, lsn, "the record changed while it was read", err);
        if (code == 0)
            code = replay_record(&replay, r->record.bytes, &r->record.header, err);
    }
    extentset_release(&replay.mask);
    free(replay.effects);
    free(replay.pieces);
    free(replay.vectors);
    return code;
}

/* ---- Outside ---- */

/* What claims to go on for ever is not this region's, and the journal of the next format begins
 * behind it. */
static int check_journal_end(const struct format1 *format1, struct err *err)
{
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    if (format1->journal_end <= FORMAT1_JOURNAL_END)
        return 0;
    return err_set(err, ERR_CORRUPT,
                   "%s/%s is not of this region, or a checkpoint is not: no journal gets so far",
                   format1->folder,
                   format1_journal_name(name, format1_journal_seq(format1->journal_end) - 1));
}

/* Behind everything that any segment or checkpoint knows of. */
static uint64_t find_journal_end(const struct format1_inside *r)
{
    uint64_t last = max_u64(format1_journal_seq(r->end), format1_journal_seq(r->durable));
    if (r->reader.count > 0)
        last = max_u64(last, r->reader.files[r->reader.count - 1].seq);
    return (last + 1) * FORMAT1_JOURNAL_PAYLOAD;
}

int format1_read(struct format1 *format1, struct err *err)
{
    struct format1_inside *r = calloc(1, sizeof *r);
    if (r == NULL)
        return err_no_memory(err);
    format1->inside = r;
    r->out = format1;
    int code =
        format1_journal_reader_open(&r->reader, format1->io, format1->folder, format1->secret, err);
    if (code == 0)
        code = load_newest(r, err);
    if (code == 0 && format1->space.size > format1->data_size)
        code = short_data(format1, format1->space.size, err);
    if (code == 0)
        code = forward(r, err);
    if (code == 0)
        code = cut_tail(r, err);
    format1->journal_end = find_journal_end(r);
    return code == 0 ? check_journal_end(format1, err) : code;
}

int format1_settle(struct format1 *format1, struct io_file *data, struct err *err)
{
    struct format1_inside *r = format1->inside;
    int code = settle_journal(r, err);
    if (code == 0)
        code = put_bytes(r, data, err);
    int result = code == 0 ? format1->io->ops->sync(format1->io, data) : 0;
    return result == 0 ? code : err_io_at(err, result, "sync", format1->folder, "data");
}

void format1_release(struct format1 *format1)
{
    struct format1_inside *r = format1->inside;
    freespace_release(&format1->space);
    if (r == NULL)
        return;
    format1_journal_reader_release(&r->reader);
    free(r->records);
    free(r->record.bytes);
    free(r);
    format1->inside = NULL;
}
