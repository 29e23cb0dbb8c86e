#include "daemon/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "daemon/fingerprint.h"
#include "daemon/regions.h"
#include "proto/changes.h"

/* Pieces in use that are listed in one go. */
#define STRETCH 64

/* ---- Slots ---- */

static size_t array_header_size(uint32_t count)
{
    uint8_t header[PACK_HEADER_MAX];
    return (size_t)(pack_array_header(header, count) - header);
}

static size_t bin_header_size(uint64_t size)
{
    uint8_t header[PACK_HEADER_MAX];
    return (size_t)(pack_bin_header(header, (uint32_t)size) - header);
}

static struct extent block_of(const struct rpc_call *change)
{
    return (struct extent){change->params[1].number, change->params[2].number};
}

/* Whether the change's result is bytes that somebody wants. */
static bool brings_bytes(const struct plan *plan, const struct rpc_call *change)
{
    return plan->removes > 0 && change->method == METHOD_REMOVE_BLOB;
}

static uint64_t slot_size(const struct plan *plan, const struct rpc_call *change)
{
    if (brings_bytes(plan, change)) {
        uint64_t size = block_of(change).size;
        return bin_header_size(size) + size;
    }
    return change_result_type(change->method) == RESULT_UINT ? PACK_UINT_MAX : 1;
}

/* The next change, which was looked at before. */
static void next_change(struct changes *changes, struct rpc_call *ret)
{
    struct err err;
    int code = changes_next(changes, ret, &err);
    assert(code == 0);
    (void)code;
}

/* ---- Looking at the changes ---- */

static bool is_of_region(const struct rpc_call *change, const struct region_entry *entry)
{
    const struct rpc_param *region = &change->params[0];
    if (!change->has_region)
        return true;
    if (region->bytes == NULL)
        return region->number == entry->id;
    return region->size == strlen(entry->name) &&
           memcmp(region->bytes, entry->name, region->size) == 0;
}

/* How much a removeBlob is going to answer. */
static int check_remove(const struct plan *plan, const struct region_entry *entry,
                        struct extent block, uint64_t read_max, struct err *err)
{
    uint64_t after;
    if (block.size <= read_max - plan->read_bytes)
        return 0;
    if (block.size > read_max) { /* of which it may have no block at all */
        int code = region_load_begin(entry->region, block, &after, err);
        if (code != 0)
            return code;
    }
    return err_set(err, ERR_TOO_LARGE,
                   "the blobs that a batch removes may have at most %" PRIu64
                   " bytes together: load them first, then deallocate",
                   read_max);
}

static int add_change(struct plan *plan, const struct region_entry *entry,
                      const struct rpc_call *change, uint64_t read_max, struct err *err)
{
    uint64_t blob = change_blob_size(change);
    if (!is_of_region(change, entry))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "names another region than its batch, which is of %s", entry->name);
    plan->blob_bytes += blob;
    plan->is_large |= blob >= LARGE_BLOB;
    if (plan->answers && change->method == METHOD_REMOVE_BLOB) {
        int code = check_remove(plan, entry, block_of(change), read_max, err);
        if (code != 0)
            return code;
        plan->removes++;
        plan->read_bytes += block_of(change).size;
    }
    plan->result_size += slot_size(plan, change);
    return 0;
}

int plan_init(struct plan *plan, const struct rpc_param *param, const struct region_entry *entry,
              bool answers, uint64_t read_max, uint64_t *fingerprint, struct err *err)
{
    struct changes changes;
    struct rpc_call change;
    changes_init(&changes, param);
    *plan = (struct plan){
        .changes = *param, .answers = answers, .result_size = array_header_size(changes.count)};
    while (changes.index < changes.count) {
        uint32_t index = changes.index;
        int code = changes_next(&changes, &change, err);
        if (code != 0)
            return code;
        if (add_change(plan, entry, &change, read_max, err) != 0)
            return changes_fail(index, change.method, err);
        if (fingerprint != NULL)
            *fingerprint = fingerprint_add(*fingerprint, &change);
    }
    return 0;
}

struct plan *plan_new(const struct plan *plan)
{
    struct plan *copy = malloc(sizeof *copy);
    if (copy != NULL)
        *copy = *plan;
    return copy;
}

void plan_charge(struct plan *plan, struct budget *budget)
{
    plan->charged = sizeof *plan + plan->parts_capacity * sizeof plan->parts[0] +
                    plan->changes.number * sizeof plan->given[0];
    budget_add(budget, plan->charged);
}

void plan_free(struct plan *plan, struct budget *budget)
{
    if (plan == NULL)
        return;
    budget_give(budget, plan->charged);
    free(plan->parts);
    free(plan->given);
    free(plan);
}

/* ---- Reading ---- */

struct parts {
    struct plan_part *items;
    size_t count, capacity;
    size_t limit;
};

static int add_part(struct parts *parts, struct region *region, struct plan_part part,
                    struct err *err)
{
    uint64_t after;
    int code = region_load_begin(region, part.block, &after, err);
    if (code != 0)
        return code;
    if (after != 0)
        return REGION_WAIT;
    if (parts->count == parts->limit)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the blocks that the batch removes are in too many pieces: deallocate them");
    if (parts->count == parts->capacity) {
        size_t capacity = parts->capacity == 0 ? 8 : 2 * parts->capacity;
        struct plan_part *items = realloc(parts->items, capacity * sizeof items[0]);
        if (items == NULL)
            return err_set(err, ERR_INTERNAL, "out of memory");
        parts->items = items;
        parts->capacity = capacity;
    }
    parts->items[parts->count++] = part;
    return 0;
}

/* A block of which only some bytes are in use, or none: the batch itself is to fill it first. */
static int add_pieces(struct parts *parts, struct region *region, struct plan_part whole,
                      struct err *err)
{
    struct extent pieces[STRETCH];
    uint64_t at = whole.block.address, size = region_size(region);
    size_t count;
    if (at >= size)
        return 0;
    uint64_t end = at + min_u64(whole.block.size, size - at);
    do {
        int code = region_allocated_blocks(region, at, end, pieces, STRETCH, &count, err);
        for (size_t i = 0; i < count && code == 0; i++) {
            struct plan_part part = whole;
            part.block = pieces[i];
            part.to += pieces[i].address - whole.block.address;
            code = add_part(parts, region, part, err);
            at = extent_end(pieces[i]);
        }
        if (code != 0)
            return code;
    } while (count == STRETCH);
    return 0;
}

static int add_block(struct parts *parts, struct region *region, struct plan_part whole,
                     struct err *err)
{
    bool is_whole = false;
    struct err ignored;
    if (whole.block.size == 0)
        return 0;
    if (region_is_allocated(region, whole.block, &is_whole, &ignored) == 0 && is_whole)
        return add_part(parts, region, whole, err);
    return add_pieces(parts, region, whole, err);
}

static int collect(struct parts *parts, const struct plan *plan, struct region *region,
                   uint8_t *results, struct err *err)
{
    struct changes changes;
    struct rpc_call change;
    changes_init(&changes, &plan->changes);
    uint8_t *slot = results + array_header_size(changes.count);
    while (changes.index < changes.count) {
        struct plan_part whole = {.index = changes.index};
        next_change(&changes, &change);
        uint64_t size = slot_size(plan, &change);
        if (change.method == METHOD_REMOVE_BLOB) {
            whole.block = block_of(&change);
            whole.to = slot + size - whole.block.size;
            int code = add_block(parts, region, whole, err);
            if (code > 0)
                return changes_fail(whole.index, change.method, err);
            if (code != 0)
                return code;
        }
        slot += size;
    }
    return 0;
}

static bool is_same(const struct plan *plan, const struct parts *parts)
{
    if (plan->parts_count != parts->count)
        return false;
    for (size_t i = 0; i < parts->count; i++) {
        const struct plan_part *a = &plan->parts[i], *b = &parts->items[i];
        if (a->block.address != b->block.address || a->block.size != b->block.size ||
            a->to != b->to)
            return false;
    }
    return true;
}

int plan_collect(struct plan *plan, struct region *region, uint8_t *results, bool *ret_is_new,
                 struct err *err)
{
    /* A block in use is one piece, and each hole in one needs a change to fill it. */
    struct parts parts = {.limit = 2 * (size_t)plan->changes.number};
    int code = collect(&parts, plan, region, results, err);
    *ret_is_new = code == 0 && !is_same(plan, &parts);
    if (!*ret_is_new) {
        free(parts.items);
        return code;
    }
    free(plan->parts);
    plan->parts = parts.items;
    plan->parts_count = parts.count;
    plan->parts_capacity = parts.capacity;
    return 0;
}

/* What is in nobody's use before the batch answers zeros, wherever the batch puts nothing: not what
 * an attempt before has left there. */
static void clear_results(const struct plan *plan, uint8_t *results)
{
    struct changes changes;
    struct rpc_call change;
    size_t part = 0;
    changes_init(&changes, &plan->changes);
    uint8_t *slot = results + array_header_size(changes.count);
    while (changes.index < changes.count) {
        uint32_t index = changes.index;
        next_change(&changes, &change);
        uint64_t size = slot_size(plan, &change);
        if (change.method == METHOD_REMOVE_BLOB) {
            uint64_t bytes = block_of(&change).size;
            bool is_whole = part < plan->parts_count && plan->parts[part].index == index &&
                            plan->parts[part].block.size == bytes;
            if (!is_whole)
                memset(slot + size - bytes, 0, (size_t)bytes);
        }
        while (part < plan->parts_count && plan->parts[part].index == index)
            part++;
        slot += size;
    }
}

bool plan_read_now(struct plan *plan, struct region *region, uint8_t *results)
{
    clear_results(plan, results);
    uint64_t total = 0;
    bool is_whole = true;
    for (size_t i = 0; i < plan->parts_count; i++) {
        struct plan_part *part = &plan->parts[i];
        size_t size = (size_t)part->block.size;
        total += size;
        part->filled = 0;
        if (total <= READ_AT_ONCE)
            part->filled = region_read_now(region, part->block.address, part->to, size);
        is_whole &= part->filled == size;
    }
    return is_whole;
}

int plan_read(struct plan *plan, struct region *region, uint64_t *ret_damaged, struct err *err)
{
    *ret_damaged = UINT64_MAX;
    for (size_t i = 0; i < plan->parts_count; i++) {
        struct plan_part *part = &plan->parts[i];
        size_t filled = part->filled, size = (size_t)part->block.size;
        if (filled == size)
            continue;
        if (region_read(region, part->block.address + filled, part->to + filled, size - filled,
                        ret_damaged, err) != 0)
            return changes_fail(part->index, METHOD_REMOVE_BLOB, err);
        part->filled = size;
    }
    return 0;
}

void plan_pin(struct plan *plan, struct region *region)
{
    for (size_t i = 0; i < plan->parts_count; i++)
        region_pin(region, &plan->parts[i].pin, plan->parts[i].block);
}

void plan_unpin(struct plan *plan, struct region *region)
{
    for (size_t i = 0; i < plan->parts_count; i++)
        region_unpin(region, &plan->parts[i].pin);
}

/* ---- Staging ---- */

static void gave(struct plan *plan, uint64_t address, uint64_t size, const uint8_t *bytes)
{
    if (plan->removes > 0 && size > 0)
        plan->given[plan->given_count++] =
            (struct plan_given){.block = {address, size}, .bytes = bytes};
}

/* Notes what the change has put where. */
static void note_given(struct plan *plan, const struct rpc_call *change, uint64_t address)
{
    const struct rpc_param *params = change->params;
    switch (change->method) {
    case METHOD_ADD_BLOB:
        gave(plan, address, params[1].size, params[1].bytes);
        break;
    case METHOD_STORE_BLOB:
        gave(plan, params[1].number, params[2].size, params[2].bytes);
        break;
    case METHOD_REPLACE_BLOB:
        gave(plan, address, params[3].size, params[3].bytes);
        break;
    case METHOD_RESIZE:
        if (address != params[1].number)
            gave(plan, address, params[3].number, NULL);
        break;
    default:
        break;
    }
}

/* Lays what earlier changes gave over a removeBlob's bytes. */
static int overlay(const struct plan *plan, struct extent block, uint8_t *bytes, struct err *err)
{
    for (size_t i = 0; i < plan->given_count; i++) {
        const struct plan_given *given = &plan->given[i];
        uint64_t from = max_u64(given->block.address, block.address);
        uint64_t to = min_u64(extent_end(given->block), extent_end(block));
        if (from >= to)
            continue;
        if (given->bytes == NULL)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "block [%" PRIu64 ", +%" PRIu64 ") overlaps one that a resize of the "
                           "same batch has moved, whose bytes cannot be answered: deallocate it",
                           block.address, block.size);
        memcpy(bytes + (from - block.address), given->bytes + (from - given->block.address),
               (size_t)(to - from));
    }
    return 0;
}

static int stage_change(struct plan *plan, struct region *region, const struct rpc_call *change,
                        uint8_t *slot, struct err *err)
{
    struct change_result result;
    int code = change_stage(region, change, &result, err);
    if (code != 0 || !plan->answers)
        return code;
    if (brings_bytes(plan, change)) {
        struct extent block = block_of(change);
        return overlay(plan, block, slot + bin_header_size(block.size), err);
    }
    if (result.type == RESULT_UINT)
        memcpy(slot, &result.number, sizeof result.number);
    note_given(plan, change, result.number);
    return 0;
}

static int stage_all(struct plan *plan, struct region *region, uint8_t *results, struct err *err)
{
    struct changes changes;
    struct rpc_call change;
    changes_init(&changes, &plan->changes);
    uint8_t *slot = plan->answers ? results + array_header_size(changes.count) : NULL;
    plan->given_count = 0;
    while (changes.index < changes.count) {
        uint32_t index = changes.index;
        next_change(&changes, &change);
        int code = stage_change(plan, region, &change, slot, err);
        if (code != 0)
            return code > 0 ? changes_fail(index, change.method, err) : code;
        if (plan->answers)
            slot += slot_size(plan, &change);
    }
    return 0;
}

int plan_stage(struct plan *plan, struct region *region, uint8_t *results, struct err *err)
{
    if (plan->removes > 0 && plan->given == NULL) {
        plan->given = calloc((size_t)plan->changes.number, sizeof plan->given[0]);
        if (plan->given == NULL)
            return err_set(err, ERR_INTERNAL, "batch: out of memory");
    }
    int code = region_atomic_begin(region, plan->blob_bytes, err);
    if (code != 0)
        return code;
    code = stage_all(plan, region, results, err);
    region_atomic_end(region, code == 0);
    return code;
}

/* A result is never moved to the right: before it there is room for the largest that it may be. */
size_t plan_pack(const struct plan *plan, uint8_t *results)
{
    struct changes changes;
    struct rpc_call change;
    changes_init(&changes, &plan->changes);
    uint8_t *to = pack_array_header(results, changes.count);
    const uint8_t *slot = to;
    while (changes.index < changes.count) {
        struct change_result result = {0};
        next_change(&changes, &change);
        uint64_t slot_bytes = slot_size(plan, &change);
        if (brings_bytes(plan, &change)) {
            size_t size = (size_t)block_of(&change).size;
            to = pack_bin_header(to, (uint32_t)size);
            memmove(to, slot + slot_bytes - size, size);
            to += size;
        } else {
            result.type = change_result_type(change.method);
            if (result.type == RESULT_UINT)
                memcpy(&result.number, slot, sizeof result.number);
            to += change_pack(to, &result);
        }
        slot += slot_bytes;
    }
    return (size_t)(to - results);
}
