/* A run of bytes in a region: [address, address + size). size is never 0 unless said. */
#ifndef MREGION_CORE_EXTENT_H
#define MREGION_CORE_EXTENT_H

#include <stdint.h>

struct extent {
    uint64_t address;
    uint64_t size;
};

static inline uint64_t extent_end(struct extent e)
{
    return e.address + e.size;
}

#endif
