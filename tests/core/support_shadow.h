/* A naive model of a region: what is in use and what the bytes there must be, as a sorted list.
 *
 * Contents are not kept. A content is a number that stands for an endless string of bytes, of which
 * a segment shows a part; content 0 stands for bytes that may be anything (allocated, never
 * written). So a copy of a shadow, one for every operation of a run, is a few kilobytes.
 *
 * The model does not choose addresses: it is told the engine's choice and says whether it was a
 * legal one. Running out of memory aborts the test. */
#ifndef MREGION_TESTS_SUPPORT_SHADOW_H
#define MREGION_TESTS_SUPPORT_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/extent.h"
#include "core/region.h"

struct segment {
    uint64_t address, size;
    uint64_t content; /* 0 = undefined */
    uint64_t offset;  /* of the segment's first byte in its content */
};

/* The newest tokens are compared one by one; of all, how many there were. */
#define SHADOW_TOKENS 16

struct shadow {
    uint64_t size, pages;
    uint64_t tokens;                        /* kept so far */
    uint64_t token_contents[SHADOW_TOKENS]; /* of the newest: token n is at n % SHADOW_TOKENS */
    struct segment *segments;               /* ascending, disjoint, none empty */
    size_t count, capacity;
};

void content_fill(uint64_t content, uint64_t offset, void *bytes, size_t size);
bool content_matches(uint64_t content, uint64_t offset, const void *bytes, size_t size);

void shadow_init(struct shadow *shadow);
void shadow_release(struct shadow *shadow);
void shadow_copy(struct shadow *to, const struct shadow *from);

uint64_t shadow_used(const struct shadow *shadow);
bool shadow_is_used(const struct shadow *shadow, struct extent block);
bool shadow_is_free(const struct shadow *shadow, struct extent block);
/* What the engine must answer to a change of a block that has to be in use: ERR_OK,
 * ERR_OUT_OF_BOUNDS or ERR_NOT_ALLOCATED. */
enum err_code shadow_expect(const struct shadow *shadow, struct extent block);
/* The segments of a block in use, cut to it; returns how many (at most limit). */
size_t shadow_segments(const struct shadow *shadow, struct extent block, struct segment *segments,
                       size_t limit);

/* ---- Changes ----
 * Those with an address chosen by the engine return NULL, or why that choice was illegal. */

const char *shadow_take(struct shadow *shadow, uint64_t size, uint64_t address, uint64_t content);
const char *shadow_resize(struct shadow *shadow, struct extent block, uint64_t new_size,
                          uint64_t address);
const char *shadow_replace(struct shadow *shadow, struct extent block, uint64_t new_size,
                           uint64_t address, uint64_t content);
void shadow_store(struct shadow *shadow, struct extent block, uint64_t content);
/* Returns the bytes that were in use. */
uint64_t shadow_free(struct shadow *shadow, uint64_t start, uint64_t end);
void shadow_grow(struct shadow *shadow, uint64_t pages);
/* The region has at least this size. */
void shadow_reach(struct shadow *shadow, uint64_t size);

/* ---- Tokens ----
 * The content of the change stands for the id of its token, the fingerprint and the answer. */

#define SHADOW_ANSWER_MAX 3000
#define SHADOW_FINGERPRINT(content) ((content) ^ 0x5eed)

void shadow_token_id(uint64_t content, uint8_t id[16]);
/* Its size; the bytes too, unless answer is NULL. */
size_t shadow_token_answer(uint64_t content, uint8_t *answer);
void shadow_keep_token(struct shadow *shadow, uint64_t content);

/* ---- Comparing with a region ---- */

/* Everything that can be asked of a region. */
struct observation {
    struct region_info info;
    struct extent *used, *free;
    size_t used_count, free_count;
    uint8_t *bytes;   /* the region's, where in use */
    bool *unreadable; /* by page, where observation_take_readable found any */
    uint64_t tokens;
    uint64_t token_contents[SHADOW_TOKENS];
    size_t token_count; /* that it remembers of those: the newest are the last */
};

/* Returns NULL, or why the region cannot be looked at. observation_release in any case. */
const char *observation_take(struct observation *seen, const struct region *region);
/* The same, where pages that do not match their sums are no reason. */
const char *observation_take_readable(struct observation *seen, const struct region *region);
bool observation_lacks(const struct observation *seen, const struct segment *segment);
/* The same without reading the bytes. */
const char *observation_take_blocks(struct observation *seen, const struct region *region);
void observation_release(struct observation *seen);

/* NULL when the region is just as the model says, else what differs (static storage). */
const char *shadow_difference(const struct shadow *shadow, const struct observation *seen);

/* The same, but the bytes of a segment may be anything where may_be_lost says so. */
struct shadow_losses {
    bool (*may_be_lost)(void *context, const struct segment *segment,
                        const struct observation *seen);
    void *context;
    uint64_t lost; /* how many were not what the model says */
};
const char *shadow_difference_but(const struct shadow *shadow, const struct observation *seen,
                                  struct shadow_losses *losses);

#endif
