#include "proto/cursor.h"

#include <string.h>

#include "proto/bigendian.h"

static struct value simple(enum value_type type)
{
    return (struct value){.type = type};
}

static struct value unsigned_integer(uint64_t number)
{
    return (struct value){.type = VALUE_UINT, .number = number};
}

/* Many packers write every integer of a signed type in a signed form: the sign decides, not the
 * form. */
static struct value signed_integer(int64_t number)
{
    if (number >= 0)
        return unsigned_integer((uint64_t)number);
    return (struct value){.type = VALUE_NEGATIVE, .negative = number};
}

static struct value float32(const uint8_t *at)
{
    uint32_t bits = get_be32(at);
    float real;

    memcpy(&real, &bits, sizeof real);
    return (struct value){.type = VALUE_FLOAT, .real = (double)real};
}

static struct value float64(const uint8_t *at)
{
    uint64_t bits = get_be64(at);
    double real;

    memcpy(&real, &bits, sizeof real);
    return (struct value){.type = VALUE_FLOAT, .real = real};
}

static struct value container(enum value_type type, uint32_t count)
{
    return (struct value){.type = type, .count = count};
}

/* The cursor stands behind the header. */
static struct value raw(struct cursor *cursor, enum value_type type, uint32_t size)
{
    const uint8_t *bytes = cursor->at;

    cursor->at += size;
    return (struct value){.type = type, .raw = {.bytes = bytes, .size = size}};
}

/* The type byte of an extension is left out: none means anything here. */
static struct value extension(struct cursor *cursor, uint32_t size)
{
    cursor->at++;
    return raw(cursor, VALUE_EXT, size);
}

/* Moves over a length or number of so many bytes and returns where it stood. */
static const uint8_t *pass(struct cursor *cursor, unsigned bytes)
{
    const uint8_t *at = cursor->at;

    cursor->at += bytes;
    return at;
}

/* The first bytes 0xc0..0xdf. */
static struct value sized_value(struct cursor *cursor, uint8_t first)
{
    switch (first) {
    case 0xc0:
        return simple(VALUE_NIL);
    case 0xc2:
    case 0xc3:
        return (struct value){.type = VALUE_BOOL, .boolean = first == 0xc3};
    case 0xc4:
        return raw(cursor, VALUE_BIN, *pass(cursor, 1));
    case 0xc5:
        return raw(cursor, VALUE_BIN, get_be16(pass(cursor, 2)));
    case 0xc6:
        return raw(cursor, VALUE_BIN, get_be32(pass(cursor, 4)));
    case 0xc7:
        return extension(cursor, *pass(cursor, 1));
    case 0xc8:
        return extension(cursor, get_be16(pass(cursor, 2)));
    case 0xc9:
        return extension(cursor, get_be32(pass(cursor, 4)));
    case 0xca:
        return float32(pass(cursor, 4));
    case 0xcb:
        return float64(pass(cursor, 8));
    case 0xcc:
        return unsigned_integer(*pass(cursor, 1));
    case 0xcd:
        return unsigned_integer(get_be16(pass(cursor, 2)));
    case 0xce:
        return unsigned_integer(get_be32(pass(cursor, 4)));
    case 0xcf:
        return unsigned_integer(get_be64(pass(cursor, 8)));
    case 0xd0:
        return signed_integer((int8_t)*pass(cursor, 1));
    case 0xd1:
        return signed_integer((int16_t)get_be16(pass(cursor, 2)));
    case 0xd2:
        return signed_integer((int32_t)get_be32(pass(cursor, 4)));
    case 0xd3:
        return signed_integer((int64_t)get_be64(pass(cursor, 8)));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return extension(cursor, 1U << (first - 0xd4));
    case 0xd9:
        return raw(cursor, VALUE_STR, *pass(cursor, 1));
    case 0xda:
        return raw(cursor, VALUE_STR, get_be16(pass(cursor, 2)));
    case 0xdb:
        return raw(cursor, VALUE_STR, get_be32(pass(cursor, 4)));
    case 0xdc:
        return container(VALUE_ARRAY, get_be16(pass(cursor, 2)));
    case 0xdd:
        return container(VALUE_ARRAY, get_be32(pass(cursor, 4)));
    case 0xde:
        return container(VALUE_MAP, get_be16(pass(cursor, 2)));
    case 0xdf:
        return container(VALUE_MAP, get_be32(pass(cursor, 4)));
    default: /* 0xc1, which the scanner refuses */
        cursor->at = cursor->end;
        return simple(VALUE_NONE);
    }
}

struct value cursor_next_wide(struct cursor *cursor)
{
    uint8_t first;

    if (cursor->at >= cursor->end)
        return simple(VALUE_NONE);
    first = *cursor->at++;
    if (first >= 0x80 && first <= 0x8f)
        return container(VALUE_MAP, first & 0x0f);
    if (first >= 0xe0)
        return signed_integer((int8_t)first);
    return sized_value(cursor, first);
}

void cursor_skip(struct cursor *cursor)
{
    uint64_t remaining = 1;

    while (remaining-- > 0) {
        struct value value = cursor_next(cursor);

        if (value.type == VALUE_NONE)
            return;
        if (value.type == VALUE_ARRAY)
            remaining += value.count;
        else if (value.type == VALUE_MAP)
            remaining += 2 * (uint64_t)value.count;
    }
}

const char *value_type_name(enum value_type type)
{
    switch (type) {
    case VALUE_NIL:
        return "nil";
    case VALUE_BOOL:
        return "a boolean";
    case VALUE_UINT:
        return "an unsigned integer";
    case VALUE_NEGATIVE:
        return "a negative integer";
    case VALUE_FLOAT:
        return "a float";
    case VALUE_STR:
        return "a string";
    case VALUE_BIN:
        return "binary data";
    case VALUE_ARRAY:
        return "an array";
    case VALUE_MAP:
        return "a map";
    case VALUE_EXT:
        return "an extension";
    case VALUE_NONE:
        break;
    }
    return "nothing";
}
