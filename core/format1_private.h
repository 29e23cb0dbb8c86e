/* The inside of the reader of format 1 (format1.h).
 *
 * Frozen: it reads what the first release wrote (FORMAT.md, the appendix), and is never changed
 * again. It shares no code with later formats but what knows no format. */
#ifndef MREGION_CORE_FORMAT1_PRIVATE_H
#define MREGION_CORE_FORMAT1_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/err.h"
#include "core/extent.h"
#include "core/io.h"
#include "core/maxtree.h"

#define FORMAT1_BLOCK 4096
#define FORMAT1_REGION_PAGE ((uint64_t)64 * 1024)
#define FORMAT1_SIZE_MAX ((uint64_t)1 << 62)
/* No journal gets this far within the life of a disk. */
#define FORMAT1_JOURNAL_END (FORMAT1_SIZE_MAX / 2)
#define FORMAT1_JOURNAL_SEGMENT ((uint64_t)4 * 1024 * 1024)
#define FORMAT1_CHECKPOINT_SLICE 8192
#define FORMAT1_CHECKPOINT_CHUNK_HEADER 32
#define FORMAT1_CHECKPOINT_CHUNK_MAX                                                               \
    (FORMAT1_CHECKPOINT_CHUNK_HEADER + FORMAT1_CHECKPOINT_SLICE * 16)

/* ---- Records ---- */

#define FORMAT1_RECORD_HEADER 48
/* Encoded length of an effect with an extent (use, free, and put without its bytes), and of
 * pages. */
#define FORMAT1_RECORD_EXTENT_EFFECT ((size_t)17)
#define FORMAT1_RECORD_PAGES_EFFECT ((size_t)9)

enum format1_effect_kind {
    FORMAT1_EFFECT_USE = 1, /* these bytes are in use; the region grows if they end past its size */
    FORMAT1_EFFECT_FREE = 2,  /* these bytes are free */
    FORMAT1_EFFECT_PUT = 3,   /* these bytes have this content */
    FORMAT1_EFFECT_PAGES = 4, /* the region has at least so many pages */
};

/* What a checksum begins with in this region. */
uint32_t format1_record_seed(const uint8_t secret[16]);

/* What a record of this length takes up in the journal. */
static inline uint64_t format1_record_padded(uint64_t length)
{
    return round_up(length, FORMAT1_BLOCK);
}

struct format1_record_header {
    uint32_t crc;
    uint32_t effects;
    uint64_t lsn;
    uint64_t length;
    uint64_t synced;
};

/* Whether the FORMAT1_RECORD_HEADER bytes are the header of a record that was sealed for position
 * lsn. It says nothing yet about what follows: that may be torn. The header has a checksum of its
 * own, so that no length is believed, and nothing is read for it, that this region did not write.
 */
bool format1_record_peek(const uint8_t *bytes, uint64_t lsn, uint32_t seed,
                         struct format1_record_header *ret_header);
/* Whether all header->length bytes are what was sealed. */
bool format1_record_is_valid(const uint8_t *bytes, const struct format1_record_header *header,
                             uint32_t seed);

struct format1_effect {
    enum format1_effect_kind kind;
    struct extent extent; /* of use, free, put */
    uint64_t pages;       /* of pages */
    size_t offset;        /* of put: where in the record its bytes are */
};

/* Walks the effects of a valid record. */
struct format1_effect_cursor {
    const uint8_t *bytes;
    size_t length;
    size_t offset;
    uint32_t left;
};

void format1_effect_begin(struct format1_effect_cursor *cursor, const uint8_t *bytes,
                          const struct format1_record_header *header);
/* 1 and the next effect; 0 at the end; -EINVAL when the bytes make no sense (an unknown kind, an
 * empty extent or one past FORMAT1_SIZE_MAX, bytes that end early or are left over). */
int format1_effect_next(struct format1_effect_cursor *cursor, struct format1_effect *ret_effect);

/* ---- The journal ---- */

#define FORMAT1_JOURNAL_PAYLOAD (FORMAT1_JOURNAL_SEGMENT - FORMAT1_BLOCK)
#define FORMAT1_JOURNAL_NAME_SIZE 32

static inline uint64_t format1_journal_seq(uint64_t lsn)
{
    return lsn / FORMAT1_JOURNAL_PAYLOAD;
}

/* Where in its segment's file an lsn is. */
static inline uint64_t format1_journal_offset(uint64_t lsn)
{
    return FORMAT1_BLOCK + lsn % FORMAT1_JOURNAL_PAYLOAD;
}

/* The file name of a segment. */
const char *format1_journal_name(char name[FORMAT1_JOURNAL_NAME_SIZE], uint64_t seq);
bool format1_journal_parse_name(const char *name, uint64_t *ret_seq);

struct format1_journal_header {
    uint64_t seq;
    /* The checkpoint that was newest when this header was written starts here: the journal
     * before the segment of this position may be gone. */
    uint64_t floor;
};

struct format1_journal_file {
    uint64_t seq;
    uint64_t size;   /* of the file */
    bool has_header; /* the header is valid and names this place */
    uint64_t named;  /* the place that a valid header names; UINT64_MAX without one */
};

struct format1_journal_reader {
    struct io *io;
    const char *folder; /* borrowed */
    uint8_t secret[16];
    uint32_t seed;
    struct format1_journal_file *files; /* ascending by seq, gaps possible */
    size_t count, capacity;
    uint64_t floor; /* the largest that any header names */
    /* One segment is open at a time: there may be more of them than a process may open. */
    struct io_file *open;
    uint64_t open_seq;
};

/* Lists a region's segments and reads their headers. ERR_IO_ERROR. Release it also after a
 * failure. */
int format1_journal_reader_open(struct format1_journal_reader *reader, struct io *io,
                                const char *folder, const uint8_t secret[16], struct err *err);
void format1_journal_reader_release(struct format1_journal_reader *reader);

/* The file that holds a position; NULL when it is not there. */
const struct format1_journal_file *
format1_journal_reader_find(const struct format1_journal_reader *reader, uint64_t lsn);
/* How far the segments that are there reach from lsn on without a gap; lsn when its own is
 * missing. */
uint64_t format1_journal_reader_reach(const struct format1_journal_reader *reader, uint64_t lsn);

/* Whether the segment of that seq was there once although no file has its name: one that comes
 * later was made, or one with the same floor. False where its own making may have been under way:
 * then a header that names it is in a file that was not renamed durably. */
bool format1_journal_reader_is_missing(const struct format1_journal_reader *reader, uint64_t seq);

/* Reads [lsn, lsn + size), all of it within reach. ERR_IO_ERROR. */
int format1_journal_reader_read(struct format1_journal_reader *reader, uint64_t lsn, uint8_t *bytes,
                                size_t size, struct err *err);

/* Makes [from, to), all of it within reach, durable: who wrote it may have been killed before the
 * sync. ERR_IO_ERROR. */
int format1_journal_reader_sync(struct format1_journal_reader *reader, uint64_t from, uint64_t to,
                                struct err *err);

/* A record in memory that grows and is used again. */
struct format1_journal_record {
    uint8_t *bytes;
    size_t capacity;
    struct format1_record_header header;
};

/* Reads the record at lsn. *ret_valid says whether there is one; if not, header.length is what a
 * torn one claims, or 0. No more memory is spent than there are journal bytes on disk.
 * ERR_IO_ERROR, ERR_INTERNAL without memory. */
int format1_journal_reader_record(struct format1_journal_reader *reader, uint64_t lsn,
                                  struct format1_journal_record *record, bool *ret_valid,
                                  struct err *err);

/* Looks behind a position for valid records, segment by segment: *ret_end is where the last one
 * ends (or from), *ret_synced the largest that one of them names as durable (or 0). */
int format1_journal_reader_look_behind(struct format1_journal_reader *reader, uint64_t from,
                                       uint64_t *ret_end, uint64_t *ret_synced, struct err *err);

/* ---- Checkpoints ---- */

#define FORMAT1_CHECKPOINT_SLOTS 2

struct format1_checkpoint {
    uint64_t sequence; /* 1, 2, ...; even ones are in slot 0, odd ones in slot 1 */
    uint64_t start;    /* lsn: replay begins here */
    uint64_t end;      /* lsn: everything before is in it, and was durable when it was written */
    uint64_t size;     /* of the region */
    uint64_t pages;
    uint64_t blocks; /* free blocks, where one may be in two adjacent pieces */
    uint64_t chunks;
    uint64_t body_size; /* bytes behind the header */
};

static inline unsigned format1_checkpoint_slot(uint64_t sequence)
{
    return (unsigned)(sequence % FORMAT1_CHECKPOINT_SLOTS);
}

const char *format1_checkpoint_name(unsigned slot);

/* The header of a slot. *ret_valid is false, and *err says why, when the slot has none. Fails only
 * where the file cannot be read: ERR_IO_ERROR, ERR_INTERNAL. */
int format1_checkpoint_read_header(struct io *io, const char *folder, unsigned slot,
                                   const uint8_t secret[16],
                                   struct format1_checkpoint *ret_checkpoint, bool *ret_valid,
                                   struct err *err);

/* The free blocks of a checkpoint whose header was read, into an empty tree. ERR_CORRUPT
 * names the file and the offset; ERR_IO_ERROR, ERR_INTERNAL. */
int format1_checkpoint_load(struct io *io, const char *folder, const uint8_t secret[16],
                            const struct format1_checkpoint *checkpoint, struct maxtree *tree,
                            struct err *err);

#endif
