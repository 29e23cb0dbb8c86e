/* bench_raw: a header, a blob. */
#include "load.h"
#include "raw.h"

static uint8_t *build(uint8_t *at, const struct slot *slot, unsigned index)
{
    static const uint32_t kinds[KINDS] = {RAW_ADD, RAW_LOAD, RAW_REMOVE};
    struct raw_header header = {kinds[slot->kind],
                                slot->kind == REMOVE ? 0 : (uint32_t)options.size};
    (void)index;
    return put(at, &header, sizeof header);
}

static struct answer take(const uint8_t *bytes, size_t size, unsigned oldest)
{
    struct answer answer = {.slot = oldest};
    struct raw_header header;
    if (size < sizeof header)
        return answer;
    memcpy(&header, bytes, sizeof header);
    if (header.size > size - sizeof header)
        return answer;
    answer.size = sizeof header + header.size;
    if (header.kind == RAW_LOAD) {
        answer.blob = bytes + sizeof header;
        answer.blob_size = header.size;
    }
    return answer;
}

const struct protocol protocol_raw = {
    .name = "raw", .is_unmarked = true, .end = "", .build = build, .take = take};
