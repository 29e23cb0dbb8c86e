/* A run of bytes in a region: [address, address + size). size is never 0 unless said. */
#ifndef MREGION_CORE_EXTENT_H
#define MREGION_CORE_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"

struct extent {
    uint64_t address;
    uint64_t size;
};

static inline uint64_t extent_end(struct extent e)
{
    return e.address + e.size;
}

/* Whether it is not empty and ends at or below REGION_SIZE_MAX. */
static inline bool extent_is_valid(struct extent e)
{
    return e.size > 0 && e.size <= REGION_SIZE_MAX && e.address <= REGION_SIZE_MAX - e.size;
}

#endif
