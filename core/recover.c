#include "core/recover.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"
#include "core/journal.h"
#include "core/journal_reader.h"
#include "core/sums.h"

/* Pages that are read, and sums that are written, in one call. */
#define SUMS_AT_ONCE 256

struct recovering {
    struct recovery *out;
    struct journal_reader reader;
    struct journal_record record;
    uint64_t *records; /* lsns of the valid ones, ascending */
    size_t count, capacity;
    uint64_t end;       /* of the last valid record */
    uint64_t durable;   /* what checkpoints say was durable */
    uint64_t synced;    /* what records say was durable */
    bool is_doubtful;   /* whether the loaded checkpoint is */
    uint64_t next_page; /* the least that an effect with sums may name next */
};

/* An error about a position of the journal: names the segment's file and the offset in it. */
static int corrupt_at(const struct recovering *r, uint64_t lsn, const char *what, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    return err_set(err, ERR_CORRUPT, "%s/%s: %s at offset %llu", r->out->folder,
                   journal_name(name, journal_seq(lsn)), what,
                   (unsigned long long)journal_offset(lsn));
}

/* ---- The checkpoint ---- */

/* Whether the journal still has all that was written since the checkpoint. */
static bool is_reached(const struct recovering *r, const struct checkpoint *checkpoint)
{
    return journal_seq(r->reader.floor) <= journal_seq(checkpoint->start);
}

static int load(struct recovering *r, const struct checkpoint *checkpoint, struct err *err)
{
    struct recovery *out = r->out;
    int code = checkpoint_load(out->io, out->folder, out->meta->secret, checkpoint,
                               &out->space.tree, &out->tokens, err);
    if (code != 0)
        return code;
    out->space.size = checkpoint->size;
    out->pages = checkpoint->pages;
    out->checkpoint = *checkpoint;
    return 0;
}

/* A floor says that there was a newer checkpoint than the one in the slot. Where both look well,
 * either may be an older state of its file. */
static int unreached(const struct recovering *r, const struct checkpoint *slots, unsigned slot,
                     bool are_both_well, struct err *err)
{
    const char *folder = r->out->folder;
    unsigned long long floor = r->reader.floor, start = slots[slot].start;
    if (are_both_well)
        return err_set(err, ERR_CORRUPT,
                       "%s/%s begins at offset %llu of the journal's stream, %s at %llu, and the "
                       "journal before offset %llu of it is gone: a newer checkpoint was lost",
                       folder, checkpoint_name(slot), start, checkpoint_name(1 - slot),
                       (unsigned long long)slots[1 - slot].start, floor);
    return err_set(err, ERR_CORRUPT,
                   "%s/%s is damaged, and the journal does not reach back to the older "
                   "checkpoint: it begins at offset %llu of the stream, not at %llu",
                   folder, checkpoint_name(1 - slot), floor, start);
}

static int load_newest(struct recovering *r, struct err *err)
{
    struct recovery *out = r->out;
    struct checkpoint slots[CHECKPOINT_SLOTS];
    bool is_valid[CHECKPOINT_SLOTS];
    struct err why[CHECKPOINT_SLOTS];
    for (unsigned i = 0; i < CHECKPOINT_SLOTS; i++) {
        int code = checkpoint_read_header(out->io, out->folder, i, out->meta->secret, &slots[i],
                                          &is_valid[i], &why[i]);
        if (code != 0) {
            *err = why[i];
            return code;
        }
        if (is_valid[i])
            r->durable = max_u64(r->durable, slots[i].end);
    }
    unsigned newest = is_valid[1] && (!is_valid[0] || slots[1].sequence > slots[0].sequence);
    for (unsigned i = 0; i < CHECKPOINT_SLOTS; i++) {
        unsigned slot = i == 0 ? newest : 1 - newest;
        if (!is_valid[slot])
            continue;
        if (!is_reached(r, &slots[slot]))
            return unreached(r, slots, slot, i == 0 && is_valid[1 - slot], err);
        int code = load(r, &slots[slot], &why[slot]);
        unsigned other = 1 - slot;
        r->is_doubtful = is_valid[other] && slots[other].sequence < slots[slot].sequence &&
                         is_reached(r, &slots[other]);
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
static int short_data(const struct recovery *out, uint64_t need, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "%s/data has %llu bytes where the region has %llu",
                   out->folder, (unsigned long long)out->data_size, (unsigned long long)need);
}

static int apply(struct recovering *r, const struct effect *effect)
{
    struct recovery *out = r->out;
    switch (effect->kind) {
    case EFFECT_USE:
        if (extent_end(effect->extent) > out->data_size)
            return -ENODATA;
        return freespace_mark_used(&out->space, effect->extent);
    case EFFECT_FREE:
        if (extent_end(effect->extent) > out->space.size)
            return -EINVAL;
        return freespace_mark_free(&out->space, effect->extent);
    case EFFECT_PUT:
        return extent_end(effect->extent) > out->space.size ? -EINVAL : 0;
    case EFFECT_PAGES:
        out->pages = max_u64(out->pages, effect->pages);
        return 0;
    case EFFECT_CHANGED:
    case EFFECT_FRESH:
    case EFFECT_DIRECT:
    case EFFECT_ZERO:
        /* Ascending within the record, each page once. */
        if (effect->run.first < r->next_page ||
            run_end(effect->run) > round_up(out->data_size, DATA_PAGE) / DATA_PAGE)
            return -EINVAL;
        r->next_page = run_end(effect->run);
        return 0;
    case EFFECT_TOKEN:
        return tokens_replay(&out->tokens, &effect->token);
    }
    return -EINVAL;
}

static int apply_record(struct recovering *r, uint64_t lsn, struct err *err)
{
    struct effect_cursor cursor;
    struct effect effect;
    int result;
    r->next_page = 0;
    effect_begin(&cursor, r->record.bytes, &r->record.header);
    while ((result = effect_next(&cursor, &effect)) == 1) {
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
static int check_headers(struct recovering *r, uint64_t lsn, uint64_t end, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    for (uint64_t seq = journal_seq(lsn); seq <= journal_seq(end - 1); seq++) {
        const struct journal_file *file = journal_reader_find(&r->reader, seq * JOURNAL_PAYLOAD);
        assert(file != NULL);
        if (!file->has_header)
            return err_set(err, ERR_CORRUPT, "%s/%s: the header at offset 0 is damaged",
                           r->out->folder, journal_name(name, seq));
    }
    return 0;
}

static int forward(struct recovering *r, struct err *err)
{
    uint64_t lsn = r->out->checkpoint.start;
    if (lsn % JOURNAL_PAYLOAD != 0 && journal_reader_find(&r->reader, lsn) == NULL)
        return corrupt_at(r, lsn, "the segment is missing, and replay begins", err);
    for (;;) {
        bool is_valid = false;
        int code = journal_reader_record(&r->reader, lsn, &r->record, &is_valid, err);
        if (code != 0)
            return code;
        if (!is_valid)
            break;
        uint64_t end = lsn + record_padded(r->record.header.length);
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
    r->out->report.records = r->count;
    return 0;
}

/* Segments become durable one after the other, and records are written only to those that are. */
static int check_missing(const struct recovering *r, struct err *err)
{
    uint64_t claimed = r->record.header.length;
    uint64_t reach = journal_reader_reach(&r->reader, r->end);
    bool is_between = reach % JOURNAL_PAYLOAD == 0;
    bool is_needed = claimed > 0 && r->end + record_padded(claimed) > reach;
    if (is_between && (is_needed || journal_reader_is_missing(&r->reader, journal_seq(reach))))
        return corrupt_at(r, reach, "the segment is missing, and the journal goes on", err);
    return 0;
}

/* A segment has its full length, durably, before its header is written. */
static int check_lengths(const struct recovering *r, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    for (size_t i = 0; i < r->reader.count; i++) {
        const struct journal_file *file = &r->reader.files[i];
        if (file->seq >= journal_seq(r->end) && file->has_header && file->size < JOURNAL_SEGMENT)
            return err_set(err, ERR_CORRUPT, "%s/%s was cut: it has %llu bytes instead of %llu",
                           r->out->folder, journal_name(name, file->seq),
                           (unsigned long long)file->size, (unsigned long long)JOURNAL_SEGMENT);
    }
    return 0;
}

/* What stands at r->end is no record. Nothing was ever written behind it that was acknowledged, and
 * it is a tail torn by a crash; or something was, and it is damage. */
static int cut_tail(struct recovering *r, struct err *err)
{
    uint64_t end, synced;
    uint64_t claimed = r->record.header.length;
    uint64_t reach = journal_reader_reach(&r->reader, r->end);
    int code = check_lengths(r, err);
    if (code == 0)
        code = check_missing(r, err);
    if (code == 0)
        code = journal_reader_look_behind(&r->reader, r->end, &end, &synced, err);
    if (code != 0)
        return code;
    if (r->durable > r->end || synced > r->end)
        return corrupt_at(r, r->end, "a record that was durable is damaged", err);
    if (claimed > 0)
        end = max_u64(end, min_u64(reach, r->end + record_padded(claimed)));
    r->out->report.cut_bytes = end - r->end;
    r->out->report.cut_at = r->end;
    return 0;
}

/* The lsn behind everything that any segment or checkpoint knows of. */
static uint64_t fresh_start(const struct recovering *r)
{
    uint64_t last = max_u64(journal_seq(r->end), journal_seq(r->durable));
    if (r->reader.count > 0)
        last = max_u64(last, r->reader.files[r->reader.count - 1].seq);
    return (last + 1) * JOURNAL_PAYLOAD;
}

static int check_numbers(struct recovering *r, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    const struct checkpoint *loaded = &r->out->checkpoint;
    if (loaded->sequence > RECOVER_END || loaded->token_sequence > RECOVER_END)
        return err_set(err, ERR_CORRUPT,
                       "%s/%s is not of this region: it says that there were so many checkpoints, "
                       "or tokens, as there can never be",
                       r->out->folder, checkpoint_name(checkpoint_slot(loaded->sequence)));
    uint64_t start = fresh_start(r);
    if (start <= RECOVER_END)
        return 0;
    return err_set(err, ERR_CORRUPT,
                   "%s/%s is not of this region, or a checkpoint is not: no journal gets so far",
                   r->out->folder, journal_name(name, journal_seq(start) - 1));
}

/* ---- What was written and maybe never synced ---- */

/* Whoever wrote the last records may have been killed before the sync, and then they are in a cache
 * only. They must be durable before their bytes overwrite live ones. */
static int settle_journal(struct recovering *r, struct err *err)
{
    uint64_t known = max_u64(max_u64(r->durable, r->synced), r->out->checkpoint.start);
    return journal_reader_sync(&r->reader, min_u64(known, r->end), r->end, err);
}

/* So may the checkpoint's header, and the next one goes over the other. While the journal still
 * reaches back to the other, the header may be written again without risk, since a sync alone does
 * not help where one has failed. When it does not, a floor says so that was written only after this
 * checkpoint was durable. */
static int settle_checkpoint(struct recovering *r, struct err *err)
{
    struct recovery *out = r->out;
    if (!r->is_doubtful)
        return 0;
    return checkpoint_rewrite_header(out->io, out->folder, out->meta->secret, &out->checkpoint,
                                     err);
}

/* ---- The bytes ---- */

static int replay_all(struct recovering *r, struct replay *replay, struct err *err)
{
    int code = 0;
    for (size_t i = r->count; code == 0 && i > 0; i--) {
        bool is_valid = false;
        code = journal_reader_record(&r->reader, r->records[i - 1], &r->record, &is_valid, err);
        if (code == 0 && !is_valid)
            code = corrupt_at(r, r->records[i - 1], "the record changed while it was read", err);
        if (code == 0)
            code = replay_record(replay, r->record.bytes, &r->record.header, err);
    }
    return code;
}

static int write_sums(const struct recovery *out, struct err *err)
{
    const struct sum_list *list = &out->overlay.sums;
    uint32_t sums[SUMS_AT_ONCE];
    int code = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct page_run run = list->runs[i].run;
        for (uint64_t done = 0; code == 0 && done < run.count;) {
            size_t part = (size_t)min_u64(run.count - done, SUMS_AT_ONCE);
            overlay_sums(&out->overlay, run.first + done, part, sums);
            code = sums_write(out->io, out->folder, out->sums, run.first + done, part, sums, err);
            done += part;
        }
    }
    return code;
}

static int put_bytes(struct recovering *r, struct err *err)
{
    struct recovery *out = r->out;
    struct replay replay;
    replay_init(&replay, out->io, out->folder, out->read_only ? NULL : out->data, &out->space,
                &out->overlay);
    int code = replay_all(r, &replay, err);
    replay_release(&replay);
    overlay_complete(&out->overlay);
    return code == 0 && !out->read_only ? write_sums(out, err) : code;
}

/* ---- Proving what was rebuilt ----
 * That is what the journal has bytes of. The pages of large blobs and of zeros are as many as the
 * disk has, and are proved, like all others, when they are read. */

static int note_damage(struct recovery *out, uint64_t address)
{
    out->report.damaged++;
    if (out->damages == NULL)
        out->damages = malloc(DAMAGES_KEPT * sizeof out->damages[0]);
    if (out->damages == NULL)
        return -ENOMEM;
    if (out->damage_count < DAMAGES_KEPT)
        out->damages[out->damage_count++] = address;
    return 0;
}

/* Compares pages with the sums that the journal gave them. */
static int prove_pages(struct recovery *out, uint32_t seed, uint64_t first, size_t count,
                       uint8_t *bytes, struct err *err)
{
    uint32_t sums[SUMS_AT_ONCE];
    ssize_t got =
        out->io->ops->read(out->io, out->data, bytes, count * DATA_PAGE, first * DATA_PAGE);
    if (got < 0)
        return err_io_at(err, (int)got, "read", out->folder, "data");
    memset(bytes + got, 0, count * DATA_PAGE - (size_t)got);
    overlay_read(&out->overlay, first * DATA_PAGE, bytes, count * DATA_PAGE);
    overlay_sums(&out->overlay, first, count, sums);
    for (size_t i = 0; i < count; i++)
        if (!sum_matches(seed, first + i, bytes + i * DATA_PAGE, sums[i]) &&
            note_damage(out, (first + i) * DATA_PAGE) != 0)
            return err_no_memory(err);
    return 0;
}

/* How many pages are to be proved in one call at most. */
static size_t most_at_once(const struct sum_list *list)
{
    uint64_t most = 0;
    for (size_t i = 0; i < list->count; i++)
        if (list->runs[i].has_puts)
            most = max_u64(most, list->runs[i].run.count);
    return (size_t)min_u64(most, SUMS_AT_ONCE);
}

static int prove(struct recovery *out, struct err *err)
{
    const struct sum_list *list = &out->overlay.sums;
    uint32_t seed = record_seed(out->meta->secret);
    size_t at_once = most_at_once(list);
    if (at_once == 0)
        return 0;
    uint8_t *bytes = malloc(at_once * DATA_PAGE);
    if (bytes == NULL)
        return err_no_memory(err);
    int code = 0;
    for (size_t i = 0; code == 0 && i < list->count; i++) {
        struct extent rest = bytes_of(list->runs[i].run), part;
        if (!list->runs[i].has_puts)
            continue;
        while (code == 0 && replay_needed(&out->space, rest, &part)) {
            size_t count = (size_t)min_u64(part.size / DATA_PAGE, at_once);
            code = prove_pages(out, seed, page_of(part.address), count, bytes, err);
            uint64_t next = part.address + (uint64_t)count * DATA_PAGE;
            rest = (struct extent){next, extent_end(rest) - next};
        }
    }
    free(bytes);
    return code;
}

/* ---- The new beginning ---- */

uint64_t recover_slot_room(uint64_t blocks, uint64_t token_bytes)
{
    return max_u64(1 * MIB, checkpoint_room(2 * blocks, 2 * token_bytes));
}

static int sync_folder(const struct recovery *out, struct err *err)
{
    int result = out->io->ops->sync_directory(out->io, out->folder);
    return result == 0 ? 0 : err_io(err, result, "sync", out->folder);
}

static int reserve_slots(struct recovery *out, struct err *err)
{
    uint64_t blocks = out->space.tree.blocks, token_bytes = out->tokens.bytes;
    for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++) {
        uint64_t room = recover_slot_room(blocks, token_bytes);
        int code = checkpoint_reserve(out->io, out->folder, slot, room, err);
        if (code == ERR_NO_SPACE) {
            room = checkpoint_room(blocks, token_bytes);
            code = checkpoint_reserve(out->io, out->folder, slot, room, err);
        }
        if (code != 0)
            return code;
        out->slot_room[slot] = room;
    }
    return 0;
}

static int write_checkpoint(struct recovering *r, struct err *err)
{
    struct recovery *out = r->out;
    struct checkpoint checkpoint = {
        .sequence = out->checkpoint.sequence + 1,
        .start = out->journal_start,
        .end = out->journal_start,
        .size = out->space.size,
        .pages = out->pages,
    };
    int code = checkpoint_write(out->io, out->folder, out->meta->secret, &checkpoint,
                                &out->space.tree, &out->tokens, err);
    if (code == 0)
        out->checkpoint = checkpoint;
    return code;
}

/* The segments that were replayed become the next ones; a few are kept and the rest removed. */
static int renew_segments(struct recovering *r, struct err *err)
{
    struct recovery *out = r->out;
    struct io *io = out->io;
    char name[JOURNAL_NAME_SIZE], path[IO_PATH_SIZE];
    size_t keep =
        (size_t)max_u64(out->meta->options.journal_size / JOURNAL_PAYLOAD, JOURNAL_SEGMENTS_MIN);
    int code = 0;
    out->first_segment = journal_seq(out->journal_start);
    for (size_t i = 0; code == 0 && i < r->reader.count; i++) {
        const struct journal_file *file = &r->reader.files[i];
        if (file->size == JOURNAL_SEGMENT && out->segment_count < keep) {
            code = journal_recycle_segment(io, out->folder, out->meta->secret, file->seq,
                                           out->first_segment + out->segment_count,
                                           out->journal_start, err);
            out->segment_count += code == 0;
            continue;
        }
        code = io_join(path, out->folder, journal_name(name, file->seq), err);
        int result = code == 0 ? io->ops->remove(io, path) : 0;
        if (result != 0)
            code = err_io(err, result, "remove", path);
    }
    while (code == 0 && out->segment_count < JOURNAL_SEGMENTS_MIN) {
        code = journal_create_segment(io, out->folder, out->meta->secret,
                                      out->first_segment + out->segment_count, out->journal_start,
                                      err);
        out->segment_count += code == 0;
        /* Each before the next: none may be found without those before it. */
        if (code == 0)
            code = sync_folder(out, err);
    }
    return code == 0 ? sync_folder(out, err) : code;
}

static int begin_anew(struct recovering *r, struct err *err)
{
    struct recovery *out = r->out;
    int result = out->io->ops->sync(out->io, out->data);
    if (result != 0)
        return err_io_at(err, result, "sync", out->folder, "data");
    result = out->io->ops->sync(out->io, out->sums);
    if (result != 0)
        return err_io_at(err, result, "sync", out->folder, SUMS_FILE);
    out->journal_start = fresh_start(r);
    int code = reserve_slots(out, err);
    /* The names of segments may be in a cache only, and each is about to get another. */
    if (code == 0)
        code = sync_folder(out, err);
    if (code == 0)
        code = settle_checkpoint(r, err);
    if (code == 0)
        code = write_checkpoint(r, err);
    /* Only now may the old segments go. */
    if (code == 0)
        code = renew_segments(r, err);
    return code;
}

int recover(struct recovery *recovery, struct err *err)
{
    struct recovering r = {.out = recovery};
    int code =
        journal_reader_open(&r.reader, recovery->io, recovery->folder, recovery->meta->secret, err);
    if (code == 0)
        code = load_newest(&r, err);
    if (code == 0 && recovery->space.size > recovery->data_size)
        code = short_data(recovery, recovery->space.size, err);
    recovery->report.checkpoint_sequence = recovery->checkpoint.sequence;
    if (code == 0)
        code = forward(&r, err);
    if (code == 0)
        code = cut_tail(&r, err);
    /* Before anything is changed. */
    if (code == 0)
        code = check_numbers(&r, err);
    if (code == 0 && !recovery->read_only)
        code = settle_journal(&r, err);
    if (code == 0)
        code = put_bytes(&r, err);
    if (code == 0)
        code = prove(recovery, err);
    recovery->report.free_blocks = recovery->space.tree.blocks;
    recovery->journal_start = r.end;
    if (code == 0 && !recovery->read_only)
        code = begin_anew(&r, err);
    free(r.records);
    free(r.record.bytes);
    if (!recovery->read_only)
        overlay_release(&recovery->overlay); /* its sums are in the file */
    journal_reader_release(&r.reader);
    return code;
}
