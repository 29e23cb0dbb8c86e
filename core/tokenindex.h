/* Sequences of tokens by the hash of their id.
 *
 * Open addressing with linear probing and backward-shift deletion (Knuth, The Art of Computer
 * Programming, volume 3, section 6.4, algorithm R), in many small tables, of which each grows by
 * itself: so no addition takes long, and a token that was never seen is told from all others in one
 * cache line, without a look at any of them. With 65,536 tokens, looking for a new one,
 * adding it and forgetting another took some 370 ns with chains of entries, and takes half of that.
 *
 * Belongs to one thread. */
#ifndef MREGION_CORE_TOKENINDEX_H
#define MREGION_CORE_TOKENINDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenindex_slot {
    uint32_t tag;      /* of the hash; 0: empty */
    uint32_t sequence; /* the low half */
};

/* One of the tables. It always has an empty slot, at which each search ends. */
struct tokenindex_table {
    struct tokenindex_slot *slots;
    uint32_t count, capacity; /* a power of two */
};

struct tokenindex_tables;

struct tokenindex {
    struct tokenindex_tables *tables; /* NULL before the first reservation */
    struct tokenindex_table *crowded; /* one that could not grow, or NULL */
};

/* All zeros is an empty one. */
void tokenindex_release(struct tokenindex *index);
/* Room for one more, whatever its hash. -ENOMEM. */
int tokenindex_reserve(struct tokenindex *index);
/* Adds one, for which room was reserved. */
void tokenindex_add(struct tokenindex *index, uint64_t hash, uint64_t sequence);
/* Takes one out that is in it. */
void tokenindex_remove(struct tokenindex *index, uint64_t hash, uint64_t sequence);
uint64_t tokenindex_count(const struct tokenindex *index);

/* Goes through those that may have a hash, in no order: they have its tag. */
struct tokenindex_probe {
    const struct tokenindex_slot *slots;
    uint32_t tag, mask, at;
};
struct tokenindex_probe tokenindex_probe(const struct tokenindex *index, uint64_t hash);
/* The low half of the next one's sequence; false: there is none. */
bool tokenindex_next(struct tokenindex_probe *probe, uint32_t *ret_sequence);

#endif
