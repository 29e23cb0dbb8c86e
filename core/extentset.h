/* A set of bytes, kept as extents: which bytes a batch dirties, which bytes a replay must leave
 * alone. Unlike a tree of free blocks it takes what it has already. */
#ifndef MREGION_CORE_EXTENTSET_H
#define MREGION_CORE_EXTENTSET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/maxtree.h"

struct extentset {
    struct maxtree tree;
    uint64_t low, high; /* nothing of it lies outside [low, high) */
    bool everything;    /* memory was short: holds every byte from then on */
};

void extentset_init(struct extentset *set);
void extentset_release(struct extentset *set);
/* Empties the set. */
void extentset_clear(struct extentset *set);
bool extentset_is_empty(const struct extentset *set);

/* Adds the extent's bytes. -ENOMEM: the set then holds every byte there is, which whoever asks
 * only in order to be careful may ignore. */
int extentset_add(struct extentset *set, struct extent extent);

/* Whether any byte of the extent is in the set. Mostly it lies outside, which takes no call. */
bool extentset_overlaps_inside(const struct extentset *set, struct extent extent);
static inline bool extentset_overlaps(const struct extentset *set, struct extent extent)
{
    if (!set->everything && (extent.address >= set->high || extent_end(extent) <= set->low))
        return false;
    return extentset_overlaps_inside(set, extent);
}

/* The first run of bytes within the extent that is not in the set; false when there is none. */
bool extentset_gap(const struct extentset *set, struct extent extent, struct extent *ret_gap);

#endif
