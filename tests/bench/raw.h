/* What bench_raw and its client say to each other: the least that can be said. A request is a
 * raw_header, behind it the blob of an add; the answer, in the order of the requests, is a
 * raw_header, behind it the blob of a load. All in the machine's own byte order. */
#ifndef MREGION_BENCH_RAW_H
#define MREGION_BENCH_RAW_H

#include <stdint.h>

enum raw_kind { RAW_ADD, RAW_LOAD, RAW_REMOVE };

struct raw_header {
    uint32_t kind;
    uint32_t size; /* of the blob that follows; of a load's request, that is wanted */
};

#define RAW_BLOB_MAX (1U << 20)

/* The bytes of every blob: such as no compressor makes smaller. */
static inline uint8_t raw_byte(uint64_t at)
{
    uint64_t mixed = (at + 1) * 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9;
    return (uint8_t)(mixed >> 56);
}

#endif
