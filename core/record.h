/* Journal records: the only encoder and the only decoder. FORMAT.md has the byte table.
 *
 * One record is one batch of changes, as a list of effects: each says what is so afterwards, so
 * that replaying a record twice, or on top of a newer snapshot, does no harm. A record is valid at
 * a position of the journal if and only if its magic, its own position and its checksum are right;
 * the checksum begins with a seed made from the region's secret, so that a record of another region
 * is never valid.
 *
 * No thread, no file: bytes only. */
#ifndef MREGION_CORE_RECORD_H
#define MREGION_CORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"
#include "core/extent.h"
#include "core/limits.h"

#define RECORD_HEADER 48
/* Encoded length of an effect with an extent (use, free, and put without its bytes), and of
 * pages. */
#define RECORD_EXTENT_EFFECT ((size_t)17)
#define RECORD_PAGES_EFFECT ((size_t)9)
/* The same of an effect with sums, of zero, and of a token, without their sums and result. */
#define RECORD_SUMS_EFFECT ((size_t)13)
#define RECORD_ZERO_EFFECT ((size_t)17)
#define RECORD_TOKEN_EFFECT ((size_t)37)
#define RECORD_SUM ((size_t)4)

enum effect_kind {
    EFFECT_USE = 1,   /* these bytes are in use; the region grows if they end past its size */
    EFFECT_FREE = 2,  /* these bytes are free */
    EFFECT_PUT = 3,   /* these bytes have this content */
    EFFECT_PAGES = 4, /* the region has at least so many pages */
    /* Data pages and their sums after this record. */
    EFFECT_CHANGED = 5, /* they are what they were, changed by this record's puts */
    EFFECT_FRESH = 6,   /* they are zeros but for this record's puts */
    EFFECT_DIRECT = 7,  /* their bytes were written to the data file before the record */
    EFFECT_ZERO = 8,    /* they are zeros */
    EFFECT_TOKEN = 9,   /* this change was asked for with a token, and this was the answer */
};

/* A run of data pages. */
struct page_run {
    uint64_t first; /* page number: DATA_PAGE bytes each */
    uint64_t count;
};

/* What the region remembers of a token. */
struct token {
    uint64_t sequence; /* 0, 1, ... in the order of staging */
    uint8_t id[16];    /* chosen by the client */
    uint64_t fingerprint;
    uint32_t result_size;
    const uint8_t *result; /* the answer, in the caller's encoding; whose it is says the function */
};

/* What a checksum begins with in this region. */
uint32_t record_seed(const uint8_t secret[16]);

/* ---- Encoding ---- */

/* A record being made. Owns its memory, which is aligned to DISK_BLOCK and reused. */
struct record {
    uint8_t *bytes;
    size_t capacity; /* a multiple of DISK_BLOCK */
    size_t length;   /* so far, with the header */
    uint32_t effects;
};

void record_init(struct record *record);
void record_release(struct record *record);
/* Begins anew and keeps the memory, except where it is more than batches have. */
void record_reset(struct record *record);

/* Makes room for size more bytes of effects, padding included. -ENOMEM. The adders below count
 * on it. */
int record_reserve(struct record *record, size_t size);
void record_add_use(struct record *record, struct extent extent);
void record_add_free(struct record *record, struct extent extent);
void record_add_pages(struct record *record, uint64_t pages);
/* The bytes are for the caller to fill in, at the offset returned, before the record is sealed. */
size_t record_add_put(struct record *record, struct extent extent);

/* One of the kinds with sums, for at most UINT32_MAX pages. The sums, RECORD_SUM bytes each and
 * little-endian, are for the caller to fill in, at the offset returned, before the record is
 * sealed. */
size_t record_add_sums(struct record *record, enum effect_kind kind, struct page_run run);
void record_add_zero(struct record *record, struct page_run run);
/* Copies the result. */
void record_add_token(struct record *record, const struct token *token);

/* What a record of this length takes up in the journal. */
static inline uint64_t record_padded(uint64_t length)
{
    return round_up(length, DISK_BLOCK);
}

/* Completes the header and the padding: record_padded(length) bytes are ready to be written at
 * journal position lsn. Everything before synced was durable when this record was written. */
void record_seal(struct record *record, uint32_t seed, uint64_t lsn, uint64_t synced);

/* ---- Decoding ---- */

struct record_header {
    uint32_t crc;
    uint32_t effects;
    uint64_t lsn;
    uint64_t length;
    uint64_t synced;
};

/* Whether the RECORD_HEADER bytes are the header of a record that was sealed for position lsn. It
 * says nothing yet about what follows: that may be torn. The header has a checksum of its own, so
 * that no length is believed, and nothing is read for it, that this region did not write. */
bool record_peek(const uint8_t *bytes, uint64_t lsn, uint32_t seed,
                 struct record_header *ret_header);
/* The same for a position that only the header itself tells. */
bool record_peek_anywhere(const uint8_t *bytes, uint32_t seed, struct record_header *ret_header);
/* Whether all header->length bytes are what was sealed. */
bool record_is_valid(const uint8_t *bytes, const struct record_header *header, uint32_t seed);

struct effect {
    enum effect_kind kind;
    struct extent extent; /* of use, free, put */
    uint64_t pages;       /* of pages */
    size_t offset;        /* of put and sums: where in the record they are */
    struct page_run run;  /* of changed, fresh, direct, zero */
    struct token token;   /* of token; its result points into the record */
};

/* Walks the effects of a valid record. */
struct effect_cursor {
    const uint8_t *bytes;
    size_t length;
    size_t offset;
    uint32_t left;
};

void effect_begin(struct effect_cursor *cursor, const uint8_t *bytes,
                  const struct record_header *header);
/* 1 and the next effect; 0 at the end; -EINVAL when the bytes make no sense (an unknown kind, an
 * empty extent or run or one past REGION_SIZE_MAX, bytes that end early or are left over). */
int effect_next(struct effect_cursor *cursor, struct effect *ret_effect);

#endif
