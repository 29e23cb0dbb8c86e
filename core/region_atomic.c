/* Changes that are made all or nothing.
 *
 * They are staged like any others, into the gathering batch, which others share; what that was
 * before is kept, to go back to. Within one nothing may begin a batch of its own, since only one
 * record is all or nothing: what would be written straight into space that the same batch freed is
 * journaled instead (region_place).
 *
 * A change that has to wait is taken back with all before it, and they are staged once more when
 * what it waited for is there: that stays reserved, so that each attempt gets further. */
#include <assert.h>

#include "core/iofile.h"
#include "core/region_private.h"

int region_atomic_begin(struct region *region, uint64_t record_size, struct err *err)
{
    struct atomic *atomic = &region->atomic;
    const struct batch_need nothing = {0};
    struct batch *batch = region->gathering;
    assert(!atomic->is_open);
    int code = region_check_writable(region, err);
    if (code != 0)
        return code;
    if (batch != NULL && !batch_is_empty(batch)) {
        /* What loads wait for to read may not change in the batch that they wait for. */
        if (!extentset_is_empty(&batch->reads))
            region_seal(region);
        else if (batch_length(batch) + record_size > BATCH_BYTES)
            return REGION_WAIT;
    }
    region_hold_refusals(region);
    code = region_prepare(region, &nothing, record_size == 0, err);
    if (code != 0)
        return region_release_refusals(region, code);
    batch = region->gathering;
    atomic->is_open = true;
    atomic->is_waiting = false;
    atomic->bytes = record_size;
    atomic->mark = batch_mark(batch, &region->space);
    atomic->pages = region->pages;
    atomic->tokens = region->tokens.next;
    atomic->change_ticket = region->change_ticket;
    return 0;
}

static void undo(struct region *region)
{
    const struct atomic *atomic = &region->atomic;
    struct err why;
    tokens_take_back(&region->tokens, atomic->tokens);
    region->pages = atomic->pages;
    region->change_ticket = atomic->change_ticket;
    if (batch_undo_to(region->gathering, &atomic->mark, &region->space) == 0)
        return;
    /* What is in use is not known any more: nobody is told that a blob was never there. */
    region->lost.everything = true;
    (void)err_set(&why, ERR_INTERNAL, "out of memory while changes were taken back");
    region_fail(region, &why);
}

void region_atomic_end(struct region *region, bool keep)
{
    assert(region->atomic.is_open);
    region->atomic.is_open = false;
    extentset_clear(&region->atomic.fresh);
    (void)region_release_refusals(region, region->atomic.is_waiting ? REGION_WAIT : 0);
    if (!region->atomic.is_waiting) {
        region_forget_verified(region);
        region->atomic.bytes = 0;
    }
    /* A region that failed meanwhile has taken everything back, or is about to. */
    if (region->is_failing || region->is_failed)
        return;
    if (!keep)
        undo(region);
    else if (batch_is_direct(region->gathering))
        region->gathering->moves = true;
}
