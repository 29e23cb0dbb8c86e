/* Arrays that grow. */
#ifndef MREGION_CORE_ARRAY_H
#define MREGION_CORE_ARRAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Returns the array, moved if need be, with room for need items of item_size bytes, and puts the
 * new room into *capacity; at least doubles. NULL when memory is short: the array stays as it was
 * and the caller's. */
static inline void *array_grown(void *items, size_t *capacity, size_t need, size_t item_size)
{
    if (need <= *capacity && items != NULL)
        return items;
    size_t room = *capacity < 8 ? 8 : *capacity;
    while (room < need) {
        if (room > SIZE_MAX / 2)
            return NULL;
        room *= 2;
    }
    if (room > SIZE_MAX / item_size)
        return NULL;
    void *grown = realloc(items, room * item_size);
    if (grown != NULL)
        *capacity = room;
    return grown;
}

#endif
