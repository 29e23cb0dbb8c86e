/* Damaged pages: which are known, and which are news. */
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

static void add_news(struct region *region, uint64_t address, bool is_unreadable)
{
    if (region->news_count == DAMAGE_NEWS)
        region->news_more++;
    else
        region->news[region->news_count++] = (struct region_finding){address, is_unreadable};
}

bool region_note_finding(struct region *region, uint64_t address, bool is_unreadable)
{
    if (address == UINT64_MAX)
        return false;
    size_t at = place_of(region, address);
    if (is_known(region, at, address))
        return false;
    if (region->damages == NULL)
        region->damages = malloc(DAMAGES_KEPT * sizeof region->damages[0]);
    if (region->damages == NULL || region->damage_count == DAMAGES_KEPT) {
        /* It will be found again and again. */
        region->unkept_damages++;
        region->news_more++;
        return true;
    }
    add_news(region, address, is_unreadable);
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

bool region_note_damage(struct region *region, uint64_t address)
{
    return region_note_finding(region, address, false);
}

void region_forget_freed(struct region *region, const struct extentset *frees)
{
    for (size_t i = region->damage_count; i-- > 0;) {
        struct extent page = {region->damages[i], DATA_PAGE}, used;
        if (extentset_overlaps(frees, page) &&
            region_used_in(region, page.address, extent_end(page), &used, 1) == 0)
            region_forget_damage(region, page.address);
    }
}

void region_damage_counted(struct region *region, uint64_t count)
{
    region->unkept_damages = count > region->damage_count ? count - region->damage_count : 0;
}

size_t region_take_findings(struct region *region, struct region_finding *findings, size_t limit,
                            uint64_t *ret_more)
{
    size_t count = (size_t)min_u64(region->news_count, limit);
    memcpy(findings, region->news, count * sizeof findings[0]);
    *ret_more = region->news_more + (region->news_count - count);
    region->news_count = 0;
    region->news_more = 0;
    return count;
}

size_t region_damages(const struct region *region, uint64_t *addresses, size_t limit)
{
    size_t count = (size_t)min_u64(region->damage_count, limit);
    if (count > 0)
        memcpy(addresses, region->damages, count * sizeof addresses[0]);
    return count;
}
