/* Checkpoints: a snapshot of the free blocks, in one of two files in turn, so that one is always
 * whole. FORMAT.md has the byte tables.
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
#include "core/io.h"
#include "core/limits.h"
#include "core/maxtree.h"

#define CHECKPOINT_SLOTS 2

struct checkpoint {
    uint64_t sequence; /* 1, 2, ...; even ones are in slot 0, odd ones in slot 1 */
    uint64_t start;    /* lsn: replay begins here */
    uint64_t end;      /* lsn: everything before is in it, and was durable when it was written */
    uint64_t size;     /* of the region */
    uint64_t pages;
    uint64_t blocks; /* free blocks, where one may be in two adjacent pieces */
    uint64_t chunks;
    uint64_t body_size; /* bytes behind the header */
};

static inline unsigned checkpoint_slot(uint64_t sequence)
{
    return (unsigned)(sequence % CHECKPOINT_SLOTS);
}

/* The file name of a slot. */
const char *checkpoint_name(unsigned slot);

/* The bytes that a slot must have for a checkpoint of so many blocks. */
uint64_t checkpoint_room(uint64_t blocks);

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
    uint64_t cursor;        /* bytes of the region below are done */
    uint8_t *chunk;         /* the slice to be written next */
    size_t chunk_size;      /* 0 = none */
    struct extent *extents; /* scratch of CHECKPOINT_SLICE */
};

/* 0, or -ENOMEM. The file is opened by the first checkpoint_write_chunk. */
int checkpoint_begin(struct checkpoint_writer *writer, struct io *io, const char *folder,
                     const uint8_t secret[16], uint64_t sequence, uint64_t start);
void checkpoint_release(struct checkpoint_writer *writer);

/* Loop. Encodes the next slice of at most CHECKPOINT_SLICE free blocks. Returns true when it was
 * the last one. */
bool checkpoint_encode_slice(struct checkpoint_writer *writer, const struct maxtree *tree);
/* Worker. Writes the slice that is encoded. */
int checkpoint_write_chunk(struct checkpoint_writer *writer, struct err *err);
/* Worker. Completes the checkpoint, whose end, size and pages are set: syncs the body, writes the
 * header, syncs it. */
int checkpoint_complete(struct checkpoint_writer *writer, struct err *err);

/* All of it at once, for the thread that creates or opens a region. */
int checkpoint_write(struct io *io, const char *folder, const uint8_t secret[16],
                     const struct checkpoint *checkpoint, const struct maxtree *tree,
                     struct err *err);

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

/* The free blocks of a checkpoint whose header was read, into an empty tree. ERR_CORRUPT names the
 * file and the offset; ERR_IO_ERROR, ERR_INTERNAL. */
int checkpoint_load(struct io *io, const char *folder, const uint8_t secret[16],
                    const struct checkpoint *checkpoint, struct maxtree *tree, struct err *err);

/* The pure part of loading, for tests and fuzzing: decodes one chunk. Returns how many bytes it
 * takes and appends its extents at blocks (room for CHECKPOINT_SLICE), or 0 when it is not chunk
 * `index` of checkpoint `sequence`. */
size_t checkpoint_decode_chunk(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t sequence,
                               uint64_t index, struct extent *blocks, size_t *ret_count);
bool checkpoint_decode_header(const uint8_t *block, const uint8_t secret[16],
                              struct checkpoint *ret_checkpoint);

#define CHECKPOINT_CHUNK_HEADER 32
#define CHECKPOINT_CHUNK_MAX (CHECKPOINT_CHUNK_HEADER + CHECKPOINT_SLICE * 16)

#endif
