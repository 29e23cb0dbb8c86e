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

static const uint8_t secret[16] = "region's secret";

static void header(uint8_t *block)
{
    struct checkpoint found;
    if (checkpoint_decode_header(block, secret, &found)) {
        FUZZ_REQUIRE(found.sequence > 0 && found.start <= found.end);
        FUZZ_REQUIRE(found.start % DISK_BLOCK == 0 && found.end % DISK_BLOCK == 0);
        FUZZ_REQUIRE(found.size <= REGION_SIZE_MAX && found.end <= REGION_SIZE_MAX);
        FUZZ_REQUIRE(found.pages <= REGION_SIZE_MAX / REGION_PAGE);
    }
}

static void chunk(const uint8_t *bytes, size_t size)
{
    static struct extent blocks[CHECKPOINT_SLICE];
    size_t count = 0;
    if (size < CHECKPOINT_CHUNK_HEADER)
        return;
    uint32_t seed = record_seed(secret);
    uint64_t sequence = get_u64(bytes + CHUNK_SEQUENCE), index = get_u64(bytes + CHUNK_INDEX);
    size_t length = checkpoint_decode_chunk(bytes, size, seed, sequence, index, blocks, &count);
    if (length == 0)
        return;
    FUZZ_REQUIRE(length <= size && count > 0 && count <= CHECKPOINT_SLICE);
    FUZZ_REQUIRE(length == CHECKPOINT_CHUNK_HEADER + count * 16);
    FUZZ_REQUIRE(checkpoint_decode_chunk(bytes, size, seed, sequence + 2, index, blocks, &count) ==
                 0);
    FUZZ_REQUIRE(checkpoint_decode_chunk(bytes, size, seed, sequence, index + 1, blocks, &count) ==
                 0);
    FUZZ_REQUIRE(checkpoint_decode_chunk(bytes, size, seed + 1, sequence, index, blocks, &count) ==
                 0);
    FUZZ_REQUIRE(
        checkpoint_decode_chunk(bytes, length - 1, seed, sequence, index, blocks, &count) == 0);
}

/* The same with a checksum that fits, or hardly any input would get far. */
static void mend(uint8_t *bytes, size_t size)
{
    put_u32(bytes + HEADER_CRC, 0);
    put_u32(bytes + HEADER_CRC, crc32c(0, bytes, DISK_BLOCK));
    uint8_t *at = bytes + DISK_BLOCK;
    if (size < DISK_BLOCK + CHECKPOINT_CHUNK_HEADER)
        return;
    uint64_t length = CHECKPOINT_CHUNK_HEADER + (uint64_t)get_u32(at + CHUNK_COUNT) * 16;
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
