/* A batch: the changes that become durable together, as one journal record.
 *
 * While it gathers it belongs to the loop thread. Once sealed, the worker that commits it reads the
 * record, the puts, the directs and the copies; the loop goes on using the sets and the undo list,
 * which no worker touches. Batches are used again, with their memory. */
#ifndef MREGION_CORE_BATCH_H
#define MREGION_CORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/extentset.h"
#include "core/freespace.h"
#include "core/io.h"
#include "core/record.h"

/* Bytes in the record that go to the data file once the record is durable. */
struct batch_put {
    uint64_t address;
    size_t offset; /* in the record */
    size_t size;
};

/* Whole blocks of fresh space that are written to the data file before the record. */
struct batch_direct {
    uint64_t address;
    const uint8_t *bytes; /* the caller's */
    uint64_t size;
};

/* Bytes that a moving resize takes along. */
struct batch_copy {
    uint64_t from, to, size;
    size_t offset; /* in the record, of a put that waits for them; 0: straight to the data file */
};

enum batch_undo_kind {
    UNDO_TAKE, /* these bytes were free */
    UNDO_GIVE, /* these bytes were in use */
};

struct batch_undo {
    enum batch_undo_kind kind;
    struct extent extent;
};

struct batch {
    struct batch *next;
    uint64_t ticket;
    uint64_t lsn, end; /* of the record, once sealed */
    struct record record;
    struct batch_put *puts;
    struct batch_direct *directs;
    struct batch_copy *copies;
    struct batch_undo *undos;
    size_t put_count, put_capacity;
    size_t direct_count, direct_capacity;
    size_t copy_count, copy_capacity;
    size_t undo_count, undo_capacity;
    uint64_t size_before, pages_before, tokens_before; /* of the region */
    bool overwrites;                                   /* some of its puts go over blobs */
    bool moves;             /* some blobs' bytes go straight to another place */
    struct extentset dirty; /* bytes that it writes */
    struct extentset frees; /* bytes that it freed */
    struct extentset reads; /* bytes that loads wait for to read as they are in it */
};

/* What a change is going to need. */
struct batch_need {
    uint64_t record; /* bytes of effects */
    size_t puts, directs, copies, undos;
};

struct batch *batch_new(void);
void batch_free(struct batch *batch);
/* Empties it and keeps its memory. */
void batch_reset(struct batch *batch);
/* Gives most of an empty batch's memory back. */
void batch_trim(struct batch *batch);

static inline bool batch_is_empty(const struct batch *batch)
{
    return batch->record.effects == 0;
}

/* Whether it touches the data file before its record is written. */
static inline bool batch_is_direct(const struct batch *batch)
{
    return batch->direct_count > 0 || batch->copy_count > 0;
}

/* -ENOMEM. What follows counts on it and cannot fail. */
int batch_reserve(struct batch *batch, const struct batch_need *need);

void batch_took(struct batch *batch, struct extent extent); /* effect: use */
void batch_gave(struct batch *batch, struct extent extent); /* effect: free */
/* Undo without an effect: for a range that is freed by one effect. */
void batch_gave_part(struct batch *batch, struct extent extent);
void batch_free_range(struct batch *batch, struct extent extent);
void batch_put(struct batch *batch, uint64_t address, const void *bytes, size_t size);
/* The same, over bytes that were in use before. */
void batch_overwrite(struct batch *batch, uint64_t address, const void *bytes, size_t size);
void batch_write_direct(struct batch *batch, uint64_t address, const uint8_t *bytes, uint64_t size);
/* Copies size bytes into fresh space, journaled or straight. */
void batch_copy_journaled(struct batch *batch, uint64_t from, uint64_t to, uint64_t size);
void batch_copy_direct(struct batch *batch, uint64_t from, uint64_t to, uint64_t size);

/* Takes its changes back, in reverse. -ENOMEM: the free space is not what it was. */
int batch_roll_back(const struct batch *batch, struct freespace *space, uint64_t *pages);

/* ---- Worker ---- */

struct batch_files {
    struct io *io;
    const char *folder;
    struct io_file *data;
};

/* Writes directs and straight copies to the data file, without a sync. */
int batch_run_direct(const struct batch *batch, const struct batch_files *files, struct err *err);
/* Reads what journaled copies take along into the record. */
int batch_fill_copies(const struct batch *batch, const struct batch_files *files, struct err *err);
/* Writes the puts to the data file, without a sync. */
int batch_apply(const struct batch *batch, const struct batch_files *files, struct err *err);

#endif
