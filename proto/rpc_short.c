/* Most requests are small and all alike: they are taken apart here in one pass, with a third of the
 * instructions that frame_scan, rpc_parse and rpc_call_parse need one after the other. Nothing is
 * judged here: what does not have exactly this form is left to those three. */
#include <string.h>

#include "proto/bigendian.h"
#include "proto/rpc.h"

/* How many bytes there are from at on. */
static inline size_t left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* The number behind a first byte, in `width` bytes. Where there are eight bytes to read, no branch
 * depends on the width, which differs from request to request. */
static inline uint64_t get_number(const struct cursor *cursor, size_t width)
{
    uint64_t number = 0;

    if (left(cursor) > sizeof number)
        return get_be64(cursor->at + 1) >> (64 - 8 * width);
    for (size_t i = 1; i <= width; i++)
        number = number << 8 | cursor->at[i];
    return number;
}

/* An integer that is not negative, in an unsigned form or, as some packers have it, a signed one.
 */
static inline bool take_uint(struct cursor *cursor, uint64_t *ret_number)
{
    uint8_t first;
    size_t width;

    if (left(cursor) == 0)
        return false;
    first = *cursor->at;
    if (first <= 0x7f) {
        *ret_number = first;
        cursor->at++;
        return true;
    }
    if (first < 0xcc || first > 0xd3) /* uint 8, 16, 32, 64, int 8, 16, 32, 64 */
        return false;
    width = (size_t)1 << (first & 3);
    if (left(cursor) <= width)
        return false;
    if (first >= 0xd0 && cursor->at[1] >= 0x80) /* negative */
        return false;
    *ret_number = get_number(cursor, width);
    cursor->at += 1 + width;
    return true;
}

/* A str or bin of less than 64 KiB, which is the size from which on a blob is not copied. */
static inline bool take_bytes(struct cursor *cursor, const uint8_t **ret_bytes, uint32_t *ret_size)
{
    const uint8_t *at = cursor->at;
    size_t have = left(cursor), header, size;

    if (have >= 1 && at[0] >= 0xa0 && at[0] <= 0xbf) {
        header = 1;
        size = at[0] & 0x1f;
    } else if (have >= 2 && (at[0] == 0xc4 || at[0] == 0xd9)) { /* bin 8, str 8 */
        header = 2;
        size = at[1];
    } else if (have >= 3 && (at[0] == 0xc5 || at[0] == 0xda)) { /* bin 16, str 16 */
        header = 3;
        size = get_be16(at + 1);
    } else if (have >= 5 && (at[0] == 0xc6 || at[0] == 0xdb) && at[1] == 0 && at[2] == 0) {
        header = 5; /* bin 32, str 32: some packers know no other for a blob */
        size = get_be16(at + 3);
    } else {
        return false;
    }
    if (have - header < size)
        return false;
    *ret_bytes = at + header;
    *ret_size = (uint32_t)size;
    cursor->at = at + header + size;
    return true;
}

static inline bool take_param(struct cursor *cursor, char letter, struct rpc_param *ret)
{
    *ret = (struct rpc_param){0};
    if (letter == 'U')
        return take_uint(cursor, &ret->number);
    if (letter == 'B' || letter == 'N' || letter == 'R')
        return take_bytes(cursor, &ret->bytes, &ret->size) ||
               (letter == 'R' && take_uint(cursor, &ret->number));
    return false;
}

/* [0, msgid, method, [: the cursor is moved behind it. */
static inline bool take_envelope(struct cursor *cursor, struct rpc_request *ret)
{
    uint64_t msgid;

    if (left(cursor) < 2 || cursor->at[0] != 0x94 || cursor->at[1] != 0x00)
        return false;
    cursor->at += 2;
    if (!take_uint(cursor, &msgid) || msgid > UINT32_MAX ||
        !take_bytes(cursor, &ret->method, &ret->method_size) || left(cursor) == 0 ||
        *cursor->at < 0x90 || *cursor->at > 0x9f)
        return false;
    ret->is_notification = false;
    ret->has_msgid = true;
    ret->msgid = (uint32_t)msgid;
    ret->params_count = *cursor->at++ & 0x0f;
    ret->params = *cursor;
    return true;
}

/* {"token": bytes}, of a method that knows it. */
static inline bool take_token(struct cursor *cursor, struct rpc_call *ret)
{
    static const uint8_t key[] = {0x81, 0xa5, 't', 'o', 'k', 'e', 'n'};
    const uint8_t *token;
    uint32_t size;

    if (left(cursor) < sizeof key || memcmp(cursor->at, key, sizeof key) != 0)
        return false;
    ret->has_options = true;
    ret->options.at = cursor->at + 1;
    ret->options_count = 1;
    cursor->at += sizeof key;
    return take_bytes(cursor, &token, &size);
}

static inline bool take_params(struct cursor *cursor, uint32_t count, struct rpc_call *ret)
{
    const struct method *method = &methods[ret->method];
    bool has_token = count > method->parameter_count;

    if (count < method->parameter_count || count > method->parameter_count + 1 ||
        (has_token && !method_takes_token(ret->method)))
        return false;
    ret->has_region = true;
    ret->has_options = false;
    ret->options = (struct cursor){NULL, NULL};
    ret->options_count = 0;
    for (unsigned i = 0; i < method->parameter_count; i++)
        if (!take_param(cursor, method->parameters[i], &ret->params[i]))
            return false;
    return !has_token || take_token(cursor, ret);
}

size_t rpc_parse_short(const uint8_t *bytes, size_t size, struct rpc_request *ret,
                       struct rpc_call *ret_call)
{
    struct cursor cursor = {.at = bytes, .end = bytes + size};

    if (!take_envelope(&cursor, ret))
        return 0;
    ret_call->method = method_find((const char *)ret->method, ret->method_size);
    if (ret_call->method == METHODS || !take_params(&cursor, ret->params_count, ret_call))
        return 0;
    ret->params.end = cursor.at; /* what follows is another message */
    if (ret_call->has_options)
        ret_call->options.end = cursor.at;
    return (size_t)(cursor.at - bytes);
}
