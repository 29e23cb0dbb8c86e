#include "core/extentlist.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"

void extentlist_release(struct extentlist *list)
{
    free(list->items);
    *list = (struct extentlist){0};
}

int extentlist_reserve(struct extentlist *list)
{
    struct extent *items =
        array_grown(list->items, &list->capacity, list->count + 1, sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    list->items = items;
    return 0;
}

size_t extentlist_seek(const struct extentlist *list, uint64_t address)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (extent_end(list->items[middle]) > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool extentlist_overlaps_any(const struct extentlist *list, struct extent extent)
{
    size_t at = extentlist_seek(list, extent.address);
    return extent.size > 0 && at < list->count && list->items[at].address < extent_end(extent);
}

void extentlist_insert(struct extentlist *list, struct extent extent)
{
    size_t at = extentlist_seek(list, extent.address);
    assert(extent.size > 0 && list->count < list->capacity && !extentlist_overlaps(list, extent));
    memmove(list->items + at + 1, list->items + at, (list->count - at) * sizeof extent);
    list->items[at] = extent;
    list->count++;
    list->bytes += extent.size;
}

void extentlist_remove(struct extentlist *list, struct extent extent)
{
    size_t at = extentlist_seek(list, extent.address);
    assert(at < list->count && list->items[at].address == extent.address &&
           list->items[at].size == extent.size);
    list->count--;
    list->bytes -= extent.size;
    memmove(list->items + at, list->items + at + 1, (list->count - at) * sizeof extent);
}
