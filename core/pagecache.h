/* Verified pages in memory, so that loads of what was read before cost no system call, no checksum
 * and, where they hold the pages and send them from here, no copy. Loop thread.
 *
 * Replacement is CLOCK (Corbato, A Paging Experiment with the Multics System, 1968): a hand goes
 * round and takes the first page that was not asked for since it last came by. The index is open
 * addressing with linear probing and backward-shift deletion (Knuth, The Art of Computer
 * Programming, volume 3, section 6.4, algorithm R).
 *
 * A slot is one of
 *   in the index   its page is found; the hand may take it unless it is held
 *   held only      its page has changed, or is none yet; it is free when the last hold is let go
 *   free           in the list of those, the last one first
 *   the spare      one at most */
#ifndef MREGION_CORE_PAGECACHE_H
#define MREGION_CORE_PAGECACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "core/record.h"

struct pagecache_chunk;

struct pagecache_slot {
    uint64_t page; /* of one that is free: the next such, number + 1, or 0 */
    bool is_used;
    bool is_referenced; /* since the hand was here */
    uint32_t holds;
};

struct pagecache {
    size_t limit; /* slots there may be */
    struct pagecache_slot *slots;
    size_t slot_count, slot_capacity;
    struct pagecache_chunk **chunks; /* with the slots' bytes */
    size_t chunk_count, chunk_capacity;
    uint32_t *index;   /* slot number + 1, or 0 */
    size_t index_size; /* a power of two, or 0 */
    size_t used, hand;
    size_t spare; /* number of a slot that is in neither index nor use, + 1, or 0 */
    size_t free;  /* the slot that was given back last, + 1, or 0: its bytes are warm */
    size_t held;  /* slots with holds */
};

/* The bytes of one page, which stay as they are until they are let go, whatever becomes of the page
 * and of the cache. */
struct pagecache_hold {
    uint8_t *bytes; /* DATA_PAGE of them */
    struct pagecache_chunk *chunk;
};

void pagecache_init(struct pagecache *cache);
/* What is held goes when it is let go. */
void pagecache_release(struct pagecache *cache);
/* Keeps at most so many bytes from now on; forgets everything when that is less than it has, but
 * for what is held. */
void pagecache_set_limit(struct pagecache *cache, uint64_t bytes);

/* The page's DATA_PAGE bytes, until the next insert; NULL. */
const uint8_t *pagecache_find(struct pagecache *cache, uint64_t page);
/* The same, to be changed in place, without counting as asked for. */
uint8_t *pagecache_edit(struct pagecache *cache, uint64_t page);
/* Whether an insert takes another page's place. */
bool pagecache_is_full(const struct pagecache *cache);
/* Where the bytes of a page that is not in it can be put together, DATA_PAGE of them: the same
 * place until pagecache_keep says which page they are, or all is forgotten. NULL without memory, or
 * with limit 0. */
uint8_t *pagecache_spare(struct pagecache *cache);
void pagecache_keep(struct pagecache *cache, uint64_t page);
/* Keeps a copy of the bytes; without memory, or with limit 0, it does not. The page is not in it.
 */
void pagecache_insert(struct pagecache *cache, uint64_t page, const uint8_t *bytes);
void pagecache_drop(struct pagecache *cache, struct page_run run);

/* Whether so many pages more may be held: half of all slots at most are, so that whoever holds some
 * for long leaves room for the others. */
bool pagecache_may_hold(const struct pagecache *cache, size_t count);
/* Holds the page, and counts that as asked for; false: it is not in it. */
bool pagecache_hold(struct pagecache *cache, uint64_t page, struct pagecache_hold *ret_hold);
/* Holds a slot that is no page yet, for bytes that the caller puts there before it says which page
 * they are, or lets it go. False when there is none to be had. */
bool pagecache_hold_spare(struct pagecache *cache, struct pagecache_hold *ret_hold);
/* The page is not in the cache, and the slot is no other. */
void pagecache_keep_held(struct pagecache *cache, uint64_t page, const struct pagecache_hold *hold);
/* Any time, also when the cache is no more. */
void pagecache_let_go(const struct pagecache_hold *hold);

/* Whether count pages more fit without taking another one's place. Once all slots were in use, a
 * quarter of them is left out of account: what only passes through has some of them. */
bool pagecache_has_room(const struct pagecache *cache, size_t count);

/* Heap bytes, without what is only held. */
size_t pagecache_memory(const struct pagecache *cache);

#endif
