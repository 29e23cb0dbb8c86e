#include "core/pagecache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/array.h"
#include "core/bytes.h"

/* Pages of a chunk. It is address space: memory is taken by the page as slots are used for the
 * first time. */
#define CHUNK_PAGES ((size_t)16 * MIB / DATA_PAGE)
/* From the second such piece of a chunk on memory is taken by whole pieces, if the system has such
 * pages: with a 64-bit table entry for each 4 KiB, finding these takes longer than reading them. */
#define HUGE_PAGE ((size_t)2 * MIB)
#define INDEX_MIN 64

struct pagecache_chunk {
    struct pagecache *cache; /* NULL: it lives for those who hold pages of it */
    size_t first;            /* slot */
    size_t holds;            /* of all its slots */
    uint8_t *bytes;
};

void pagecache_init(struct pagecache *cache)
{
    *cache = (struct pagecache){0};
}

/* Aligned to HUGE_PAGE. */
static uint8_t *map_bytes(void)
{
    size_t size = CHUNK_PAGES * DATA_PAGE;
    char *base = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    size_t before = (size_t)(round_up((uintptr_t)base, HUGE_PAGE) - (uintptr_t)base);
    if (before > 0)
        (void)munmap(base, before);
    (void)munmap(base + before + size, HUGE_PAGE - before);
    (void)madvise(base + before + HUGE_PAGE, size - HUGE_PAGE, MADV_HUGEPAGE);
    return (uint8_t *)base + before;
}

static void free_chunk(struct pagecache_chunk *chunk)
{
    (void)munmap(chunk->bytes, CHUNK_PAGES * DATA_PAGE);
    free(chunk);
}

/* It lives on for what is held of it; the other slots' memory is given back. */
static void part_from_chunk(struct pagecache *cache, struct pagecache_chunk *chunk)
{
    chunk->cache = NULL;
    for (size_t i = 0; i < CHUNK_PAGES && chunk->first + i < cache->slot_count; i++)
        if (cache->slots[chunk->first + i].holds == 0)
            (void)madvise(chunk->bytes + i * DATA_PAGE, DATA_PAGE, MADV_DONTNEED);
}

static void forget(struct pagecache *cache)
{
    for (size_t i = 0; i < cache->chunk_count; i++)
        if (cache->chunks[i]->holds == 0)
            free_chunk(cache->chunks[i]);
        else
            part_from_chunk(cache, cache->chunks[i]);
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
    return cache->chunks[slot / CHUNK_PAGES]->bytes + slot % CHUNK_PAGES * DATA_PAGE;
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

bool pagecache_has_room(const struct pagecache *cache, size_t count)
{
    if (count > cache->limit)
        return false;
    return cache->slot_count <= cache->limit - count ||
           cache->used + count <= cache->limit - cache->limit / 4;
}

bool pagecache_is_full(const struct pagecache *cache)
{
    return cache->slot_count >= cache->limit && cache->free == 0;
}

/* Nobody needs the slot's bytes any more. */
static void give_back(struct pagecache *cache, size_t slot)
{
    cache->slots[slot].page = cache->free;
    cache->free = slot + 1;
}

/* Takes the entry at a place out of the index; those behind it move up. The slot is free once
 * nobody holds it. */
static void take_out(struct pagecache *cache, size_t at)
{
    size_t mask = cache->index_size - 1, next = at, slot = cache->index[at] - 1;
    cache->slots[slot].is_used = false;
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
    if (cache->slots[slot].holds == 0)
        give_back(cache, slot);
}

static int grow_index(struct pagecache *cache)
{
    size_t size = cache->index_size == 0 ? INDEX_MIN : cache->index_size * 2;
    /* by slots: those that are held may all get into it */
    if (cache->slot_count * 2 < cache->index_size)
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

/* Room for one slot more. */
static int make_room(struct pagecache *cache)
{
    struct pagecache_slot *slots =
        array_grown(cache->slots, &cache->slot_capacity, cache->slot_count + 1, sizeof *slots);
    if (slots == NULL)
        return -ENOMEM;
    cache->slots = slots;
    if (cache->slot_count < cache->chunk_count * CHUNK_PAGES)
        return 0;
    struct pagecache_chunk **chunks = array_grown(cache->chunks, &cache->chunk_capacity,
                                                  cache->chunk_count + 1, sizeof chunks[0]);
    if (chunks == NULL)
        return -ENOMEM;
    cache->chunks = chunks;
    struct pagecache_chunk *chunk = malloc(sizeof *chunk);
    uint8_t *bytes = chunk == NULL ? NULL : map_bytes();
    if (bytes == NULL) {
        free(chunk);
        return -ENOMEM;
    }
    *chunk = (struct pagecache_chunk){cache, cache->chunk_count * CHUNK_PAGES, 0, bytes};
    chunks[cache->chunk_count++] = chunk;
    return 0;
}

/* The hand takes a page out that nobody holds and nobody asked for lately; so its slot is free.
 * Whether there was one. */
static bool evict(struct pagecache *cache)
{
    /* once to find out that all were asked for, and once again */
    for (size_t steps = 2 * cache->slot_count; steps > 0; steps--) {
        struct pagecache_slot *slot = &cache->slots[cache->hand];
        cache->hand = cache->hand + 1 < cache->slot_count ? cache->hand + 1 : 0;
        if (!slot->is_used || slot->holds > 0)
            continue;
        if (!slot->is_referenced) {
            take_out(cache, place_of(cache, slot->page));
            return true;
        }
        slot->is_referenced = false;
    }
    return false;
}

/* A slot to use, with room for it in the index; false when there is none to be had. */
static bool find_slot(struct pagecache *cache, size_t *ret_slot)
{
    if (cache->limit == 0 || grow_index(cache) != 0)
        return false;
    if (cache->free == 0 && cache->slot_count < cache->limit && make_room(cache) == 0) {
        *ret_slot = cache->slot_count++;
    } else if (cache->free != 0 || evict(cache)) {
        *ret_slot = cache->free - 1;
        cache->free = (size_t)cache->slots[*ret_slot].page;
    } else {
        return false;
    }
    cache->slots[*ret_slot] = (struct pagecache_slot){0};
    return true;
}

uint8_t *pagecache_spare(struct pagecache *cache)
{
    size_t slot;
    if (cache->spare == 0) {
        if (!find_slot(cache, &slot))
            return NULL;
        cache->spare = slot + 1;
    }
    return bytes_of_slot(cache, cache->spare - 1);
}

static void keep(struct pagecache *cache, uint64_t page, size_t slot)
{
    cache->slots[slot].page = page;
    cache->slots[slot].is_used = true;
    cache->index[place_of(cache, page)] = (uint32_t)slot + 1;
    cache->used++;
}

void pagecache_keep(struct pagecache *cache, uint64_t page)
{
    assert(cache->spare > 0);
    keep(cache, page, cache->spare - 1);
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

/* ---- Holds ---- */

bool pagecache_may_hold(const struct pagecache *cache, size_t count)
{
    return cache->held + count <= cache->limit / 2;
}

static void hold(struct pagecache *cache, size_t slot, struct pagecache_hold *ret_hold)
{
    struct pagecache_chunk *chunk = cache->chunks[slot / CHUNK_PAGES];
    cache->held += cache->slots[slot].holds++ == 0;
    chunk->holds++;
    *ret_hold = (struct pagecache_hold){bytes_of_slot(cache, slot), chunk};
}

bool pagecache_hold(struct pagecache *cache, uint64_t page, struct pagecache_hold *ret_hold)
{
    size_t slot = find(cache, page);
    if (slot == 0)
        return false;
    cache->slots[slot - 1].is_referenced = true;
    hold(cache, slot - 1, ret_hold);
    return true;
}

bool pagecache_hold_spare(struct pagecache *cache, struct pagecache_hold *ret_hold)
{
    size_t slot;
    if (!find_slot(cache, &slot))
        return false;
    hold(cache, slot, ret_hold);
    return true;
}

static size_t slot_of(const struct pagecache_hold *hold)
{
    return hold->chunk->first + (size_t)(hold->bytes - hold->chunk->bytes) / DATA_PAGE;
}

void pagecache_keep_held(struct pagecache *cache, uint64_t page, const struct pagecache_hold *hold)
{
    assert(hold->chunk->cache == cache && !cache->slots[slot_of(hold)].is_used);
    keep(cache, page, slot_of(hold));
}

void pagecache_let_go(const struct pagecache_hold *hold)
{
    struct pagecache_chunk *chunk = hold->chunk;
    struct pagecache *cache = chunk->cache;
    assert(chunk->holds > 0);
    chunk->holds--;
    if (cache == NULL) {
        if (chunk->holds == 0)
            free_chunk(chunk);
        return;
    }
    struct pagecache_slot *slot = &cache->slots[slot_of(hold)];
    if (--slot->holds > 0)
        return;
    cache->held--;
    if (!slot->is_used)
        give_back(cache, slot_of(hold));
}

size_t pagecache_memory(const struct pagecache *cache)
{
    return cache->slot_count * DATA_PAGE + cache->chunk_count * sizeof *cache->chunks[0] +
           cache->slot_capacity * sizeof cache->slots[0] +
           cache->chunk_capacity * sizeof cache->chunks[0] +
           cache->index_size * sizeof cache->index[0];
}
