/* Changes of a blob's size, which may take it to another place. */
#include "core/region_private.h"

static int shrink(struct region *region, struct extent block, uint64_t new_size,
                  uint64_t *ret_address, struct err *err)
{
    struct extent rest = {block.address + new_size, block.size - new_size};
    int code = region_deallocate(region, rest, err);
    if (code == 0)
        *ret_address = new_size > 0 ? block.address : region->space.size;
    return code;
}

static int grow_in_place(struct region *region, struct extent block, uint64_t new_size,
                         uint64_t *ret_address, struct err *err)
{
    struct extent behind = {extent_end(block), new_size - block.size}, direct = {0, 0};
    struct batch_need need = region_take_need(behind.size);
    int code = region_prepare(region, &need, false, err);
    if (code == 0)
        code = region_take_behind(region, block, new_size, err);
    if (code == 0)
        code = region_place(region, &need, behind, &direct, err);
    if (code != 0)
        return code;
    region_took(region, behind);
    *ret_address = block.address;
    return region_staged(region);
}

static void stage_copy(struct region *region, uint64_t from, struct extent fresh,
                       struct extent direct, uint64_t size)
{
    struct batch *batch = region->gathering;
    uint64_t to = fresh.address;
    bool is_own = extentset_overlaps(&batch->dirty, (struct extent){from, size});
    region_took(region, fresh);
    if (direct.size == 0) {
        batch_copy_journaled(batch, from, to, size, is_own);
        return;
    }
    uint64_t head = direct.address - to, tail = to + size - extent_end(direct);
    batch_copy_journaled(batch, from, to, head, is_own);
    batch_copy_direct(batch, from + head, direct.address, direct.size, is_own);
    batch_copy_journaled(batch, from + size - tail, extent_end(direct), tail, is_own);
}

static int grow_elsewhere(struct region *region, struct extent block, uint64_t new_size,
                          uint64_t *ret_address, struct err *err)
{
    struct batch_need need = region_blob_need(block.size);
    uint64_t address = 0;
    need.record += RECORD_EXTENT_EFFECT;
    need.copies = 3;
    need.undos++;
    need.pages += min_u64(region_pages_of(new_size), ZERO_SLOTS);
    int code = region_need_verified(region, block, err);
    if (code == 0)
        code = region_prepare(region, &need, false, err);
    if (code == 0)
        code = region_take(region, new_size, &address, err);
    struct extent fresh = {address, new_size};
    struct extent direct = region_direct_part((struct extent){address, block.size}, block.size);
    if (code == 0)
        code = region_place(region, &need, fresh, &direct, err);
    if (code != 0)
        return code;
    if (freespace_give(&region->space, block) != 0)
        return region_give_back(region, fresh, err);
    stage_copy(region, block.address, fresh, direct, block.size);
    batch_gave(region->gathering, block);
    *ret_address = address;
    return region_staged(region);
}

static int resize(struct region *region, struct extent block, uint64_t new_size,
                  uint64_t *ret_address, struct err *err)
{
    int code = region_check_writable(region, err);
    if (code == 0)
        code = region_check_used(region, block, err);
    if (code != 0)
        return code;
    if (block.size == 0)
        return region_allocate(region, new_size, ret_address, err);
    if (new_size == block.size) {
        *ret_address = block.address;
        return region_staged_nothing(region, false, err);
    }
    if (new_size < block.size)
        return shrink(region, block, new_size, ret_address, err);
    code = grow_in_place(region, block, new_size, ret_address, err);
    if (code == ERR_NO_SPACE)
        code = grow_elsewhere(region, block, new_size, ret_address, err);
    if (code != REGION_WAIT && !region->atomic.is_open)
        region_forget_verified(region);
    return code;
}

int region_resize(struct region *region, struct extent block, uint64_t new_size,
                  uint64_t *ret_address, struct err *err)
{
    region_hold_refusals(region);
    return region_release_refusals(region, resize(region, block, new_size, ret_address, err));
}
