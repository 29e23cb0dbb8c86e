/* Which bytes of a region are free: the policy over the tree.
 *
 * A region has a size: the bytes ever handed out. Bytes below it are in use or in the tree of free
 * blocks; bytes at and above it are untouched. The size never shrinks by freeing. */
#ifndef MREGION_CORE_FREESPACE_H
#define MREGION_CORE_FREESPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/maxtree.h"

enum fit {
    FIT_TIGHT,   /* near best fit, two descents at once */
    FIT_LOWEST,  /* first fit by address */
    FIT_LARGEST, /* split the largest block, hand out its end */
};

struct freespace {
    struct maxtree tree;
    uint64_t size;
    enum fit fit; /* may change at any time */
};

/* A region of size 0. To load one, build the tree and set the size. */
void freespace_init(struct freespace *space, enum fit fit);
/* Frees the tree; the region has size 0 afterwards. */
void freespace_release(struct freespace *space);

/* Takes size bytes (> 0, else -EINVAL): from the hole that the policy chooses, else at the region's
 * end. Where the end may not grow past limit, a free block that touches the end is extended
 * instead. A limit above REGION_SIZE_MAX means that; one below the region's size still lets holes
 * be taken. Returns 0 and the address, or -ENOSPC. space->size grows with it: the caller compares.
 * Needs no memory. */
int freespace_take(struct freespace *space, uint64_t size, uint64_t limit, uint64_t *ret_address);

/* The following take an extent that must be valid (extent_is_valid), else -EINVAL (give: -EEXIST),
 * and change all or nothing. */

/* Takes exactly this extent, wherever it lies; the region grows if it ends past its size, and
 * what is skipped becomes free. Bytes of it in use already: -EEXIST. -ENOMEM. */
int freespace_take_exact(struct freespace *space, struct extent extent);

/* Frees an extent in use, merging neighbors; where one is merged it needs no memory. -EEXIST when
 * any byte of it is free or past the size, or it has none; -ENOMEM. */
int freespace_give(struct freespace *space, struct extent extent);

/* Makes every byte of the extent free (or used), whatever each was before. The region grows if the
 * extent ends past its size, and what is skipped becomes free. Doing so twice is the same as once:
 * this is how a journal is replayed. -ENOMEM. */
int freespace_mark_free(struct freespace *space, struct extent extent);
int freespace_mark_used(struct freespace *space, struct extent extent);

/* Whether every byte of the extent is in use (or free). Past the size, or empty: neither. */
bool freespace_is_used(const struct freespace *space, struct extent extent);
bool freespace_is_free(const struct freespace *space, struct extent extent);

/* Copies up to limit extents in use (or free) within [start, end), clipped to it, in order;
 * returns how many. */
size_t freespace_used_in(const struct freespace *space, uint64_t start, uint64_t end,
                         struct extent *extents, size_t limit);
size_t freespace_free_in(const struct freespace *space, uint64_t start, uint64_t end,
                         struct extent *extents, size_t limit);

#endif
