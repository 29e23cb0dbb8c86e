/* Recovery: from what is on disk to what was acknowledged.
 *
 * The newest valid checkpoint is loaded, the journal from its start on is replayed over it, a torn
 * tail is cut, and a fresh checkpoint begins a fresh part of the journal behind everything that was
 * there, so that nothing stale can ever be taken for new. FORMAT.md has the rules. Recovering twice
 * gives the same bytes.
 *
 * May block. */
#ifndef MREGION_CORE_RECOVER_H
#define MREGION_CORE_RECOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/checkpoint.h"
#include "core/err.h"
#include "core/freespace.h"
#include "core/io.h"
#include "core/meta.h"
#include "core/region.h"
#include "core/replay.h"

/* Neither lsns nor sequences get this far within the life of a disk: what claims so is not ours,
 * and to go on behind it would end where none can be. */
#define RECOVER_END (REGION_SIZE_MAX / 2)

struct recovery {
    /* Set by the caller. */
    struct io *io;
    const char *folder;
    const struct meta *meta;
    struct io_file *data, *sums;
    uint64_t data_size;
    bool read_only;
    /* Results. The caller releases space, tokens and overlay. */
    struct freespace space;
    struct tokens tokens; /* likewise; the caller has initialized it */
    uint64_t pages;
    struct checkpoint checkpoint; /* the newest that is durable now */
    uint64_t journal_start;       /* lsn of the next record */
    uint64_t first_segment;       /* seq; so many follow it, all prepared */
    size_t segment_count;
    uint64_t slot_room[CHECKPOINT_SLOTS]; /* bytes reserved in each */
    struct overlay overlay;               /* with read_only */
    uint64_t *damages; /* addresses of pages that replay touched and that do not match their sums;
                          the caller frees it; the first DAMAGES_KEPT */
    size_t damage_count;
    struct region_report report;
};

/* 0; ERR_CORRUPT names file and offset; ERR_IO_ERROR, ERR_NO_SPACE (the new checkpoint does not
 * fit), ERR_INTERNAL without memory. With read_only nothing on disk is changed. */
int recover(struct recovery *recovery, struct err *err);

/* What a checkpoint slot should have reserved for a region of so many free blocks, and of tokens
 * that take up so many bytes: room to double, and never less than a megabyte. */
uint64_t recover_slot_room(uint64_t blocks, uint64_t token_bytes);

#endif
