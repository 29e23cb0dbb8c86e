/* Space reserved ahead, so that a full disk is found out before anything is changed.
 *
 * A change that lacks room asks for it and waits; a background job gets it, or the disk is full,
 * and then the change is refused when it is tried again. Changes are tried in order, so one is
 * refused, the one that waited, however often it was tried meanwhile; whoever is next has the disk
 * asked anew, since somebody may have made space.
 *
 * The last part of the journal that is prepared is for frees alone: on a full disk they can be
 * recorded even while no checkpoint can be taken. A checkpoint, into its slot, which has its space
 * already, makes journal space again. */
#include <assert.h>
#include <string.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/recover.h"
#include "core/region_private.h"

/* What only frees may use. A part of a segment: of the two that every region has, the other changes
 * always get more than one, so that a checkpoint has a segment to recycle. */
#define JOURNAL_RESERVE (JOURNAL_PAYLOAD / 4)

/* Segments that a busy region prepares ahead, besides the one that every region does: it fills one
 * in a batch or two. */
#define JOURNAL_AHEAD_MAX 4

/* How far the journal may outgrow journal_size while a checkpoint is under way, as a factor. */
#define JOURNAL_OVERSHOOT 2

/* The last part of a checkpoint's room is for the tokens of what only frees, with answers up to so
 * many bytes. When it is used up frees have no tokens any more: with more of them than a checkpoint
 * can hold the journal would fill up, and then nothing could be freed at all. */
#define SLOT_RESERVE (256 * KIB)
#define FREE_ANSWER_MAX 1024

/* True when so much was refused to one that has waited for it. */
static bool is_refused(const struct region *region, struct reservation *room, uint64_t need)
{
    if (!room->is_owed || need < room->refused)
        return false;
    room->is_owed = region->refusals_held > 0;
    return true;
}

void region_hold_refusals(struct region *region)
{
    region->refusals_held++;
}

/* Whoever comes next has a checkpoint tried anew that found no space, however little the journal
 * has grown since: where its end is reached it grows no more, and somebody may have made space. */
static void retry_checkpoint(struct region *region)
{
    region->checkpoint_retry = 0;
}

int region_release_refusals(struct region *region, int code)
{
    assert(region->refusals_held > 0);
    if (--region->refusals_held > 0 || code == REGION_WAIT)
        return code;
    region->data_room.is_owed = region->journal_room.is_owed = false;
    region->slot_need.is_owed = region->hole_room.is_owed = false;
    if (code == ERR_NO_SPACE)
        retry_checkpoint(region);
    return code;
}

static int wait_for(struct region *region, struct reservation *room, uint64_t need)
{
    region->atomic.is_waiting = true;
    room->want = max_u64(room->want, need);
    room->is_awaited = true;
    return REGION_WAIT;
}

static void refuse(struct reservation *room, uint64_t need)
{
    room->refused = need;
    room->is_owed = room->is_awaited;
    room->is_awaited = false;
}

/* Those who waited find out for themselves whether it is enough. */
static void grant(struct reservation *room)
{
    room->is_owed = room->is_awaited = false;
}

/* ---- Needs ---- */

int region_need_data(struct region *region, uint64_t need, struct err *err)
{
    need = round_up(need, DATA_PAGE);
    if (is_refused(region, &region->data_room, need))
        return err_set(err, ERR_NO_SPACE,
                       "the disk has no room for %s/data to grow from %llu to %llu bytes: make "
                       "space on its file system or remove blobs",
                       region->folder, (unsigned long long)region->data_size,
                       (unsigned long long)need);
    return wait_for(region, &region->data_room, need);
}

/* What a checkpoint tells as free blocks now. */
static uint64_t blocks_now(const struct region *region)
{
    return region->space.tree.blocks + region->reserved.count;
}

/* What a checkpoint would take up now. */
static uint64_t slot_room_now(const struct region *region)
{
    return checkpoint_room(blocks_now(region), region->tokens.bytes);
}

static uint64_t least_slot_room(const struct region *region)
{
    return min_u64(region->slot_room[0], region->slot_room[1]);
}

int region_need_slot(struct region *region, bool is_free, struct err *err)
{
    if (region->token_answer == 0)
        return 0;
    uint64_t need = checkpoint_room(blocks_now(region),
                                    region->tokens.bytes + token_bytes(region->token_answer));
    if (!is_free || region->token_answer > FREE_ANSWER_MAX)
        need += SLOT_RESERVE;
    if (need <= least_slot_room(region))
        return 0;
    if (!is_refused(region, &region->slot_need, need))
        return wait_for(region, &region->slot_need, need);
    return err_set(err, ERR_NO_SPACE,
                   "the disk has no room for a checkpoint of %s that has another token in it: make "
                   "space on its file system, or change the region without a token",
                   region->folder);
}

/* Where the journal will end once all that is staged is in it. */
static uint64_t staged_end(const struct region *region)
{
    uint64_t end = region->journal.next;
    if (region->gathering != NULL && !batch_is_empty(region->gathering))
        end += record_padded(batch_length(region->gathering));
    return end;
}

int region_need_journal(struct region *region, uint64_t effects, bool is_free, struct err *err)
{
    struct reservation *room = &region->journal_room;
    uint64_t length = record_padded(RECORD_HEADER + effects);
    uint64_t end = staged_end(region) + length;
    uint64_t limit = JOURNAL_OVERSHOOT * region->meta.options.journal_size + length;
    uint64_t need = round_up(end + (is_free ? 0 : JOURNAL_RESERVE), JOURNAL_PAYLOAD);
    /* Changes that are made all or nothing are one, and were let in when they began. */
    bool is_long = !region->atomic.is_open && end - region->checkpoint.start > limit;
    if (need <= journal_prepared(&region->journal) && !is_long)
        return 0;
    if (is_long && region_press_checkpoint(region))
        return REGION_WAIT;
    if (is_long) {
        if (region->refusals_held == 0)
            retry_checkpoint(region);
        return err_set(err, ERR_NO_SPACE,
                       "the journal of %s is full and no checkpoint can be taken: %s",
                       region->folder, region->checkpoint_failure.text);
    }
    if (!is_refused(region, room, need)) {
        region->is_recycling_tight = false;
        return wait_for(region, room, need);
    }
    if (region_press_checkpoint(region)) {
        room->is_owed = true; /* not told yet: it waits for the checkpoint's space first */
        region->atomic.is_waiting = true;
        return REGION_WAIT;
    }
    return err_set(err, ERR_NO_SPACE,
                   "the disk has no room for another journal segment of %s: make space on its "
                   "file system",
                   region->folder);
}

bool region_is_reserving_holes(const struct region *region)
{
    return region->hole_room.want != 0; /* until the job is done */
}

int region_need_holes(struct region *region, struct extent block, struct err *err)
{
    struct reservation *room = &region->hole_room;
    if (!region_is_hole(region, block)) {
        room->is_owed = room->is_owed && region->refusals_held > 0;
        return 0;
    }
    if (is_refused(region, room, block.size))
        return err_set(err, ERR_NO_SPACE,
                       "the disk has no room for %llu bytes of %s/data whose space was given back "
                       "to it: make space on its file system",
                       (unsigned long long)block.size, region->folder);
    uint64_t from = round_down(block.address, DATA_PAGE);
    uint64_t to = round_up(extent_end(block), DATA_PAGE);
    region->wanted_holes = (struct extent){from, to - from};
    return wait_for(region, room, block.size);
}

/* ---- The job ---- */

static int make_segments(struct room_job *job, struct err *err)
{
    for (job->got = 0; job->got < job->count; job->got++) {
        int code = journal_create_segment(job->io, job->folder, job->secret, job->from + job->got,
                                          job->floor, err);
        if (code != 0)
            return code;
        /* Each before the next: none may be found without those before it. */
        int result = job->io->ops->sync_directory(job->io, job->folder);
        if (result != 0)
            return err_io(err, result, "sync", job->folder);
    }
    return 0;
}

/* The sums first: a restart finds one for every page of the data file. */
static int extend_data(struct room_job *job, struct err *err)
{
    uint64_t length = job->want;
    int code = sums_extend(job->io, job->folder, job->sums, length, err);
    if (code == ERR_NO_SPACE && job->settle > job->from && job->settle < length) {
        length = job->settle;
        code = sums_extend(job->io, job->folder, job->sums, length, err);
    }
    if (code != 0)
        return code;
    int result = job->io->ops->allocate(job->io, job->data, job->from, length - job->from);
    if (result != 0 && job->settle > job->from && job->settle < length) {
        length = job->settle;
        result = job->io->ops->allocate(job->io, job->data, job->from, length - job->from);
    }
    if (result != 0) {
        sums_cut(job->io, job->sums, job->from); /* a refusal keeps no space */
        return err_io_at(err, result, "reserve space for", job->folder, "data");
    }
    /* Durable before anything counts on it: a restart finds the file as long as the journal says,
     * even when the disk is full by then. */
    result = job->io->ops->sync(job->io, job->data);
    if (result != 0)
        return err_io_at(err, result, "sync", job->folder, "data");
    job->got = length;
    return 0;
}

static int extend_slot(struct room_job *job, struct err *err)
{
    job->got = job->want;
    int code = checkpoint_reserve(job->io, job->folder, job->slot, job->want, err);
    if (code != ERR_NO_SPACE || job->settle == 0)
        return code;
    job->got = job->settle;
    return checkpoint_reserve(job->io, job->folder, job->slot, job->settle, err);
}

static int reserve_holes(struct room_job *job, struct err *err)
{
    const struct io_ops *ops = job->io->ops;
    const struct extent *holes = &job->holes;
    int result = ops->allocate(job->io, job->data, holes->address, holes->size);
    int code = result == 0 ? 0 : err_io_at(err, result, "reserve space for", job->folder, "data");
    if (code == ERR_NO_SPACE && job->least.size < job->holes.size) {
        job->holes = job->least;
        result = ops->allocate(job->io, job->data, holes->address, holes->size);
        code = result == 0 ? 0 : err_io_at(err, result, "reserve space for", job->folder, "data");
    }
    if (code != 0)
        return code;
    result = ops->sync(job->io, job->data);
    return result == 0 ? 0 : err_io_at(err, result, "sync", job->folder, "data");
}

static int run_room(struct region_job *base, struct err *err)
{
    struct room_job *job = (struct room_job *)(void *)base;
    job->got = 0;
    switch (job->kind) {
    case ROOM_DATA:
        return extend_data(job, err);
    case ROOM_JOURNAL:
        return make_segments(job, err);
    case ROOM_SLOT:
        return extend_slot(job, err);
    case ROOM_HOLES:
        return reserve_holes(job, err);
    }
    return 0;
}

static void data_done(struct region *region, struct room_job *job)
{
    struct reservation *room = &region->data_room;
    if (job->job.code == 0) {
        region->data_size = job->got;
        grant(room);
        room->is_tight = job->got < job->want;
        if (room->want <= region->data_size)
            room->want = 0;
        return;
    }
    room->is_tight = true;
    if (job->settle == 0)
        return; /* a chunk ahead of need: who asked meanwhile may need less */
    refuse(room, job->settle);
    room->want = 0;
}

static void journal_done(struct region *region, struct room_job *job)
{
    struct reservation *room = &region->journal_room;
    for (uint64_t i = 0; i < job->got; i++)
        journal_add(&region->journal, job->from + i);
    if (job->job.code == 0) {
        grant(room);
        region->is_recycling_tight = false;
    } else {
        refuse(room, journal_prepared(&region->journal) + 1);
    }
    room->is_tight = job->job.code != 0;
    room->want = 0;
}

static void slot_done(struct region *region, struct room_job *job)
{
    struct reservation *need = &region->slot_need;
    uint64_t room = slot_room_now(region);
    region->slot_retry = job->job.code == 0 ? 0 : room + room / 4;
    if (job->job.code == 0)
        region->slot_room[job->slot] = job->got;
    else if (job->settle > 0)
        refuse(need, job->settle);
    if (job->job.code == 0 && need->want <= least_slot_room(region))
        grant(need);
    if (job->job.code != 0 || need->want <= least_slot_room(region))
        need->want = 0;
}

static void holes_done(struct region *region, struct room_job *job)
{
    struct reservation *room = &region->hole_room;
    bool is_reserved = job->job.code == 0;
    room->want = 0;
    if (is_reserved)
        grant(room);
    else
        refuse(room, job->asked);
    region_holes_tried(region, is_reserved ? job->holes : job->tried, is_reserved);
}

static void room_done(struct region *region, struct region_job *base)
{
    struct room_job *job = (struct room_job *)(void *)base;
    if (base->code == ERR_IO_ERROR) {
        region_fail(region, &base->err);
        return;
    }
    switch (job->kind) {
    case ROOM_DATA:
        data_done(region, job);
        break;
    case ROOM_JOURNAL:
        journal_done(region, job);
        break;
    case ROOM_SLOT:
        slot_done(region, job);
        break;
    case ROOM_HOLES:
        holes_done(region, job);
        break;
    }
}

static struct region_job *room_job(struct region *region, enum room_kind kind)
{
    struct room_job *job = &region->room;
    job->kind = kind;
    job->io = region->io;
    job->folder = region->folder;
    job->data = region->data_for_sync;
    job->sums = region->sums_for_sync;
    job->floor = region->checkpoint.start;
    memcpy(job->secret, region->meta.secret, sizeof job->secret);
    job->job.run = run_room;
    job->job.done = room_done;
    return &job->job;
}

static struct region_job *data_job(struct region *region, bool ahead)
{
    struct reservation *room = &region->data_room;
    uint64_t chunk = min_u64(DATA_CHUNK_MAX, max_u64(DATA_CHUNK_MIN, region->space.size / 8));
    uint64_t limit = round_up(region_limit(region), REGION_PAGE);
    /* Changes that are made all or nothing start over each time: they had better not wait often. */
    chunk = max_u64(chunk, min_u64(DATA_CHUNK_MAX, region->atomic.bytes));
    uint64_t target = max_u64(room->want, region->data_size) + chunk;
    if (room->want <= region->data_size)
        room->want = 0;
    if (room->want == 0 && !ahead)
        return NULL;
    if (ahead && (room->is_tight || region->data_size >= limit ||
                  region->data_size - region->space.size >= chunk / 2))
        return NULL;
    region->room.from = region->data_size;
    region->room.want = max_u64(min_u64(round_up(target, REGION_PAGE), limit), room->want);
    region->room.settle = room->want;
    return room_job(region, ROOM_DATA);
}

static struct region_job *journal_job(struct region *region, bool ahead)
{
    struct reservation *room = &region->journal_room;
    uint64_t prepared = journal_prepared(&region->journal);
    uint64_t count = 1;
    if (room->want <= prepared)
        room->want = 0;
    if (room->want == 0 && !ahead)
        return NULL;
    if (room->want != 0) {
        count = (room->want - prepared + JOURNAL_PAYLOAD - 1) / JOURNAL_PAYLOAD;
    } else {
        /* Ahead of need: the reserve and a segment, and more in a region that writes a lot,
         * unless a checkpoint is about to make old segments new. */
        uint64_t left = prepared - staged_end(region);
        uint64_t used = region->journal.next - region->checkpoint.start;
        uint64_t enough = JOURNAL_PAYLOAD + JOURNAL_RESERVE +
                          min_u64(used / 4, JOURNAL_AHEAD_MAX * JOURNAL_PAYLOAD);
        if (room->is_tight || left >= enough ||
            prepared - region->checkpoint.start >
                JOURNAL_OVERSHOOT * region->meta.options.journal_size)
            return NULL;
    }
    if (journal_reserve(&region->journal, (size_t)count) != 0)
        return NULL;
    region->room.from = journal_seq(prepared);
    region->room.count = count;
    return room_job(region, ROOM_JOURNAL);
}

/* A slot in which a token that waits has no room, or one that free blocks and tokens are about to
 * outgrow. */
static struct region_job *slot_job(struct region *region, bool ahead)
{
    uint64_t blocks = blocks_now(region), token_bytes = region->tokens.bytes;
    uint64_t need = region->slot_need.want;
    if (need == 0 && (!ahead || slot_room_now(region) < region->slot_retry))
        return NULL;
    uint64_t enough =
        need > 0 ? need : checkpoint_room(blocks + blocks / 2, token_bytes + token_bytes / 2);
    for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++) {
        if (enough <= region->slot_room[slot])
            continue;
        region->room.slot = slot;
        region->room.want = max_u64(recover_slot_room(blocks, token_bytes), 2 * need);
        region->room.settle = need;
        return room_job(region, ROOM_SLOT);
    }
    return NULL;
}

/* The pages that are wanted, and with them what the next changes are likely to be given. */
static struct region_job *holes_job(struct region *region)
{
    struct room_job *job = &region->room;
    struct extent least = region->wanted_holes;
    if (region->hole_room.want == 0)
        return NULL;
    uint64_t more = least.size < DISCARD_UNDO ? DISCARD_UNDO - least.size : 0;
    uint64_t low = region->space.fit == FIT_LARGEST ? min_u64(more, least.address) : 0;
    uint64_t high = region->space.fit == FIT_LARGEST ? 0 : more;
    uint64_t from = round_down(least.address - low, DATA_PAGE);
    uint64_t to = min_u64(extent_end(least) + high, region->data_size);
    struct extent holes = {from, to - from};
    if (region_is_discarding(region, holes))
        return NULL;
    job->least = least;
    job->holes = job->tried = holes;
    job->asked = region->hole_room.want;
    return room_job(region, ROOM_HOLES);
}

struct region_job *region_next_room(struct region *region, bool ahead)
{
    struct region_job *job = ahead ? NULL : holes_job(region);
    if (job == NULL)
        job = data_job(region, ahead);
    if (job == NULL)
        job = journal_job(region, ahead);
    if (job == NULL)
        job = slot_job(region, ahead);
    return job;
}
