/* A journal record: any bytes are either no record, or a record whose effects lie within it and
 * within what a region can have, and encode to the same bytes again. */
#include <string.h>

#include "core/crc32c.h"
#include "core/record.h"
#include "tests/fuzz/fuzz.h"

#define CRC_FROM 8
#define HEADER_CRC_OFFSET 36

static const uint8_t secret[16] = "region's secret";

static void encode_again(struct record *record, const struct effect *effect, const uint8_t *bytes)
{
    bool has_sums = effect->kind == EFFECT_CHANGED || effect->kind == EFFECT_FRESH ||
                    effect->kind == EFFECT_DIRECT;
    size_t size = effect->kind == EFFECT_PUT ? effect->extent.size
                  : has_sums                 ? (size_t)effect->run.count * RECORD_SUM
                                             : effect->token.result_size;
    size_t offset;
    FUZZ_REQUIRE(record_reserve(record, RECORD_TOKEN_EFFECT + size) == 0);
    switch (effect->kind) {
    case EFFECT_USE:
        record_add_use(record, effect->extent);
        break;
    case EFFECT_FREE:
        record_add_free(record, effect->extent);
        break;
    case EFFECT_PUT:
        offset = record_add_put(record, effect->extent);
        memcpy(record->bytes + offset, bytes + effect->offset, size);
        break;
    case EFFECT_PAGES:
        record_add_pages(record, effect->pages);
        break;
    case EFFECT_CHANGED:
    case EFFECT_FRESH:
    case EFFECT_DIRECT:
        offset = record_add_sums(record, effect->kind, effect->run);
        memcpy(record->bytes + offset, bytes + effect->offset, size);
        break;
    case EFFECT_ZERO:
        record_add_zero(record, effect->run);
        break;
    case EFFECT_TOKEN:
        record_add_token(record, &effect->token);
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
        if (effect.kind < EFFECT_PAGES)
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

/* A copy with checksums that fit, or hardly any input would get far. */
static void walk_mended(const uint8_t *data, size_t size, uint32_t seed)
{
    struct record_header header;
    uint8_t *bytes = malloc(size);
    FUZZ_REQUIRE(bytes != NULL);
    memcpy(bytes, data, size);
    put_u32(bytes + HEADER_CRC_OFFSET,
            crc32c(seed, bytes + CRC_FROM, HEADER_CRC_OFFSET - CRC_FROM));
    if (record_peek(bytes, get_u64(bytes + CRC_FROM), seed, &header) && header.length <= size) {
        header.crc = crc32c(seed, bytes + CRC_FROM, header.length - CRC_FROM);
        FUZZ_REQUIRE(record_is_valid(bytes, &header, seed));
        walk(bytes, &header);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record_header header;
    uint32_t seed = record_seed(secret);
    if (size < RECORD_HEADER)
        return 0;
    if (record_peek(data, get_u64(data + CRC_FROM), seed, &header) && header.length <= size &&
        record_is_valid(data, &header, seed))
        walk(data, &header);
    walk_mended(data, size, seed);
    return 0;
}
