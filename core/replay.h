/* Putting the bytes of journal records where they belong, at a start.
 *
 * Records are walked from the last to the first. Bytes are put only where no later record put or
 * freed any: what was freed since may have been taken again by a large blob, whose bytes went
 * straight to the data file and are not in the journal. So every byte is written at most once, and
 * in whichever order.
 *
 * A region that is opened read-only must not write: its pieces go into an overlay in memory, and
 * reads look there. */
#ifndef MREGION_CORE_REPLAY_H
#define MREGION_CORE_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/extentset.h"
#include "core/io.h"
#include "core/record.h"

/* Pieces of the data file as they would be; disjoint, and sorted by address once complete. */
struct overlay_piece {
    struct extent extent;
    uint8_t *bytes;
};

struct overlay {
    struct overlay_piece *pieces;
    size_t count, capacity;
};

void overlay_release(struct overlay *overlay);
/* Sorts the pieces: they are complete. */
void overlay_complete(struct overlay *overlay);
/* Copies what the overlay has of [address, address + size) over buffer. Any thread. */
void overlay_read(const struct overlay *overlay, uint64_t address, uint8_t *buffer, size_t size);

struct replay {
    struct io *io;
    const char *folder;
    struct io_file *data;    /* written to; NULL: pieces go into the overlay */
    struct overlay *overlay; /* or NULL */
    struct extentset mask;
    struct effect *effects;
    size_t effects_capacity;
    struct overlay_piece *pieces; /* of the record at hand, in its memory */
    size_t piece_count, pieces_capacity;
    struct iovec *vectors;
    size_t vectors_capacity;
};

void replay_init(struct replay *replay, struct io *io, const char *folder, struct io_file *data,
                 struct overlay *overlay);
void replay_release(struct replay *replay);

/* Takes the record before those it has had. The record is valid and was walked before without a
 * complaint. ERR_IO_ERROR, ERR_NO_SPACE, ERR_INTERNAL without memory. May block. */
int replay_record(struct replay *replay, const uint8_t *bytes, const struct record_header *header,
                  struct err *err);

#endif
