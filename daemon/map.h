/* How full each part of a region is, and of which sizes its holes are: put together from its free
 * blocks, some at a time. What changes meanwhile may show in it or not. No thread is special. */
#ifndef MREGION_DAEMON_MAP_H
#define MREGION_DAEMON_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "core/extent.h"

struct teller;

#define MAP_CELLS_MAX 4096
#define MAP_CELLS_DEFAULT 512

struct map {
    uint64_t region_id;
    uint64_t size;     /* of the region, when it was begun */
    uint64_t position; /* the free blocks before it are counted */
    uint64_t cell_size;
    unsigned cell_count;
    uint64_t free[MAP_CELLS_MAX]; /* bytes of each cell */
    uint64_t holes[64];           /* how many of at least 2^i bytes and less than twice that */
    uint64_t blocks, bytes, largest;
    uint64_t cost_ns; /* of the loop's time */
};

/* cells: as many at most, 1 to MAP_CELLS_MAX. */
void map_init(struct map *map, uint64_t region_id, uint64_t size, unsigned cells);
/* The next free blocks, in order, each within the size. */
void map_add(struct map *map, const struct extent *blocks, size_t count);

void map_tell(const struct map *map, const char *region, struct teller *teller);

#endif
