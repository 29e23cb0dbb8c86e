#include "core/pagecache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"

/* Pages that are allocated at a time. */
#define CHUNK_PAGES 16
#define INDEX_MIN 64

void pagecache_init(struct pagecache *cache)
{
    *cache = (struct pagecache){0};
}

static void forget(struct pagecache *cache)
{
    for (size_t i = 0; i < cache->chunk_count; i++)
        free(cache->chunks[i]);
    free(cache->chunks);
    free(cache->slots);
    free(cache->index);
    *cache = (struct pagecache){.limit = cache->limit};
}

void pagecache_release(struct pagecache *cache)
{
    forget(cache);
}

void pagecache_set_limit(struct pagecache *cache, uint64_t bytes)
{
    cache->limit = (size_t)min_u64(bytes / DATA_PAGE, UINT32_MAX / 4);
    if (cache->slot_count > cache->limit)
        forget(cache);
}

static uint8_t *bytes_of_slot(const struct pagecache *cache, size_t slot)
{
    return cache->chunks[slot / CHUNK_PAGES] + slot % CHUNK_PAGES * DATA_PAGE;
}

/* Fibonacci hashing. */
static size_t home_of(const struct pagecache *cache, uint64_t page)
{
    return (size_t)((page * 0x9e3779b97f4a7c15u) >> 32) & (cache->index_size - 1);
}

/* Where the page stands in the index, or the empty place where it would. */
static size_t place_of(const struct pagecache *cache, uint64_t page)
{
    size_t at = home_of(cache, page);
    while (cache->index[at] != 0 && cache->slots[cache->index[at] - 1].page != page)
        at = (at + 1) & (cache->index_size - 1);
    return at;
}

/* Its number + 1, or 0. */
static size_t find(const struct pagecache *cache, uint64_t page)
{
    return cache->used == 0 ? 0 : cache->index[place_of(cache, page)];
}

const uint8_t *pagecache_find(struct pagecache *cache, uint64_t page)
{
    size_t slot = find(cache, page);
    if (slot == 0)
        return NULL;
    cache->slots[slot - 1].is_referenced = true;
    return bytes_of_slot(cache, slot - 1);
}

uint8_t *pagecache_edit(struct pagecache *cache, uint64_t page)
{
    size_t slot = find(cache, page);
    return slot == 0 ? NULL : bytes_of_slot(cache, slot - 1);
}

bool pagecache_is_full(const struct pagecache *cache)
{
    return cache->slot_count >= cache->limit;
}

/* Takes the entry at a place out of the index; those behind it move up. */
static void take_out(struct pagecache *cache, size_t at)
{
    size_t mask = cache->index_size - 1, next = at;
    cache->slots[cache->index[at] - 1].is_used = false;
    cache->used--;
    for (;;) {
        next = (next + 1) & mask;
        if (cache->index[next] == 0)
            break;
        size_t home = home_of(cache, cache->slots[cache->index[next] - 1].page);
        /* It may move to the gap unless its home lies behind that. */
        if (((next - home) & mask) >= ((next - at) & mask)) {
            cache->index[at] = cache->index[next];
            at = next;
        }
    }
    cache->index[at] = 0;
}

static int grow_index(struct pagecache *cache)
{
    size_t size = cache->index_size == 0 ? INDEX_MIN : cache->index_size * 2;
    if (cache->used * 2 < cache->index_size)
        return 0;
    uint32_t *index = calloc(size, sizeof index[0]);
    if (index == NULL)
        return -ENOMEM;
    free(cache->index);
    cache->index = index;
    cache->index_size = size;
    for (size_t i = 0; i < cache->slot_count; i++)
        if (cache->slots[i].is_used)
            index[place_of(cache, cache->slots[i].page)] = (uint32_t)i + 1;
    return 0;
}

/* One chunk more. */
static int add_chunk(struct pagecache *cache)
{
    struct pagecache_slot *slots = array_grown(cache->slots, &cache->slot_capacity,
                                               cache->slot_count + CHUNK_PAGES, sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    cache->slots = slots;
    uint8_t **chunks = array_grown(cache->chunks, &cache->chunk_capacity, cache->chunk_count + 1,
                                   sizeof chunks[0]);
    if (chunks == NULL)
        return -ENOMEM;
    cache->chunks = chunks;
    chunks[cache->chunk_count] = malloc((size_t)CHUNK_PAGES * DATA_PAGE);
    if (chunks[cache->chunk_count] == NULL)
        return -ENOMEM;
    cache->chunk_count++;
    return 0;
}

/* A slot to use; false when there is none to be had. */
static bool find_slot(struct pagecache *cache, size_t *ret_slot)
{
    if (cache->slot_count < cache->limit &&
        (cache->slot_count < cache->chunk_count * CHUNK_PAGES || add_chunk(cache) == 0)) {
        *ret_slot = cache->slot_count++;
        return true;
    }
    if (cache->slot_count == 0)
        return false;
    for (;;) {
        struct pagecache_slot *slot = &cache->slots[cache->hand];
        size_t number = cache->hand;
        cache->hand = (cache->hand + 1) % cache->slot_count;
        if (slot->is_used && slot->is_referenced) {
            slot->is_referenced = false;
            continue;
        }
        if (slot->is_used)
            take_out(cache, place_of(cache, slot->page));
        *ret_slot = number;
        return true;
    }
}

uint8_t *pagecache_spare(struct pagecache *cache)
{
    size_t slot;
    if (cache->spare == 0) {
        if (cache->limit == 0 || grow_index(cache) != 0 || !find_slot(cache, &slot))
            return NULL;
        cache->slots[slot] = (struct pagecache_slot){0};
        cache->spare = slot + 1;
    }
    return bytes_of_slot(cache, cache->spare - 1);
}

void pagecache_keep(struct pagecache *cache, uint64_t page)
{
    size_t slot = cache->spare - 1;
    assert(cache->spare > 0);
    cache->slots[slot] = (struct pagecache_slot){.page = page, .is_used = true};
    cache->index[place_of(cache, page)] = (uint32_t)slot + 1;
    cache->used++;
    cache->spare = 0;
}

void pagecache_insert(struct pagecache *cache, uint64_t page, const uint8_t *bytes)
{
    uint8_t *spare = pagecache_spare(cache);
    if (spare == NULL)
        return;
    memcpy(spare, bytes, DATA_PAGE);
    pagecache_keep(cache, page);
}

static void drop(struct pagecache *cache, uint64_t page)
{
    size_t at = place_of(cache, page);
    if (cache->index[at] != 0)
        take_out(cache, at);
}

void pagecache_drop(struct pagecache *cache, struct page_run run)
{
    if (run.count > cache->slot_count) {
        for (size_t i = 0; i < cache->slot_count; i++)
            if (cache->slots[i].is_used && cache->slots[i].page - run.first < run.count)
                drop(cache, cache->slots[i].page);
        return;
    }
    for (uint64_t i = 0; i < run.count && cache->used > 0; i++)
        drop(cache, run.first + i);
}

size_t pagecache_memory(const struct pagecache *cache)
{
    return cache->chunk_count * CHUNK_PAGES * DATA_PAGE +
           cache->slot_capacity * sizeof cache->slots[0] +
           cache->chunk_capacity * sizeof cache->chunks[0] +
           cache->index_size * sizeof cache->index[0];
}
