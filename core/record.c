#include "core/record.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"

#define MAGIC 0x4352474du /* "MGRC" */

enum {
    AT_MAGIC = 0,
    AT_CRC = 4,
    AT_LSN = 8,
    AT_LENGTH = 16,
    AT_SYNCED = 24,
    AT_EFFECTS = 32,
    AT_HEADER_CRC = 36, /* of [AT_LSN, AT_HEADER_CRC), begun with the seed */
    AT_ZEROS = 40,      /* to RECORD_HEADER */
};

uint32_t record_seed(const uint8_t secret[16])
{
    return crc32c(0, secret, 16);
}

/* ---- Encoding ---- */

void record_init(struct record *record)
{
    *record = (struct record){.length = RECORD_HEADER};
}

void record_release(struct record *record)
{
    free(record->bytes);
    record_init(record);
}

void record_reset(struct record *record)
{
    if (record->capacity > BATCH_BYTES)
        record_release(record); /* one change larger than batches are: the exception */
    record->length = RECORD_HEADER;
    record->effects = 0;
}

int record_reserve(struct record *record, size_t size)
{
    if (size > SIZE_MAX / 4 - record->length)
        return -ENOMEM;
    size_t need = (size_t)record_padded(record->length + size);
    if (need <= record->capacity)
        return 0;
    /* Doubling up to what a commit gathers, then by a quarter, for changes that are made all or
     * nothing; but a single large blob gets what it needs and no more. */
    uint64_t more = max_u64(BATCH_BYTES, record->capacity + record->capacity / 4);
    size_t capacity = (size_t)max_u64(need, min_u64((uint64_t)record->capacity * 2, more));
    capacity = (size_t)max_u64(capacity, (uint64_t)4 * DISK_BLOCK);
    void *bytes;
    if (posix_memalign(&bytes, DISK_BLOCK, capacity) != 0)
        return -ENOMEM;
    if (record->bytes != NULL)
        memcpy(bytes, record->bytes, record->length);
    free(record->bytes);
    record->bytes = bytes;
    record->capacity = capacity;
    return 0;
}

static void add_extent(struct record *record, enum effect_kind kind, struct extent extent)
{
    uint8_t *at = record->bytes + record->length;
    assert(extent.size > 0 && extent_end(extent) <= REGION_SIZE_MAX);
    assert(record->length + RECORD_EXTENT_EFFECT <= record->capacity);
    at[0] = (uint8_t)kind;
    put_u64(at + 1, extent.address);
    put_u64(at + 9, extent.size);
    record->length += RECORD_EXTENT_EFFECT;
    record->effects++;
}

void record_add_use(struct record *record, struct extent extent)
{
    add_extent(record, EFFECT_USE, extent);
}

void record_add_free(struct record *record, struct extent extent)
{
    add_extent(record, EFFECT_FREE, extent);
}

void record_add_pages(struct record *record, uint64_t pages)
{
    uint8_t *at = record->bytes + record->length;
    assert(record->length + RECORD_PAGES_EFFECT <= record->capacity);
    at[0] = EFFECT_PAGES;
    put_u64(at + 1, pages);
    record->length += RECORD_PAGES_EFFECT;
    record->effects++;
}

size_t record_add_put(struct record *record, struct extent extent)
{
    add_extent(record, EFFECT_PUT, extent);
    size_t offset = record->length;
    record->length += extent.size;
    assert(record->length <= record->capacity);
    return offset;
}

size_t record_add_sums(struct record *record, enum effect_kind kind, struct page_run run)
{
    uint8_t *at = record->bytes + record->length;
    assert(run.count > 0 && run.count <= UINT32_MAX);
    at[0] = (uint8_t)kind;
    put_u64(at + 1, run.first);
    put_u32(at + 9, (uint32_t)run.count);
    size_t offset = record->length + RECORD_SUMS_EFFECT;
    record->length = offset + (size_t)run.count * RECORD_SUM;
    record->effects++;
    assert(record->length <= record->capacity);
    return offset;
}

void record_add_zero(struct record *record, struct page_run run)
{
    uint8_t *at = record->bytes + record->length;
    assert(run.count > 0 && record->length + RECORD_ZERO_EFFECT <= record->capacity);
    at[0] = EFFECT_ZERO;
    put_u64(at + 1, run.first);
    put_u64(at + 9, run.count);
    record->length += RECORD_ZERO_EFFECT;
    record->effects++;
}

void record_add_token(struct record *record, const struct token *token)
{
    uint8_t *at = record->bytes + record->length;
    assert(record->length + RECORD_TOKEN_EFFECT + token->result_size <= record->capacity);
    at[0] = EFFECT_TOKEN;
    put_u64(at + 1, token->sequence);
    memcpy(at + 9, token->id, sizeof token->id);
    put_u64(at + 25, token->fingerprint);
    put_u32(at + 33, token->result_size);
    memcpy(at + RECORD_TOKEN_EFFECT, token->result, token->result_size);
    record->length += RECORD_TOKEN_EFFECT + token->result_size;
    record->effects++;
}

static uint32_t header_checksum(const uint8_t *bytes, uint32_t seed)
{
    return crc32c(seed, bytes + AT_LSN, AT_HEADER_CRC - AT_LSN);
}

void record_seal(struct record *record, uint32_t seed, uint64_t lsn, uint64_t synced)
{
    uint8_t *bytes = record->bytes;
    size_t padded = (size_t)record_padded(record->length);
    assert(padded <= record->capacity && lsn % DISK_BLOCK == 0 && synced <= lsn);
    put_u32(bytes + AT_MAGIC, MAGIC);
    put_u64(bytes + AT_LSN, lsn);
    put_u64(bytes + AT_LENGTH, record->length);
    put_u64(bytes + AT_SYNCED, synced);
    put_u32(bytes + AT_EFFECTS, record->effects);
    put_u32(bytes + AT_HEADER_CRC, header_checksum(bytes, seed));
    memset(bytes + AT_ZEROS, 0, RECORD_HEADER - AT_ZEROS);
    memset(bytes + record->length, 0, padded - record->length);
    put_u32(bytes + AT_CRC, crc32c(seed, bytes + AT_LSN, record->length - AT_LSN));
}

/* ---- Decoding ---- */

bool record_peek(const uint8_t *bytes, uint64_t lsn, uint32_t seed,
                 struct record_header *ret_header)
{
    struct record_header header = {
        .crc = get_u32(bytes + AT_CRC),
        .effects = get_u32(bytes + AT_EFFECTS),
        .lsn = get_u64(bytes + AT_LSN),
        .length = get_u64(bytes + AT_LENGTH),
        .synced = get_u64(bytes + AT_SYNCED),
    };
    if (get_u32(bytes + AT_MAGIC) != MAGIC || header.lsn != lsn ||
        get_u32(bytes + AT_HEADER_CRC) != header_checksum(bytes, seed) ||
        header.length < RECORD_HEADER || header.length > REGION_SIZE_MAX || header.synced > lsn)
        return false;
    *ret_header = header;
    return true;
}

bool record_peek_anywhere(const uint8_t *bytes, uint32_t seed, struct record_header *ret_header)
{
    return record_peek(bytes, get_u64(bytes + AT_LSN), seed, ret_header);
}

bool record_is_valid(const uint8_t *bytes, const struct record_header *header, uint32_t seed)
{
    return crc32c(seed, bytes + AT_LSN, header->length - AT_LSN) == header->crc;
}

void effect_begin(struct effect_cursor *cursor, const uint8_t *bytes,
                  const struct record_header *header)
{
    *cursor = (struct effect_cursor){bytes, header->length, RECORD_HEADER, header->effects};
}

static int next_extent(struct effect_cursor *cursor, const uint8_t *at, struct effect *effect)
{
    struct extent extent = {get_u64(at + 1), get_u64(at + 9)};
    if (extent.size == 0 || extent.size > REGION_SIZE_MAX ||
        extent.address > REGION_SIZE_MAX - extent.size)
        return -EINVAL;
    effect->extent = extent;
    cursor->offset += RECORD_EXTENT_EFFECT;
    if (effect->kind != EFFECT_PUT)
        return 1;
    if (extent.size > cursor->length - cursor->offset)
        return -EINVAL;
    effect->offset = cursor->offset;
    cursor->offset += extent.size;
    return 1;
}

/* Whether run is not empty and lies within a region's bounds. */
static bool is_run(struct page_run run)
{
    uint64_t most = REGION_SIZE_MAX / DATA_PAGE;
    return run.count > 0 && run.count <= most && run.first <= most - run.count;
}

static int next_sums(struct effect_cursor *cursor, const uint8_t *at, struct effect *effect)
{
    effect->run = (struct page_run){get_u64(at + 1), get_u32(at + 9)};
    cursor->offset += RECORD_SUMS_EFFECT;
    if (!is_run(effect->run) || effect->run.count > (cursor->length - cursor->offset) / RECORD_SUM)
        return -EINVAL;
    effect->offset = cursor->offset;
    cursor->offset += (size_t)effect->run.count * RECORD_SUM;
    return 1;
}

static int next_zero(struct effect_cursor *cursor, const uint8_t *at, struct effect *effect)
{
    effect->run = (struct page_run){get_u64(at + 1), get_u64(at + 9)};
    cursor->offset += RECORD_ZERO_EFFECT;
    return is_run(effect->run) ? 1 : -EINVAL;
}

static int next_token(struct effect_cursor *cursor, const uint8_t *at, struct effect *effect)
{
    struct token *token = &effect->token;
    token->sequence = get_u64(at + 1);
    memcpy(token->id, at + 9, sizeof token->id);
    token->fingerprint = get_u64(at + 25);
    token->result_size = get_u32(at + 33);
    cursor->offset += RECORD_TOKEN_EFFECT;
    if (token->result_size > TOKEN_ANSWER_MAX ||
        token->result_size > cursor->length - cursor->offset)
        return -EINVAL;
    token->result = cursor->bytes + cursor->offset;
    cursor->offset += token->result_size;
    return 1;
}

/* The encoded length of a kind without what follows it; 0 for no kind. */
static size_t fixed_length(uint8_t kind)
{
    switch (kind) {
    case EFFECT_USE:
    case EFFECT_FREE:
    case EFFECT_PUT:
        return RECORD_EXTENT_EFFECT;
    case EFFECT_PAGES:
        return RECORD_PAGES_EFFECT;
    case EFFECT_CHANGED:
    case EFFECT_FRESH:
    case EFFECT_DIRECT:
        return RECORD_SUMS_EFFECT;
    case EFFECT_ZERO:
        return RECORD_ZERO_EFFECT;
    case EFFECT_TOKEN:
        return RECORD_TOKEN_EFFECT;
    default:
        return 0;
    }
}

int effect_next(struct effect_cursor *cursor, struct effect *ret_effect)
{
    const uint8_t *at = cursor->bytes + cursor->offset;
    size_t size = cursor->length - cursor->offset;
    if (cursor->left == 0)
        return size == 0 ? 0 : -EINVAL;
    cursor->left--;
    *ret_effect = (struct effect){0};
    size_t fixed = size > 0 ? fixed_length(at[0]) : 0;
    if (fixed == 0 || size < fixed)
        return -EINVAL;
    ret_effect->kind = (enum effect_kind)at[0];
    switch (ret_effect->kind) {
    case EFFECT_USE:
    case EFFECT_FREE:
    case EFFECT_PUT:
        return next_extent(cursor, at, ret_effect);
    case EFFECT_PAGES:
        ret_effect->pages = get_u64(at + 1);
        cursor->offset += RECORD_PAGES_EFFECT;
        return ret_effect->pages <= REGION_SIZE_MAX / REGION_PAGE ? 1 : -EINVAL;
    case EFFECT_CHANGED:
    case EFFECT_FRESH:
    case EFFECT_DIRECT:
        return next_sums(cursor, at, ret_effect);
    case EFFECT_ZERO:
        return next_zero(cursor, at, ret_effect);
    case EFFECT_TOKEN:
        return next_token(cursor, at, ret_effect);
    }
    return -EINVAL;
}
