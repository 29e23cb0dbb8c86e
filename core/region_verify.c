/* Verifying a block before its bytes are copied: what is damaged must not get a fresh checksum.
 *
 * A moving resize asks for it and waits; when it is tried again the block is among the verified
 * ones. The copy itself verifies once more, on the worker, where damage can only fail the whole
 * commit. */
#include <assert.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

#define VERIFY_PIECE (1 * MIB)
/* Verified blocks that are kept at most: more than an atomic batch has changes. */
#define VERIFIED_MAX 65536

void region_forget_verified(struct region *region)
{
    extentset_clear(&region->verified);
}

static struct extent cut(struct extent block, struct extent to)
{
    uint64_t from = max_u64(block.address, to.address);
    return (struct extent){from, min_u64(extent_end(block), extent_end(to)) - from};
}

/* Narrows the block to what is to be verified; false when nothing is. Whole pages count: the sum of
 * one is of what else is in it, too. Those that changes which are made all or nothing took into use
 * themselves are not on the disk yet. */
static bool find_unverified(const struct region *region, struct extent *block)
{
    struct extent rest = bytes_of(pages_around(*block)), gap, part;
    while (extentset_gap(&region->verified, rest, &gap)) {
        part = gap;
        if (!region->atomic.is_open || extentset_gap(&region->atomic.fresh, gap, &part)) {
            *block = cut(*block, part);
            return true;
        }
        rest.size = extent_end(rest) - extent_end(gap);
        rest.address = extent_end(gap);
    }
    return false;
}

int region_need_verified(struct region *region, struct extent block, struct err *err)
{
    struct verify_job *job = &region->verifying;
    if (region->meta.options.checksum == CHECKSUM_OFF || !find_unverified(region, &block))
        return 0;
    if (job->state == VERIFY_FAILED && job->block.address == block.address &&
        job->block.size == block.size) {
        job->state = VERIFY_IDLE;
        *err = job->err;
        return (int)job->err.code;
    }
    if (job->state == VERIFY_IDLE || job->state == VERIFY_FAILED) {
        job->block = block;
        job->state = VERIFY_WANTED;
    }
    region->atomic.is_waiting = true;
    return REGION_WAIT;
}

/* ---- The job ---- */

/* Whether no byte of some page of the block is in use. */
static bool has_free_page(const struct region *region, struct extent block)
{
    struct extent pages = bytes_of(pages_around(block)), hole;
    uint64_t end = extent_end(pages), size = region->space.size, at = pages.address;
    if (end > round_up(size, DATA_PAGE))
        return true;
    while (region_next_free(region, at, &hole) && hole.address < end) {
        at = extent_end(hole);
        uint64_t from = round_up(max_u64(hole.address, pages.address), DATA_PAGE);
        uint64_t to = at == size ? end : min_u64(at, end);
        if (from + DATA_PAGE <= to)
            return true;
    }
    return false;
}

static int run_verify(struct region_job *base, struct err *err)
{
    struct verify_job *job = (struct verify_job *)(void *)base;
    uint8_t *buffer = malloc(VERIFY_PIECE);
    int code = buffer == NULL ? err_no_memory(err) : 0;
    for (uint64_t done = 0; code == 0 && done < job->block.size; done += VERIFY_PIECE)
        code =
            region_read(job->region, job->block.address + done, buffer,
                        (size_t)min_u64(VERIFY_PIECE, job->block.size - done), &job->damaged, err);
    free(buffer);
    return code;
}

static void verify_done(struct region *region, struct region_job *base)
{
    struct verify_job *job = (struct verify_job *)(void *)base;
    region_unpin(region, &job->pin);
    if (base->code != 0 && job->is_void) {
        job->state = VERIFY_IDLE; /* who still wants it asks again */
        return;
    }
    if (base->code != 0) {
        (void)region_note_damage(region, job->damaged);
        job->err = base->err;
        job->state = VERIFY_FAILED;
        return;
    }
    job->state = VERIFY_IDLE;
    if (region->verified.tree.blocks >= VERIFIED_MAX)
        region_forget_verified(region);
    /* Without memory it is asked for again. */
    if (extentset_add(&region->verified, bytes_of(pages_around(job->block))) != 0)
        region_forget_verified(region);
}

struct region_job *region_next_verify(struct region *region)
{
    struct verify_job *job = &region->verifying;
    if (job->state != VERIFY_WANTED)
        return NULL;
    if (region_read_after(region, job->block) != 0)
        return NULL; /* it is on its way into the data file, and has just been hurried */
    /* Some of it may be free by now, and what is in a free page means nothing: a large blob may be
     * on its way there, or its space was given back. */
    job->is_void = has_free_page(region, job->block);
    job->state = VERIFY_RUNNING;
    job->region = region;
    job->damaged = UINT64_MAX;
    region_pin(region, &job->pin, job->block);
    job->job.run = run_verify;
    job->job.done = verify_done;
    return &job->job;
}
