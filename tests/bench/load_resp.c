/* Redis: RESP. Answers come in the order of the requests. */
#include <stdlib.h>

#include "load.h"

static uint8_t *build(uint8_t *at, const struct slot *slot, unsigned index)
{
    static const char *const begins[KINDS] = {"*3\r\n$3\r\nSET\r\n$", "*2\r\n$3\r\nGET\r\n$",
                                              "*2\r\n$3\r\nDEL\r\n$"};
    uint8_t key[32];
    size_t length = (size_t)(put_decimal(put_text(key, "blob:"), slot->number) - key);
    (void)index;
    at = put_decimal(put_text(at, begins[slot->kind]), length);
    at = put_text(put(put_text(at, "\r\n"), key, length), "\r\n");
    if (slot->kind == ADD)
        at = put_text(put_decimal(put_text(at, "$"), options.size), "\r\n");
    return at;
}

static uint8_t *build_clear(uint8_t *at, unsigned *ret_count)
{
    *ret_count = 1;
    return put_text(at, "*1\r\n$8\r\nFLUSHALL\r\n");
}

/* +OK, -ERR ..., :1 or $LENGTH and the blob. A blob or key that is not there is an error here. */
static struct answer take(const uint8_t *bytes, size_t size, unsigned oldest)
{
    struct answer answer = {.slot = oldest};
    const uint8_t *end = memchr(bytes, '\n', size);
    if (end == NULL)
        return answer;
    size_t line = (size_t)(end - bytes) + 1;
    answer.size = line;
    if (bytes[0] == '$' && bytes[1] != '-') {
        answer.blob = bytes + line;
        answer.blob_size = strtoull((const char *)bytes + 1, NULL, 10);
        answer.size = answer.blob_size + 2 <= size - line ? line + answer.blob_size + 2 : 0;
    } else if (bytes[0] == '-' || bytes[0] == '$' || (bytes[0] == ':' && bytes[1] == '0')) {
        answer.error = bytes;
        answer.error_size = line;
    }
    return answer;
}

const struct protocol protocol_resp = {
    .name = "resp", .end = "\r\n", .build = build, .take = take, .build_clear = build_clear};
