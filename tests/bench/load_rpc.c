/* mregiond: MessagePack-RPC. The msgid is the number of the slot. */
#include "load.h"
#include "proto/cursor.h"
#include "proto/frame.h"

static uint8_t *put_str(uint8_t *at, const char *text)
{
    return put_text(put_number(at, 0xd9, strlen(text), 1), text);
}

static uint8_t *put_head(uint8_t *at, unsigned index, const char *method, unsigned params)
{
    *at++ = 0x94;
    *at++ = 0;
    at = put_str(put_number(at, 0xce, index, 4), method);
    *at++ = (uint8_t)(0x90 + params);
    return put_str(at, options.region);
}

static uint8_t *build(uint8_t *at, const struct slot *slot, unsigned index)
{
    const char *const names[KINDS] = {"addBlob", "loadBlob",
                                      options.deallocates ? "deallocate" : "removeBlob"};
    at = put_head(at, index, names[slot->kind], slot->kind == ADD ? 2 : 3);
    if (slot->kind == ADD)
        return put_number(at, 0xc6, options.size, 4);
    at = put_number(at, 0xcf, slot->address, 8);
    return put_number(at, 0xcf, options.size, 8);
}

/* A new region has new files: what is freed in an old one may occupy the server for a while. */
static uint8_t *build_clear(uint8_t *at, unsigned *ret_count)
{
    *ret_count = options.renews ? 2 : 1;
    if (!options.renews)
        return put_head(at, 0, "clear", 1);
    return put_head(put_head(at, 0, "dropRegion", 1), 0, "createRegion", 1);
}

static size_t frame_size(const uint8_t *bytes, size_t size)
{
    struct frame_scanner scanner;
    uint64_t whole;
    frame_reset(&scanner);
    enum frame_status status = frame_scan(&scanner, bytes, size, UINT32_MAX, &whole);
    if (status != FRAME_COMPLETE && status != FRAME_INCOMPLETE)
        die("%s: the server sent something that is no MessagePack", options.server);
    return status == FRAME_COMPLETE ? (size_t)whole : 0;
}

static struct answer take(const uint8_t *bytes, size_t size, unsigned oldest)
{
    struct answer answer = {.size = frame_size(bytes, size)};
    (void)oldest;
    if (answer.size == 0)
        return answer;
    struct cursor cursor = {bytes, bytes + answer.size};
    struct value array = cursor_next(&cursor);
    struct value type = cursor_next(&cursor);
    struct value msgid = cursor_next(&cursor);
    if (array.type != VALUE_ARRAY || array.count != 4 || type.number != 1 ||
        msgid.type != VALUE_UINT || msgid.number > UINT32_MAX)
        die("%s: the server sent something that is no response", options.server);
    struct value error = cursor_next(&cursor);
    struct value result = cursor_next(&cursor);
    answer.slot = (unsigned)msgid.number;
    if (error.type == VALUE_STR) {
        answer.error = error.raw.bytes;
        answer.error_size = error.raw.size;
    } else if (result.type == VALUE_UINT) {
        answer.address = result.number;
    } else if (result.type == VALUE_BIN) {
        answer.blob = result.raw.bytes;
        answer.blob_size = result.raw.size;
    }
    return answer;
}

const struct protocol protocol_mregion = {
    .name = "mregion", .end = "", .build = build, .take = take, .build_clear = build_clear};
