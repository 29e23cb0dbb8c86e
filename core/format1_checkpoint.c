/* Checkpoints of format 1: the reader.
 *
 * Frozen: it reads what the first release wrote (FORMAT.md, the appendix), and is never changed
 * again. It shares no code with later formats but what knows no format. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/crc32c.h"
#include "core/format1_private.h"
#include "core/iofile.h"

static const char magic[8] = {'M', 'R', 'E', 'G', 'C', 'K', 'P', 'T'};

#define VERSION 1

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
    HEADER_END = 96,
};

enum {
    CHUNK_CRC = 0, /* of all that follows, begun with the region's seed */
    CHUNK_COUNT = 4,
    CHUNK_SEQUENCE = 8,
    CHUNK_INDEX = 16,
    CHUNK_ZEROS = 24,
};

const char *format1_checkpoint_name(unsigned slot)
{
    static const char *const names[FORMAT1_CHECKPOINT_SLOTS] = {"checkpoint-0", "checkpoint-1"};
    assert(slot < FORMAT1_CHECKPOINT_SLOTS);
    return names[slot];
}

static uint32_t header_checksum(const uint8_t *block)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(0, block, AT_CRC);
    crc = crc32c(crc, zeros, sizeof zeros);
    return crc32c(crc, block + AT_SECRET, FORMAT1_BLOCK - AT_SECRET);
}

static bool format1_checkpoint_decode_header(const uint8_t *block, const uint8_t secret[16],
                                             struct format1_checkpoint *ret_checkpoint)
{
    struct format1_checkpoint checkpoint = {
        .sequence = get_u64(block + AT_SEQUENCE),
        .start = get_u64(block + AT_START),
        .end = get_u64(block + AT_END),
        .size = get_u64(block + AT_SIZE),
        .pages = get_u64(block + AT_PAGES),
        .blocks = get_u64(block + AT_BLOCKS),
        .chunks = get_u64(block + AT_CHUNKS),
        .body_size = get_u64(block + AT_BODY_SIZE),
    };
    if (memcmp(block + AT_MAGIC, magic, sizeof magic) != 0 ||
        get_u32(block + AT_VERSION) != VERSION || memcmp(block + AT_SECRET, secret, 16) != 0 ||
        get_u32(block + AT_CRC) != header_checksum(block))
        return false;
    if (checkpoint.sequence == 0 || checkpoint.start > checkpoint.end ||
        checkpoint.end > FORMAT1_SIZE_MAX || checkpoint.start % FORMAT1_BLOCK != 0 ||
        checkpoint.end % FORMAT1_BLOCK != 0 || checkpoint.size > FORMAT1_SIZE_MAX ||
        checkpoint.pages > FORMAT1_SIZE_MAX / FORMAT1_REGION_PAGE)
        return false;
    *ret_checkpoint = checkpoint;
    return true;
}

int format1_checkpoint_read_header(struct io *io, const char *folder, unsigned slot,
                                   const uint8_t secret[16],
                                   struct format1_checkpoint *ret_checkpoint, bool *ret_valid,
                                   struct err *err)
{
    const char *name = format1_checkpoint_name(slot);
    char path[IO_PATH_SIZE];
    uint8_t block[FORMAT1_BLOCK];
    struct io_file *file;
    struct format1_checkpoint checkpoint;
    int code = io_join(path, folder, name, err);
    if (code != 0)
        return code;
    *ret_valid = false;
    int result = io->ops->open(io, path, IO_READ_ONLY, &file);
    if (result == -ENOENT) {
        (void)err_set(err, ERR_CORRUPT, "%s is missing", path);
        return 0;
    }
    if (result != 0)
        return err_io(err, result, "open", path);
    ssize_t got = io->ops->read(io, file, block, sizeof block, 0);
    io->ops->close(io, file);
    if (got < 0)
        return err_io(err, (int)got, "read", path);
    if ((size_t)got < sizeof block ||
        !format1_checkpoint_decode_header(block, secret, &checkpoint) ||
        format1_checkpoint_slot(checkpoint.sequence) != slot) {
        (void)err_set(err, ERR_CORRUPT, "%s: the header at offset 0 is not valid", path);
        return 0;
    }
    *ret_checkpoint = checkpoint;
    *ret_valid = true;
    return 0;
}

static size_t format1_checkpoint_decode_chunk(const uint8_t *bytes, size_t size, uint32_t seed,
                                              uint64_t sequence, uint64_t index,
                                              struct extent *blocks, size_t *ret_count)
{
    if (size < FORMAT1_CHECKPOINT_CHUNK_HEADER)
        return 0;
    size_t count = get_u32(bytes + CHUNK_COUNT);
    size_t length = FORMAT1_CHECKPOINT_CHUNK_HEADER + count * 16;
    if (count == 0 || count > FORMAT1_CHECKPOINT_SLICE || length > size ||
        get_u64(bytes + CHUNK_SEQUENCE) != sequence || get_u64(bytes + CHUNK_INDEX) != index ||
        get_u32(bytes + CHUNK_CRC) != crc32c(seed, bytes + CHUNK_COUNT, length - CHUNK_COUNT))
        return 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes + FORMAT1_CHECKPOINT_CHUNK_HEADER + i * 16;
        blocks[i] = (struct extent){get_u64(at), get_u64(at + 8)};
    }
    *ret_count = count;
    return length;
}

struct loading {
    struct io *io;
    struct io_file *file;
    const char *path;
    const struct format1_checkpoint *checkpoint;
    uint32_t seed;
    uint8_t *bytes;         /* FORMAT1_CHECKPOINT_CHUNK_MAX */
    struct extent *decoded; /* FORMAT1_CHECKPOINT_SLICE */
    struct extent *blocks;  /* the whole, neighbors merged */
    size_t count, capacity;
    uint64_t end; /* of the last block */
};

static int damaged(const struct loading *loading, uint64_t offset, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "%s: the free blocks at offset %llu are damaged",
                   loading->path, (unsigned long long)offset);
}

/* Appends one chunk's extents. Adjacent ones are one block that was told in two slices. */
static int append(struct loading *loading, size_t count, uint64_t offset, struct err *err)
{
    struct extent *blocks =
        array_grown(loading->blocks, &loading->capacity, loading->count + count, sizeof *blocks);
    if (blocks == NULL)
        return err_no_memory(err);
    loading->blocks = blocks;
    for (size_t i = 0; i < count; i++) {
        struct extent extent = loading->decoded[i];
        if (extent.size == 0 || extent.address < loading->end ||
            extent.address > FORMAT1_SIZE_MAX || extent.size > loading->checkpoint->size ||
            extent_end(extent) > loading->checkpoint->size)
            return damaged(loading, offset, err);
        if (loading->count > 0 && extent.address == loading->end)
            /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the count says it is not */
            blocks[loading->count - 1].size += extent.size;
        else
            blocks[loading->count++] = extent;
        loading->end = extent_end(extent);
    }
    return 0;
}

static int load_chunk(struct loading *loading, uint64_t index, uint64_t *offset, struct err *err)
{
    const struct format1_checkpoint *checkpoint = loading->checkpoint;
    size_t count;
    uint64_t left = checkpoint->body_size - (*offset - FORMAT1_BLOCK);
    size_t size = (size_t)min_u64(left, FORMAT1_CHECKPOINT_CHUNK_MAX);
    ssize_t got = loading->io->ops->read(loading->io, loading->file, loading->bytes, size, *offset);
    if (got < 0)
        return err_io(err, (int)got, "read", loading->path);
    size_t length =
        format1_checkpoint_decode_chunk(loading->bytes, (size_t)got, loading->seed,
                                        checkpoint->sequence, index, loading->decoded, &count);
    if (length == 0)
        return damaged(loading, *offset, err);
    int code = append(loading, count, *offset, err);
    *offset += length;
    return code;
}

static int load_body(struct loading *loading, struct maxtree *tree, struct err *err)
{
    const struct format1_checkpoint *checkpoint = loading->checkpoint;
    uint64_t offset = FORMAT1_BLOCK;
    int code = 0;
    for (uint64_t i = 0; code == 0 && i < checkpoint->chunks; i++)
        code = load_chunk(loading, i, &offset, err);
    if (code == 0 && offset - FORMAT1_BLOCK != checkpoint->body_size)
        code = damaged(loading, offset, err);
    if (code != 0 || loading->count == 0)
        return code;
    int result = maxtree_build(tree, loading->blocks, loading->count);
    if (result == -ENOMEM)
        return err_no_memory(err);
    assert(result == 0);
    return 0;
}

int format1_checkpoint_load(struct io *io, const char *folder, const uint8_t secret[16],
                            const struct format1_checkpoint *checkpoint, struct maxtree *tree,
                            struct err *err)
{
    char path[IO_PATH_SIZE];
    struct loading loading = {
        .io = io, .path = path, .checkpoint = checkpoint, .seed = format1_record_seed(secret)};
    const char *name = format1_checkpoint_name(format1_checkpoint_slot(checkpoint->sequence));
    int code = io_join(path, folder, name, err);
    if (code == 0)
        code = io_open_at(io, folder, name, IO_READ_ONLY, &loading.file, err);
    if (code != 0)
        return code;
    loading.bytes = malloc(FORMAT1_CHECKPOINT_CHUNK_MAX);
    loading.decoded = malloc(FORMAT1_CHECKPOINT_SLICE * sizeof loading.decoded[0]);
    if (loading.bytes == NULL || loading.decoded == NULL)
        code = err_no_memory(err);
    else
        code = load_body(&loading, tree, err);
    io->ops->close(io, loading.file);
    free(loading.bytes);
    free(loading.decoded);
    free(loading.blocks);
    return code;
}
