#include "proto/frame.h"

#include <stdbool.h>

#include "proto/bigendian.h"

/* What follows a first byte. */
enum kind {
    KIND_PLAIN, /* nothing but the header itself */
    KIND_RAW,   /* as many bytes as the header says */
    KIND_EXT,   /* the same and one byte for its type */
    KIND_ARRAY,
    KIND_MAP,
    KIND_INVALID,
};

struct shape {
    uint8_t header; /* bytes, of a plain value all of it */
    uint8_t kind;
};

/* The first bytes 0xc0..0xdf; the other ones carry their value or length in themselves. */
static const struct shape shapes[32] = {
    {1, KIND_PLAIN},                                      /* nil */
    {1, KIND_INVALID},                                    /* 0xc1: never used */
    {1, KIND_PLAIN},   {1, KIND_PLAIN},                   /* false, true */
    {2, KIND_RAW},     {3, KIND_RAW},    {5, KIND_RAW},   /* bin 8, 16, 32 */
    {2, KIND_EXT},     {3, KIND_EXT},    {5, KIND_EXT},   /* ext 8, 16, 32 */
    {5, KIND_PLAIN},   {9, KIND_PLAIN},                   /* float 32, 64 */
    {2, KIND_PLAIN},   {3, KIND_PLAIN},  {5, KIND_PLAIN}, /* uint 8, 16, 32 */
    {9, KIND_PLAIN},                                      /* uint 64 */
    {2, KIND_PLAIN},   {3, KIND_PLAIN},  {5, KIND_PLAIN}, /* int 8, 16, 32 */
    {9, KIND_PLAIN},                                      /* int 64 */
    {3, KIND_PLAIN},   {4, KIND_PLAIN},  {6, KIND_PLAIN}, /* fixext 1, 2, 4 */
    {10, KIND_PLAIN},  {18, KIND_PLAIN},                  /* fixext 8, 16 */
    {2, KIND_RAW},     {3, KIND_RAW},    {5, KIND_RAW},   /* str 8, 16, 32 */
    {3, KIND_ARRAY},   {5, KIND_ARRAY},                   /* array 16, 32 */
    {3, KIND_MAP},     {5, KIND_MAP},                     /* map 16, 32 */
};

static struct shape shape_of(uint8_t first)
{
    if (first >= 0xc0 && first <= 0xdf)
        return shapes[first - 0xc0];
    if (first >= 0x80 && first <= 0x8f)
        return (struct shape){1, KIND_MAP};
    if (first >= 0x90 && first <= 0x9f)
        return (struct shape){1, KIND_ARRAY};
    if (first >= 0xa0 && first <= 0xbf)
        return (struct shape){1, KIND_RAW};
    return (struct shape){1, KIND_PLAIN}; /* a small integer */
}

/* The length or count that a header (of a kind that has one) states. */
static uint32_t stated_number(const uint8_t *at, uint8_t header)
{
    switch (header) {
    case 1:
        return at[0] >= 0xa0 ? at[0] & 0x1f : at[0] & 0x0f;
    case 2:
        return at[1];
    case 3:
        return get_be16(at + 1);
    default:
        return get_be32(at + 1);
    }
}

void frame_reset(struct frame_scanner *scanner)
{
    scanner->position = 0;
    scanner->elements = 0;
    scanner->elements_max = FRAME_ELEMENTS_MAX;
    scanner->depth = 0;
    scanner->remaining[0] = 1;
}

/* Objects that are still to come in all open containers; each takes a byte at least. */
static uint64_t count_pending(const struct frame_scanner *scanner)
{
    uint64_t pending = 0;

    for (uint32_t i = 0; i <= scanner->depth; i++)
        pending += scanner->remaining[i];
    return pending;
}

static void close_full_containers(struct frame_scanner *scanner)
{
    while (scanner->depth > 0 && scanner->remaining[scanner->depth] == 0)
        scanner->depth--;
}

/* Moves over the header at at and over the string behind it; opens a container. */
static enum frame_status take_header(struct frame_scanner *scanner, const uint8_t *at,
                                     struct shape shape, uint64_t *pending)
{
    uint64_t number, children;

    scanner->elements++;
    scanner->remaining[scanner->depth]--;
    scanner->position += shape.header;
    --*pending;
    if (shape.kind == KIND_PLAIN)
        return FRAME_COMPLETE;
    number = stated_number(at, shape.header);
    if (shape.kind == KIND_RAW || shape.kind == KIND_EXT) {
        scanner->position += number + (shape.kind == KIND_EXT);
        return FRAME_COMPLETE;
    }
    if (scanner->depth == FRAME_DEPTH_MAX)
        return FRAME_TOO_DEEP;
    children = shape.kind == KIND_MAP ? 2 * number : number;
    if (scanner->elements + *pending + children > scanner->elements_max)
        return FRAME_TOO_MANY;
    scanner->remaining[++scanner->depth] = (uint32_t)children;
    *pending += children;
    return FRAME_COMPLETE;
}

/* Each verdict depends on the bytes before it alone, never on how much else has arrived: fed in
 * slices or at once, a stream gets the same one. That is why the size that is sure by now is
 * compared with the limit at every step, and not only where the bytes run out. */
enum frame_status frame_scan(struct frame_scanner *scanner, const uint8_t *bytes, size_t size,
                             uint64_t limit, uint64_t *ret_size)
{
    uint64_t pending = count_pending(scanner);

    while (pending > 0) {
        const uint8_t *at;
        uint64_t least = scanner->position + pending;
        enum frame_status status;
        struct shape shape;

        if (least > limit)
            return FRAME_TOO_LARGE;
        *ret_size = least;
        if (scanner->position >= size)
            return FRAME_INCOMPLETE;
        at = bytes + scanner->position;
        shape = shape_of(*at);
        if (shape.kind == KIND_INVALID)
            return FRAME_INVALID;
        least += shape.header - 1U;
        if (least > limit)
            return FRAME_TOO_LARGE;
        *ret_size = least;
        if (size - scanner->position < shape.header)
            return FRAME_INCOMPLETE;
        status = take_header(scanner, at, shape, &pending);
        if (status != FRAME_COMPLETE)
            return status;
        close_full_containers(scanner);
    }
    if (scanner->position > limit)
        return FRAME_TOO_LARGE;
    *ret_size = scanner->position;
    return scanner->position <= size ? FRAME_COMPLETE : FRAME_INCOMPLETE;
}
