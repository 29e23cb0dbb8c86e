#include "core/checkpoint_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"

static const uint8_t no_secret[16];

/* The slice that is encoded, copied to a place of its own size. */
static int keep_slice(struct checkpoint_image *image, struct checkpoint_writer *writer)
{
    if (writer->chunk_size == 0)
        return 0;
    struct checkpoint_piece *pieces =
        array_grown(image->pieces, &image->capacity, image->count + 1, sizeof *pieces);
    if (pieces == NULL)
        return -ENOMEM;
    image->pieces = pieces;
    uint8_t *bytes = malloc(writer->chunk_size);
    if (bytes == NULL)
        return -ENOMEM;
    memcpy(bytes, writer->chunk, writer->chunk_size);
    pieces[image->count++] = (struct checkpoint_piece){bytes, writer->chunk_size};
    writer->chunk_size = 0;
    return 0;
}

int checkpoint_image_take(struct checkpoint_image *image, const struct maxtree *tree,
                          const struct extentlist *reserved, const struct tokens *tokens,
                          uint64_t size, uint64_t pages)
{
    struct checkpoint_writer writer;
    /* Who writes it seals the chunks, and only that takes the secret. */
    int result = checkpoint_begin(&writer, NULL, NULL, no_secret, 1, 0);
    if (result != 0)
        return result;
    writer.reserved = reserved;
    for (bool is_last = false; result == 0 && !is_last;) {
        is_last = checkpoint_encode_slice(&writer, tree, tokens);
        result = keep_slice(image, &writer);
    }
    image->checkpoint = writer.checkpoint;
    image->checkpoint.size = size;
    image->checkpoint.pages = pages;
    image->token_bytes = tokens->bytes;
    checkpoint_release(&writer);
    return result;
}

void checkpoint_image_release(struct checkpoint_image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->pieces[i].bytes);
    free(image->pieces);
    *image = (struct checkpoint_image){.count = 0};
}

static int write_chunks(const struct checkpoint_image *image, struct checkpoint_writer *writer,
                        struct err *err)
{
    int code = 0;
    writer->checkpoint = image->checkpoint;
    for (size_t i = 0; code == 0 && i < image->count; i++) {
        memcpy(writer->chunk, image->pieces[i].bytes, image->pieces[i].size);
        writer->chunk_size = image->pieces[i].size;
        code = checkpoint_write_chunk(writer, err);
    }
    return code == 0 ? checkpoint_complete(writer, err) : code;
}

int checkpoint_image_write(const struct checkpoint_image *image, struct io *io, const char *folder,
                           const uint8_t secret[16], struct err *err)
{
    uint64_t room =
        max_u64(MIB, checkpoint_room(2 * image->checkpoint.blocks, 2 * image->token_bytes));
    struct checkpoint_writer writer;
    int code = 0;
    for (unsigned slot = 0; code == 0 && slot < CHECKPOINT_SLOTS; slot++)
        code = checkpoint_reserve(io, folder, slot, room, err);
    if (code != 0)
        return code;
    if (checkpoint_begin(&writer, io, folder, secret, image->checkpoint.sequence, 0) != 0)
        return err_no_memory(err);
    code = write_chunks(image, &writer, err);
    checkpoint_release(&writer);
    return code;
}
