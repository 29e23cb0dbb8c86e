/* Tarantool: IPROTO. The sync is the number of the slot. The space has the id 512, its key is the
 * blob's number, the blob the second field; tarantool.lua makes it. */
#include "load.h"
#include "proto/cursor.h"

#define SPACE 512

enum { TYPE_SELECT = 1, TYPE_INSERT = 2, TYPE_DELETE = 5, TYPE_EVAL = 8 };
enum {
    KEY_TYPE = 0,
    KEY_SYNC = 1,
    KEY_SPACE = 0x10,
    KEY_INDEX,
    KEY_LIMIT,
    KEY_OFFSET,
    KEY_ITERATOR
};
enum { KEY_KEY = 0x20, KEY_TUPLE, KEY_EXPRESSION = 0x27, KEY_DATA = 0x30, KEY_ERROR };

/* A packet begins with its size in five bytes, and the header. */
static uint8_t *put_header(uint8_t *at, unsigned type, unsigned index)
{
    *at++ = 0x82;
    *at++ = KEY_TYPE;
    *at++ = (uint8_t)type;
    *at++ = KEY_SYNC;
    return put_number(at, 0xce, index, 4);
}

static uint8_t *put_small(uint8_t *at, unsigned key, unsigned value)
{
    *at++ = (uint8_t)key;
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_space(uint8_t *at, unsigned pairs)
{
    *at++ = (uint8_t)(0x80 + pairs);
    *at++ = KEY_SPACE;
    return put_number(at, 0xcd, SPACE, 2);
}

static uint8_t *put_key(uint8_t *at, uint64_t number)
{
    *at++ = KEY_KEY;
    *at++ = 0x91;
    return put_number(at, 0xcf, number, 8);
}

/* at is the end of the packet but for the blob that follows. */
static uint8_t *put_packet_size(uint8_t *begin, uint8_t *at, uint64_t blob_size)
{
    put_number(begin, 0xce, (uint64_t)(at - begin) - 5 + blob_size, 4);
    return at;
}

static uint8_t *build(uint8_t *begin, const struct slot *slot, unsigned index)
{
    static const unsigned types[KINDS] = {TYPE_INSERT, TYPE_SELECT, TYPE_DELETE};
    uint8_t *at = put_header(begin + 5, types[slot->kind], index);
    if (slot->kind == ADD) {
        at = put_space(at, 2);
        *at++ = KEY_TUPLE;
        *at++ = 0x92;
        at = put_number(put_number(at, 0xcf, slot->number, 8), 0xc6, options.size, 4);
        return put_packet_size(begin, at, options.size);
    }
    if (slot->kind == LOAD) {
        at = put_small(put_space(at, 6), KEY_INDEX, 0);
        at = put_small(put_small(at, KEY_LIMIT, 1), KEY_OFFSET, 0);
        at = put_small(at, KEY_ITERATOR, 0);
    } else {
        at = put_small(put_space(at, 3), KEY_INDEX, 0);
    }
    return put_packet_size(begin, put_key(at, slot->number), 0);
}

static uint8_t *build_clear(uint8_t *begin, unsigned *ret_count)
{
    *ret_count = 1;
    static const char expression[] = "box.space.blobs:truncate()";
    uint8_t *at = put_header(begin + 5, TYPE_EVAL, 0);
    *at++ = 0x82;
    *at++ = KEY_EXPRESSION;
    at = put_text(put_number(at, 0xd9, strlen(expression), 1), expression);
    *at++ = KEY_TUPLE;
    *at++ = 0x90;
    return put_packet_size(begin, at, 0);
}

/* The first tuple of the data, [number, blob]. */
static void take_data(struct cursor *cursor, struct answer *answer)
{
    struct value tuples = cursor_next(cursor);
    if (tuples.type != VALUE_ARRAY || tuples.count == 0)
        return;
    struct value tuple = cursor_next(cursor);
    if (tuple.type != VALUE_ARRAY || tuple.count != 2)
        return;
    cursor_skip(cursor);
    struct value blob = cursor_next(cursor);
    if (blob.type != VALUE_BIN)
        return;
    answer->blob = blob.raw.bytes;
    answer->blob_size = blob.raw.size;
}

static void take_body(struct cursor *cursor, struct answer *answer)
{
    struct value map = cursor_next(cursor);
    for (uint32_t i = 0; map.type == VALUE_MAP && i < map.count; i++) {
        struct value key = cursor_next(cursor);
        if (key.number == KEY_DATA) {
            take_data(cursor, answer);
            return;
        }
        if (key.number == KEY_ERROR) {
            struct value error = cursor_next(cursor);
            answer->error = error.raw.bytes;
            answer->error_size = error.raw.size;
            return;
        }
        cursor_skip(cursor);
    }
}

static struct answer take(const uint8_t *bytes, size_t size, unsigned oldest)
{
    struct answer answer = {0};
    (void)oldest;
    if (size < 5)
        return answer;
    struct cursor cursor = {bytes, bytes + 5};
    size_t whole = 5 + (size_t)cursor_next(&cursor).number;
    if (size < whole)
        return answer;
    answer.size = whole;
    cursor.end = bytes + whole;
    struct value header = cursor_next(&cursor);
    for (uint32_t i = 0; header.type == VALUE_MAP && i < header.count; i++) {
        struct value key = cursor_next(&cursor);
        struct value value = cursor_next(&cursor);
        if (key.number == KEY_SYNC)
            answer.slot = (unsigned)value.number;
    }
    take_body(&cursor, &answer);
    return answer;
}

const struct protocol protocol_iproto = {.name = "iproto",
                                         .greeting = 128,
                                         .end = "",
                                         .build = build,
                                         .take = take,
                                         .build_clear = build_clear};
