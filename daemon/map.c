#include "daemon/map.h"

#include <string.h>

#include "core/bytes.h"
#include "daemon/tell.h"

void map_init(struct map *map, uint64_t region_id, uint64_t size, unsigned cells)
{
    memset(map, 0, sizeof *map);
    map->region_id = region_id;
    map->size = size;
    map->cell_size = size / cells + (size % cells > 0);
    if (map->cell_size > 0)
        map->cell_count = (unsigned)(size / map->cell_size + (size % map->cell_size > 0));
}

/* A block lies in few cells, or else these are its own: all blocks together touch no more than
 * there are cells and blocks. */
static void add_block(struct map *map, struct extent block)
{
    uint64_t at = block.address, end = extent_end(block);
    while (at < end) {
        uint64_t cell = at / map->cell_size;
        uint64_t part = min_u64(end, (cell + 1) * map->cell_size) - at;
        map->free[cell] += part;
        at += part;
    }
    map->holes[63 - __builtin_clzll(block.size)]++;
    map->blocks++;
    map->bytes += block.size;
    map->largest = max_u64(map->largest, block.size);
}

void map_add(struct map *map, const struct extent *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_block(map, blocks[i]);
    if (count > 0)
        map->position = extent_end(blocks[count - 1]);
}

/* Of the cell, in thousandths. Anything in use, and anything free, shows. */
static uint64_t fill_of(const struct map *map, unsigned cell)
{
    uint64_t begin = cell * map->cell_size;
    uint64_t size = min_u64(map->cell_size, map->size - begin), used = size - map->free[cell];
    uint64_t fill = size > UINT64_MAX / 1000 ? used / (size / 1000) : used * 1000 / size;
    if (used > 0 && fill == 0)
        return 1;
    return min_u64(fill, used < size ? 999 : 1000);
}

static void tell_holes(const struct map *map, struct teller *teller)
{
    size_t count = 0;
    for (unsigned i = 0; i < 64; i++)
        count += map->holes[i] > 0;
    teller->key(teller, "holes");
    teller->array(teller, count);
    for (unsigned i = 0; i < 64; i++) {
        if (map->holes[i] == 0)
            continue;
        teller->array(teller, 2);
        teller->number(teller, (uint64_t)1 << i);
        teller->number(teller, map->holes[i]);
        teller->end(teller);
    }
    teller->end(teller);
}

void map_tell(const struct map *map, const char *region, struct teller *teller)
{
    teller->map(teller, 9);
    tell_text_entry(teller, "region", region);
    tell_entry(teller, "size", map->size);
    tell_entry(teller, "cell_bytes", map->cell_size);
    tell_entry(teller, "free_blocks", map->blocks);
    tell_entry(teller, "free_bytes", map->bytes);
    tell_entry(teller, "largest_free", map->largest);
    tell_entry(teller, "cost_us", map->cost_ns / 1000);
    teller->key(teller, "cells");
    teller->array(teller, map->cell_count);
    for (unsigned i = 0; i < map->cell_count; i++)
        teller->number(teller, fill_of(map, i));
    teller->end(teller);
    tell_holes(map, teller);
    teller->end(teller);
}
