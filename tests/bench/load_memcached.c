/* memcached: its text protocol. Answers come in the order of the requests. */
#include <stdlib.h>

#include "load.h"

static uint8_t *build(uint8_t *at, const struct slot *slot, unsigned index)
{
    static const char *const begins[KINDS] = {"set blob:", "get blob:", "delete blob:"};
    (void)index;
    at = put_decimal(put_text(at, begins[slot->kind]), slot->number);
    if (slot->kind == ADD)
        at = put_decimal(put_text(at, " 0 0 "), options.size);
    return put_text(at, "\r\n");
}

static uint8_t *build_clear(uint8_t *at, unsigned *ret_count)
{
    *ret_count = 1;
    return put_text(at, "flush_all\r\n");
}

static bool begins_with(const uint8_t *bytes, size_t size, const char *text)
{
    return size >= strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

/* VALUE KEY FLAGS SIZE, the blob, END. */
static void take_value(const uint8_t *bytes, size_t size, size_t line, struct answer *answer)
{
    static const char end[] = "\r\nEND\r\n";
    const uint8_t *length = memrchr(bytes, ' ', line);
    answer->blob = bytes + line;
    answer->blob_size = strtoull((const char *)length + 1, NULL, 10);
    size_t rest = answer->blob_size + strlen(end);
    answer->size = rest <= size - line ? line + rest : 0;
    if (answer->size > 0 && memcmp(bytes + line + answer->blob_size, end, strlen(end)) != 0)
        die("%s: the server sent something that is no value", options.server);
}

static struct answer take(const uint8_t *bytes, size_t size, unsigned oldest)
{
    struct answer answer = {.slot = oldest};
    const uint8_t *end = memchr(bytes, '\n', size);
    if (end == NULL)
        return answer;
    size_t line = (size_t)(end - bytes) + 1;
    answer.size = line;
    if (begins_with(bytes, line, "VALUE ")) {
        take_value(bytes, size, line, &answer);
    } else if (!begins_with(bytes, line, "STORED") && !begins_with(bytes, line, "DELETED") &&
               !begins_with(bytes, line, "OK")) {
        answer.error = bytes;
        answer.error_size = line;
    }
    return answer;
}

const struct protocol protocol_memcached = {
    .name = "memcached", .end = "\r\n", .build = build, .take = take, .build_clear = build_clear};
