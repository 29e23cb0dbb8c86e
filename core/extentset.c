#include "core/extentset.h"

#include "core/bytes.h"

void extentset_init(struct extentset *set)
{
    maxtree_init(&set->tree);
    set->low = UINT64_MAX;
    set->high = 0;
    set->everything = false;
}

void extentset_release(struct extentset *set)
{
    maxtree_release(&set->tree);
}

void extentset_clear(struct extentset *set)
{
    maxtree_release(&set->tree);
    extentset_init(set);
}

bool extentset_is_empty(const struct extentset *set)
{
    return !set->everything && set->high == 0;
}

static bool is_outside(const struct extentset *set, struct extent extent)
{
    return extent.address >= set->high || extent_end(extent) <= set->low;
}

int extentset_add(struct extentset *set, struct extent extent)
{
    struct extent gap;
    int result = 0;
    if (extent.size == 0 || set->everything)
        return 0;
    while (result == 0 && extentset_gap(set, extent, &gap)) {
        result = maxtree_add(&set->tree, gap);
        set->low = min_u64(set->low, gap.address);
        set->high = max_u64(set->high, extent_end(gap));
        extent.size = extent_end(extent) - extent_end(gap);
        extent.address = extent_end(gap);
    }
    if (result != 0)
        set->everything = true;
    return result;
}

bool extentset_overlaps_inside(const struct extentset *set, struct extent extent)
{
    struct extent block;
    if (extent.size == 0)
        return false;
    if (set->everything)
        return true;
    return maxtree_seek(&set->tree, extent.address, &block) && block.address < extent_end(extent);
}

bool extentset_gap(const struct extentset *set, struct extent extent, struct extent *ret_gap)
{
    struct extent block;
    uint64_t start = extent.address, end = extent_end(extent);
    if (extent.size == 0 || set->everything)
        return false;
    if (!is_outside(set, extent) && maxtree_seek(&set->tree, start, &block)) {
        if (block.address <= start) {
            start = extent_end(block);
            if (start >= end)
                return false;
            if (maxtree_seek(&set->tree, start, &block))
                end = min_u64(end, block.address);
        } else {
            end = min_u64(end, block.address);
        }
    }
    *ret_gap = (struct extent){start, end - start};
    return true;
}
