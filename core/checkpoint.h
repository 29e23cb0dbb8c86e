/* Checkpoints: a snapshot of the free blocks and of the tokens that are remembered, in one of two
 * files in turn, so that one is always whole. FORMAT.md has the byte tables.
 *
 * A checkpoint is fuzzy: it is taken slice by slice while the region goes on working. Each slice
 * says what was free behind the last one's end at its own moment; the journal from `start` on,
 * replayed over it, makes it exact, because every change since then is in there. It is complete,
 * and may be believed, once everything before `end` is durable in the journal and the header is
 * written, last.
 *
 * A writer belongs to the loop thread while it encodes and to a worker while that writes; never
 * both at once. */
#ifndef MREGION_CORE_CHECKPOINT_H
#define MREGION_CORE_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/extentlist.h"
#include "core/io.h"
#include "core/limits.h"
#include "core/maxtree.h"
#include "core/tokens.h"

#define CHECKPOINT_SLOTS 2

struct checkpoint {
    uint64_t sequence; /* 1, 2, ...; even ones are in slot 0, odd ones in slot 1 */
    uint64_t start;    /* lsn: replay begins here */
    uint64_t end;      /* lsn: everything before is in it, and was durable when it was written */
    uint64_t size;     /* of the region */
    uint64_t pages;
    uint64_t blocks; /* free blocks, where one may be in two adjacent pieces */
    uint64_t chunks;
    uint64_t body_size;      /* bytes behind the header */
    uint64_t token_sequence; /* the first one that it does not tell */
    uint64_t tokens;         /* how many it tells */
};

static inline unsigned checkpoint_slot(uint64_t sequence)
{
    return (unsigned)(sequence % CHECKPOINT_SLOTS);
}

/* The file name of a slot. */
const char *checkpoint_name(unsigned slot);

/* The bytes that a slot must have for a checkpoint of so many blocks, and of tokens that take up so
 * many bytes (tokens.bytes). */
uint64_t checkpoint_room(uint64_t blocks, uint64_t token_bytes);

/* Makes a slot's file if it is missing and reserves room in it, durably. May block. ERR_NO_SPACE,
 * ERR_IO_ERROR. */
int checkpoint_reserve(struct io *io, const char *folder, unsigned slot, uint64_t room,
                       struct err *err);

/* ---- Writing ---- */

struct checkpoint_writer {
    struct io *io;
    const char *folder; /* borrowed */
    uint8_t secret[16];
    struct io_file *file;
    struct checkpoint checkpoint;
    /* Free, too, although they are not in the tree; NULL: none. Borrowed; may change between two
     * slices. */
    const struct extentlist *reserved;
    uint64_t cursor;        /* bytes of the region below are done */
    bool is_at_tokens;      /* all free blocks are told */
    uint64_t token_cursor;  /* tokens before are done */
    uint8_t *chunk;         /* the slice to be written next */
    size_t chunk_size;      /* 0 = none */
    struct extent *extents; /* scratch of CHECKPOINT_SLICE */
};

/* 0, or -ENOMEM. The file is opened by the first checkpoint_write_chunk. */
int checkpoint_begin(struct checkpoint_writer *writer, struct io *io, const char *folder,
                     const uint8_t secret[16], uint64_t sequence, uint64_t start);
void checkpoint_release(struct checkpoint_writer *writer);

/* Loop. Encodes the next slice, if anything is left: at most CHECKPOINT_SLICE free blocks; after
 * all of them, as many tokens as take up the same room, and one at least. Returns true when it was
 * the last one. */
bool checkpoint_encode_slice(struct checkpoint_writer *writer, const struct maxtree *tree,
                             const struct tokens *tokens);
/* Worker. Writes the slice that is encoded. */
int checkpoint_write_chunk(struct checkpoint_writer *writer, struct err *err);
/* Worker. Completes the checkpoint, whose end, size and pages are set: syncs the body, writes the
 * header, syncs it. */
int checkpoint_complete(struct checkpoint_writer *writer, struct err *err);

/* All of it at once, for the thread that creates or opens a region. Of *checkpoint sequence, start,
 * end, size and pages are used. */
int checkpoint_write(struct io *io, const char *folder, const uint8_t secret[16],
                     const struct checkpoint *checkpoint, const struct maxtree *tree,
                     const struct tokens *tokens, struct err *err);

/* Writes the header of a checkpoint that is there once more, with a sync: whoever wrote it may have
 * been killed before the sync, or that sync failed. May block. ERR_IO_ERROR. */
int checkpoint_rewrite_header(struct io *io, const char *folder, const uint8_t secret[16],
                              const struct checkpoint *checkpoint, struct err *err);

/* ---- Reading ---- */

/* The header of a slot. *ret_valid is false, and *err says why, when the slot has none. Fails only
 * where the file cannot be read: ERR_IO_ERROR, ERR_INTERNAL. */
int checkpoint_read_header(struct io *io, const char *folder, unsigned slot,
                           const uint8_t secret[16], struct checkpoint *ret_checkpoint,
                           bool *ret_valid, struct err *err);

/* The free blocks and tokens of a checkpoint whose header was read, into an empty tree and an empty
 * table; both are empty again when it fails. ERR_CORRUPT names the file and the offset;
 * ERR_IO_ERROR, ERR_INTERNAL. */
int checkpoint_load(struct io *io, const char *folder, const uint8_t secret[16],
                    const struct checkpoint *checkpoint, struct maxtree *tree,
                    struct tokens *tokens, struct err *err);

/* ---- The pure part of loading, for tests and fuzzing ---- */

enum checkpoint_kind {
    CHECKPOINT_EXTENTS,
    CHECKPOINT_TOKENS,
};

struct checkpoint_chunk {
    enum checkpoint_kind kind;
    size_t count;        /* of extents or tokens: at least 1 */
    const uint8_t *body; /* in the bytes that were decoded */
    size_t body_size;
};

bool checkpoint_decode_header(const uint8_t *block, const uint8_t secret[16],
                              struct checkpoint *ret_checkpoint);
/* Returns how many bytes the chunk takes, or 0 when it is not chunk `index` of checkpoint
 * `sequence`. */
size_t checkpoint_decode_chunk(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t sequence,
                               uint64_t index, struct checkpoint_chunk *ret_chunk);
/* Of a decoded chunk: extent i < count; the token at *offset, which is 0 at first and moves on to
 * the next one. The token's result is in the chunk; NULL when it was dropped. */
struct extent checkpoint_chunk_extent(const struct checkpoint_chunk *chunk, size_t i);
void checkpoint_chunk_token(const struct checkpoint_chunk *chunk, size_t *offset,
                            struct token *ret_token);

#define CHECKPOINT_CHUNK_HEADER 32
/* What a chunk holds, in bytes; a token with a larger answer stands alone in one. */
#define CHECKPOINT_BODY ((uint64_t)CHECKPOINT_SLICE * 16)
#define CHECKPOINT_BODY_MAX                                                                        \
    (TOKEN_CHECKPOINT_BYTES + TOKEN_ANSWER_MAX > CHECKPOINT_BODY                                   \
         ? TOKEN_CHECKPOINT_BYTES + TOKEN_ANSWER_MAX                                               \
         : CHECKPOINT_BODY)

#endif
