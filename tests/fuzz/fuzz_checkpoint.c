/* A checkpoint's header block and the first chunk behind it: any bytes are either refused, or
 * taken, and then what they say is within bounds. Where a chunk is taken, so is nothing but it: no
 * other place, no other checkpoint. */
#include <string.h>

#include "core/bytes.h"
#include "core/checkpoint.h"
#include "core/crc32c.h"
#include "core/record.h"
#include "tests/fuzz/fuzz.h"

#define HEADER_CRC 12
#define CHUNK_COUNT 4
#define CHUNK_SEQUENCE 8
#define CHUNK_INDEX 16
#define CHUNK_BODY_SIZE 28

static const uint8_t secret[16] = "region's secret";

static void header(uint8_t *block)
{
    struct checkpoint found;
    if (checkpoint_decode_header(block, secret, &found)) {
        FUZZ_REQUIRE(found.sequence > 0 && found.start <= found.end);
        FUZZ_REQUIRE(found.start % DISK_BLOCK == 0 && found.end % DISK_BLOCK == 0);
        FUZZ_REQUIRE(found.size <= REGION_SIZE_MAX && found.end <= REGION_SIZE_MAX);
        FUZZ_REQUIRE(found.pages <= REGION_SIZE_MAX / REGION_PAGE);
        FUZZ_REQUIRE(found.tokens <= found.token_sequence);
    }
}

/* Every token lies within the chunk, and they fill it. */
static void tokens(const struct checkpoint_chunk *chunk)
{
    struct token token;
    size_t offset = 0;
    uint32_t sum = 0;
    for (size_t i = 0; i < chunk->count; i++) {
        checkpoint_chunk_token(chunk, &offset, &token);
        FUZZ_REQUIRE(offset <= chunk->body_size);
        FUZZ_REQUIRE((token.result == NULL) == (token.result_size == TOKEN_RESULT_DROPPED));
        for (uint32_t at = 0; token.result != NULL && at < token.result_size; at++)
            sum += token.result[at];
    }
    FUZZ_REQUIRE(offset == chunk->body_size && sum < UINT32_MAX);
}

static size_t decode(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t sequence,
                     uint64_t index)
{
    struct checkpoint_chunk chunk;
    size_t length = checkpoint_decode_chunk(bytes, size, seed, sequence, index, &chunk);
    if (length == 0)
        return 0;
    FUZZ_REQUIRE(length <= size && chunk.count > 0 && chunk.body_size <= CHECKPOINT_BODY_MAX);
    FUZZ_REQUIRE(length == CHECKPOINT_CHUNK_HEADER + chunk.body_size);
    FUZZ_REQUIRE(chunk.kind == CHECKPOINT_EXTENTS || chunk.kind == CHECKPOINT_TOKENS);
    if (chunk.kind == CHECKPOINT_TOKENS)
        tokens(&chunk);
    else
        FUZZ_REQUIRE(chunk.count <= CHECKPOINT_SLICE && chunk.body_size == chunk.count * 16);
    return length;
}

static void chunk(const uint8_t *bytes, size_t size)
{
    if (size < CHECKPOINT_CHUNK_HEADER)
        return;
    uint32_t seed = record_seed(secret);
    uint64_t sequence = get_u64(bytes + CHUNK_SEQUENCE), index = get_u64(bytes + CHUNK_INDEX);
    size_t length = decode(bytes, size, seed, sequence, index);
    if (length == 0)
        return;
    FUZZ_REQUIRE(decode(bytes, size, seed, sequence + 2, index) == 0);
    FUZZ_REQUIRE(decode(bytes, size, seed, sequence, index + 1) == 0);
    FUZZ_REQUIRE(decode(bytes, size, seed + 1, sequence, index) == 0);
    FUZZ_REQUIRE(decode(bytes, length - 1, seed, sequence, index) == 0);
}

/* The same with a checksum that fits, or hardly any input would get far. */
static void mend(uint8_t *bytes, size_t size)
{
    put_u32(bytes + HEADER_CRC, 0);
    put_u32(bytes + HEADER_CRC, crc32c(0, bytes, DISK_BLOCK));
    uint8_t *at = bytes + DISK_BLOCK;
    if (size < DISK_BLOCK + CHECKPOINT_CHUNK_HEADER)
        return;
    uint64_t length = CHECKPOINT_CHUNK_HEADER + (uint64_t)get_u32(at + CHUNK_BODY_SIZE);
    if (length <= size - DISK_BLOCK)
        put_u32(at, crc32c(record_seed(secret), at + CHUNK_COUNT, length - CHUNK_COUNT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < DISK_BLOCK) {
        chunk(data, size);
        return 0;
    }
    uint8_t *bytes = malloc(size);
    FUZZ_REQUIRE(bytes != NULL);
    memcpy(bytes, data, size);
    header(bytes);
    chunk(bytes + DISK_BLOCK, size - DISK_BLOCK);
    mend(bytes, size);
    header(bytes);
    chunk(bytes + DISK_BLOCK, size - DISK_BLOCK);
    free(bytes);
    return 0;
}
