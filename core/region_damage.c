/* Damaged pages: which are known. */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/region_private.h"

/* Where the address stands, or would. */
static size_t place_of(const struct region *region, uint64_t address)
{
    size_t low = 0, high = region->damage_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (region->damages[middle] >= address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool is_known(const struct region *region, size_t at, uint64_t address)
{
    return at < region->damage_count && region->damages[at] == address;
}

bool region_note_damage(struct region *region, uint64_t address)
{
    if (address == UINT64_MAX)
        return false;
    size_t at = place_of(region, address);
    if (is_known(region, at, address))
        return false;
    region->damaged_pages++;
    if (region->damages == NULL)
        region->damages = malloc(DAMAGES_KEPT * sizeof region->damages[0]);
    if (region->damages == NULL || region->damage_count == DAMAGES_KEPT)
        return true; /* counted, and named in the log */
    memmove(region->damages + at + 1, region->damages + at,
            (region->damage_count - at) * sizeof region->damages[0]);
    region->damages[at] = address;
    region->damage_count++;
    return true;
}

void region_forget_damage(struct region *region, uint64_t address)
{
    size_t at = place_of(region, address);
    if (!is_known(region, at, address))
        return;
    region->damage_count--;
    memmove(region->damages + at, region->damages + at + 1,
            (region->damage_count - at) * sizeof region->damages[0]);
}

size_t region_damages(const struct region *region, uint64_t *addresses, size_t limit)
{
    size_t count = (size_t)min_u64(region->damage_count, limit);
    if (count > 0)
        memcpy(addresses, region->damages, count * sizeof addresses[0]);
    return count;
}
