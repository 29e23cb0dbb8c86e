#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "support_change.h"

/* ---- Choosing ---- */

/* Sizes where something changes: nothing, one byte, sectors, disk blocks, large blobs. */
static uint64_t choose_size(const struct change_weights *weights, struct rng *rng)
{
    uint64_t size;
    if (rng_chance(rng, weights->large_percent)) {
        size = LARGE_BLOB + rng_below(rng, 3 * DISK_BLOCK);
        size -= rng_chance(rng, 50) ? rng_below(rng, DISK_BLOCK) : 0;
        if (rng_chance(rng, 20))
            size *= rng_between(rng, 1, 4);
        return min_u64(size, weights->size_max);
    }
    switch (rng_below(rng, 8)) {
    case 0:
        size = rng_below(rng, 2);
        break;
    case 1:
    case 2:
        size = rng_between(rng, 1, 64);
        break;
    case 3:
        size = 512 * rng_between(rng, 1, 9) + rng_between(rng, 0, 2) - 1;
        break;
    case 4:
        size = DISK_BLOCK * rng_between(rng, 1, 3) + rng_between(rng, 0, 2) - 1;
        break;
    default:
        size = rng_between(rng, 1, 6000);
        break;
    }
    return min_u64(size, weights->size_max);
}

static struct extent choose_wrong_block(const struct shadow *shadow, struct rng *rng)
{
    struct extent block = {rng_below(rng, shadow->size + 100), rng_between(rng, 0, 3000)};
    switch (rng_below(rng, 6)) {
    case 0:
        block.address = UINT64_MAX - rng_below(rng, 4);
        break;
    case 1:
        block.size = UINT64_MAX - rng_below(rng, 4) - (rng_chance(rng, 50) ? block.address : 0);
        break;
    default:
        break;
    }
    return block;
}

/* Mostly a whole segment, sometimes with its neighbor, sometimes only a part of it. */
static struct extent choose_block(const struct shadow *shadow, struct rng *rng)
{
    size_t index = rng_below(rng, shadow->count);
    const struct segment *s = &shadow->segments[index];
    struct extent block = {s->address, s->size};
    if (rng_chance(rng, 10) && index + 1 < shadow->count && s[1].address == extent_end(block))
        block.size += s[1].size;
    if (rng_chance(rng, 15)) {
        uint64_t skip = rng_below(rng, block.size);
        block.address += skip;
        block.size = rng_between(rng, 1, block.size - skip);
    }
    return block;
}

static enum change_kind choose_kind(const struct shadow *shadow,
                                    const struct change_weights *weights, struct rng *rng)
{
    static const enum change_kind shrinking[] = {CHANGE_DEALLOCATE, CHANGE_DEALLOCATE,
                                                 CHANGE_DEALLOCATE, CHANGE_RESIZE,
                                                 CHANGE_REPLACE,    CHANGE_DEALLOCATE_RANGE};
    static const enum change_kind growing[] = {CHANGE_ADD,      CHANGE_ADD,    CHANGE_ADD,
                                               CHANGE_ALLOCATE, CHANGE_RESIZE, CHANGE_REPLACE};
    if (rng_below(rng, 200) == 0)
        return CHANGE_CLEAR;
    if (rng_chance(rng, 2))
        return CHANGE_GROW;
    if (rng_chance(rng, 15))
        return CHANGE_STORE;
    bool full = shadow_used(shadow) > weights->live_target;
    if (rng_chance(rng, full ? 75 : 35))
        return shrinking[rng_below(rng, sizeof shrinking / sizeof shrinking[0])];
    return growing[rng_below(rng, sizeof growing / sizeof growing[0])];
}

struct change change_choose(const struct shadow *shadow, const struct change_weights *weights,
                            struct rng *rng, uint64_t content)
{
    struct change change = {.kind = choose_kind(shadow, weights, rng), .content = content};
    change.size = choose_size(weights, rng);
    change.has_token = content % 3 == 0;
    if (shadow->count == 0 || rng_chance(rng, weights->bad_percent))
        change.block = choose_wrong_block(shadow, rng);
    else
        change.block = choose_block(shadow, rng);
    switch (change.kind) {
    case CHANGE_DEALLOCATE_RANGE:
        if (rng_chance(rng, 90))
            change.block.size = rng_between(rng, 0, 4000);
        break;
    case CHANGE_CLEAR:
        change.size = rng_chance(rng, 50) ? 0 : rng_below(rng, shadow->size + 10);
        break;
    case CHANGE_GROW:
        change.size = rng_below(rng, 4);
        break;
    case CHANGE_STORE:
        change.size = change.block.size;
        if (change.size > shadow->size) /* a blob that cannot be */
            change.size = change.block.size = rng_between(rng, 0, 1000);
        break;
    default:
        break;
    }
    if (change.kind == CHANGE_ADD || change.kind == CHANGE_STORE || change.kind == CHANGE_REPLACE) {
        change.bytes = malloc(max_u64(change.size, 1));
        if (change.bytes == NULL)
            abort();
        content_fill(content, 0, change.bytes, change.size);
    }
    return change;
}

/* Whoever still reads the bytes shall notice. */
void change_release(struct change *change)
{
    if (change->bytes != NULL)
        memset(change->bytes, 0xdb, change->size);
    free(change->bytes);
    change->bytes = NULL;
}

/* ---- Staging ---- */

static uint64_t range_end(const struct change *change)
{
    /* Wraps for a wrong block: start > end is one more wrong request. */
    return change->block.address + change->block.size;
}

enum err_code change_expect(const struct shadow *shadow, const struct change *change)
{
    switch (change->kind) {
    case CHANGE_DEALLOCATE:
    case CHANGE_RESIZE:
    case CHANGE_STORE:
    case CHANGE_REPLACE:
        return shadow_expect(shadow, change->block);
    case CHANGE_DEALLOCATE_RANGE:
        return range_end(change) > shadow->size || change->block.address > range_end(change)
                   ? ERR_OUT_OF_BOUNDS
                   : ERR_OK;
    case CHANGE_CLEAR:
        return change->size > shadow->size ? ERR_OUT_OF_BOUNDS : ERR_OK;
    default:
        return ERR_OK;
    }
}

static int stage(struct region *region, const struct change *change, uint64_t *ret_value,
                 struct err *err)
{
    switch (change->kind) {
    case CHANGE_ALLOCATE:
        return region_allocate(region, change->size, ret_value, err);
    case CHANGE_ADD:
        return region_add(region, change->bytes, change->size, ret_value, err);
    case CHANGE_DEALLOCATE:
        return region_deallocate(region, change->block, err);
    case CHANGE_RESIZE:
        return region_resize(region, change->block, change->size, ret_value, err);
    case CHANGE_STORE:
        return region_store(region, change->block.address, change->bytes, change->size, err);
    case CHANGE_REPLACE:
        return region_replace(region, change->block, change->bytes, change->size, ret_value, err);
    case CHANGE_DEALLOCATE_RANGE:
        return region_deallocate_range(region, change->block.address, range_end(change), ret_value,
                                       err);
    case CHANGE_CLEAR:
        return region_clear(region, change->size, err);
    case CHANGE_GROW:
        return region_grow(region, change->size, ret_value, err);
    default:
        abort();
    }
}

int change_stage(struct region *region, const struct change *change, uint64_t *ret_value,
                 struct err *err)
{
    uint8_t id[16], answer[SHADOW_ANSWER_MAX];
    if (!change->has_token)
        return stage(region, change, ret_value, err);
    size_t size = shadow_token_answer(change->content, answer);
    int code = region_token_expect(region, size, err);
    if (code == 0)
        code = stage(region, change, ret_value, err);
    shadow_token_id(change->content, id);
    if (code == 0)
        region_token_keep(region, id, SHADOW_FINGERPRINT(change->content), answer, size);
    else
        (void)region_token_expect(region, 0, &(struct err){0});
    return code;
}

static const char *apply(struct shadow *shadow, const struct change *change, uint64_t value)
{
    struct extent block = change->block;
    switch (change->kind) {
    case CHANGE_ALLOCATE:
        return shadow_take(shadow, change->size, value, 0);
    case CHANGE_ADD:
        return shadow_take(shadow, change->size, value, change->content);
    case CHANGE_DEALLOCATE:
        shadow_free(shadow, block.address, extent_end(block));
        return NULL;
    case CHANGE_RESIZE:
        return shadow_resize(shadow, block, change->size, value);
    case CHANGE_STORE:
        shadow_store(shadow, block, change->content);
        return NULL;
    case CHANGE_REPLACE:
        return shadow_replace(shadow, block, change->size, value, change->content);
    case CHANGE_DEALLOCATE_RANGE:
        return shadow_free(shadow, block.address, extent_end(block)) == value
                   ? NULL
                   : "a wrong number of bytes freed";
    case CHANGE_CLEAR:
        shadow_free(shadow, change->size, shadow->size);
        return NULL;
    case CHANGE_GROW: {
        uint64_t before = shadow->pages;
        shadow_grow(shadow, change->size);
        return before == value ? NULL : "a wrong number of pages before";
    }
    default:
        abort();
    }
}

const char *change_apply(struct shadow *shadow, const struct change *change, uint64_t value)
{
    if (change->has_token)
        shadow_keep_token(shadow, change->content);
    return apply(shadow, change, value);
}

void change_print(const struct change *change, FILE *out)
{
    static const char *const names[CHANGE_KINDS] = {
        "allocate",        "add",   "deallocate", "resize", "store", "replace",
        "deallocateRange", "clear", "grow",       "atomic"};
    fprintf(out, "%s%s block [%llu, +%llu) size %llu content %llu",
            change->has_token ? "with a token: " : "", names[change->kind],
            (unsigned long long)change->block.address, (unsigned long long)change->block.size,
            (unsigned long long)change->size, (unsigned long long)change->content);
}
