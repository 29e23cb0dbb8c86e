/* Loads: what may be read when, and what is being read. */
#include "core/region_private.h"

#include <assert.h>
#include <errno.h>

#include "core/bytes.h"
#include "core/iofile.h"

/* The newest batch of a list that writes any byte of the block. */
static uint64_t dirty_ticket(const struct batch *first, struct extent block)
{
    uint64_t ticket = 0;
    for (const struct batch *batch = first; batch != NULL; batch = batch->next)
        if (extentset_overlaps(&batch->dirty, block))
            ticket = batch->ticket;
    return ticket;
}

static uint64_t newest_dirty_ticket(struct region *region, struct extent block)
{
    uint64_t ticket;
    struct batch *gathering = region->gathering, *committing = region->commit.batch;
    if (gathering != NULL && extentset_overlaps(&gathering->dirty, block)) {
        /* A later change of these bytes must not get into this batch: the load is older. */
        (void)extentset_add(&gathering->reads, block);
        return gathering->ticket;
    }
    ticket = dirty_ticket(region->queue.first, block);
    if (ticket == 0 && committing != NULL && extentset_overlaps(&committing->dirty, block))
        ticket = committing->ticket;
    if (ticket == 0)
        ticket = dirty_ticket(region->pending.first, block);
    return ticket;
}

int region_load_begin(struct region *region, struct extent block, uint64_t *ret_after,
                      struct err *err)
{
    int code = region_check_block(region, block, err);
    if (code != 0)
        return code;
    if (extentset_overlaps(&region->lost, block))
        return err_set(err, ERR_IO_ERROR,
                       "block [%llu, +%llu) was being written when the region failed: restart "
                       "mregiond to recover it",
                       (unsigned long long)block.address, (unsigned long long)block.size);
    if (block.size > 0 && !freespace_is_used(&region->space, block))
        return err_set(err, ERR_NOT_ALLOCATED, "block [%llu, +%llu) is not wholly in use",
                       (unsigned long long)block.address, (unsigned long long)block.size);
    *ret_after = newest_dirty_ticket(region, block);
    region->hurry_ticket = max_u64(region->hurry_ticket, *ret_after);
    return 0;
}

size_t region_read_now(struct region *region, uint64_t address, void *buffer, size_t size)
{
    if (size == 0)
        return 0;
    ssize_t got = region->io->ops->read_now(region->io, region->data, buffer, size, address);
    if (got <= 0)
        return 0;
    overlay_read(&region->overlay, address, buffer, (size_t)got);
    return (size_t)got;
}

int region_read(struct region *region, uint64_t address, void *buffer, size_t size,
                uint64_t *ret_damaged, struct err *err)
{
    *ret_damaged = UINT64_MAX;
    ssize_t got = region->io->ops->read(region->io, region->data, buffer, size, address);
    if (got < 0)
        return err_io_at(err, (int)got, "read", region->folder, "data");
    if ((size_t)got < size)
        return err_set(err, ERR_CORRUPT, "%s/data ends at %llu, within block [%llu, +%zu)",
                       region->folder, (unsigned long long)address + (size_t)got,
                       (unsigned long long)address, size);
    overlay_read(&region->overlay, address, buffer, size);
    return 0;
}

/* ---- Pins ---- */

void region_pin(struct region *region, struct region_pin *pin, struct extent block)
{
    pin->block = block;
    pin->previous = &region->pins;
    pin->next = region->pins.next;
    pin->next->previous = pin;
    region->pins.next = pin;
}

void region_unpin(struct region *region, struct region_pin *pin)
{
    (void)region;
    pin->previous->next = pin->next;
    pin->next->previous = pin->previous;
    pin->previous = pin->next = NULL;
}

bool region_is_pinned(const struct region *region, const struct extentset *dirty)
{
    for (const struct region_pin *pin = region->pins.next; pin != &region->pins; pin = pin->next)
        if (extentset_overlaps(dirty, pin->block))
            return true;
    return false;
}
