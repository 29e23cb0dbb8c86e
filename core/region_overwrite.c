/* Changes that put other bytes in the place of a blob. */
#include "core/iofile.h"
#include "core/region_private.h"

int region_store(struct region *region, uint64_t address, const void *bytes, uint64_t size,
                 struct err *err)
{
    struct extent block = {address, size};
    struct batch_need need = {
        .record = RECORD_EXTENT_EFFECT + size, .puts = 1, .pages = region_pages_of(size)};
    int code = region_check_writable(region, err);
    if (code == 0)
        code = region_check_used(region, block, err);
    if (code == 0 && size == 0)
        return region_staged_nothing(region, false, err);
    if (code == 0)
        code = region_prepare(region, &need, false, err);
    if (code != 0)
        return code;
    if (region_needs_own_batch(region, block, (struct extent){0, 0}) &&
        region_begin_own_batch(region, &need) != 0)
        return err_no_memory(err);
    batch_put(region->gathering, address, bytes, (size_t)size);
    return region_staged(region);
}

/* What a blob needs that goes over another, whose rest is freed or which gets more space. */
static struct batch_need overwrite_need(uint64_t size)
{
    return (struct batch_need){.record = 2 * RECORD_EXTENT_EFFECT + size,
                               .puts = 1,
                               .undos = 1,
                               .takes = 1,
                               .pages = region_pages_of(size)};
}

/* The blob goes elsewhere and the old block is freed. */
static int replace_elsewhere(struct region *region, struct extent block, const uint8_t *bytes,
                             uint64_t size, uint64_t *ret_address, struct err *err)
{
    struct batch_need need = region_blob_need(size);
    uint64_t address = 0;
    need.record += RECORD_EXTENT_EFFECT;
    need.undos++;
    int code = region_prepare(region, &need, false, err);
    if (code == 0)
        code = region_take(region, size, &address, err);
    struct extent fresh = {address, size}, direct = region_direct_part(fresh, size);
    if (code == 0)
        code = region_place(region, &need, fresh, &direct, err);
    if (code != 0)
        return code;
    if (freespace_give(&region->space, block) != 0)
        return region_give_back(region, fresh, err);
    region_stage_blob(region, fresh, direct, bytes);
    if (direct.size > 0)
        region->gathering->moves = true; /* one or the other */
    batch_gave(region->gathering, block);
    *ret_address = address;
    return region_staged(region);
}

/* The blob, which is not larger, goes where the old one was, and the rest is freed. */
static int replace_in_place(struct region *region, struct extent block, const uint8_t *bytes,
                            uint64_t size, uint64_t *ret_address, struct err *err)
{
    struct batch_need need = overwrite_need(size);
    struct extent rest = {block.address + size, block.size - size};
    int code = region_prepare(region, &need, false, err);
    if (code != 0)
        return code;
    if (region_needs_own_batch(region, (struct extent){block.address, size},
                               (struct extent){0, 0}) &&
        region_begin_own_batch(region, &need) != 0)
        return err_no_memory(err);
    if (rest.size > 0 && freespace_give(&region->space, rest) != 0)
        return err_no_memory(err);
    batch_put(region->gathering, block.address, bytes, (size_t)size);
    if (rest.size > 0)
        batch_gave(region->gathering, rest);
    *ret_address = block.address;
    return region_staged(region);
}

/* The blob is larger, and the bytes behind the old one are free. ERR_NO_SPACE when they are not. */
static int replace_and_grow(struct region *region, struct extent block, const uint8_t *bytes,
                            uint64_t size, uint64_t *ret_address, struct err *err)
{
    struct batch_need need = overwrite_need(size);
    int code = region_prepare(region, &need, false, err);
    if (code == 0)
        code = region_take_behind(region, block, size, err);
    if (code != 0)
        return code;
    struct extent behind = {extent_end(block), size - block.size}, direct = {0, 0};
    if (region_needs_own_batch(region, block, (struct extent){0, 0}) &&
        region_begin_own_batch(region, &need) != 0)
        return region_give_back(region, behind, err);
    code = region_place(region, &need, behind, &direct, err);
    if (code != 0)
        return code;
    region_took(region, behind);
    batch_put(region->gathering, block.address, bytes, (size_t)size);
    *ret_address = block.address;
    return region_staged(region);
}

static int replace(struct region *region, struct extent block, const void *bytes, uint64_t size,
                   uint64_t *ret_address, struct err *err)
{
    int code = region_check_writable(region, err);
    if (code == 0)
        code = region_check_used(region, block, err);
    if (code != 0)
        return code;
    if (block.size == 0)
        return region_add(region, bytes, size, ret_address, err);
    if (size == 0) {
        code = region_deallocate(region, block, err);
        if (code == 0)
            *ret_address = region->space.size;
        return code;
    }
    if (!region_is_large(size)) {
        if (size <= block.size)
            return replace_in_place(region, block, bytes, size, ret_address, err);
        code = replace_and_grow(region, block, bytes, size, ret_address, err);
        if (code != ERR_NO_SPACE)
            return code;
    }
    code = replace_elsewhere(region, block, bytes, size, ret_address, err);
    if (code == ERR_NO_SPACE && size <= block.size)
        code = replace_in_place(region, block, bytes, size, ret_address, err);
    return code;
}

int region_replace(struct region *region, struct extent block, const void *bytes, uint64_t size,
                   uint64_t *ret_address, struct err *err)
{
    region_hold_refusals(region);
    return region_release_refusals(region, replace(region, block, bytes, size, ret_address, err));
}
