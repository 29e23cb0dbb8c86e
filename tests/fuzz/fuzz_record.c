/* A journal record: any bytes are either no record, or a record whose effects lie within it and
 * within what a region can have, and encode to the same bytes again. */
#include <string.h>

#include "core/crc32c.h"
#include "core/record.h"
#include "tests/fuzz/fuzz.h"

#define CRC_OFFSET 4
#define CRC_FROM 8

static const uint8_t uuid[16] = "a region's uuid";

static void encode_again(struct record *record, const struct effect *effect, const uint8_t *bytes)
{
    size_t put = effect->kind == EFFECT_PUT ? effect->extent.size : 0;
    FUZZ_REQUIRE(record_reserve(record, RECORD_EXTENT_EFFECT + put) == 0);
    switch (effect->kind) {
    case EFFECT_USE:
        record_add_use(record, effect->extent);
        break;
    case EFFECT_FREE:
        record_add_free(record, effect->extent);
        break;
    case EFFECT_PUT: {
        size_t offset = record_add_put(record, effect->extent);
        memcpy(record->bytes + offset, bytes + effect->offset, effect->extent.size);
        break;
    }
    case EFFECT_PAGES:
        record_add_pages(record, effect->pages);
        break;
    }
}

/* Walks the effects, whether they make sense or not. */
static void walk(const uint8_t *bytes, const struct record_header *header)
{
    struct effect_cursor cursor;
    struct effect effect;
    struct record again;
    int more;
    record_init(&again);
    effect_begin(&cursor, bytes, header);
    while ((more = effect_next(&cursor, &effect)) == 1) {
        if (effect.kind != EFFECT_PAGES)
            FUZZ_REQUIRE(extent_is_valid(effect.extent));
        if (effect.kind == EFFECT_PUT)
            FUZZ_REQUIRE(effect.extent.size <= header->length - effect.offset);
        encode_again(&again, &effect, bytes);
    }
    if (more == 0) {
        FUZZ_REQUIRE(again.length == header->length && again.effects == header->effects);
        if (again.effects > 0)
            FUZZ_REQUIRE(memcmp(again.bytes + RECORD_HEADER, bytes + RECORD_HEADER,
                                header->length - RECORD_HEADER) == 0);
    }
    record_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record_header header;
    uint32_t seed = record_seed(uuid);
    if (size < RECORD_HEADER || !record_peek(data, get_u64(data + CRC_FROM), &header) ||
        header.length > size)
        return 0;
    uint8_t *bytes = malloc(size);
    FUZZ_REQUIRE(bytes != NULL);
    memcpy(bytes, data, size);
    if (record_is_valid(bytes, &header, seed))
        walk(bytes, &header);
    /* The same with a checksum that fits, or hardly any input would get this far. */
    header.crc = crc32c(seed, bytes + CRC_FROM, header.length - CRC_FROM);
    put_u32(bytes + CRC_OFFSET, header.crc);
    FUZZ_REQUIRE(record_is_valid(bytes, &header, seed));
    walk(bytes, &header);
    free(bytes);
    return 0;
}
