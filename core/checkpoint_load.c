#include "core/checkpoint_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"
#include "core/record.h"

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

struct loading {
    struct io *io;
    struct io_file *file;
    const char *path;
    const struct checkpoint *checkpoint;
    uint32_t seed;
    enum checkpoint_kind kind; /* of the last chunk */
    uint8_t *bytes;            /* CHECKPOINT_CHUNK_HEADER + CHECKPOINT_BODY_MAX */
    struct extent *blocks;     /* the whole, neighbors merged */
    size_t count, capacity;
    uint64_t end;  /* of the last block */
    uint64_t told; /* extents, before they are merged */
    struct tokens *tokens;
    uint64_t token_count;
};

static int damaged(const struct loading *loading, uint64_t offset, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "%s: the chunk at offset %llu is damaged", loading->path,
                   (unsigned long long)offset);
}

/* Appends one chunk's extents. Adjacent ones are one block that was told in two slices. */
static int append(struct loading *loading, const struct checkpoint_chunk *chunk, uint64_t offset,
                  struct err *err)
{
    struct extent *blocks = array_grown(loading->blocks, &loading->capacity,
                                        loading->count + chunk->count, sizeof *blocks);
    if (blocks == NULL)
        return err_no_memory(err);
    loading->blocks = blocks;
    for (size_t i = 0; i < chunk->count; i++) {
        struct extent extent = checkpoint_chunk_extent(chunk, i);
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
    loading->told += chunk->count;
    return 0;
}

/* The next chunk's bytes, as far as they are there: no more than its header, if that claims what
 * cannot be. */
static int read_chunk(const struct loading *loading, uint64_t offset, size_t *ret_size,
                      struct err *err)
{
    struct io *io = loading->io;
    uint64_t left = loading->checkpoint->body_size - (offset - DISK_BLOCK);
    size_t want = (size_t)min_u64(left, CHECKPOINT_CHUNK_HEADER);
    ssize_t got = io->ops->read(io, loading->file, loading->bytes, want, offset);
    if (got == CHECKPOINT_CHUNK_HEADER) {
        want = (size_t)min_u64(left, checkpoint_claimed(loading->bytes));
        if (want > 0)
            got = io->ops->read(io, loading->file, loading->bytes, want, offset);
    }
    if (got < 0)
        return err_io(err, (int)got, "read", loading->path);
    *ret_size = (size_t)got;
    return 0;
}

static int load_tokens(struct loading *loading, const struct checkpoint_chunk *chunk,
                       uint64_t offset, struct err *err)
{
    struct token token;
    size_t at = 0;
    for (size_t i = 0; i < chunk->count; i++) {
        checkpoint_chunk_token(chunk, &at, &token);
        int result = tokens_load(loading->tokens, &token);
        if (result == -ENOMEM)
            return err_no_memory(err);
        if (result != 0)
            return damaged(loading, offset, err);
    }
    loading->token_count += chunk->count;
    return 0;
}

static int load_chunk(struct loading *loading, uint64_t index, uint64_t *offset, struct err *err)
{
    struct checkpoint_chunk chunk;
    size_t size = 0;
    int code = read_chunk(loading, *offset, &size, err);
    if (code != 0)
        return code;
    size_t length = checkpoint_decode_chunk(loading->bytes, size, loading->seed,
                                            loading->checkpoint->sequence, index, &chunk);
    if (length == 0 || chunk.kind < loading->kind)
        return damaged(loading, *offset, err);
    loading->kind = chunk.kind;
    code = chunk.kind == CHECKPOINT_EXTENTS ? append(loading, &chunk, *offset, err)
                                            : load_tokens(loading, &chunk, *offset, err);
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
    if (code == 0 &&
        (offset - DISK_BLOCK != checkpoint->body_size || loading->told != checkpoint->blocks ||
         loading->token_count != checkpoint->tokens ||
         tokens_load_end(loading->tokens, checkpoint->token_sequence) != 0))
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
                    const struct checkpoint *checkpoint, struct maxtree *tree,
                    struct tokens *tokens, struct err *err)
{
    char path[IO_PATH_SIZE];
    struct loading loading = {.io = io,
                              .path = path,
                              .checkpoint = checkpoint,
                              .tokens = tokens,
                              .seed = record_seed(secret)};
    const char *name = checkpoint_name(checkpoint_slot(checkpoint->sequence));
    int code = io_join(path, folder, name, err);
    if (code == 0)
        code = io_open_at(io, folder, name, IO_READ_ONLY, &loading.file, err);
    if (code != 0)
        return code;
    loading.bytes = malloc(CHECKPOINT_CHUNK_HEADER + CHECKPOINT_BODY_MAX);
    code = loading.bytes == NULL ? err_no_memory(err) : load_body(&loading, tree, err);
    if (code != 0)
        tokens_clear(tokens);
    io->ops->close(io, loading.file);
    free(loading.bytes);
    free(loading.blocks);
    return code;
}
