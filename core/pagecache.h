/* Verified pages in memory, so that small loads of what was read before cost no system call and no
 * checksum. Loop thread.
 *
 * Replacement is CLOCK (Corbato, A Paging Experiment with the Multics System, 1968): a hand goes
 * round and takes the first page that was not asked for since it last came by. The index is open
 * addressing with linear probing and backward-shift deletion (Knuth, The Art of Computer
 * Programming, volume 3, section 6.4, algorithm R). */
#ifndef MREGION_CORE_PAGECACHE_H
#define MREGION_CORE_PAGECACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "core/record.h"

struct pagecache_slot {
    uint64_t page;
    bool is_used;
    bool is_referenced; /* since the hand was here */
};

struct pagecache {
    size_t limit; /* slots there may be */
    struct pagecache_slot *slots;
    size_t slot_count, slot_capacity;
    uint8_t **chunks; /* of the slots' bytes */
    size_t chunk_count, chunk_capacity;
    uint32_t *index;   /* slot number + 1, or 0 */
    size_t index_size; /* a power of two, or 0 */
    size_t used, hand;
    size_t spare; /* number of a slot that is in neither index nor use, + 1, or 0 */
};

void pagecache_init(struct pagecache *cache);
void pagecache_release(struct pagecache *cache);
/* Keeps at most so many bytes from now on; forgets everything when that is less than it has. */
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

/* Heap bytes. */
size_t pagecache_memory(const struct pagecache *cache);

#endif
