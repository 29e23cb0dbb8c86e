/* The inside of a region, for the files region*.c only.
 *
 *     region.c             what it is, questions, options, failure
 *     region_stage.c       changes: what all have in common, new blobs, freeing, growing
 *     region_overwrite.c   changes: other bytes in place of a blob's
 *     region_resize.c      changes: another size
 *     region_token.c       tokens
 *     region_atomic.c      changes that are made all or nothing
 *     region_upload.c      blobs that come in pieces
 *     region_upload_move.c an upload without a size that needs another place
 *     region_upload_job.c  the upload lane: their pages go to the data file
 *     region_space.c       what is in use and what is free, with what uploads have reserved
 *     region_room.c        space reserved ahead: the data file, journal segments, checkpoint slots
 *     region_discard.c     free space given back to the file system
 *     region_commit.c      the commit lane: batches and flushes
 *     region_checkpoint.c  checkpoints and the recycling of segments
 *     region_load.c        loads and pins
 *     region_sums.c        sums in memory
 *     region_verify.c      blocks verified before they are copied
 *     region_scrub.c       passes over all pages
 *     region_damage.c      pages that are known to be damaged
 *     region_backup.c      copies of the region
 *     region_open.c        creating, opening, closing
 *
 * Batches stand in this order of age: pending (written, not yet synced or applied; durability
 * interval only), the one being committed, queue (sealed), gathering. */
#ifndef MREGION_CORE_REGION_PRIVATE_H
#define MREGION_CORE_REGION_PRIVATE_H

#include "core/batch.h"
#include "core/checkpoint.h"
#include "core/copy.h"
#include "core/extentlist.h"
#include "core/journal.h"
#include "core/meta.h"
#include "core/pagecache.h"
#include "core/region.h"
#include "core/replay.h"
#include "core/sums.h"
#include "core/tokens.h"

/* Batches kept for the next use, until the region rests. */
#define SPARE_BATCHES 4
/* Findings that wait to be told: a lane's job seldom has more, and who is told asks after each. */
#define DAMAGE_NEWS 64

struct batch_list {
    struct batch *first, *last;
};

void batch_list_append(struct batch_list *list, struct batch *batch);
struct batch *batch_list_take_first(struct batch_list *list);

/* A job of either lane. The kinds below have it as their first member. */
struct region_job {
    enum region_lane lane;
    int code; /* of begin and run */
    bool has_begun;
    struct err err;
    /* Worker. 0 or a code; begin may be NULL, and where it fails run is not called. */
    int (*begin)(struct region_job *job, struct err *err);
    int (*run)(struct region_job *job, struct err *err);
    /* Loop, maybe while a worker is in run; not without begin. */
    void (*durable)(struct region *region, struct region_job *job);
    /* Loop, whatever the code was. */
    void (*done)(struct region *region, struct region_job *job);
};

struct commit_job {
    struct region_job job;
    struct batch_files files;
    uint32_t seed;
    struct batch *batch;   /* NULL: a flush */
    struct batch *pending; /* the first of those to be applied, or NULL */
    uint64_t synced;       /* for the record */
    uint64_t flushed;      /* lsn that this job makes durable, unless sync_journal does more */
    struct batch_damages damages;
    bool flush_first;  /* sync what is written and apply pending, before anything else */
    bool sync_direct;  /* before a sync of the journal: some bytes that records name are not */
    bool sync_data;    /* after direct writes */
    bool sync_journal; /* after the record is written; then it is applied */
    bool past_cache;   /* the record is written past the page cache */
    bool is_flushed;   /* what is pending is durable */
    bool is_synced;    /* and so is the batch */
    bool is_applying;  /* something has been put in place, or may have */
    struct journal_segment *segments;
    size_t segment_count, segment_capacity;
};

enum room_kind {
    ROOM_DATA,
    ROOM_JOURNAL,
    ROOM_SLOT,
    ROOM_HOLES,
};

struct room_job {
    struct region_job job;
    struct io *io;
    const char *folder;
    struct io_file *data, *sums;
    uint8_t secret[16];
    enum room_kind kind;
    unsigned slot;
    uint64_t from;         /* data: bytes that are there; journal: seq of the first new one */
    uint64_t want, settle; /* data, slot: length to have, and what will do */
    uint64_t count;        /* journal: segments to make */
    uint64_t floor;
    uint64_t got;               /* data, slot: length; journal: segments made */
    struct extent tried, least; /* holes: to be reserved again, and what will do... */
    uint64_t asked;             /* ...for so many bytes */
    struct extent holes;        /* what was reserved */
};

/* Free space on its way to the file system, and what has arrived there. */
struct discard {
    struct maxtree holes;      /* free pages that may have no disk space */
    struct maxtree candidates; /* free bytes that may be to be given back */
    uint64_t next_ms;          /* not before */
    uint64_t freed;            /* bytes, since the region was opened */
    bool is_unsupported;       /* the file system cannot take any */
};

struct discard_job {
    struct region_job job;
    struct io *io;
    const char *folder;
    struct io_file *data;
    struct extent piece;
    int result; /* of the punch */
    uint64_t freed;
};

#define RECYCLE_MAX 16

struct recycle_job {
    struct region_job job;
    struct io *io;
    const char *folder;
    uint8_t secret[16];
    uint64_t floor;
    uint64_t from[RECYCLE_MAX];
    size_t keep, count; /* the first keep are renamed to `to` and on, the others removed */
    uint64_t to;
    size_t done;
};

struct checkpoint_job {
    struct region_job job;
    struct checkpoint_writer *writer;
    struct io_file *data, *sums; /* to be synced by the last job */
    bool is_last;
};

struct write_back_job {
    struct region_job job;
    struct io *io;
    struct io_file *data, *sums;
};

enum verify_state {
    VERIFY_IDLE,
    VERIFY_WANTED,
    VERIFY_RUNNING,
    VERIFY_FAILED, /* which who asked has yet to be told */
};

struct verify_job {
    struct region_job job;
    struct region *region;
    enum verify_state state;
    struct extent block;
    struct region_pin pin;
    bool is_void; /* damage that it finds tells nothing */
    uint64_t damaged;
    struct err err;
};

#define SCRUB_PAGES (SCRUB_PIECE / DATA_PAGE)

enum page_state {
    PAGE_LEFT_OUT, /* no byte of it is in use */
    PAGE_WANTED,   /* to be looked at */
    PAGE_VERIFIED,
    PAGE_UNVERIFIED,
    PAGE_DAMAGED,
    PAGE_UNREADABLE,
};

/* Pages that a scrub reads in one go. */
struct scrub_piece {
    struct page_run span;
    uint8_t states[SCRUB_PAGES]; /* enum page_state */
};

struct scrub_job {
    struct region_job job;
    struct region *region;
    struct region_pin pin;
    struct scrub_piece piece;
    uint8_t *buffer; /* of SCRUB_PIECE, while a pass is under way; NULL without memory */
};

struct scrub_counts {
    uint64_t pages, verified, unverified, damaged;
};

struct scrub {
    bool is_running;   /* a pass is under way */
    bool is_requested; /* it was asked for */
    bool is_timed;     /* ended_ms is known */
    bool is_blocked;   /* the next page is on its way: a commit's end is what to wait for */
    bool has_waited;   /* for that page, until wait_ticket is applied */
    uint64_t wait_ticket;
    uint64_t position;
    uint64_t started, done, wanted; /* tickets */
    uint64_t void_ticket;           /* passes up to this one that are not done came to nothing */
    struct err failure;
    uint64_t ended_ms; /* when the last pass ended, or the region was seen first */
    uint64_t next_us;  /* no piece before */
    uint64_t passes, finished_ms;
    struct scrub_counts counts, last; /* of the pass under way; of the last one completed */
};

enum backup_state {
    BACKUP_NONE,
    BACKUP_OPENING, /* the folder is made, and both files cloned if they can be */
    BACKUP_PASS,    /* all pages in use, once */
    BACKUP_ROUNDS,  /* those that were changed meanwhile, again and again */
    BACKUP_CUT,     /* the moment has been: what is in it is being applied */
    BACKUP_REST,    /* the last pages, which are kept as they are */
    BACKUP_CLOSING, /* everything else */
    BACKUP_UNDOING,
    BACKUP_ENDED,
};

struct backup_job {
    struct region_job job;
    struct region *region;
    struct copy_piece piece;
    struct copy_findings findings;
    bool is_strict; /* pages that do not match end it */
    bool is_verified;
    bool is_again; /* what was changed a moment ago is in the page cache */
    bool is_ours;  /* what is called `fresh`, and on the disk by no backup's name */
    /* All jobs'. */
    struct io *io;
    char name[REGION_NAME_MAX + 1];
    char fresh[IO_PATH_SIZE]; /* the folder's name until it is whole */
    struct io_file *data;     /* the region's once more, for syncs and for what is cached */
    struct region_copy copy;
    struct meta meta; /* at the cut, and: */
    struct checkpoint_image image;
    uint64_t size;
};

struct backup {
    enum backup_state state;
    struct extentset marks; /* pages that were changed after they may have been copied */
    struct maxtree todo;    /* pages: those of this round; then, of the rest, what is to be kept */
    uint64_t position;      /* of the pass: pages before may have been copied */
    unsigned rounds;
    uint64_t cut; /* ticket: what is in it */
    bool has_failed;
    struct err failure;
};

enum checkpoint_state {
    CHECKPOINT_IDLE,
    CHECKPOINT_SLICES,
    CHECKPOINT_WAITS, /* for its end to be durable */
};

/* Space that was asked for. */
struct reservation {
    uint64_t want;    /* so much is needed; 0 = nothing */
    bool is_awaited;  /* a change was told to wait for it, once or often */
    uint64_t refused; /* so much could not be had... */
    bool is_owed;     /* ...which who waited has yet to be told */
    bool is_tight;    /* the last chunk could not be had: none ahead of need */
};

/* Appends of an upload that one job takes at most. */
#define UPLOAD_PARTS 64
/* Pages whose sums an upload keeps. */
#define UPLOAD_SUMS (UPLOAD_CHUNK / DATA_PAGE)

struct upload_part {
    const uint8_t *bytes; /* the caller's */
    uint64_t size;
};

/* What has been appended is queued; the upload lane's job takes it from there, byte by byte in
 * order, and while it does what stands under "the job's" below is its own. */
struct region_upload {
    struct region *region;
    struct region_upload *next; /* in the order in which they are served */
    struct extent extent;       /* reserved */
    struct extent old;          /* likewise: where it was before, until that is given back */
    uint64_t size;              /* of the blob; UINT64_MAX: it is open-ended */
    uint64_t appended;          /* bytes */
    uint64_t after;             /* ticket: once it is applied the extent may be written to */
    struct upload_part *parts;  /* appends that are not written yet; of the first the rest */
    size_t part_count, part_capacity;
    uint64_t tickets, written; /* appends: accepted, and of these written */
    bool is_moving;            /* some of its pages are in the old extent only */
    bool is_aborted;           /* it goes once the job is back, and memory is there */
    bool has_failed;
    struct err failure;
    /* The job's. */
    uint64_t position;       /* bytes that are written, or wait in head and tail */
    uint8_t head[DATA_PAGE]; /* the bytes in front of its first page boundary */
    uint8_t tail[DATA_PAGE]; /* those of a page that is not complete yet... */
    size_t tail_size;        /* ...so many */
    uint64_t first_page;     /* the sums are of the pages from here on */
    uint32_t *sums;          /* room for UPLOAD_SUMS; of pages that no record has yet */
    size_t sum_count;
    uint64_t unsynced; /* bytes written since the last sync */
    /* While it moves. */
    uint64_t old_first;        /* the first page in the old extent... */
    uint64_t old_count, moved; /* ...of so many, of which these are in the new one, too */
    uint64_t old_told;         /* the sums of so many are in the file, or are to be by now */
    uint32_t *old_sums;        /* those of the others */
};

struct upload_job {
    struct region_job job;
    struct io *io;
    const char *folder;
    struct io_file *data, *sums;
    uint32_t seed;
    bool has_checksums;
    struct region_upload *upload;
    struct upload_part parts[UPLOAD_PARTS];
    size_t part_count;
    uint64_t bytes;   /* of them together */
    bool has_to_stop; /* a sync failed */
};

/* What to go back to when changes are not made after all. */
struct atomic {
    bool is_open;
    bool is_waiting; /* one of them was told to wait, and they are going to be tried once more */
    struct batch_mark mark;
    uint64_t pages, tokens, change_ticket;
    uint64_t bytes;         /* of its blobs, as long as it waits to be tried again; else 0 */
    struct extentset fresh; /* the pages that they took into use: nothing is in them on the disk */
};

/* What a region is called. Workers that read look at it whenever they fail, so it never changes:
 * another one takes its place, and it goes once nothing is pinned. */
struct region_label {
    struct region_label *older;
    char name[REGION_NAME_MAX + 1];
    char folder[];
};

struct region {
    struct io *io;
    struct region_label *_Atomic label;
    struct region_label *old_labels;
    const char *folder; /* the label's, for the loop and the jobs that it makes */
    struct meta meta;   /* with the options in force */
    uint32_t format;
    bool read_only; /* opened so */
    struct io_file *data;
    /* The same file once more: a failed write-back is told once to each opening of a file, and
     * neither the checkpoint nor a commit may miss it. */
    struct io_file *data_for_sync;
    struct io_file *sums, *sums_for_sync; /* likewise */
    struct io_file *data_for_scrub;       /* read around the cache, aligned */
    struct io_file *data_for_uploads;     /* written and synced by their lane */
    uint32_t sum_seed;
    uint64_t data_size; /* reserved bytes of the data file */
    struct freespace space;
    struct extentlist reserved;    /* for uploads: neither in the space's tree nor in use */
    struct region_upload *uploads; /* the first to be served */
    uint64_t upload_count;         /* without those that are aborted */
    uint64_t size_before_change;   /* the region's size when the change being staged began */
    struct batch_need need;        /* of that change */
    struct page_runs fresh;        /* pages that it takes into use */
    uint64_t pages;                /* by growing; the size may need more */
    struct tokens tokens;
    struct atomic atomic;
    uint64_t token_answer; /* room that is kept for the answer of a token; 0: none is expected */
    struct journal journal;
    struct overlay overlay;

    struct batch *gathering; /* NULL while nothing is staged */
    struct batch_list queue;
    struct batch_list pending;
    struct batch *spares[SPARE_BATCHES];
    size_t spare_count;
    uint64_t queued_bytes;
    uint64_t pending_bytes;
    size_t pending_count;
    uint64_t pending_since_ms;
    struct page_table pending_pages; /* the commit job's while one is under way */
    bool has_direct_unsynced;        /* some pending batch's direct bytes */
    uint64_t newest_ticket;          /* given to a batch */
    uint64_t change_ticket;          /* of the last change */
    uint64_t changes;                /* staged; and once more where some are rolled back */
    uint64_t done_ticket, applied_ticket;
    uint64_t hurry_ticket; /* batches up to this one are not held back */
    uint64_t sums_ticket; /* without checksums: batches up to this one may have some all the same */
    uint64_t written;     /* lsn: the journal is written up to here */
    uint64_t applied;     /* lsn: the data file has all puts of records before */
    uint64_t written_back; /* lsn: the puts before are on their way to the disk */
    uint64_t last_free;    /* lsn behind the last record that frees something */
    uint64_t flush_to;     /* lsn: what a checkpoint waits for to be synced */
    uint64_t now_ms;

    struct region_job *under_way[LANES];
    struct commit_job commit;
    struct room_job room;
    struct recycle_job recycle;
    bool is_recycling_tight; /* the last one met a full disk: none until there may be space again */
    struct checkpoint_job checkpointing;
    struct write_back_job write_back;
    bool was_write_back; /* the last job for later */
    struct verify_job verifying;
    struct extentset verified; /* blocks that may be copied */

    struct reservation data_room, journal_room;
    struct reservation hole_room; /* bytes of a change */
    struct extent wanted_holes;   /* the pages that it is about */
    struct reservation slot_need; /* bytes of each checkpoint slot */
    unsigned refusals_held;       /* region_hold_refusals, not yet released */
    uint64_t slot_room[CHECKPOINT_SLOTS];
    uint64_t slot_retry; /* bytes from which a slot that could not be had is tried again */

    struct checkpoint checkpoint; /* the newest durable one */
    enum checkpoint_state checkpoint_state;
    struct checkpoint_writer writer;
    uint64_t checkpoint_started, checkpoint_done, checkpoint_wanted; /* tickets */
    bool checkpoint_failed;
    struct err checkpoint_failure;
    uint64_t checkpoint_failed_ticket; /* the newest that is void */
    uint64_t checkpoint_sequence;      /* of the newest attempt, or 0 */
    uint64_t checkpoint_retry;         /* lsn from which one is tried again after a failure */

    struct pagecache cache;        /* verified pages */
    struct pagecache sum_blocks;   /* of the sums file, as it is */
    uint8_t page[DATA_PAGE];       /* scratch of a load on the loop */
    uint8_t sum_block[DISK_BLOCK]; /* likewise */
    unsigned passed_over;          /* whole pages since the last one that was put into the cache */
    uint64_t *loads_seen;          /* first page + 1 of large loads, by its hash; or NULL */
    uint64_t *damages;             /* page addresses, ascending; room for DAMAGES_KEPT, or NULL */
    size_t damage_count;
    uint64_t unkept_damages;                 /* for which there was no room among them */
    struct region_finding news[DAMAGE_NEWS]; /* not told yet */
    size_t news_count;
    uint64_t news_more; /* for which there was no room among these */
    struct scrub scrub;
    struct scrub_job scrubbing;
    struct backup backup;
    struct backup_job *backing_up; /* NULL while there is none */
    struct discard discard;
    struct discard_job discarding;
    struct upload_job uploading;

    struct region_pin pins; /* the ring's head */
    struct extentset lost;  /* what a failed batch may have written */
    struct extentset torn;  /* pages that it may have parted from their sums */
    bool is_failing;        /* no changes any more; a commit is still under way */
    bool is_failed;
    struct err failure;

    uint64_t checkpoints, commits;
    uint64_t written_at_open; /* lsn */
    uint64_t cache_hits, cache_misses;
    struct region_report report;
};

/* Those that nobody looks at any more: nothing is pinned. */
void region_free_old_labels(struct region *region);

static inline uint64_t region_limit(const struct region *region)
{
    return region->meta.options.max_size != 0 ? region->meta.options.max_size : REGION_SIZE_MAX;
}

/* ---- region.c ---- */

int region_check_block(const struct region *region, struct extent block, struct err *err);
/* Turns the region read-only because of *err and takes back what is not durable, at once or when
 * the commit under way is done. */
void region_fail(struct region *region, const struct err *err);
/* A commit is done: what region_fail had to put off. */
void region_finish_failing(struct region *region);

/* ---- region_stage.c ---- */

/* 0 or ERR_READ_ONLY. */
int region_check_writable(const struct region *region, struct err *err);
/* 0, ERR_OUT_OF_BOUNDS or ERR_NOT_ALLOCATED. */
int region_check_used(const struct region *region, struct extent block, struct err *err);
/* Room in the journal and in memory for a change. 0, REGION_WAIT or a code. */
int region_prepare(struct region *region, const struct batch_need *need, bool is_free,
                   struct err *err);
/* Closes the gathering batch and prepares another: there is journal for it, region_prepare saw to
 * that. -ENOMEM. */
int region_begin_own_batch(struct region *region, const struct batch_need *need);
/* Whether a change that writes dirty, and direct straight to the data file, must not be in the
 * gathering batch. */
bool region_needs_own_batch(const struct region *region, struct extent dirty, struct extent direct);
bool region_is_large(uint64_t size);
/* The part of a fresh extent that is written before the record is. */
struct extent region_direct_part(struct extent fresh, uint64_t size);
/* Takes size bytes. 0, REGION_WAIT or ERR_NO_SPACE. */
int region_take(struct region *region, uint64_t size, uint64_t *ret_address, struct err *err);
/* Takes the bytes behind a block so that it has new_size. 0, REGION_WAIT or ERR_NO_SPACE, which
 * here means: not in place. */
int region_take_behind(struct region *region, struct extent block, uint64_t new_size,
                       struct err *err);
/* Gives back what a change took that cannot go on for want of memory. Returns the code of that. */
int region_give_back(struct region *region, struct extent extent, struct err *err);
/* Notes a fresh extent with a blob in it. */
void region_stage_blob(struct region *region, struct extent fresh, struct extent direct,
                       const uint8_t *bytes);
/* Chooses the batch for a change that took an extent and is to write *direct of it straight to the
 * data file: the gathering one, or one of its own. Empties *direct where its bytes are to go
 * through the journal instead. 0 or the code of giving the extent back. */
int region_place(struct region *region, const struct batch_need *need, struct extent taken,
                 struct extent *direct, struct err *err);
/* Notes the extent that region_place was told of last. */
void region_took(struct region *region, struct extent taken);
uint64_t region_pages_of(uint64_t size);
/* What taking an extent needs that nothing is put into. */
struct batch_need region_take_need(uint64_t size);
/* What region_stage_blob needs, wherever the extent lies. */
struct batch_need region_blob_need(uint64_t size);
/* The end of every change; the latter where nothing had to be staged: done when everything before
 * it is. 0; the latter also REGION_WAIT or a code, where a token is expected and has no room. */
int region_staged(struct region *region);
int region_staged_nothing(struct region *region, bool is_free, struct err *err);

/* region_place for an extent that is reserved, and whose whole pages in `written` are in the data
 * file already. 0 or -ENOMEM. */
int region_place_upload(struct region *region, const struct batch_need *need, struct extent taken,
                        struct extent written);

/* ---- region_space.c ---- */

/* The first free bytes that end after the address, up to the next one in use. They may begin before
 * the address, and not everything before it that is free is among them. */
bool region_next_free(const struct region *region, uint64_t address, struct extent *ret_free);
/* The first run of bytes in use that ends behind the address, clipped to it. */
bool region_next_used(const struct region *region, uint64_t address, struct extent *ret_used);
/* These are as those of freespace.h. */
bool region_is_used(const struct region *region, struct extent extent);
bool region_is_free(const struct region *region, struct extent extent);
size_t region_used_in(const struct region *region, uint64_t start, uint64_t end,
                      struct extent *extents, size_t limit);
size_t region_free_in(const struct region *region, uint64_t start, uint64_t end,
                      struct extent *extents, size_t limit);
uint64_t region_free_count(const struct region *region);
/* Makes every byte of the range free that is not reserved. -ENOMEM: some may be. */
int region_free_around_reserved(struct region *region, struct extent range);
/* NULL, or what is wrong. */
const char *region_check_reserved(const struct region *region);

/* ---- region_upload.c, region_upload_job.c ---- */

struct region_job *region_next_upload(struct region *region);
/* Whether appends wait that may be written some time. */
bool region_has_appends(const struct region *region);
/* Gives back what an aborted upload has, and frees it. Later, where its job is under way or memory
 * is short. */
void region_upload_dispose(struct region *region, struct region_upload *upload);
/* The region fails: what is reserved is free, before batches are taken back. Where memory was short
 * for that: one that is taken back freed these; and after the last one, what has become of the
 * size.
 */
void region_uploads_fail(struct region *region);
void region_uploads_unfreed(struct region *region, const struct batch *batch);
void region_uploads_cut(struct region *region);
/* Frees all of them: the region is closed. */
void region_uploads_release(struct region *region);
/* Gives an open-ended one an extent of this size elsewhere; jobs copy what it has. 0, REGION_WAIT
 * or a code. */
int region_upload_move(struct region *region, struct region_upload *upload, uint64_t size,
                       struct err *err);
/* All its pages are in the new extent: gives the old one back. -ENOMEM: later. */
int region_upload_moved(struct region *region, struct region_upload *upload);
/* The region may have grown, from so many bytes, for what was reserved for the upload; which is not
 * written to before all that is staged by now is applied. */
void region_upload_reserved(struct region *region, struct region_upload *upload, uint64_t before);
/* No more can be done with it; what it has queued is given back to the caller. */
void region_upload_fail(struct region_upload *upload, const struct err *err);
/* A record tells the sums that the upload holds. 0, REGION_WAIT or a code. */
int region_upload_tell(struct region *region, struct region_upload *upload, struct err *err);
/* The whole pages of an upload's extent, as far as bytes for them have come. */
struct extent region_upload_pages(const struct region_upload *upload);

/* ---- region_token.c ---- */

/* Bytes of effects that the expected token needs, or 0. */
uint64_t region_token_need(const struct region *region);

/* ---- region_commit.c ---- */

/* The batch that gathers, made if there is none; NULL without memory. */
struct batch *region_gathering(struct region *region);
/* Closes the gathering batch, if there is one: what follows goes into another. */
void region_seal(struct region *region);
struct region_job *region_next_commit(struct region *region);
/* The earliest moment, as a now_ms, at which the commit lane has a flush to do; UINT64_MAX. */
uint64_t region_flush_deadline_ms(const struct region *region);
/* Both tell the pins that they find: whether what the batch writes is pinned, or the extent. */
bool region_is_pinned(const struct region *region, const struct batch *batch);
bool region_is_extent_pinned(const struct region *region, struct extent extent);

/* ---- region_load.c ---- */

/* The batch's pages are in the files: what is known of them otherwise is stale. */
void region_pages_applied(struct region *region, const struct batch *batch);
/* The ticket after which the files have the block as it is now, or 0; that ticket is hurried. */
uint64_t region_read_after(struct region *region, struct extent block);
/* Whether pages are checked when they are read. */
bool region_is_verified(const struct region *region);

/* ---- region_sums.c ---- */

/* The part of page_cache that goes to sums: each byte of them speaks of 1024 bytes of data. */
#define SUM_BLOCKS_SHARE 8

void region_sums_set_limit(struct region *region, uint64_t page_cache);
/* The sums of pages, without waiting for the disk: false when they cannot be had at once. */
bool region_sums_now(struct region *region, uint64_t first, size_t count, uint32_t *sums);
/* The run's sums are in the file; slots are those of its pages, if it has any. */
void region_sums_applied(struct region *region, const struct batch_run *run,
                         const struct page_slot *slots);

/* ---- region_damage.c ---- */

/* The page at this address is well again, or was not known to be damaged. */
void region_forget_damage(struct region *region, uint64_t address);
/* What was freed is forgotten where no byte of its page is in use any more. */
void region_forget_freed(struct region *region, const struct extentset *frees);
/* region_note_damage, with the reason. */
bool region_note_finding(struct region *region, uint64_t address, bool is_unreadable);
/* A pass over all pages has found so many of them damaged. */
void region_damage_counted(struct region *region, uint64_t count);

/* ---- region_scrub.c ---- */

struct region_job *region_next_scrub(struct region *region);
uint64_t region_scrub_deadline_ms(const struct region *region);
/* The options have changed. */
void region_scrub_options(struct region *region, const struct region_options *before);
/* The pass under way ends here. */
void region_scrub_release(struct region *region);

/* ---- region_backup.c ---- */

struct region_job *region_next_backup(struct region *region);
/* The batch's pages are in the files. */
void region_backup_applied(struct region *region, const struct batch *batch);
/* Whether a copy of pages as they were before this batch, or before any that is to come, is still
 * to be made. */
bool region_backup_keeps(const struct region *region, const struct batch *batch);
bool region_backup_keeps_extent(const struct region *region, struct extent extent);
/* The region is closed. */
void region_backup_release(struct region *region);

/* ---- region_verify.c ---- */

/* 0: the block's pages matched their sums, or need not; REGION_WAIT: a background job is finding
 * out; ERR_CORRUPT. For a block whose bytes are about to be copied. */
int region_need_verified(struct region *region, struct extent block, struct err *err);
/* Who waited for it has an answer: what was verified is to be verified again before it is copied
 * once more. */
void region_forget_verified(struct region *region);
struct region_job *region_next_verify(struct region *region);

/* ---- region_room.c ---- */

/* 0, REGION_WAIT, or ERR_NO_SPACE: whether so many more bytes of effects fit into the journal, in a
 * record of their own if need be. What only frees may use the reserve. */
int region_need_journal(struct region *region, uint64_t effects, bool is_free, struct err *err);
/* 0, REGION_WAIT, or ERR_NO_SPACE: whether a checkpoint with the expected token has room on a full
 * disk. What only frees may use the reserve, unless the token's answer is large. */
int region_need_slot(struct region *region, bool is_free, struct err *err);
/* What is refused to a change that has several ways to go holds for all of them until it has its
 * answer, and so it does for changes that are made all or nothing, which are one: else each would
 * have the disk asked anew, and none came to an end. Release returns the code, that of the change;
 * REGION_WAIT: it has no answer yet. They may be nested. */
void region_hold_refusals(struct region *region);
int region_release_refusals(struct region *region, int code);
/* REGION_WAIT, or ERR_NO_SPACE: the data file is shorter than need. */
int region_need_data(struct region *region, uint64_t need, struct err *err);
/* 0, REGION_WAIT, or ERR_NO_SPACE: whether the block, which is about to be taken, has its disk
 * space. */
int region_need_holes(struct region *region, struct extent block, struct err *err);
/* Whether holes are being reserved, or are to be. */
bool region_is_reserving_holes(const struct region *region);
/* A job that reserves what is wanted now, or ahead of need; NULL when there is nothing to do. */
struct region_job *region_next_room(struct region *region, bool ahead);

/* ---- region_discard.c ---- */

/* Opening: reserves the data file's space but for large free blocks, which are holes. May block. */
int region_discard_open(struct region *region, struct err *err);
/* A batch that freed this is done. */
void region_discard_freed(struct region *region, const struct extentset *frees);
/* These bytes are in the tree of free blocks again, and no batch freed them. */
void region_discard_given(struct region *region, struct extent extent);
/* The option has another value: looks at all free blocks. */
void region_discard_rescan(struct region *region);
/* A job for the commit lane while it has nothing else to do, or NULL; and when to ask again. */
struct region_job *region_next_discard(struct region *region);
uint64_t region_discard_deadline_ms(const struct region *region);
/* Whether any byte of it is a hole; is just becoming one. */
bool region_is_hole(const struct region *region, struct extent extent);
bool region_is_discarding(const struct region *region, struct extent extent);
/* Every byte of it has its disk space again, durably; or there was none, and what was had of it is
 * to be given back. */
void region_holes_tried(struct region *region, struct extent extent, bool is_reserved);
/* NULL, or what is wrong. */
const char *region_check_holes(const struct region *region);

/* ---- region_checkpoint.c ---- */

struct region_job *region_next_checkpoint(struct region *region);
struct region_job *region_next_recycling(struct region *region);
struct region_job *region_next_write_back(struct region *region);
/* Whether a checkpoint would free a segment, and none has just failed; asks for one if so. */
bool region_press_checkpoint(struct region *region);
void region_abandon_checkpoint(struct region *region);

#endif
