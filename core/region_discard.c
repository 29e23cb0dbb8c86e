/* Free space goes back to the file system.
 *
 * What a batch frees becomes a *candidate* once the batch is done: the whole pages of the free
 * block in which it now lies, if that has at least the option `discard` bytes. When the commit
 * lane has nothing else to do, its candidates are punched out of the data file piece by piece. The
 * lane is what keeps a punch apart from everything that writes there.
 *
 * A piece is free in memory, and while it is punched there is no batch that frees anything and is
 * not durable: a power cut brings no blob back whose bytes are gone.
 *
 * Punched space is a *hole*: free, but not reserved any more, and anybody may take it. A change
 * that is given some of it waits until it is reserved again (region_room.c), or is refused because
 * the disk is full. So the data file has its space wherever a byte is in use, and freeing never
 * needs any. What is a hole is known in memory only: an opening takes all free blocks of the size
 * for holes, and for candidates as well, since a power cut may have undone a punch. */
#include <errno.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

/* ---- Sets of extents ---- */

bool region_is_hole(const struct region *region, struct extent extent)
{
    struct extent hole;
    return maxtree_seek(&region->discard.holes, extent.address, &hole) &&
           hole.address < extent_end(extent);
}

/* The first run of bytes of the range that is not in the set; false when there is none. */
static bool first_gap(const struct maxtree *set, struct extent range, struct extent *ret_gap)
{
    uint64_t start = range.address, end = extent_end(range);
    struct extent held;
    while (start < end && maxtree_seek(set, start, &held) && held.address <= start)
        start = extent_end(held);
    if (start >= end)
        return false;
    if (maxtree_seek(set, start, &held))
        end = min_u64(end, held.address);
    *ret_gap = (struct extent){start, end - start};
    return true;
}

/* -ENOMEM: a part may be in the set. */
static int unite(struct maxtree *set, struct extent extent)
{
    struct extent gap;
    int result = 0;
    while (result == 0 && first_gap(set, extent, &gap))
        result = maxtree_add(set, gap);
    return result;
}

/* -ENOMEM: a part may be left in the set. */
static int subtract(struct maxtree *set, struct extent extent)
{
    struct extent held;
    int result = 0;
    while (result == 0 && maxtree_seek(set, extent.address, &held) &&
           held.address < extent_end(extent)) {
        uint64_t from = max_u64(held.address, extent.address);
        uint64_t to = min_u64(extent_end(held), extent_end(extent));
        result = maxtree_remove(set, (struct extent){from, to - from});
    }
    return result;
}

static struct extent whole_pages(struct extent extent)
{
    uint64_t from = round_up(extent.address, DATA_PAGE);
    uint64_t to = round_down(extent_end(extent), DATA_PAGE);
    return (struct extent){from, to > from ? to - from : 0};
}

/* ---- Candidates ---- */

static void put_off(struct region *region)
{
    region->discard.next_ms = max_u64(region->discard.next_ms, region->now_ms + DISCARD_DELAY_MS);
}

/* Makes candidates of what has its space among the whole pages of a free block. Without memory it
 * keeps the space, until it is freed again or the region is opened. */
static void add_candidates(struct region *region, struct extent block)
{
    struct discard *discard = &region->discard;
    struct extent rest = whole_pages(block), gap;
    if (block.size < region->meta.options.discard)
        return;
    if (discard->candidates.blocks == 0)
        put_off(region);
    while (rest.size > 0 && first_gap(&discard->holes, rest, &gap) &&
           unite(&discard->candidates, gap) == 0)
        rest = (struct extent){extent_end(gap), extent_end(rest) - extent_end(gap)};
}

static bool is_off(const struct region *region)
{
    return region->meta.options.discard == 0 || region->discard.is_unsupported;
}

void region_discard_freed(struct region *region, const struct extentset *frees)
{
    struct extent freed = {0, 0}, block = {0, 0};
    if (is_off(region) || maxtree_largest(&region->space.tree) < region->meta.options.discard)
        return;
    while (maxtree_seek(&frees->tree, extent_end(freed), &freed)) {
        if (extent_end(block) >= extent_end(freed))
            continue; /* the same block as before */
        block = (struct extent){0, freed.address};
        while (maxtree_seek(&region->space.tree, extent_end(block), &block) &&
               block.address < extent_end(freed))
            add_candidates(region, block);
    }
}

void region_discard_given(struct region *region, struct extent extent)
{
    struct extent block;
    if (!is_off(region) && !region->read_only &&
        maxtree_seek(&region->space.tree, extent.address, &block))
        add_candidates(region, block);
}

void region_discard_rescan(struct region *region)
{
    struct extent block = {0, 0};
    if (is_off(region) || region->read_only)
        return;
    while (maxtree_seek(&region->space.tree, extent_end(block), &block))
        add_candidates(region, block);
}

bool region_cannot_discard(const struct region *region)
{
    return region->discard.is_unsupported;
}

/* ---- Which piece ---- */

/* The next piece to punch, which is a candidate and begins with it. What is not, or no longer, fit
 * to be punched is a candidate no more. */
static bool next_piece(struct region *region, struct extent *ret_piece)
{
    struct maxtree *candidates = &region->discard.candidates;
    struct extent candidate, block;
    while (maxtree_seek(candidates, 0, &candidate)) {
        struct extent piece = {extent_end(candidate), 0};
        if (maxtree_seek(&region->space.tree, candidate.address, &block) &&
            block.address < extent_end(candidate)) {
            uint64_t from = max_u64(candidate.address, block.address);
            uint64_t to = min_u64(extent_end(candidate), extent_end(block));
            piece = whole_pages((struct extent){from, to - from});
            if (block.size < region->meta.options.discard || piece.size == 0)
                piece = (struct extent){to, 0};
        }
        /* The low end of an extent can be removed without memory. */
        if (piece.address > candidate.address)
            (void)maxtree_remove(
                candidates, (struct extent){candidate.address, piece.address - candidate.address});
        if (piece.size > 0) {
            *ret_piece = (struct extent){piece.address, min_u64(piece.size, DISCARD_PIECE)};
            return true;
        }
    }
    return false;
}

static bool is_pinned(const struct region *region, struct extent piece)
{
    for (const struct region_pin *pin = region->pins.next; pin != &region->pins; pin = pin->next)
        if (round_down(pin->block.address, DATA_PAGE) < extent_end(piece) &&
            extent_end(pin->block) > piece.address)
            return true;
    return region_backup_keeps_extent(region, piece);
}

/* ---- The job ---- */

/* What the file system says of the space that it got back: some of a piece may have been a hole
 * already. Nothing else takes or gives space of the file but a reservation ahead, which can only
 * make it look less. */
static uint64_t occupied(const struct discard_job *job)
{
    uint64_t bytes = 0;
    return job->io->ops->usage(job->io, job->data, &bytes) == 0 ? bytes : 0;
}

static int run_discard(struct region_job *base, struct err *err)
{
    struct discard_job *job = (struct discard_job *)(void *)base;
    uint64_t before = occupied(job);
    job->result = job->io->ops->punch(job->io, job->data, job->piece.address, job->piece.size);
    uint64_t after = occupied(job);
    job->freed = before > after ? before - after : 0;
    if (job->result == -EOPNOTSUPP)
        return 0;
    return job->result == 0
               ? 0
               : err_io_at(err, job->result, "give back space of", job->folder, "data");
}

static void discard_done(struct region *region, struct region_job *base)
{
    struct discard_job *job = (struct discard_job *)(void *)base;
    struct discard *discard = &region->discard;
    discard->freed += job->freed;
    discard->next_ms = region->now_ms + (job->freed * 1000 + DISCARD_RATE - 1) / DISCARD_RATE;
    if (job->result == -EOPNOTSUPP) {
        discard->is_unsupported = true;
        maxtree_release(&discard->candidates);
        /* Without memory it counts as a hole, and is reserved once more. */
        (void)subtract(&discard->holes, job->piece);
    } else if (base->code == ERR_IO_ERROR) {
        region_fail(region, &base->err);
    } else if (base->code != 0) {
        put_off(region); /* a file system that needs space to give some back */
    }
}

/* Whether there is nothing to punch now, whatever the time. Batches go first, and no free may be
 * without a durable record. */
static bool is_at_rest(const struct region *region)
{
    const struct batch *gathering = region->gathering;
    return is_off(region) || region->discard.candidates.blocks == 0 || region->read_only ||
           region->is_failing || region->is_failed || region->queue.first != NULL ||
           (gathering != NULL && !batch_is_empty(gathering)) ||
           region->last_free > region->journal.synced || region_is_reserving_holes(region);
}

uint64_t region_discard_deadline_ms(const struct region *region)
{
    if (region->under_way[LANE_COMMIT] != NULL || is_at_rest(region))
        return UINT64_MAX;
    return region->discard.next_ms;
}

struct region_job *region_next_discard(struct region *region)
{
    struct discard_job *job = &region->discarding;
    struct discard *discard = &region->discard;
    struct extent piece;
    if (is_at_rest(region) || region->now_ms < discard->next_ms || !next_piece(region, &piece))
        return NULL;
    if (is_pinned(region, piece) || unite(&discard->holes, piece) != 0) {
        put_off(region);
        return NULL;
    }
    (void)maxtree_remove(&discard->candidates, piece); /* their low end */
    job->io = region->io;
    job->folder = region->folder;
    job->data = region->data;
    job->piece = piece;
    job->job.run = run_discard;
    job->job.done = discard_done;
    return &job->job;
}

bool region_is_discarding(const struct region *region, struct extent extent)
{
    const struct extent *piece = &region->discarding.piece;
    return region->under_way[LANE_COMMIT] == &region->discarding.job &&
           piece->address < extent_end(extent) && extent.address < extent_end(*piece);
}

/* ---- Holes ---- */

void region_holes_tried(struct region *region, struct extent extent, bool is_reserved)
{
    struct discard *discard = &region->discard;
    struct extent hole = {0, extent.address};
    put_off(region);
    if (is_reserved) {
        /* Without memory they stay holes, and are reserved once more. */
        (void)subtract(&discard->holes, extent);
        (void)subtract(&discard->candidates, extent);
        return;
    }
    while (!is_off(region) && maxtree_seek(&discard->holes, extent_end(hole), &hole) &&
           hole.address < extent_end(extent)) {
        uint64_t from = max_u64(hole.address, extent.address);
        uint64_t to = min_u64(extent_end(hole), extent_end(extent));
        (void)unite(&discard->candidates, (struct extent){from, to - from});
    }
}

/* Reserves [from, to) of the data file, as far as the disk can: a copy from a backup may have no
 * space where it was all zeros. */
static int reserve(struct region *region, uint64_t from, uint64_t to, struct err *err)
{
    if (from >= to)
        return 0;
    int result = region->io->ops->allocate(region->io, region->data, from, to - from);
    if (result == 0 || result == -ENOSPC || result == -EDQUOT)
        return 0;
    return err_io_at(err, result, "reserve space for", region->folder, "data");
}

int region_discard_open(struct region *region, struct err *err)
{
    struct extent block = {0, 0}, hole;
    uint64_t reserved = 0, least = region->meta.options.discard;
    int code = 0;
    if (region->read_only)
        return 0;
    bool has_holes = least > 0 && maxtree_largest(&region->space.tree) >= least;
    while (code == 0 && has_holes && maxtree_seek(&region->space.tree, extent_end(block), &block)) {
        hole = whole_pages(block);
        if (block.size < least || hole.size == 0)
            continue;
        code = reserve(region, reserved, hole.address, err);
        reserved = extent_end(hole);
        if (code == 0 && (maxtree_add(&region->discard.holes, hole) != 0 ||
                          maxtree_add(&region->discard.candidates, hole) != 0))
            code = err_no_memory(err);
    }
    return code == 0 ? reserve(region, reserved, region->data_size, err) : code;
}

const char *region_check_holes(const struct region *region)
{
    struct extent hole = {0, 0};
    while (maxtree_seek(&region->discard.holes, extent_end(hole), &hole))
        if (!freespace_is_free(&region->space, hole))
            return "a byte in use has no disk space reserved";
    return NULL;
}
