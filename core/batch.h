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
#include "core/pageruns.h"
#include "core/record.h"

/* Bytes in the record that go to the data file once the record is durable. */
struct batch_put {
    uint64_t address;
    size_t offset; /* in the record */
    size_t size;
};

/* Whole pages of fresh space that are written to the data file before the record. */
struct batch_direct {
    uint64_t address;
    const uint8_t *bytes; /* the caller's */
    uint64_t size;
};

/* Bytes that a moving resize takes along, as the puts before it leave them. */
struct batch_copy {
    uint64_t from, to, size;
    size_t put;    /* journaled: the put that waits for them; else the number of puts before it */
    size_t offset; /* journaled: where that put's bytes are in the record; 0: straight to data */
    bool is_own;   /* the batch wrote some of them, or took their pages into use, before */
};

/* A run of more zero pages has no slots. */
#define ZERO_SLOTS 1024

/* Images are allocated in blocks of so many: most batches that stay unapplied need no more. */
#define IMAGES_PER_BLOCK 2

/* Pages that the batch changes, as its record tells them, and what they are after it. */
struct batch_run {
    enum effect_kind kind; /* changed, fresh, direct or zero */
    struct page_run run;
    size_t offset; /* of the sums in the record; not of zero */
    size_t slot;   /* of the first page; SIZE_MAX: they have none */
    bool is_ahead; /* fresh, and written before the record, which has them as direct */
};

/* A page that the batch's puts change, once the worker has put it together. */
struct page_slot {
    const uint8_t *bytes; /* DATA_PAGE bytes, an image or in the record; NULL: not touched yet */
    uint32_t sum;
    bool is_image;      /* may be written to */
    bool is_spoiled;    /* what it was made from did not match its sum */
    bool is_unverified; /* what it was made from had no checksum */
};

/* Whole pages of fresh space that an upload has written to the data file before there was this
 * batch.
 */
struct batch_upload {
    struct extent extent; /* what loads have to wait for */
    struct page_run run;
    uint32_t *sums; /* of the run's pages; the batch's own */
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
    struct batch_upload *uploads;
    struct batch_undo *undos;
    size_t put_count, put_capacity;
    size_t direct_count, direct_capacity;
    size_t copy_count, copy_capacity;
    size_t upload_count, upload_capacity;
    size_t undo_count, undo_capacity;
    uint64_t size_before, pages_before, tokens_before; /* of the region */
    bool moves;                   /* what it writes straight is to be on the disk before its record,
                                     whatever the durability: blobs move, or it is one or the other,
                                     or an upload wrote it */
    struct extentset dirty;       /* bytes that it writes */
    struct extentset frees;       /* bytes that it freed */
    struct extentset reads;       /* bytes that loads wait for to read as they are in it */
    struct page_runs touched;     /* pages that puts touch */
    struct page_runs straight;    /* pages that are written or copied directly */
    struct page_runs fresh;       /* pages that were wholly free before it */
    size_t images;                /* at most so many pages are touched in part */
    size_t runs_room, slots_room; /* reserved for what is staged */
    uint64_t last_image;          /* page number of the last of them */
    uint64_t sums_room;           /* what the effects with sums take up in the record, at most */
    /* From sealing on. */
    struct batch_run *runs; /* ascending */
    size_t run_count, run_capacity;
    struct page_slot *slots;
    size_t slot_count, slot_capacity;
    uint8_t **blocks; /* of images, IMAGES_PER_BLOCK each */
    size_t block_count, block_capacity;
    size_t images_used;
    bool is_vast; /* has more zero pages than slots: it cannot stay unapplied */
    /* Where pages are written ahead. */
    struct record journaled; /* in place of the other one, without the bytes of these pages */
    size_t ahead_pages;
};

/* What a change is going to need. */
struct batch_need {
    uint64_t record; /* bytes of effects */
    size_t puts, directs, copies, uploads, undos, takes;
    uint64_t pages; /* touched by puts and directs, at most */
};

struct batch *batch_new(void);
void batch_free(struct batch *batch);
/* Empties it and keeps its memory. */
void batch_reset(struct batch *batch);

static inline bool batch_is_empty(const struct batch *batch)
{
    return batch->record.effects == 0 && batch->upload_count == 0;
}

/* Whether it touches the data file before its record is written. */
static inline bool batch_is_direct(const struct batch *batch)
{
    return batch->direct_count > 0 || batch->copy_count > 0 || batch->ahead_pages > 0;
}

/* What goes to the journal once it is sealed. */
static inline struct record *batch_journaled(struct batch *batch)
{
    return batch->ahead_pages > 0 ? &batch->journaled : &batch->record;
}

/* What its record has, or is going to have once it is sealed, at most. */
static inline uint64_t batch_length(const struct batch *batch)
{
    return batch->record.length + batch->sums_room;
}
/* What a change adds to that, at most. */
uint64_t batch_need_length(const struct batch_need *need);

/* -ENOMEM. What follows counts on it and cannot fail. */
int batch_reserve(struct batch *batch, const struct batch_need *need);
/* The change with this need was staged. */
void batch_counted(struct batch *batch, const struct batch_need *need);
/* Adds the effects with sums, whose values the worker fills in: the record has its length. Where
 * it may write ahead, and this pays, pages of small blobs do not go through the journal. */
void batch_lay_out(struct batch *batch, bool may_write_ahead);
/* The number of the run that has the page, or else of the first one behind it; run_count: none. */
size_t batch_run_from(const struct batch *batch, uint64_t page);

void batch_took(struct batch *batch, struct extent extent); /* effect: use */
/* Pages of what was taken that were wholly free before and that the batch has not touched: they
 * begin as zeros. Room in batch->fresh is the caller's to reserve. */
void batch_fresh(struct batch *batch, struct page_run run);
void batch_gave(struct batch *batch, struct extent extent); /* effect: free */
/* Undo without an effect: for a range that is freed by one effect. */
void batch_gave_part(struct batch *batch, struct extent extent);
void batch_free_range(struct batch *batch, struct extent extent);
/* The region has grown by these bytes, which are free. */
void batch_grew(struct batch *batch, struct extent extent);
void batch_put(struct batch *batch, uint64_t address, const void *bytes, size_t size);
void batch_write_direct(struct batch *batch, uint64_t address, const uint8_t *bytes, uint64_t size);
/* Copies size bytes into fresh space, journaled or straight. */
void batch_copy_journaled(struct batch *batch, uint64_t from, uint64_t to, uint64_t size,
                          bool is_own);
void batch_copy_direct(struct batch *batch, uint64_t from, uint64_t to, uint64_t size, bool is_own);

/* Takes the sums, which are on the heap. */
void batch_uploaded(struct batch *batch, struct extent extent, struct page_run run, uint32_t *sums);

/* Takes its changes back, in reverse. -ENOMEM: the free space is not what it was. */
int batch_roll_back(const struct batch *batch, struct freespace *space, uint64_t *pages);

struct runs_mark {
    size_t count;
    struct page_run last;
};

/* What a gathering batch was at some moment. */
struct batch_mark {
    uint64_t size; /* of the region */
    size_t length; /* of the record */
    uint32_t effects;
    size_t put_count, direct_count, copy_count, undo_count;
    struct runs_mark touched, straight, fresh;
    size_t images, runs_room, slots_room;
    uint64_t sums_room, last_image;
    bool moves;
};

struct batch_mark batch_mark(const struct batch *batch, const struct freespace *space);
/* Takes back what was staged since, in reverse: the batch and the free space are what they were.
 * -ENOMEM: the free space is not. */
int batch_undo_to(struct batch *batch, const struct batch_mark *mark, struct freespace *space);

/* ---- batch_ahead.c, for batch_lay_out ---- */

/* Chooses the runs that are written ahead and makes the record without their bytes. None where it
 * does not pay or memory is short. */
void batch_choose_ahead(struct batch *batch);
void batch_forget_ahead(struct batch *batch);

/* ---- Worker ---- */

struct page_table;

struct batch_files {
    struct io *io;
    const char *folder;
    struct io_file *data, *sums;
    uint32_t sum_seed;
    bool has_checksums;       /* else sums are SUM_UNVERIFIED */
    struct page_table *pages; /* those of batches that are not applied yet */
};

/* The damaged pages that a worker came upon; the first of many. */
#define BATCH_DAMAGES 16
struct batch_damages {
    uint64_t addresses[BATCH_DAMAGES];
    size_t count;
};

/* Writes what is direct to the data file, without a sync; puts the pages that its puts touch
 * together, from what they were; fills copies and sums in. The record is complete then, but for its
 * header. ERR_CORRUPT: what was to be copied does not match its sum. */
int batch_build(struct batch *batch, const struct batch_files *files, struct batch_damages *damages,
                struct err *err);
/* The batch stays unapplied for some time: later ones build on its pages. ERR_INTERNAL without
 * memory. */
int batch_keep_pages(const struct batch *batch, struct page_table *pages, struct err *err);
/* Writes the pages and their sums to the files, without a sync. */
int batch_apply(const struct batch *batch, const struct batch_files *files, struct err *err);

/* ---- Pages of batches that are not applied yet, the newest of each ---- */

struct page_table {
    uint64_t *keys; /* page number + 1, or 0 */
    const struct page_slot **slots;
    size_t count, capacity; /* a power of two */
};

void page_table_release(struct page_table *table);
void page_table_clear(struct page_table *table);
const struct page_slot *page_table_find(const struct page_table *table, uint64_t page);

#endif
