#include "core/checkpoint_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/record.h"

/* So many chunks, 1 MiB, go to the disk at once: commits would wait in a burst of more. */
#define CHUNKS_AT_ONCE 8

int checkpoint_begin(struct checkpoint_writer *writer, struct io *io, const char *folder,
                     const uint8_t secret[16], uint64_t sequence, uint64_t start)
{
    *writer = (struct checkpoint_writer){.io = io, .folder = folder};
    writer->checkpoint = (struct checkpoint){.sequence = sequence, .start = start};
    memcpy(writer->secret, secret, sizeof writer->secret);
    writer->chunk = malloc(CHECKPOINT_CHUNK_HEADER + CHECKPOINT_BODY_MAX);
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

static void finish_chunk(struct checkpoint_writer *writer, enum checkpoint_kind kind, size_t count,
                         size_t body_size)
{
    checkpoint_encode_chunk(writer->chunk, &writer->checkpoint, kind, count, body_size);
    writer->chunk_size = CHECKPOINT_CHUNK_HEADER + body_size;
    writer->checkpoint.chunks++;
}

/* Encodes one extent and moves the cursor behind it. */
static uint8_t *encode_extent(struct checkpoint_writer *writer, uint8_t *at, struct extent extent)
{
    /* A block that grew downwards across the cursor since the last slice: its part below was
     * told as it was, and the journal knows the rest. */
    uint64_t address = max_u64(extent.address, writer->cursor);
    writer->cursor = extent_end(extent);
    put_u64(at, address);
    put_u64(at + 8, writer->cursor - address);
    return at + 16;
}

/* The blocks of the tree and the reserved extents, in the order of their addresses. */
static void encode_extents(struct checkpoint_writer *writer, const struct maxtree *tree)
{
    static const struct extentlist none;
    const struct extentlist *reserved = writer->reserved != NULL ? writer->reserved : &none;
    const struct extent *blocks = writer->extents;
    size_t found = maxtree_scan(tree, writer->cursor, writer->extents, CHECKPOINT_SLICE);
    size_t next = extentlist_seek(reserved, writer->cursor), block = 0, count = 0;
    uint8_t *body = writer->chunk + CHECKPOINT_CHUNK_HEADER, *at = body;
    for (; count < CHECKPOINT_SLICE && (block < found || next < reserved->count); count++) {
        bool is_reserved =
            next < reserved->count &&
            (block == found || reserved->items[next].address < blocks[block].address);
        at = encode_extent(writer, at, is_reserved ? reserved->items[next++] : blocks[block++]);
    }
    writer->is_at_tokens = count < CHECKPOINT_SLICE;
    if (count == 0)
        return;
    writer->checkpoint.blocks += count;
    finish_chunk(writer, CHECKPOINT_EXTENTS, count, (size_t)(at - body));
}

/* Only those that there were when the free blocks were told: the journal has what came since. Some
 * may have been forgotten meanwhile. */
static void encode_tokens(struct checkpoint_writer *writer, const struct tokens *tokens)
{
    uint64_t end = writer->checkpoint.token_sequence;
    uint8_t *body = writer->chunk + CHECKPOINT_CHUNK_HEADER, *at = body;
    size_t count = 0;
    struct token token;
    writer->token_cursor = max_u64(writer->token_cursor, tokens->first);
    for (; writer->token_cursor < end; writer->token_cursor++, count++) {
        tokens_get(tokens, writer->token_cursor, &token);
        if (count > 0 && (size_t)(at - body) + token_bytes(token.result_size) > CHECKPOINT_BODY)
            break;
        at = checkpoint_encode_token(at, &token);
    }
    if (count == 0)
        return;
    writer->checkpoint.tokens += count;
    finish_chunk(writer, CHECKPOINT_TOKENS, count, (size_t)(at - body));
}

bool checkpoint_encode_slice(struct checkpoint_writer *writer, const struct maxtree *tree,
                             const struct tokens *tokens)
{
    assert(writer->chunk_size == 0);
    if (!writer->is_at_tokens) {
        encode_extents(writer, tree);
        if (!writer->is_at_tokens)
            return false;
        writer->checkpoint.token_sequence = tokens->next;
    }
    if (writer->chunk_size == 0)
        encode_tokens(writer, tokens);
    return max_u64(writer->token_cursor, tokens->first) >= writer->checkpoint.token_sequence;
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
    checkpoint_seal_chunk(chunk, size, record_seed(writer->secret));
    struct iovec vector = {chunk, size};
    int result = writer->io->ops->write(writer->io, writer->file, &vector, 1,
                                        DISK_BLOCK + writer->checkpoint.body_size);
    if (result != 0)
        return write_error(writer, result, "write", err);
    if (writer->checkpoint.chunks % CHUNKS_AT_ONCE == 0)
        writer->io->ops->write_back(writer->io, writer->file);
    writer->checkpoint.body_size += size;
    writer->chunk_size = 0;
    return 0;
}

static int write_header(struct checkpoint_writer *writer, struct err *err)
{
    struct io *io = writer->io;
    uint8_t block[DISK_BLOCK];
    checkpoint_encode_header(block, writer->secret, &writer->checkpoint);
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
                     const struct tokens *tokens, struct err *err)
{
    struct checkpoint_writer writer;
    if (checkpoint_begin(&writer, io, folder, secret, checkpoint->sequence, checkpoint->start) != 0)
        return err_no_memory(err);
    writer.checkpoint.end = checkpoint->end;
    writer.checkpoint.size = checkpoint->size;
    writer.checkpoint.pages = checkpoint->pages;
    int code = 0;
    for (bool is_last = false; code == 0 && !is_last;) {
        is_last = checkpoint_encode_slice(&writer, tree, tokens);
        code = checkpoint_write_chunk(&writer, err);
    }
    if (code == 0)
        code = checkpoint_complete(&writer, err);
    checkpoint_release(&writer);
    return code;
}
