/* Region folders that no program ever wrote: built from a description of every structure on disk
 * (FORMAT.md), with checksums that are right whatever the contents.
 *
 *     craft_init      describes a folder that is well
 *     c.records[1].synced++ ...     one thing in it becomes nonsense
 *     craft_build     the folder, on a simulated disk, durable
 *
 * The numbers of the format are written down here once more, apart from the engine's. Running out
 * of memory or room aborts the test. */
#ifndef MREGION_TESTS_SUPPORT_CRAFT_H
#define MREGION_TESTS_SUPPORT_CRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/extent.h"
#include "support_simdisk.h"

#define CRAFT_REGION "main"
#define CRAFT_FOLDER "regions/" CRAFT_REGION
#define CRAFT_SEGMENTS 6
#define CRAFT_RECORDS 8
#define CRAFT_CHUNKS 6

struct craft_bytes {
    uint8_t *bytes;
    size_t size, capacity;
};

struct craft_store {
    uint32_t version;
    uint64_t next_id, length;
};

struct craft_meta {
    uint32_t version, durability, fit, checksum, zeros;
    uint64_t flush_interval, max_size, journal_size, id;
    uint64_t token_window, discard, scrub_interval, scrub_rate, page_cache;
    uint64_t length; /* of the file: cut, or with zeros behind */
    uint8_t name[64];
};

struct craft_sums {
    uint32_t version, zeros;
    uint64_t length; /* of the file; 0: there is none */
    uint8_t secret[16];
};

struct craft_segment {
    uint64_t name; /* the place in the file's name */
    uint64_t seq, floor;
    uint64_t length; /* of the file */
    uint32_t version, zeros;
    uint8_t is_bare; /* without a header */
    uint8_t secret[16];
};

struct craft_record {
    uint64_t place;  /* where it is put in the stream; nowhere, where no segment is */
    uint64_t lsn;    /* what it says */
    uint64_t length; /* what it says; the body has its own */
    uint64_t synced;
    uint32_t effects, zeros;
    uint8_t is_torn; /* its last byte did not get to the disk */
    uint8_t secret[16];
    struct craft_bytes body;
};

struct craft_chunk {
    uint64_t sequence, index;
    uint32_t kind, count, length;
    struct craft_bytes body;
};

struct craft_checkpoint {
    unsigned slot;
    uint32_t version, zeros;
    uint64_t sequence, start, end, size, pages, blocks, chunks, length, token_sequence, tokens;
    uint64_t file_length; /* 0: there is no file */
    uint8_t secret[16];
    struct craft_chunk chunk[CRAFT_CHUNKS];
    size_t chunk_count;
};

struct craft {
    unsigned format;           /* 1 or 2: which files there are, and what they are called */
    uint64_t segment, payload; /* of a journal file */
    uint8_t secret[16];
    struct craft_store store;
    struct craft_meta meta;
    struct craft_sums sums;
    uint8_t data[8 * 4096];
    uint64_t data_length; /* of the file; zeros behind the bytes */
    struct craft_segment segments[CRAFT_SEGMENTS];
    size_t segment_count;
    struct craft_record records[CRAFT_RECORDS];
    size_t record_count;
    struct craft_checkpoint checkpoints[2]; /* the newest first */
};

/* A region of 32 KiB and 1 page; [100, +50) and [8192, +4096) are free, and two tokens are
 * remembered. Three records are behind the checkpoints: a free with a token; a put in page 0; the
 * free page 2 is taken, with a put, and the region has 2 pages. Segments 3 and 4. Format 1 has
 * neither tokens nor sums. */
void craft_init(struct craft *c, unsigned format);
void craft_release(struct craft *c);

/* Where records begin; where the next one would. */
uint64_t craft_start(const struct craft *c);
uint64_t craft_end(const struct craft *c);

/* A record behind the others, without effects. */
struct craft_record *craft_record(struct craft *c);
void craft_effect(struct craft_record *record, uint8_t kind, uint64_t first, uint64_t second);
/* The bytes are all `fill`. */
void craft_put(struct craft_record *record, uint64_t address, uint64_t size, uint8_t fill);
/* Sums of the kinds 5 to 7: `told` of them follow, all `sum`. */
void craft_pages(struct craft_record *record, uint8_t kind, uint64_t page, uint32_t count,
                 uint32_t told, uint32_t sum);
/* told bytes of the result follow. */
void craft_token(struct craft_record *record, uint64_t sequence, uint8_t id, uint32_t result,
                 uint32_t told);
void craft_clear(struct craft_record *record);

struct craft_segment *craft_segment(struct craft *c, uint64_t seq);

/* A chunk behind the others; header and chunk say what is so. */
struct craft_chunk *craft_chunk(struct craft_checkpoint *checkpoint, uint32_t kind);
void craft_free(struct craft_checkpoint *checkpoint, uint64_t address, uint64_t size);
void craft_kept(struct craft_checkpoint *checkpoint, uint64_t sequence, uint8_t id, uint32_t result,
                uint32_t told);
void craft_no_chunks(struct craft_checkpoint *checkpoint);
/* Also in the chunks, and the slot that it belongs into. */
void craft_sequence(struct craft_checkpoint *checkpoint, uint64_t sequence);

/* Free with simdisk_free. */
struct simdisk *craft_build(const struct craft *c);

/* ---- A folder that is there ---- */

/* Makes every checksum in a region's folder right for what is there: of meta, sums' header,
 * segments, records, checkpoints and chunks; as far as they can be found. */
void craft_mend(struct simdisk *disk, const char *folder);
void craft_write(struct simdisk *disk, const char *path, uint64_t offset, const void *bytes,
                 size_t size);
size_t craft_read(struct simdisk *disk, const char *path, uint64_t offset, void *bytes,
                  size_t size);
void craft_resize(struct simdisk *disk, const char *path, uint64_t size);

/* ---- All numbers of a description ---- */

struct craft_field {
    void *at;
    size_t size; /* 1, 4 or 8 */
};

#define CRAFT_FIELDS 400
size_t craft_fields(struct craft *c, struct craft_field fields[CRAFT_FIELDS]);

#endif
