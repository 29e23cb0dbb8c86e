/* The journal: one endless stream of bytes, cut into segment files of equal length.
 *
 * A position in the stream is an lsn. Segment `journal-<seq>` (16 hex digits) holds the stream's
 * bytes [seq * JOURNAL_PAYLOAD, (seq + 1) * JOURNAL_PAYLOAD) behind one block of header, so a
 * position alone says which file and where. Records begin at multiples of DISK_BLOCK and may span
 * segments. A segment is written with zeros once and then used again and again: when a checkpoint
 * no longer needs it, it gets a new header and is renamed to a place ahead in the stream. What it
 * held before is not valid there, because a record names its position.
 *
 * The struct belongs to the loop thread. Functions marked "worker" touch only what they are given
 * and may block. */
#ifndef MREGION_CORE_JOURNAL_H
#define MREGION_CORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"
#include "core/limits.h"

#define JOURNAL_PAYLOAD (JOURNAL_SEGMENT - DISK_BLOCK)
#define JOURNAL_NAME_SIZE 32

/* Segments that a new region begins with: one in use, one for frees on a full disk. */
#define JOURNAL_SEGMENTS_MIN 2

struct journal_segment {
    uint64_t seq;
    struct io_file *file; /* NULL while it is not open */
};

struct journal {
    struct io *io;
    const char *folder; /* borrowed for the journal's life */
    uint8_t secret[16];
    uint32_t seed;
    /* Segments in use and prepared, ascending without a gap. */
    struct journal_segment *live;
    size_t live_count, live_capacity;
    /* Segments that no checkpoint needs any more: seqs. */
    uint64_t *old;
    size_t old_count, old_capacity;
    uint64_t next;   /* lsn of the next record */
    uint64_t synced; /* everything before is durable */
};

static inline uint64_t journal_seq(uint64_t lsn)
{
    return lsn / JOURNAL_PAYLOAD;
}

/* Where in its segment's file an lsn is. */
static inline uint64_t journal_offset(uint64_t lsn)
{
    return DISK_BLOCK + lsn % JOURNAL_PAYLOAD;
}

/* The file name of a segment; returns name. */
const char *journal_name(char name[JOURNAL_NAME_SIZE], uint64_t seq);
/* Whether a file name is a segment's, and which. */
bool journal_parse_name(const char *name, uint64_t *ret_seq);

void journal_init(struct journal *journal, struct io *io, const char *folder,
                  const uint8_t secret[16]);
/* Closes the files. */
void journal_release(struct journal *journal);

/* The lsn up to which segments are prepared. */
uint64_t journal_prepared(const struct journal *journal);
/* Room for count more segments, live or old. -ENOMEM. The functions below count on it. */
int journal_reserve(struct journal *journal, size_t count);
/* A segment that follows the last one is prepared. */
void journal_add(struct journal *journal, uint64_t seq);
/* Makes the segments that end at or before lsn old and closes them, but for the last one there is.
 * They hold nothing that is still to be written or synced. */
void journal_retire(struct journal *journal, uint64_t lsn);

/* The segments that hold [from, to), all of them prepared, as the first of *ret_count entries. */
struct journal_segment *journal_segments(struct journal *journal, uint64_t from, uint64_t to,
                                         size_t *ret_count);

/* ---- Worker ---- */

/* Creates segment seq with zeros and a header, durably but for its name: the caller syncs the
 * folder. floor is the start of the newest durable checkpoint. On failure the file is gone
 * again. */
int journal_create_segment(struct io *io, const char *folder, const uint8_t secret[16],
                           uint64_t seq, uint64_t floor, struct err *err);
/* Gives segment from a header for place to and renames it; the caller syncs the folder. After
 * ERR_NO_SPACE or ERR_INTERNAL it has its old name, maybe no valid header any more, and the same
 * may be tried again. */
int journal_recycle_segment(struct io *io, const char *folder, const uint8_t secret[16],
                            uint64_t from, uint64_t to, uint64_t floor, struct err *err);
/* Writes size bytes (aligned, whole blocks) at lsn into the segments, which hold that part of the
 * stream, and opens those that are not open: to be written past the page cache, which is best where
 * each record is synced at once, or through it, which waits for no disk. One that is open stays so
 * until it is full: none is written in both ways. No sync. */
int journal_write(struct io *io, const char *folder, struct journal_segment *segments, size_t count,
                  uint64_t lsn, uint8_t *bytes, uint64_t size, bool past_cache, struct err *err);
/* Syncs every segment that is open. */
int journal_sync(struct io *io, const char *folder, const struct journal_segment *segments,
                 size_t count, struct err *err);

struct journal_header {
    uint64_t seq;
    /* The checkpoint that was newest when this header was written starts here: the journal
     * before the segment of this position may be gone. */
    uint64_t floor;
};

/* Whether the DISK_BLOCK bytes are the header of a segment of this region. */
bool journal_decode_header(const uint8_t *block, const uint8_t secret[16],
                           struct journal_header *ret_header);

#endif
