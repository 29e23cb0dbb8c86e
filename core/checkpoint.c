#include "core/checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/iofile.h"
#include "core/record.h"

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

const char *checkpoint_name(unsigned slot)
{
    static const char *const names[CHECKPOINT_SLOTS] = {"checkpoint-0", "checkpoint-1"};
    assert(slot < CHECKPOINT_SLOTS);
    return names[slot];
}

uint64_t checkpoint_room(uint64_t blocks)
{
    uint64_t chunks = blocks / CHECKPOINT_SLICE + 1;
    return DISK_BLOCK + chunks * CHECKPOINT_CHUNK_HEADER + blocks * 16;
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

/* ---- Writing ---- */

int checkpoint_begin(struct checkpoint_writer *writer, struct io *io, const char *folder,
                     const uint8_t secret[16], uint64_t sequence, uint64_t start)
{
    *writer = (struct checkpoint_writer){.io = io, .folder = folder};
    writer->checkpoint = (struct checkpoint){.sequence = sequence, .start = start};
    memcpy(writer->secret, secret, sizeof writer->secret);
    writer->chunk = malloc(CHECKPOINT_CHUNK_MAX);
    writer->extents = malloc(CHECKPOINT_SLICE * sizeof writer->extents[0]);
    if (writer->chunk != NULL && writer->extents != NULL)
        return 0;
    checkpoint_release(writer);
    return -ENOMEM;
}

void checkpoint_release(struct checkpoint_writer *writer)
{
    if (writer->file != NULL)
        writer->io->ops->close(writer->io, writer->file);
    free(writer->chunk);
    free(writer->extents);
    writer->file = NULL;
    writer->chunk = NULL;
    writer->extents = NULL;
}

bool checkpoint_encode_slice(struct checkpoint_writer *writer, const struct maxtree *tree)
{
    struct checkpoint *checkpoint = &writer->checkpoint;
    struct extent *extents = writer->extents;
    uint8_t *chunk = writer->chunk;
    size_t count = maxtree_scan(tree, writer->cursor, extents, CHECKPOINT_SLICE);
    assert(writer->chunk_size == 0);
    if (count == 0)
        return true;
    /* A block that grew downwards across the cursor since the last slice: its part below was
     * told as it was, and the journal knows the rest. */
    if (extents[0].address < writer->cursor) {
        extents[0].size = extent_end(extents[0]) - writer->cursor;
        extents[0].address = writer->cursor;
    }
    writer->cursor = extent_end(extents[count - 1]);
    put_u32(chunk + CHUNK_COUNT, (uint32_t)count);
    put_u64(chunk + CHUNK_SEQUENCE, checkpoint->sequence);
    put_u64(chunk + CHUNK_INDEX, checkpoint->chunks);
    memset(chunk + CHUNK_ZEROS, 0, CHECKPOINT_CHUNK_HEADER - CHUNK_ZEROS);
    uint8_t *at = chunk + CHECKPOINT_CHUNK_HEADER;
    for (size_t i = 0; i < count; i++, at += 16) {
        put_u64(at, extents[i].address);
        put_u64(at + 8, extents[i].size);
    }
    writer->chunk_size = (size_t)(at - chunk);
    checkpoint->blocks += count;
    checkpoint->chunks++;
    return count < CHECKPOINT_SLICE;
}

static int open_slot(struct checkpoint_writer *writer, struct err *err)
{
    if (writer->file != NULL)
        return 0;
    return io_open_at(writer->io, writer->folder,
                      checkpoint_name(checkpoint_slot(writer->checkpoint.sequence)), IO_CREATE,
                      &writer->file, err);
}

static int write_error(const struct checkpoint_writer *writer, int error, const char *verb,
                       struct err *err)
{
    return err_io_at(err, error, verb, writer->folder,
                     checkpoint_name(checkpoint_slot(writer->checkpoint.sequence)));
}

int checkpoint_write_chunk(struct checkpoint_writer *writer, struct err *err)
{
    uint8_t *chunk = writer->chunk;
    size_t size = writer->chunk_size;
    if (size == 0)
        return 0;
    int code = open_slot(writer, err);
    if (code != 0)
        return code;
    uint32_t seed = record_seed(writer->secret);
    put_u32(chunk + CHUNK_CRC, crc32c(seed, chunk + CHUNK_COUNT, size - CHUNK_COUNT));
    struct iovec vector = {chunk, size};
    int result = writer->io->ops->write(writer->io, writer->file, &vector, 1,
                                        DISK_BLOCK + writer->checkpoint.body_size);
    if (result != 0)
        return write_error(writer, result, "write", err);
    writer->checkpoint.body_size += size;
    writer->chunk_size = 0;
    return 0;
}

static uint32_t header_checksum(const uint8_t *block)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(0, block, AT_CRC);
    crc = crc32c(crc, zeros, sizeof zeros);
    return crc32c(crc, block + AT_SECRET, DISK_BLOCK - AT_SECRET);
}

static void encode_header(uint8_t *block, const uint8_t secret[16],
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
    put_u32(block + AT_CRC, header_checksum(block));
}

static int write_header(struct checkpoint_writer *writer, struct err *err)
{
    struct io *io = writer->io;
    uint8_t block[DISK_BLOCK];
    encode_header(block, writer->secret, &writer->checkpoint);
    struct iovec vector = {block, sizeof block};
    int result = io->ops->write(io, writer->file, &vector, 1, 0);
    if (result != 0)
        return write_error(writer, result, "write", err);
    result = io->ops->sync(io, writer->file);
    return result == 0 ? 0 : write_error(writer, result, "sync", err);
}

int checkpoint_complete(struct checkpoint_writer *writer, struct err *err)
{
    struct io *io = writer->io;
    assert(writer->chunk_size == 0 && writer->checkpoint.start <= writer->checkpoint.end);
    int code = open_slot(writer, err);
    if (code != 0)
        return code;
    /* A header must never stand before a body that is not there yet. */
    int result = io->ops->sync(io, writer->file);
    if (result != 0)
        return write_error(writer, result, "sync", err);
    return write_header(writer, err);
}

int checkpoint_rewrite_header(struct io *io, const char *folder, const uint8_t secret[16],
                              const struct checkpoint *checkpoint, struct err *err)
{
    struct checkpoint_writer writer = {.io = io, .folder = folder, .checkpoint = *checkpoint};
    memcpy(writer.secret, secret, sizeof writer.secret);
    int code = open_slot(&writer, err);
    if (code == 0)
        code = write_header(&writer, err);
    checkpoint_release(&writer);
    return code;
}

int checkpoint_write(struct io *io, const char *folder, const uint8_t secret[16],
                     const struct checkpoint *checkpoint, const struct maxtree *tree,
                     struct err *err)
{
    struct checkpoint_writer writer;
    if (checkpoint_begin(&writer, io, folder, secret, checkpoint->sequence, checkpoint->start) != 0)
        return err_no_memory(err);
    writer.checkpoint.end = checkpoint->end;
    writer.checkpoint.size = checkpoint->size;
    writer.checkpoint.pages = checkpoint->pages;
    int code = 0;
    for (bool is_last = false; code == 0 && !is_last;) {
        is_last = checkpoint_encode_slice(&writer, tree);
        code = checkpoint_write_chunk(&writer, err);
    }
    if (code == 0)
        code = checkpoint_complete(&writer, err);
    checkpoint_release(&writer);
    return code;
}

/* ---- Reading ---- */

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
    };
    if (memcmp(block + AT_MAGIC, magic, sizeof magic) != 0 ||
        get_u32(block + AT_VERSION) != VERSION || memcmp(block + AT_SECRET, secret, 16) != 0 ||
        get_u32(block + AT_CRC) != header_checksum(block))
        return false;
    if (checkpoint.sequence == 0 || checkpoint.start > checkpoint.end ||
        checkpoint.end > REGION_SIZE_MAX || checkpoint.start % DISK_BLOCK != 0 ||
        checkpoint.end % DISK_BLOCK != 0 || checkpoint.size > REGION_SIZE_MAX ||
        checkpoint.pages > REGION_SIZE_MAX / REGION_PAGE)
        return false;
    *ret_checkpoint = checkpoint;
    return true;
}

int checkpoint_read_header(struct io *io, const char *folder, unsigned slot,
                           const uint8_t secret[16], struct checkpoint *ret_checkpoint,
                           bool *ret_valid, struct err *err)
{
    const char *name = checkpoint_name(slot);
    char path[IO_PATH_SIZE];
    uint8_t block[DISK_BLOCK];
    struct io_file *file;
    struct checkpoint checkpoint;
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
    if ((size_t)got < sizeof block || !checkpoint_decode_header(block, secret, &checkpoint) ||
        checkpoint_slot(checkpoint.sequence) != slot) {
        (void)err_set(err, ERR_CORRUPT, "%s: the header at offset 0 is not valid", path);
        return 0;
    }
    *ret_checkpoint = checkpoint;
    *ret_valid = true;
    return 0;
}

size_t checkpoint_decode_chunk(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t sequence,
                               uint64_t index, struct extent *blocks, size_t *ret_count)
{
    if (size < CHECKPOINT_CHUNK_HEADER)
        return 0;
    size_t count = get_u32(bytes + CHUNK_COUNT);
    size_t length = CHECKPOINT_CHUNK_HEADER + count * 16;
    if (count == 0 || count > CHECKPOINT_SLICE || length > size ||
        get_u64(bytes + CHUNK_SEQUENCE) != sequence || get_u64(bytes + CHUNK_INDEX) != index ||
        get_u32(bytes + CHUNK_CRC) != crc32c(seed, bytes + CHUNK_COUNT, length - CHUNK_COUNT))
        return 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes + CHECKPOINT_CHUNK_HEADER + i * 16;
        blocks[i] = (struct extent){get_u64(at), get_u64(at + 8)};
    }
    *ret_count = count;
    return length;
}

struct loading {
    struct io *io;
    struct io_file *file;
    const char *path;
    const struct checkpoint *checkpoint;
    uint32_t seed;
    uint8_t *bytes;         /* CHECKPOINT_CHUNK_MAX */
    struct extent *decoded; /* CHECKPOINT_SLICE */
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
        if (extent.size == 0 || extent.address < loading->end || extent.address > REGION_SIZE_MAX ||
            extent.size > loading->checkpoint->size ||
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
    const struct checkpoint *checkpoint = loading->checkpoint;
    size_t count;
    uint64_t left = checkpoint->body_size - (*offset - DISK_BLOCK);
    size_t size = (size_t)min_u64(left, CHECKPOINT_CHUNK_MAX);
    ssize_t got = loading->io->ops->read(loading->io, loading->file, loading->bytes, size, *offset);
    if (got < 0)
        return err_io(err, (int)got, "read", loading->path);
    size_t length = checkpoint_decode_chunk(loading->bytes, (size_t)got, loading->seed,
                                            checkpoint->sequence, index, loading->decoded, &count);
    if (length == 0)
        return damaged(loading, *offset, err);
    int code = append(loading, count, *offset, err);
    *offset += length;
    return code;
}

static int load_body(struct loading *loading, struct maxtree *tree, struct err *err)
{
    const struct checkpoint *checkpoint = loading->checkpoint;
    uint64_t offset = DISK_BLOCK;
    int code = 0;
    for (uint64_t i = 0; code == 0 && i < checkpoint->chunks; i++)
        code = load_chunk(loading, i, &offset, err);
    if (code == 0 && offset - DISK_BLOCK != checkpoint->body_size)
        code = damaged(loading, offset, err);
    if (code != 0 || loading->count == 0)
        return code;
    int result = maxtree_build(tree, loading->blocks, loading->count);
    if (result == -ENOMEM)
        return err_no_memory(err);
    assert(result == 0);
    return 0;
}

int checkpoint_load(struct io *io, const char *folder, const uint8_t secret[16],
                    const struct checkpoint *checkpoint, struct maxtree *tree, struct err *err)
{
    char path[IO_PATH_SIZE];
    struct loading loading = {
        .io = io, .path = path, .checkpoint = checkpoint, .seed = record_seed(secret)};
    const char *name = checkpoint_name(checkpoint_slot(checkpoint->sequence));
    int code = io_join(path, folder, name, err);
    if (code == 0)
        code = io_open_at(io, folder, name, IO_READ_ONLY, &loading.file, err);
    if (code != 0)
        return code;
    loading.bytes = malloc(CHECKPOINT_CHUNK_MAX);
    loading.decoded = malloc(CHECKPOINT_SLICE * sizeof loading.decoded[0]);
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
