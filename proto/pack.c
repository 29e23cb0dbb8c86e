#include "proto/pack.h"

#include "proto/bigendian.h"

uint8_t *pack_nil(uint8_t *to)
{
    *to = 0xc0;
    return to + 1;
}

uint8_t *pack_bool(uint8_t *to, bool value)
{
    *to = value ? 0xc3 : 0xc2;
    return to + 1;
}

/* A first byte and a number of so many bytes. */
static uint8_t *put8(uint8_t *to, uint8_t first, uint8_t value)
{
    to[0] = first;
    to[1] = value;
    return to + 2;
}

static uint8_t *put16(uint8_t *to, uint8_t first, uint16_t value)
{
    to[0] = first;
    put_be16(to + 1, value);
    return to + 3;
}

static uint8_t *put32(uint8_t *to, uint8_t first, uint32_t value)
{
    to[0] = first;
    put_be32(to + 1, value);
    return to + 5;
}

uint8_t *pack_uint(uint8_t *to, uint64_t number)
{
    if (number <= 0x7f) {
        *to = (uint8_t)number;
        return to + 1;
    }
    if (number <= UINT8_MAX)
        return put8(to, 0xcc, (uint8_t)number);
    if (number <= UINT16_MAX)
        return put16(to, 0xcd, (uint16_t)number);
    if (number <= UINT32_MAX)
        return put32(to, 0xce, (uint32_t)number);
    *to = 0xcf;
    put_be64(to + 1, number);
    return to + PACK_UINT_MAX;
}

uint8_t *pack_array_header(uint8_t *to, uint32_t count)
{
    if (count <= 0x0f) {
        *to = (uint8_t)(0x90 | count);
        return to + 1;
    }
    if (count <= UINT16_MAX)
        return put16(to, 0xdc, (uint16_t)count);
    return put32(to, 0xdd, count);
}

uint8_t *pack_bin_header(uint8_t *to, uint32_t size)
{
    if (size <= UINT8_MAX)
        return put8(to, 0xc4, (uint8_t)size);
    if (size <= UINT16_MAX)
        return put16(to, 0xc5, (uint16_t)size);
    return put32(to, 0xc6, size);
}
