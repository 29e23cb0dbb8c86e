/* One region: a flat, byte-addressed, durable address space with its free blocks, journal and
 * checkpoints.
 *
 * The way of a change. A change is *staged* in memory on the loop thread: it is checked, its
 * effects show in the free space at once, and its journal record is encoded into the gathering
 * batch. Its *ticket* is the number of that batch. When the commit lane is idle the gathering
 * batch is sealed and becomes a job, which a worker runs: whole blocks of large blobs to the data
 * file and sync; journal record and sync; journaled bytes in place. Meanwhile the next batch
 * gathers: that is the whole of group commit. A change is done, and may be answered, when
 * region_done_ticket() has reached its ticket.
 *
 * Threads. Everything here belongs to the loop thread and never blocks, except the functions
 * marked "worker": those touch only the job they are given, or the region's data file, and may
 * run on another thread. There are no locks. At most one job per lane is under way.
 *
 *     loop:    region_add(...), region_deallocate(...) ...      stage
 *              job = region_next_job(region, LANE_COMMIT, now)  seal
 *     worker:  region_job_begin(job)                            durable?
 *     loop:    region_job_durable(region, job)                  answer at once
 *     worker:  region_job_run(job)                              meanwhile: put in place
 *     loop:    region_job_done(region, job)                     apply, roll back, free
 *              answer requests with ticket <= region_done_ticket(region)
 *              start reads that waited for tickets <= region_applied_ticket(region)
 *
 * Failure. A failed write or sync is never retried: every staged change is rolled back in
 * memory, the region turns read-only, region_failure() says why, and a restart recovers.
 * A full disk is found out ahead of staging (the journal and the data file reserve their space
 * first), so that it refuses the one request and leaves all as it was. */
#ifndef MREGION_CORE_REGION_H
#define MREGION_CORE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/err.h"
#include "core/extent.h"
#include "core/io.h"
#include "core/limits.h"
#include "core/options.h"

struct pagecache_hold;
struct region;
struct region_job;
struct region_upload;

/* A staging function's answer besides 0 and an error code: nothing was changed; call again, in
 * order, once any job of this region is done (space is being reserved, or the batch is full). */
#define REGION_WAIT (-1)
/* What region_token_find answers besides 0 and an error code. */
#define REGION_FOUND (-2)

/* ---- What a region is ---- */

struct region_info {
    uint64_t id;
    const char *name; /* borrowed until the region is closed */
    uint8_t uuid[16];
    uint32_t format; /* on-disk version */
    struct region_options options;
    uint64_t pages;       /* of REGION_PAGE bytes */
    uint64_t size;        /* bytes ever handed out, in use or freed since */
    uint64_t capacity;    /* pages * REGION_PAGE */
    uint64_t allocated;   /* bytes in use */
    uint64_t deallocated; /* bytes free below size */
    uint64_t free_blocks;
    uint64_t largest_free;      /* that can be taken: without what uploads have reserved */
    uint64_t uploads;           /* in progress */
    uint64_t reserved;          /* bytes that they have; free, and among those deallocated */
    uint64_t index_memory;      /* heap bytes of the free-space index */
    uint64_t journal_bytes;     /* journal that a restart would replay */
    uint64_t checkpoints;       /* taken since the region was opened */
    uint64_t commits;           /* batches made durable since the region was opened */
    uint64_t changes;           /* since then; grows when what can be seen of the region changes */
    uint64_t recovered_records; /* journal records replayed when it was opened */
    uint64_t cut_bytes;         /* torn tail cut when it was opened */
    uint64_t journal_written;   /* bytes of journal since the region was opened */
    uint64_t cache_hits;        /* pages that loads found verified in memory, since then */
    uint64_t cache_misses;      /* and those that they did not */
    uint64_t disk_bytes;        /* what the data file really occupies */
    uint64_t discarded_bytes;   /* given back to the file system since the region was opened */
    uint64_t tokens;            /* remembered now */
    uint64_t page_cache_used;   /* bytes of verified pages in memory */
    uint64_t damaged_pages;     /* known to be damaged now; beyond DAMAGES_KEPT, those that the last
                                   scrub counted and what was found since */
    uint32_t migrated_from;     /* the version that this opening migrated from, or 0 */
    bool read_only;
};

void region_get_info(const struct region *region, struct region_info *ret_info);
/* The same but for disk_bytes, which is 0: without a system call. */
void region_get_info_now(const struct region *region, struct region_info *ret_info);
uint64_t region_commits(const struct region *region);
uint64_t region_id(const struct region *region);
const char *region_name(const struct region *region);
uint64_t region_size(const struct region *region);

/* Notes, for region_get_info, that the region was migrated when it was opened. */
void region_set_migrated(struct region *region, uint32_t from);

/* Whether the file system was asked to take free space back and cannot: it is not asked again. */
bool region_cannot_discard(const struct region *region);

/* NULL while the region is well; else why it is read-only. */
const struct err *region_failure(const struct region *region);

/* Takes over options that may change while the region is open (durability, flush interval, fit,
 * max_size, journal_size, discard, scrub_interval, scrub_rate) from now on. */
void region_set_options(struct region *region, const struct region_options *options);

/* For the store, of a region that nobody else has yet: what it is called, if not as its meta file
 * says. */
void region_call(struct region *region, const char *name);

/* What a region's folder and name are to be called, made ahead of the renaming so that what follows
 * it cannot fail; NULL without memory. */
struct region_label;
struct region_label *region_label_new(const char *path, const char *name, struct err *err);
void region_label_free(struct region_label *label);
/* What workers that read have of earlier names is kept for them, of so many renamings at most. */
#define REGION_OLD_LABELS 32
/* False while so many are kept, until nothing is pinned. */
bool region_may_be_renamed(const struct region *region);
/* The folder has been renamed (store_rename_region). Takes the label. No job is under way from the
 * moment before the renaming until after this; changes may be staged and pins held. */
void region_rename(struct region *region, struct region_label *label);

/* ---- Questions (answered from memory) ---- */

/* All check that the block lies within the region's size: ERR_OUT_OF_BOUNDS. */
int region_is_allocated(const struct region *region, struct extent block, bool *ret,
                        struct err *err);
/* ERR_PARTLY_FREE when some bytes are free and some in use. */
int region_is_freed(const struct region *region, struct extent block, bool *ret, struct err *err);
/* Copies up to limit blocks clipped to [start, end); *ret_count says how many. ERR_OUT_OF_BOUNDS
 * when start > end or end > size. */
int region_allocated_blocks(const struct region *region, uint64_t start, uint64_t end,
                            struct extent *blocks, size_t limit, size_t *ret_count,
                            struct err *err);
int region_free_blocks(const struct region *region, uint64_t start, uint64_t end,
                       struct extent *blocks, size_t limit, size_t *ret_count, struct err *err);

/* ---- Tokens: exactly once ----
 *
 * A client marks a change with 16 bytes of its choice. The region remembers the last token_window
 * of them with the answers, in journal and checkpoint as durably as the changes themselves. The way
 * of a change with a token, all of it in one turn of the loop:
 *
 *     region_token_find    found: answer its result once its ticket is done, change nothing
 *     region_token_expect  room for the token in the next change's record
 *     region_add ...       the change, or region_atomic_begin ... region_atomic_end
 *     region_token_keep    only after 0: the token and the answer go into the same record
 *
 * A change that stages nothing (size 0) is given a record for its token all the same. */

/* REGION_FOUND when the token is remembered: *ret_result (borrowed until the next call of a
 * function that changes the region) and *ret_size are its answer, *ret_ticket what to wait for
 * before it may be given. 0 when it is not. ERR_INVALID_ARGUMENT: it is remembered with another
 * fingerprint, that is, it was used for something else. ERR_NOT_ALLOCATED: it is remembered, but
 * its answer was too large to be kept for so long. */
int region_token_find(const struct region *region, const uint8_t id[16], uint64_t fingerprint,
                      const uint8_t **ret_result, size_t *ret_size, uint64_t *ret_ticket,
                      struct err *err);
/* Room for a token with an answer of at most result_size bytes, in whichever batch the next change
 * gets into. Holds until the next region_token_keep or _expect; 0 takes it back. ERR_TOO_LARGE
 * above TOKEN_ANSWER_MAX, ERR_READ_ONLY as changes, ERR_INTERNAL without memory. */
int region_token_expect(struct region *region, size_t result_size, struct err *err);
/* Remembers the token of the change that was staged last; cannot fail. Copies the result.
 * Afterwards region_ticket() is the ticket to wait for. */
void region_token_keep(struct region *region, const uint8_t id[16], uint64_t fingerprint,
                       const void *result, size_t result_size);

/* ---- All or nothing ----
 * Changes between begin and end get into one journal record, or are undone together. Nothing else
 * may be done to the region in between, region_token_* excepted. */

/* 0, an error code, or REGION_WAIT. record_size is an upper bound of the blobs' bytes together. */
int region_atomic_begin(struct region *region, uint64_t record_size, struct err *err);
/* With keep the changes stand, and region_ticket() is their ticket; without it everything since
 * begin is undone, as when one of them failed or said REGION_WAIT. */
void region_atomic_end(struct region *region, bool keep);

/* ---- Changes (staged) ----
 * Each returns 0, an error code with *err filled (nothing changed), or REGION_WAIT (nothing
 * changed). After 0, region_ticket() is the ticket to wait for. Every change answers
 * ERR_READ_ONLY once the region has failed.
 * A size of 0 stores nothing: its address is the region's size. */

/* The ticket of the change that was staged last. */
uint64_t region_ticket(const struct region *region);

int region_allocate(struct region *region, uint64_t size, uint64_t *ret_address, struct err *err);
/* ERR_OUT_OF_BOUNDS past the size; ERR_NOT_ALLOCATED when any byte of it is free. */
int region_deallocate(struct region *region, struct extent block, struct err *err);
/* In place where the bytes behind are free (or it shrinks), else it moves; the first
 * min(size, new_size) bytes are kept. The bytes behind them are undefined. */
int region_resize(struct region *region, struct extent block, uint64_t new_size,
                  uint64_t *ret_address, struct err *err);
/* Bytes from LARGE_BLOB on are borrowed until the ticket is done or the region has failed;
 * smaller ones are copied before the function returns. */
int region_add(struct region *region, const void *bytes, uint64_t size, uint64_t *ret_address,
               struct err *err);
/* Overwrites bytes in use; all or nothing across a crash. Bytes are borrowed as in region_add. */
int region_store(struct region *region, uint64_t address, const void *bytes, uint64_t size,
                 struct err *err);
/* The old block becomes the new blob, in place or elsewhere; after a crash one or the other. */
int region_replace(struct region *region, struct extent block, const void *bytes, uint64_t size,
                   uint64_t *ret_address, struct err *err);
/* Frees whatever is in use in [start, end). ERR_OUT_OF_BOUNDS when start > end or end > size. */
int region_deallocate_range(struct region *region, uint64_t start, uint64_t end,
                            uint64_t *ret_freed, struct err *err);
/* Frees everything from header_size on; bytes below keep their state. 0 clears all.
 * ERR_OUT_OF_BOUNDS when header_size > size. */
int region_clear(struct region *region, uint64_t header_size, struct err *err);
/* Adds pages to the capacity; answers the pages before. */
int region_grow(struct region *region, uint64_t pages, uint64_t *ret_before, struct err *err);
/* Asks for a checkpoint; it is durable once region_checkpoint_ticket() >= *ret_ticket. */
int region_request_checkpoint(struct region *region, uint64_t *ret_ticket, struct err *err);

/* ---- Uploads: blobs that come in pieces ----
 *
 *     region_upload_begin    the bytes are reserved
 *     region_upload_append   in order, as often as need be; jobs of LANE_UPLOAD write what comes
 *     region_upload_commit   a change like the others: now it is a blob
 *
 * Until then nothing of it is in use: a crash leaves nothing behind, and to every question its
 * bytes are free (region_is_freed, region_free_blocks, deallocated). They only cannot be taken.
 * Loads and changes of blocks in use refuse them; region_clear and region_deallocate_range leave
 * them alone, and the upload goes on. A region that had to become larger for an upload stays so
 * when it is aborted. An upload takes some 80 KiB of memory however large the blob is. */

/* Reserves size bytes. 0 or REGION_WAIT; ERR_INVALID_ARGUMENT when size is 0; ERR_NO_SPACE;
 * ERR_BUSY beyond UPLOADS_MAX of them. The upload is the region's until it is committed or aborted.
 */
int region_upload_begin(struct region *region, uint64_t size, struct region_upload **ret_upload,
                        struct err *err);
/* The same of a blob whose size is not known yet: more is reserved as more is appended, and where
 * others are in the way it moves. */
int region_upload_begin_open(struct region *region, uint64_t size_hint,
                             struct region_upload **ret_upload, struct err *err);

/* Appends bytes, which are borrowed until region_upload_written() has reached *ret_ticket. 0, or
 * nothing is appended: ERR_OUT_OF_BOUNDS past the upload's size; its failure, if it has failed;
 * and of one without a size REGION_WAIT, or ERR_NO_SPACE where it cannot become larger. */
int region_upload_append(struct region *region, struct region_upload *upload, const void *bytes,
                         uint64_t size, uint64_t *ret_ticket, struct err *err);
/* Nobody looks at the bytes of appends up to this ticket any more: they are written, or never will
 * be since upload or region has failed. */
uint64_t region_upload_written(const struct region_upload *upload);
/* Whether a job has some of its bytes just now. */
bool region_upload_is_writing(const struct region_upload *upload);
/* Whether appends wait or are under way, or what it has is being moved: what answers REGION_WAIT
 * then may wait for this upload alone, and no other change has to. */
bool region_upload_is_busy(const struct region_upload *upload);
/* As it was begun; where it had no size then, what was appended. */
uint64_t region_upload_size(const struct region_upload *upload);
uint64_t region_upload_appended(const struct region_upload *upload);
/* NULL, or why nothing can be done with it any more but to abort it. */
const struct err *region_upload_failure(const struct region_upload *upload);

/* The blob is in use; after 0 the upload is gone. ERR_INVALID_ARGUMENT unless all bytes have come;
 * REGION_WAIT until all of them are written; as changes. May be marked by a token; not between
 * region_atomic_begin and _end. */
int region_upload_commit(struct region *region, struct region_upload *upload, uint64_t *ret_address,
                         struct err *err);
/* Gives the space back, and never fails: the upload is gone. But where a job has some of its bytes
 * (region_upload_is_writing), what was appended is borrowed until that is done. */
void region_upload_abort(struct region *region, struct region_upload *upload);

/* ---- Loads ----
 * 1. region_load_begin checks the block and says after which ticket it may be read: 0 = now.
 *    Otherwise the caller waits until region_applied_ticket() has reached it and reads then,
 *    before it asks for the next commit job.
 * 2. region_read_now reads what is cached, without waiting; what is left goes to a worker, and
 *    until that is back the block is pinned, so that no commit overwrites what is being read. */

int region_load_begin(struct region *region, struct extent block, uint64_t *ret_after,
                      struct err *err);

/* Reads into buffer without waiting for the disk; returns the bytes read, which may be fewer
 * than size or 0: what is not cached, or does not match its sum, is left to region_read. The block
 * is one that region_load_begin has let pass. */
size_t region_read_now(struct region *region, uint64_t address, void *buffer, size_t size);

/* The largest block that region_hold_now takes. */
#define REGION_HOLD_MAX MIB

enum region_hold {
    REGION_HELD,
    REGION_HELD_NOT,       /* it is not to be had without waiting, or not to be kept in memory */
    REGION_HELD_BY_OTHERS, /* they hold so much that there is no room */
};
/* What stands for that pages are held, at least one. */
size_t region_hold_count(struct extent block);
/* Like region_read_now, but all of the block or nothing, and without a copy: holds the pages that
 * it lies in, in the cache of verified pages, to which those that are missing may be added. Their
 * bytes stay what they are now until they are let go, whatever becomes of the block or the region.
 * holds has room for region_hold_count of them. */
enum region_hold region_hold_now(struct region *region, struct extent block,
                                 struct pagecache_hold *holds);
/* Loop; also when the region is closed. */
void region_let_go(const struct pagecache_hold *holds, size_t count);

/* Worker. Reads size bytes and verifies every page they lie in. 0, ERR_IO_ERROR, or ERR_CORRUPT:
 * then *ret_damaged is the address of the first page that does not match its sum (else
 * UINT64_MAX), which the loop is to tell region_note_damage. */
int region_read(struct region *region, uint64_t address, void *buffer, size_t size,
                uint64_t *ret_damaged, struct err *err);
/* Loop. Remembers a damaged page; true when it was not known yet, so that it is logged once.
 * UINT64_MAX is ignored. */
bool region_note_damage(struct region *region, uint64_t address);
/* The addresses of pages that are known to be damaged, ascending; at most limit. A page that was
 * written whole since is not among them. Returns how many. */
size_t region_damages(const struct region *region, uint64_t *addresses, size_t limit);

/* A damaged page that was not known before, whoever found it. */
struct region_finding {
    uint64_t address;
    bool is_unreadable; /* else it does not match its sum */
};
/* Takes what was found since the last call, for the log; at most limit. *ret_more is how many were
 * found besides and are only counted. Returns how many there are. */
size_t region_take_findings(struct region *region, struct region_finding *findings, size_t limit,
                            uint64_t *ret_more);

struct region_pin {
    struct extent block;
    bool is_in_the_way; /* a job of LANE_COMMIT or LANE_UPLOAD has been held back for it */
    struct region_pin *previous, *next;
};
/* The pin's memory is the caller's until it is released. */
void region_pin(struct region *region, struct region_pin *pin, struct extent block);
void region_unpin(struct region *region, struct region_pin *pin);

/* ---- Scrub ----
 * A pass reads every page that has a byte in use and compares it with its sum, in pieces on
 * LANE_SCRUB. Passes begin by themselves (scrub_interval, at scrub_rate) or when asked for (at full
 * speed, from the beginning, in the place of one that began by itself). A page that cannot be read
 * counts as damaged. */

struct region_scrub {
    bool is_running;
    uint64_t position;    /* the pass has come to this address */
    uint64_t passes;      /* completed since the region was opened */
    uint64_t finished_ms; /* when the last one was completed, as a now_ms */
    /* Of the pass under way, else of the last one. */
    uint64_t pages; /* looked at */
    uint64_t verified, unverified, damaged;
    unsigned verified_percent; /* of the pages in use that have been looked at and found well */
};

void region_get_scrub(const struct region *region, struct region_scrub *ret_scrub);
/* The counts are those of the last pass that was completed. */
void region_get_last_scrub(const struct region *region, struct region_scrub *ret_scrub);
/* Asks for a pass from the beginning; it is complete once region_scrub_ticket() >= *ret_ticket.
 * ERR_INVALID_ARGUMENT with checksums off. */
int region_request_scrub(struct region *region, uint64_t *ret_ticket, struct err *err);
uint64_t region_scrub_ticket(const struct region *region);
/* Why the pass with this ticket comes to nothing while the region goes on (checksums were turned
 * off); NULL when it does not. */
const struct err *region_scrub_failure(const struct region *region, uint64_t ticket);

/* The same by hand, in a region that nobody changes meanwhile; any number of threads at a time.
 *
 * Where the piece ends that begins at the address or behind it: at most SCRUB_PIECE of pages, of
 * which the free ones are left out. The address itself when no byte is in use from there on. */
uint64_t region_piece_end(const struct region *region, uint64_t address);

struct region_look {
    uint64_t pages, verified, unverified, damaged;
    struct region_finding findings[SCRUB_PIECE / DATA_PAGE]; /* the damaged ones */
};
/* May block. Reads and verifies the piece. buffer is of SCRUB_PIECE, aligned to DISK_BLOCK, or
 * NULL: then it takes its time. */
void region_look_at_piece(struct region *region, uint64_t address, uint8_t *buffer,
                          struct region_look *ret_look);

/* ---- Backup ----
 * A copy of the region as it is at one moment near the end, made by jobs of LANE_BACKUP while
 * everything else goes on: region_backup.c tells how. One at a time. */

/* Begins one, to be the folder `name` below the io, which is borrowed until it has ended. It is
 * made under another name and has this one when it is whole. ERR_BUSY while one is under way;
 * ERR_READ_ONLY; ERR_INVALID_ARGUMENT for the name; ERR_INTERNAL. */
int region_backup_begin(struct region *region, struct io *io, const char *name, struct err *err);
/* It is not wanted any more: ends soon, with this error, unless it is just becoming whole. */
void region_backup_cancel(struct region *region, const struct err *why);
/* Whether there is one that has not been taken. */
bool region_is_backed_up(const struct region *region);

struct region_backup {
    int code; /* ERR_OK: it is whole and durable */
    struct err err;
    uint64_t bytes; /* of pages: copied, some of them more than once, or cloned */
    uint64_t size;  /* of the region at its moment */
    bool is_cloned;
};
/* Takes the one that has ended; false while it is under way or there is none. */
bool region_take_backup(struct region *region, struct region_backup *ret_backup);

/* ---- Jobs ---- */

enum region_lane {
    LANE_COMMIT,     /* batches, flushes and discards, in order */
    LANE_BACKGROUND, /* reserving space, checkpoints */
    LANE_SCRUB,
    LANE_UPLOAD, /* what was appended to uploads */
    LANE_BACKUP,
    LANES,
};

/* The next job of a lane, or NULL when there is nothing to do now (or one is under way).
 * now_ms is a monotonic clock. The commit lane answers NULL while a pin is in its way. */
struct region_job *region_next_job(struct region *region, enum region_lane lane, uint64_t now_ms);
/* Worker. The part of a job that somebody waits for: a batch becomes durable. True when it has;
 * then the loop may be told, while region_job_run does the rest. It may be left out. */
bool region_job_begin(struct region_job *job);
/* Loop, once at most, after region_job_begin has answered true, and before region_job_done: the
 * batch's changes are done, though they are not applied yet. What goes wrong from here on turns the
 * region read-only, but takes none of them back. */
void region_job_durable(struct region *region, struct region_job *job);
/* Worker. What is left of the job. */
void region_job_run(struct region_job *job);
/* Back on the loop, exactly once per job. Takes the job. */
void region_job_done(struct region *region, struct region_job *job);

/* When to ask for jobs although nothing has happened (a flush that durability interval or none put
 * off, the next piece of a scrub or discard), as a now_ms; UINT64_MAX when there is none to be had,
 * as while a pin lies on what it would write, or its lane is under way: region_unpin and
 * region_job_done are moments to ask again. */
uint64_t region_deadline_ms(const struct region *region);
/* The same for one lane. */
uint64_t region_lane_deadline_ms(const struct region *region, enum region_lane lane);
/* Whether no job is under way, nothing is staged or appended, and nothing awaits a flush or a
 * checkpoint. */
bool region_idle(const struct region *region);
/* Whether every change is as durable as its options will make it without a checkpoint: a discard or
 * a scrub may still be due. */
bool region_is_flushed(const struct region *region);
/* Flush now what durability interval or none would still hold back: for shutdown and reload. */
void region_hurry(struct region *region);
/* Nothing was changed for a while: gives back the memory of batches, which is kept for the next
 * ones and as large as the largest was. Allowed at any time. */
void region_rest(struct region *region);

/* Changes up to this ticket are as durable as the options promise: answer them. */
uint64_t region_done_ticket(const struct region *region);
/* Changes up to this ticket are in the data file's cache: loads that waited for them may read. */
uint64_t region_applied_ticket(const struct region *region);
uint64_t region_checkpoint_ticket(const struct region *region);
/* Whether one is under way. */
bool region_is_checkpointing(const struct region *region);
/* Why the attempt at this checkpoint came to nothing while the region goes on (a full disk); NULL
 * when it did not, or has not yet. A request that waits is then answered with it: its ticket is
 * void. */
const struct err *region_checkpoint_failure(const struct region *region, uint64_t ticket);

/* ---- On disk (worker: these block) ---- */

/* Creates the folder path with the files of an empty region in it, durably, except for the
 * folder's own name in its parent. */
int region_create(struct io *io, const char *path, const char *name, uint64_t id,
                  const struct region_options *options, struct err *err);

/* What opening a region found, for the log and for --check. */
struct region_report {
    uint32_t format;
    uint64_t free_blocks;
    uint64_t checkpoint_sequence;
    uint64_t records;   /* journal records replayed */
    uint64_t cut_bytes; /* torn tail cut; where it began is in cut_at */
    uint64_t cut_at;
    uint64_t damaged;       /* pages that were put together anew and do not match their sums */
    uint32_t migrated_from; /* 0: no migration */
};

/* Opens a region: loads the newest valid checkpoint, replays the journal, cuts a torn tail. Damage
 * is refused by name (ERR_CORRUPT), another format with ERR_INVALID_ARGUMENT, files untouched. With
 * read_only nothing on disk is changed and the region answers questions and loads only. options
 * NULL: those that the region keeps. */
int region_open(struct io *io, const char *path, const struct region_options *options,
                bool read_only, struct region **ret_region, struct region_report *ret_report,
                struct err *err);

/* Closes the files and frees the memory. The region must be idle or failed, without pins. What
 * is acknowledged is durable already; nothing is written here. Uploads in progress are given up. */
void region_close(struct region *region);

/* Proves every invariant of the region in memory (the tree, the counters); NULL or what is
 * wrong. */
const char *region_check(const struct region *region);

#endif
