#include "core/freespace.h"

#include <errno.h>

#include "core/limits.h"

/* Blocks looked at in one go while the extents between them are listed. */
#define SCAN_BLOCKS 64

void freespace_init(struct freespace *space, enum fit fit)
{
    maxtree_init(&space->tree);
    space->size = 0;
    space->fit = fit;
}

void freespace_release(struct freespace *space)
{
    maxtree_release(&space->tree);
    space->size = 0;
}

static bool is_within(const struct freespace *space, struct extent extent)
{
    return extent.size > 0 && extent.size <= space->size &&
           extent.address <= space->size - extent.size;
}

static bool take_hole(struct freespace *space, uint64_t size, uint64_t *ret_address)
{
    switch (space->fit) {
    case FIT_TIGHT:
        return maxtree_take_tight(&space->tree, size, ret_address);
    case FIT_LOWEST:
        return maxtree_take_lowest(&space->tree, size, ret_address);
    case FIT_LARGEST:
        return maxtree_take_largest(&space->tree, size, ret_address);
    }
    return false;
}

/* Takes size bytes at the region's end. */
static int take_end(struct freespace *space, uint64_t size, uint64_t limit, uint64_t *ret_address)
{
    if (limit > REGION_SIZE_MAX)
        limit = REGION_SIZE_MAX;
    uint64_t address = space->size;
    if (space->size <= limit && size <= limit - space->size) {
        space->size += size;
        *ret_address = address;
        return 0;
    }
    /* No hole fits, so one that touches the end is smaller than size, and both together end past
     * the region's size. */
    struct extent last;
    if (!maxtree_last(&space->tree, &last) || extent_end(last) != space->size ||
        last.address > limit || size > limit - last.address)
        return -ENOSPC;
    int error = maxtree_remove(&space->tree, last);
    if (error)
        return error;
    space->size = last.address + size;
    *ret_address = last.address;
    return 0;
}

int freespace_take(struct freespace *space, uint64_t size, uint64_t limit, uint64_t *ret_address)
{
    if (size == 0)
        return -EINVAL;
    if (take_hole(space, size, ret_address))
        return 0;
    return take_end(space, size, limit, ret_address);
}

/* Makes what lies between the region's size and address free. */
static int skip_to(struct freespace *space, uint64_t address)
{
    if (address <= space->size)
        return 0;
    struct extent skipped = {space->size, address - space->size};
    int error = maxtree_add(&space->tree, skipped);
    if (error)
        return error;
    space->size = address;
    return 0;
}

int freespace_take_exact(struct freespace *space, struct extent extent)
{
    if (!extent_is_valid(extent))
        return -EINVAL;
    uint64_t end = extent_end(extent);
    int error = skip_to(space, extent.address);
    if (error)
        return error;
    struct extent hole = extent;
    if (end > space->size)
        hole.size = space->size - extent.address;
    if (hole.size > 0)
        error = maxtree_remove(&space->tree, hole);
    if (error)
        return error == -ENOENT ? -EEXIST : error;
    if (end > space->size)
        space->size = end;
    return 0;
}

int freespace_give(struct freespace *space, struct extent extent)
{
    if (!is_within(space, extent))
        return -EEXIST;
    return maxtree_add(&space->tree, extent);
}

/* Makes the bytes in use among these free, where at least one block overlaps them. Each run of
 * them touches a block, so this needs no memory. */
static int fill_gaps(struct maxtree *tree, struct extent extent)
{
    uint64_t at = extent.address;
    uint64_t end = extent_end(extent);
    while (at < end) {
        struct extent block = {end, 0};
        if (maxtree_seek(tree, at, &block) && block.address <= at) {
            at = extent_end(block);
            continue;
        }
        uint64_t gap_end = block.address < end ? block.address : end;
        int error = maxtree_add(tree, (struct extent){at, gap_end - at});
        if (error)
            return error;
        at = gap_end;
    }
    return 0;
}

int freespace_mark_free(struct freespace *space, struct extent extent)
{
    if (!extent_is_valid(extent))
        return -EINVAL;
    uint64_t end = extent_end(extent);
    if (extent.address > space->size) { /* what is skipped becomes free as well */
        extent.address = space->size;
        extent.size = end - space->size;
    }
    int error = maxtree_add(&space->tree, extent);
    if (error == -EEXIST)
        error = fill_gaps(&space->tree, extent);
    if (error)
        return error;
    if (end > space->size)
        space->size = end;
    return 0;
}

int freespace_mark_used(struct freespace *space, struct extent extent)
{
    if (!extent_is_valid(extent))
        return -EINVAL;
    uint64_t end = extent_end(extent);
    int error = skip_to(space, extent.address);
    if (error)
        return error;
    /* Only a block that reaches beyond the extent on both sides needs memory, and then it is the
     * only one: this fails at once or not at all. */
    struct extent block;
    while (maxtree_seek(&space->tree, extent.address, &block) && block.address < end) {
        uint64_t from = block.address > extent.address ? block.address : extent.address;
        uint64_t to = extent_end(block) < end ? extent_end(block) : end;
        error = maxtree_remove(&space->tree, (struct extent){from, to - from});
        if (error)
            return error;
    }
    if (end > space->size)
        space->size = end;
    return 0;
}

bool freespace_is_used(const struct freespace *space, struct extent extent)
{
    struct extent block;
    return is_within(space, extent) && (!maxtree_seek(&space->tree, extent.address, &block) ||
                                        block.address >= extent_end(extent));
}

bool freespace_is_free(const struct freespace *space, struct extent extent)
{
    struct extent block;
    return is_within(space, extent) && maxtree_seek(&space->tree, extent.address, &block) &&
           block.address <= extent.address && extent_end(block) >= extent_end(extent);
}

size_t freespace_used_in(const struct freespace *space, uint64_t start, uint64_t end,
                         struct extent *extents, size_t limit)
{
    struct extent blocks[SCAN_BLOCKS];
    size_t got = 0;
    if (end > space->size)
        end = space->size;
    while (start < end && got < limit) {
        size_t found = maxtree_scan(&space->tree, start, blocks, SCAN_BLOCKS);
        for (size_t i = 0; i < found && start < end && got < limit; i++) {
            uint64_t used_end = blocks[i].address < end ? blocks[i].address : end;
            if (start < used_end)
                extents[got++] = (struct extent){start, used_end - start};
            start = extent_end(blocks[i]);
        }
        if (found < SCAN_BLOCKS && start < end && got < limit) {
            extents[got++] = (struct extent){start, end - start};
            start = end;
        }
    }
    return got;
}

size_t freespace_free_in(const struct freespace *space, uint64_t start, uint64_t end,
                         struct extent *extents, size_t limit)
{
    if (start >= end)
        return 0;
    size_t got = maxtree_scan(&space->tree, start, extents, limit);
    while (got > 0 && extents[got - 1].address >= end)
        got--;
    if (got == 0)
        return 0;
    if (extents[0].address < start) {
        extents[0].size -= start - extents[0].address;
        extents[0].address = start;
    }
    if (extent_end(extents[got - 1]) > end)
        extents[got - 1].size = end - extents[got - 1].address;
    return got;
}
