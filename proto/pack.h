/* MessagePack values written where there is room for them, each in its shortest form, as msgpack-c
 * writes it. Every function returns the end of what it wrote. In the header because an answer is a
 * handful of them. */
#ifndef MREGION_PROTO_PACK_H
#define MREGION_PROTO_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/bigendian.h"

#define PACK_UINT_MAX 9
/* Of an array or bin. */
#define PACK_HEADER_MAX 5

static inline uint8_t *pack_nil(uint8_t *to)
{
    *to = 0xc0;
    return to + 1;
}

static inline uint8_t *pack_bool(uint8_t *to, bool value)
{
    *to = value ? 0xc3 : 0xc2;
    return to + 1;
}

/* A first byte and a number of so many bytes. */
static inline uint8_t *pack_put8(uint8_t *to, uint8_t first, uint8_t value)
{
    to[0] = first;
    to[1] = value;
    return to + 2;
}

static inline uint8_t *pack_put16(uint8_t *to, uint8_t first, uint16_t value)
{
    to[0] = first;
    put_be16(to + 1, value);
    return to + 3;
}

static inline uint8_t *pack_put32(uint8_t *to, uint8_t first, uint32_t value)
{
    to[0] = first;
    put_be32(to + 1, value);
    return to + 5;
}

static inline uint8_t *pack_uint(uint8_t *to, uint64_t number)
{
    if (number <= 0x7f) {
        *to = (uint8_t)number;
        return to + 1;
    }
    if (number <= UINT8_MAX)
        return pack_put8(to, 0xcc, (uint8_t)number);
    if (number <= UINT16_MAX)
        return pack_put16(to, 0xcd, (uint16_t)number);
    if (number <= UINT32_MAX)
        return pack_put32(to, 0xce, (uint32_t)number);
    *to = 0xcf;
    put_be64(to + 1, number);
    return to + PACK_UINT_MAX;
}

static inline uint8_t *pack_array_header(uint8_t *to, uint32_t count)
{
    if (count <= 0x0f) {
        *to = (uint8_t)(0x90 | count);
        return to + 1;
    }
    if (count <= UINT16_MAX)
        return pack_put16(to, 0xdc, (uint16_t)count);
    return pack_put32(to, 0xdd, count);
}

static inline uint8_t *pack_map_header(uint8_t *to, uint32_t count)
{
    if (count <= 0x0f) {
        *to = (uint8_t)(0x80 | count);
        return to + 1;
    }
    if (count <= UINT16_MAX)
        return pack_put16(to, 0xde, (uint16_t)count);
    return pack_put32(to, 0xdf, count);
}

static inline uint8_t *pack_str_header(uint8_t *to, uint32_t size)
{
    if (size <= 0x1f) {
        *to = (uint8_t)(0xa0 | size);
        return to + 1;
    }
    if (size <= UINT8_MAX)
        return pack_put8(to, 0xd9, (uint8_t)size);
    if (size <= UINT16_MAX)
        return pack_put16(to, 0xda, (uint16_t)size);
    return pack_put32(to, 0xdb, size);
}

static inline uint8_t *pack_bin_header(uint8_t *to, uint32_t size)
{
    if (size <= UINT8_MAX)
        return pack_put8(to, 0xc4, (uint8_t)size);
    if (size <= UINT16_MAX)
        return pack_put16(to, 0xc5, (uint16_t)size);
    return pack_put32(to, 0xc6, size);
}

#endif
