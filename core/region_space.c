/* What is in use and what is free, as everybody but the allocator sees it: what uploads have
 * reserved is not in the tree of free blocks, so that nobody is given it, and is free all the same.
 */
#include "core/bytes.h"
#include "core/region_private.h"

bool region_next_free(const struct region *region, uint64_t address, struct extent *ret_free)
{
    const struct maxtree *tree = &region->space.tree;
    const struct extentlist *reserved = &region->reserved;
    struct extent block, run;
    bool has_block = maxtree_seek(tree, address, &block);
    size_t at = extentlist_seek(reserved, address);
    bool has_reserved = at < reserved->count;
    if (!has_block && !has_reserved)
        return false;
    if (!has_block || (has_reserved && reserved->items[at].address < block.address))
        run = reserved->items[at];
    else
        run = block;
    /* What follows without a gap, of either kind. */
    for (bool grows = reserved->count > 0; grows;) {
        uint64_t end = extent_end(run);
        at = extentlist_seek(reserved, end);
        grows = true;
        if (at < reserved->count && reserved->items[at].address == end)
            run.size += reserved->items[at].size;
        else if (maxtree_seek(tree, end, &block) && block.address == end)
            run.size += block.size;
        else
            grows = false;
    }
    *ret_free = run;
    return true;
}

bool region_next_used(const struct region *region, uint64_t address, struct extent *ret_used)
{
    uint64_t size = region->space.size;
    struct extent block;
    while (address < size && region_next_free(region, address, &block) && block.address <= address)
        address = extent_end(block);
    if (address >= size)
        return false;
    uint64_t end = region_next_free(region, address, &block) ? block.address : size;
    *ret_used = (struct extent){address, end - address};
    return true;
}

bool region_is_used(const struct region *region, struct extent extent)
{
    return freespace_is_used(&region->space, extent) &&
           !extentlist_overlaps(&region->reserved, extent);
}

bool region_is_free(const struct region *region, struct extent extent)
{
    struct extent block;
    if (region->reserved.count == 0)
        return freespace_is_free(&region->space, extent);
    return extent.size > 0 && region_next_free(region, extent.address, &block) &&
           block.address <= extent.address && extent_end(block) >= extent_end(extent);
}

size_t region_used_in(const struct region *region, uint64_t start, uint64_t end,
                      struct extent *extents, size_t limit)
{
    size_t count = 0;
    struct extent used;
    if (region->reserved.count == 0)
        return freespace_used_in(&region->space, start, end, extents, limit);
    while (count < limit && region_next_used(region, start, &used) && used.address < end) {
        start = min_u64(extent_end(used), end);
        extents[count++] = (struct extent){used.address, start - used.address};
    }
    return count;
}

size_t region_free_in(const struct region *region, uint64_t start, uint64_t end,
                      struct extent *extents, size_t limit)
{
    size_t count = 0;
    struct extent block;
    if (region->reserved.count == 0)
        return freespace_free_in(&region->space, start, end, extents, limit);
    while (count < limit && start < end && region_next_free(region, start, &block) &&
           block.address < end) {
        uint64_t from = max_u64(block.address, start);
        start = min_u64(extent_end(block), end);
        extents[count++] = (struct extent){from, start - from};
    }
    return count;
}

/* Those that touch are one. */
uint64_t region_free_count(const struct region *region)
{
    const struct extentlist *reserved = &region->reserved;
    const struct maxtree *tree = &region->space.tree;
    uint64_t count = tree->blocks + reserved->count;
    struct extent block;
    for (size_t i = 0; i < reserved->count; i++) {
        struct extent extent = reserved->items[i];
        if (extent.address > 0 && region_is_free(region, (struct extent){extent.address - 1, 1}))
            count--;
        if (maxtree_seek(tree, extent_end(extent), &block) && block.address == extent_end(extent))
            count--;
    }
    return count;
}

int region_free_around_reserved(struct region *region, struct extent range)
{
    const struct extentlist *reserved = &region->reserved;
    uint64_t at = range.address, end = extent_end(range);
    for (size_t i = extentlist_seek(reserved, at); at < end; i++) {
        bool is_last = i >= reserved->count;
        uint64_t next = is_last ? end : min_u64(reserved->items[i].address, end);
        int result =
            next > at ? freespace_mark_free(&region->space, (struct extent){at, next - at}) : 0;
        if (result != 0)
            return result;
        at = is_last ? end : extent_end(reserved->items[i]);
    }
    return 0;
}

const char *region_check_reserved(const struct region *region)
{
    const struct extentlist *reserved = &region->reserved;
    uint64_t end = 0, bytes = 0;
    for (size_t i = 0; i < reserved->count; i++) {
        struct extent extent = reserved->items[i];
        if (extent.address < end)
            return "reserved extents overlap";
        if (!freespace_is_used(&region->space, extent))
            return "reserved space may be taken once more, or lies past the region's size";
        end = extent_end(extent);
        bytes += extent.size;
    }
    return bytes == reserved->bytes ? NULL : "reserved bytes are not counted";
}
