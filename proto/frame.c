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

/* By first byte. */
static const struct shape shapes[256] = {
    [0x00 ... 0x7f] = {1, KIND_PLAIN}, /* small integers */
    [0x80 ... 0x8f] = {1, KIND_MAP},   /* small maps */
    [0x90 ... 0x9f] = {1, KIND_ARRAY}, /* small arrays */
    [0xa0 ... 0xbf] = {1, KIND_RAW},   /* short strings */
    [0xc0] = {1, KIND_PLAIN},          /* nil */
    [0xc1] = {1, KIND_INVALID},        /* never used */
    [0xc2 ... 0xc3] = {1, KIND_PLAIN}, /* false, true */
    [0xc4] = {2, KIND_RAW},            /* bin 8, 16, 32 */
    [0xc5] = {3, KIND_RAW},
    [0xc6] = {5, KIND_RAW},
    [0xc7] = {2, KIND_EXT}, /* ext 8, 16, 32 */
    [0xc8] = {3, KIND_EXT},
    [0xc9] = {5, KIND_EXT},
    [0xca] = {5, KIND_PLAIN}, /* float 32, 64 */
    [0xcb] = {9, KIND_PLAIN},
    [0xcc] = {2, KIND_PLAIN}, /* uint 8, 16, 32, 64 */
    [0xcd] = {3, KIND_PLAIN},
    [0xce] = {5, KIND_PLAIN},
    [0xcf] = {9, KIND_PLAIN},
    [0xd0] = {2, KIND_PLAIN}, /* int 8, 16, 32, 64 */
    [0xd1] = {3, KIND_PLAIN},
    [0xd2] = {5, KIND_PLAIN},
    [0xd3] = {9, KIND_PLAIN},
    [0xd4] = {3, KIND_PLAIN}, /* fixext 1, 2, 4, 8, 16 */
    [0xd5] = {4, KIND_PLAIN},
    [0xd6] = {6, KIND_PLAIN},
    [0xd7] = {10, KIND_PLAIN},
    [0xd8] = {18, KIND_PLAIN},
    [0xd9] = {2, KIND_RAW}, /* str 8, 16, 32 */
    [0xda] = {3, KIND_RAW},
    [0xdb] = {5, KIND_RAW},
    [0xdc] = {3, KIND_ARRAY}, /* array 16, 32 */
    [0xdd] = {5, KIND_ARRAY},
    [0xde] = {3, KIND_MAP}, /* map 16, 32 */
    [0xdf] = {5, KIND_MAP},
    [0xe0 ... 0xff] = {1, KIND_PLAIN}, /* small negative integers */
};

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

/* What follows a first byte of 0xc0..0xdf, at least: the rest of its header and its bytes. 0: see
 * the scanner about it. */
static uint64_t wide_size(const uint8_t *at, uint64_t left)
{
    struct shape shape = shapes[*at];

    if (shape.header > left)
        return 0;
    if (shape.kind == KIND_PLAIN)
        return shape.header;
    return shape.kind == KIND_RAW ? shape.header + (uint64_t)stated_number(at, shape.header) : 0;
}

/* The size of a small frame that has arrived whole and has few containers, none of a wide form,
 * which is most of them: they cannot be nested too deep, and where the end is within the bounds so
 * is all before it. 0 for any other frame. A fifth of what the scanner takes for the same. */
static uint64_t scan_whole(const uint8_t *bytes, uint64_t bound, uint32_t elements_max)
{
    uint64_t position = 0, pending = 1, elements = 1;
    unsigned containers = 0;

    while (pending > 0) {
        uint8_t first;

        if (position >= bound)
            return 0;
        first = bytes[position];
        pending--;
        if (first <= 0x7f || first >= 0xe0) {
            position++;
        } else if (first >= 0xc0) {
            uint64_t size = wide_size(bytes + position, bound - position);

            if (size == 0)
                return 0;
            position += size;
        } else if (first >= 0xa0) {
            position += 1 + (first & 0x1fU);
        } else {
            uint64_t children = first >= 0x90 ? first & 0x0fU : 2 * (first & 0x0fU);

            if (++containers > FRAME_DEPTH_MAX)
                return 0;
            position++;
            pending += children;
            elements += children;
        }
    }
    return position <= bound && elements <= elements_max ? position : 0;
}

/* Each verdict depends on the bytes before it alone, never on how much else has arrived: fed in
 * slices or at once, a stream gets the same one. That is why the size that is sure by now is
 * compared with the limit at every step, and not only where the bytes run out. */
enum frame_status frame_scan(struct frame_scanner *scanner, const uint8_t *bytes, size_t size,
                             uint64_t limit, uint64_t *ret_size)
{
    uint64_t pending;

    if (scanner->position == 0) {
        uint64_t whole =
            scan_whole(bytes, size < limit ? size : (size_t)limit, scanner->elements_max);

        if (whole > 0) {
            *ret_size = whole;
            return FRAME_COMPLETE;
        }
    }
    pending = count_pending(scanner);
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
        shape = shapes[*at];
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
