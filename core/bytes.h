/* Little-endian integers in byte buffers: how every structure on disk is read and written. And what
 * else is done with few bytes. */
#ifndef MREGION_CORE_BYTES_H
#define MREGION_CORE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One instruction each; of shifts and ors compilers make some thirty. */
static inline void put_u16(uint8_t *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof value);
}

static inline void put_u32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static inline void put_u64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static inline uint16_t get_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return le16toh(value);
}

static inline uint32_t get_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static inline uint64_t get_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static inline uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value - value % unit;
}

/* The caller has checked that value + unit does not wrap. */
static inline uint64_t round_up(uint64_t value, uint64_t unit)
{
    return round_down(value + unit - 1, unit);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* memcmp(a, b, size) == 0 for names: of few bytes the call takes longer than the comparison. */
static inline bool is_same_name(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;
    if (size >= sizeof(uint64_t)) {
        size_t last = size - sizeof(uint64_t);
        for (size_t i = 0; i < last; i += sizeof(uint64_t))
            if (get_u64(x + i) != get_u64(y + i))
                return false;
        return get_u64(x + last) == get_u64(y + last);
    }
    if (size >= sizeof(uint32_t)) {
        size_t last = size - sizeof(uint32_t);
        return get_u32(x) == get_u32(y) && get_u32(x + last) == get_u32(y + last);
    }
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i])
            return false;
    return true;
}

#endif
