#include "core/checkpoint_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/iofile.h"
#include "core/record.h"

static const char magic[8] = {'M', 'R', 'E', 'G', 'C', 'K', 'P', 'T'};

#define VERSION 2

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CRC = 12, /* of the whole block with zeros here */
    AT_SECRET = 16,
    AT_SEQUENCE = 32,
    AT_START = 40,
    AT_END = 48,
    AT_SIZE = 56,
    AT_PAGES = 64,
    AT_BLOCKS = 72,
    AT_CHUNKS = 80,
    AT_BODY_SIZE = 88,
    AT_TOKEN_SEQUENCE = 96,
    AT_TOKENS = 104,
};

enum {
    CHUNK_CRC = 0, /* of all that follows, begun with the region's seed */
    CHUNK_COUNT = 4,
    CHUNK_SEQUENCE = 8,
    CHUNK_INDEX = 16,
    CHUNK_KIND = 24,
    CHUNK_BODY_SIZE = 28,
};

enum {
    TOKEN_SEQUENCE = 0,
    TOKEN_ID = 8,
    TOKEN_FINGERPRINT = 24,
    TOKEN_RESULT_SIZE = 32,
};

#define EXTENT_BYTES 16

const char *checkpoint_name(unsigned slot)
{
    static const char *const names[CHECKPOINT_SLOTS] = {"checkpoint-a", "checkpoint-b"};
    assert(slot < CHECKPOINT_SLOTS);
    return names[slot];
}

uint64_t checkpoint_room(uint64_t blocks, uint64_t token_bytes)
{
    /* Two chunks of tokens that follow each other are more than one full one together. */
    uint64_t chunks = blocks / CHECKPOINT_SLICE + 1 + 2 * token_bytes / CHECKPOINT_BODY + 1;
    return DISK_BLOCK + chunks * CHECKPOINT_CHUNK_HEADER + blocks * EXTENT_BYTES + token_bytes;
}

/* Opens a slot, and makes it, name and all, where somebody removed it. */
static int open_or_make(struct io *io, const char *folder, const char *name,
                        struct io_file **ret_file, struct err *err)
{
    char path[IO_PATH_SIZE];
    int code = io_join(path, folder, name, err);
    if (code != 0)
        return code;
    int result = io->ops->open(io, path, 0, ret_file);
    if (result != -ENOENT)
        return result == 0 ? 0 : err_io(err, result, "open", path);
    code = io_open_at(io, folder, name, IO_CREATE, ret_file, err);
    if (code != 0)
        return code;
    result = io->ops->sync_directory(io, folder);
    if (result == 0)
        return 0;
    io->ops->close(io, *ret_file);
    return err_io(err, result, "sync", folder);
}

int checkpoint_reserve(struct io *io, const char *folder, unsigned slot, uint64_t room,
                       struct err *err)
{
    const char *name = checkpoint_name(slot);
    struct io_file *file;
    uint64_t size;
    int code = open_or_make(io, folder, name, &file, err);
    if (code != 0)
        return code;
    const char *verb = "read";
    int result = io->ops->size(io, file, &size);
    if (result == 0 && size < room) {
        verb = "reserve space for";
        result = io->ops->allocate(io, file, size, room - size);
        if (result == 0) {
            verb = "sync";
            result = io->ops->sync(io, file);
        }
    }
    io->ops->close(io, file);
    return result == 0 ? 0 : err_io_at(err, result, verb, folder, name);
}

/* ---- Header ---- */

static uint32_t header_checksum(const uint8_t *block)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(0, block, AT_CRC);
    crc = crc32c(crc, zeros, sizeof zeros);
    return crc32c(crc, block + AT_SECRET, DISK_BLOCK - AT_SECRET);
}

void checkpoint_encode_header(uint8_t *block, const uint8_t secret[16],
                              const struct checkpoint *checkpoint)
{
    memset(block, 0, DISK_BLOCK);
    memcpy(block + AT_MAGIC, magic, sizeof magic);
    put_u32(block + AT_VERSION, VERSION);
    memcpy(block + AT_SECRET, secret, 16);
    put_u64(block + AT_SEQUENCE, checkpoint->sequence);
    put_u64(block + AT_START, checkpoint->start);
    put_u64(block + AT_END, checkpoint->end);
    put_u64(block + AT_SIZE, checkpoint->size);
    put_u64(block + AT_PAGES, checkpoint->pages);
    put_u64(block + AT_BLOCKS, checkpoint->blocks);
    put_u64(block + AT_CHUNKS, checkpoint->chunks);
    put_u64(block + AT_BODY_SIZE, checkpoint->body_size);
    put_u64(block + AT_TOKEN_SEQUENCE, checkpoint->token_sequence);
    put_u64(block + AT_TOKENS, checkpoint->tokens);
    put_u32(block + AT_CRC, header_checksum(block));
}

bool checkpoint_decode_header(const uint8_t *block, const uint8_t secret[16],
                              struct checkpoint *ret_checkpoint)
{
    struct checkpoint checkpoint = {
        .sequence = get_u64(block + AT_SEQUENCE),
        .start = get_u64(block + AT_START),
        .end = get_u64(block + AT_END),
        .size = get_u64(block + AT_SIZE),
        .pages = get_u64(block + AT_PAGES),
        .blocks = get_u64(block + AT_BLOCKS),
        .chunks = get_u64(block + AT_CHUNKS),
        .body_size = get_u64(block + AT_BODY_SIZE),
        .token_sequence = get_u64(block + AT_TOKEN_SEQUENCE),
        .tokens = get_u64(block + AT_TOKENS),
    };
    if (memcmp(block + AT_MAGIC, magic, sizeof magic) != 0 ||
        get_u32(block + AT_VERSION) != VERSION || memcmp(block + AT_SECRET, secret, 16) != 0 ||
        get_u32(block + AT_CRC) != header_checksum(block))
        return false;
    if (checkpoint.sequence == 0 || checkpoint.sequence > REGION_SIZE_MAX ||
        checkpoint.start > checkpoint.end || checkpoint.end > REGION_SIZE_MAX ||
        checkpoint.start % DISK_BLOCK != 0 || checkpoint.end % DISK_BLOCK != 0 ||
        checkpoint.size > REGION_SIZE_MAX || checkpoint.pages > REGION_SIZE_MAX / REGION_PAGE ||
        checkpoint.tokens > checkpoint.token_sequence ||
        checkpoint.token_sequence > REGION_SIZE_MAX)
        return false;
    *ret_checkpoint = checkpoint;
    return true;
}

/* ---- Chunks ---- */

void checkpoint_encode_chunk(uint8_t *chunk, const struct checkpoint *checkpoint,
                             enum checkpoint_kind kind, size_t count, size_t body_size)
{
    put_u32(chunk + CHUNK_COUNT, (uint32_t)count);
    put_u64(chunk + CHUNK_SEQUENCE, checkpoint->sequence);
    put_u64(chunk + CHUNK_INDEX, checkpoint->chunks);
    put_u32(chunk + CHUNK_KIND, kind);
    put_u32(chunk + CHUNK_BODY_SIZE, (uint32_t)body_size);
}

void checkpoint_seal_chunk(uint8_t *chunk, size_t size, uint32_t seed)
{
    put_u32(chunk + CHUNK_CRC, crc32c(seed, chunk + CHUNK_COUNT, size - CHUNK_COUNT));
}

uint8_t *checkpoint_encode_token(uint8_t *at, const struct token *token)
{
    size_t size = token->result_size == TOKEN_RESULT_DROPPED ? 0 : token->result_size;
    put_u64(at + TOKEN_SEQUENCE, token->sequence);
    memcpy(at + TOKEN_ID, token->id, sizeof token->id);
    put_u64(at + TOKEN_FINGERPRINT, token->fingerprint);
    put_u32(at + TOKEN_RESULT_SIZE, token->result_size);
    if (size > 0)
        memcpy(at + TOKEN_CHECKPOINT_BYTES, token->result, size);
    return at + TOKEN_CHECKPOINT_BYTES + size;
}

size_t checkpoint_claimed(const uint8_t *header)
{
    size_t count = get_u32(header + CHUNK_COUNT), body_size = get_u32(header + CHUNK_BODY_SIZE);
    uint32_t kind = get_u32(header + CHUNK_KIND);
    bool is_possible = kind == CHECKPOINT_EXTENTS
                           ? count <= CHECKPOINT_SLICE && body_size == count * EXTENT_BYTES
                           : kind == CHECKPOINT_TOKENS && body_size <= CHECKPOINT_BODY_MAX &&
                                 count <= body_size / TOKEN_CHECKPOINT_BYTES;
    return is_possible && count > 0 ? CHECKPOINT_CHUNK_HEADER + body_size : 0;
}

struct extent checkpoint_chunk_extent(const struct checkpoint_chunk *chunk, size_t i)
{
    const uint8_t *at = chunk->body + i * EXTENT_BYTES;
    return (struct extent){get_u64(at), get_u64(at + 8)};
}

void checkpoint_chunk_token(const struct checkpoint_chunk *chunk, size_t *offset,
                            struct token *ret_token)
{
    const uint8_t *at = chunk->body + *offset;
    *ret_token = (struct token){.sequence = get_u64(at + TOKEN_SEQUENCE),
                                .fingerprint = get_u64(at + TOKEN_FINGERPRINT),
                                .result_size = get_u32(at + TOKEN_RESULT_SIZE)};
    memcpy(ret_token->id, at + TOKEN_ID, sizeof ret_token->id);
    *offset += TOKEN_CHECKPOINT_BYTES;
    if (ret_token->result_size == TOKEN_RESULT_DROPPED)
        return;
    ret_token->result = at + TOKEN_CHECKPOINT_BYTES;
    *offset += ret_token->result_size;
}

/* Whether the tokens' lengths come out. */
static bool are_tokens(const struct checkpoint_chunk *chunk)
{
    size_t offset = 0;
    for (size_t i = 0; i < chunk->count; i++) {
        if (chunk->body_size - offset < TOKEN_CHECKPOINT_BYTES)
            return false;
        uint32_t size = get_u32(chunk->body + offset + TOKEN_RESULT_SIZE);
        offset += TOKEN_CHECKPOINT_BYTES;
        if (size == TOKEN_RESULT_DROPPED)
            continue;
        if (size > chunk->body_size - offset)
            return false;
        offset += size;
    }
    return offset == chunk->body_size;
}

size_t checkpoint_decode_chunk(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t sequence,
                               uint64_t index, struct checkpoint_chunk *ret_chunk)
{
    if (size < CHECKPOINT_CHUNK_HEADER)
        return 0;
    size_t length = checkpoint_claimed(bytes);
    if (length == 0 || length > size || get_u64(bytes + CHUNK_SEQUENCE) != sequence ||
        get_u64(bytes + CHUNK_INDEX) != index ||
        get_u32(bytes + CHUNK_CRC) != crc32c(seed, bytes + CHUNK_COUNT, length - CHUNK_COUNT))
        return 0;
    struct checkpoint_chunk chunk = {
        .kind = (enum checkpoint_kind)get_u32(bytes + CHUNK_KIND),
        .count = get_u32(bytes + CHUNK_COUNT),
        .body = bytes + CHECKPOINT_CHUNK_HEADER,
        .body_size = length - CHECKPOINT_CHUNK_HEADER,
    };
    if (chunk.kind == CHECKPOINT_TOKENS && !are_tokens(&chunk))
        return 0;
    *ret_chunk = chunk;
    return length;
}
