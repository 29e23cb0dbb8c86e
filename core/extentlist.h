/* A short list of extents, ascending and disjoint: it keeps those apart that touch, and taking one
 * out needs no memory. Finding one is O(log n), putting one in and taking one out O(n). */
#ifndef MREGION_CORE_EXTENTLIST_H
#define MREGION_CORE_EXTENTLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/extent.h"

struct extentlist {
    struct extent *items;
    size_t count, capacity;
    uint64_t bytes; /* of all of them */
};

void extentlist_release(struct extentlist *list);

/* Room for one more: the next insert cannot fail. -ENOMEM. */
int extentlist_reserve(struct extentlist *list);
/* The extent is not empty and overlaps none of those in the list. */
void extentlist_insert(struct extentlist *list, struct extent extent);
/* Takes out exactly this one, which is in the list. */
void extentlist_remove(struct extentlist *list, struct extent extent);

/* The index of the first extent that ends after address; count when there is none. */
size_t extentlist_seek(const struct extentlist *list, uint64_t address);
bool extentlist_overlaps_any(const struct extentlist *list, struct extent extent);
static inline bool extentlist_overlaps(const struct extentlist *list, struct extent extent)
{
    return list->count > 0 && extentlist_overlaps_any(list, extent);
}

#endif
