/* Putting the bytes of journal records where they belong, at a start.
 *
 * Records are walked from the last to the first. Bytes are put only where no later record put any,
 * and no later record began the page anew: as zeros with its own puts, or with bytes that went
 * straight to the data file and are not in the journal. So every byte is written at most once, in
 * whichever order, and a page becomes exactly what its last sum was made of: bytes that are free by
 * now are put like others. Only pages that are wholly free in the end are left out: they mean
 * nothing, and their disk space may have been given back.
 *
 * A region that is opened read-only must not write: its pieces and sums go into an overlay in
 * memory, and reads look there. */
#ifndef MREGION_CORE_REPLAY_H
#define MREGION_CORE_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/extentset.h"
#include "core/freespace.h"
#include "core/io.h"
#include "core/pageruns.h"
#include "core/record.h"

/* Pieces of the data file as they would be; disjoint, and sorted by address once complete. */
struct overlay_piece {
    struct extent extent;
    uint8_t *bytes; /* NULL: zeros */
};

/* Sums as they would be; disjoint, and sorted by page once complete. */
struct sum_run {
    struct page_run run;
    size_t values; /* index of the first; SIZE_MAX: all are SUM_ZEROS */
    bool has_puts; /* the bytes of some are in the journal */
};

struct sum_list {
    struct sum_run *runs;
    size_t count, capacity;
    uint32_t *values;
    size_t value_count, value_capacity;
};

struct overlay {
    struct overlay_piece *pieces;
    size_t count, capacity;
    struct sum_list sums;
};

void overlay_release(struct overlay *overlay);
/* Sorts the pieces: they are complete. */
void overlay_complete(struct overlay *overlay);
/* Copies what the overlay has of [address, address + size) over buffer. Any thread. */
void overlay_read(const struct overlay *overlay, uint64_t address, uint8_t *buffer, size_t size);

/* Puts what the overlay has of the pages' sums over those given. Any thread. */
void overlay_sums(const struct overlay *overlay, uint64_t first, size_t count, uint32_t *sums);

struct replay {
    struct io *io;
    const char *folder;
    struct io_file *data;          /* written to; NULL: pieces go into the overlay */
    const struct freespace *space; /* as it is in the end */
    struct overlay *overlay;       /* its sums are collected in any case */
    struct extentset mask;         /* bytes that are settled */
    struct extentset page_mask;    /* pages whose sums are, by their numbers */
    struct effect *effects;
    size_t effects_capacity;
    struct overlay_piece *pieces; /* of the record at hand, in its memory */
    size_t piece_count, pieces_capacity;
    struct iovec *vectors;
    size_t vectors_capacity;
};

void replay_init(struct replay *replay, struct io *io, const char *folder, struct io_file *data,
                 const struct freespace *space, struct overlay *overlay);
void replay_release(struct replay *replay);

/* Takes the record before those it has had. The record is valid and was walked before without a
 * complaint. ERR_IO_ERROR, ERR_NO_SPACE, ERR_INTERNAL without memory. May block. */
int replay_record(struct replay *replay, const uint8_t *bytes, const struct record_header *header,
                  struct err *err);

/* The first part of the extent, in whole pages but for its ends, of pages that are not wholly free;
 * false when there is none. */
bool replay_needed(const struct freespace *space, struct extent extent, struct extent *ret_part);

#endif
