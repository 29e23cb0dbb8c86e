/* Reading the journal at a start: which segments are there, what stands at a position.
 *
 * What is read comes from the disk. The page cache may have records that a write-back did not get
 * there, and look well for ever: who built on one of them would build on nothing.
 *
 * Everything here may block; the thread that opens the region. */
#ifndef MREGION_CORE_JOURNAL_READER_H
#define MREGION_CORE_JOURNAL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"
#include "core/journal.h"
#include "core/record.h"

struct journal_file {
    uint64_t seq;
    uint64_t size;   /* of the file */
    bool has_header; /* the header is valid and names this place */
    uint64_t named;  /* the place that a valid header names; UINT64_MAX without one */
};

struct journal_reader {
    struct io *io;
    const char *folder; /* borrowed */
    uint8_t secret[16];
    uint32_t seed;
    struct journal_file *files; /* ascending by seq, gaps possible */
    size_t count, capacity;
    uint64_t floor; /* the largest that any header names */
    /* One segment is open at a time: there may be more of them than a process may open. */
    struct io_file *open;
    uint64_t open_seq;
    /* What was read last of it, or of another: records are small, and the page cache is bypassed.
     */
    uint8_t *piece;
    uint64_t piece_seq, piece_offset;
    size_t piece_size;
};

/* Lists a region's segments and reads their headers. ERR_IO_ERROR, ERR_INTERNAL without memory.
 * Release it also after a failure. */
int journal_reader_open(struct journal_reader *reader, struct io *io, const char *folder,
                        const uint8_t secret[16], struct err *err);
void journal_reader_release(struct journal_reader *reader);

/* The file that holds a position; NULL when it is not there. */
const struct journal_file *journal_reader_find(const struct journal_reader *reader, uint64_t lsn);
/* How far the segments that are there reach from lsn on without a gap; lsn when its own is
 * missing. */
uint64_t journal_reader_reach(const struct journal_reader *reader, uint64_t lsn);

/* Whether the segment of that seq was there once although no file has its name: one that comes
 * later was made, or one with the same floor. False where its own making may have been under way:
 * then a header that names it is in a file that was not renamed durably. */
bool journal_reader_is_missing(const struct journal_reader *reader, uint64_t seq);

/* Reads [lsn, lsn + size), all of it within reach. ERR_IO_ERROR. */
int journal_reader_read(struct journal_reader *reader, uint64_t lsn, uint8_t *bytes, size_t size,
                        struct err *err);

/* Makes [from, to), all of it within reach, durable: who wrote it may have been killed before the
 * sync. ERR_IO_ERROR. */
int journal_reader_sync(struct journal_reader *reader, uint64_t from, uint64_t to, struct err *err);

/* A record in memory that grows and is used again. */
struct journal_record {
    uint8_t *bytes;
    size_t capacity;
    struct record_header header;
};

/* Reads the record at lsn. *ret_valid says whether there is one; if not, header.length is what a
 * torn one claims, or 0. No more memory is spent than there are journal bytes on disk.
 * ERR_IO_ERROR, ERR_INTERNAL without memory. */
int journal_reader_record(struct journal_reader *reader, uint64_t lsn,
                          struct journal_record *record, bool *ret_valid, struct err *err);

/* Looks behind a position, segment by segment: *ret_end is where the last valid record ends (or
 * from), *ret_synced the largest that any record names as durable (or 0), be it torn or in the
 * wrong place. */
int journal_reader_look_behind(struct journal_reader *reader, uint64_t from, uint64_t *ret_end,
                               uint64_t *ret_synced, struct err *err);

#endif
