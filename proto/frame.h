/* Where a MessagePack object ends, found without allocating and without trusting a length.
 *
 * A frame is one complete MessagePack object of the stream. The scanner is fed the bytes that have
 * arrived so far and remembers where it stopped, so that a message which trickles in is walked
 * once, not once per read. Nothing is built and no memory is asked for: a claimed length costs
 * nothing until its bytes are there. */
#ifndef MREGION_PROTO_FRAME_H
#define MREGION_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* Arrays and maps within each other; deeper is refused. The envelope and its parameters need 3. */
#define FRAME_DEPTH_MAX 16
/* Elements of a message in total (the blob is one): bounds the work one message may cause. Who
 * reads the answers of a server it trusts may raise elements_max after frame_reset: a list of a
 * million blocks is three million elements. */
#define FRAME_ELEMENTS_MAX 65536

struct frame_scanner {
    uint64_t position; /* bytes walked of the present frame; strings are jumped over, so it may
                          lie beyond what has arrived */
    uint32_t elements; /* objects whose header was read */
    uint32_t elements_max;
    uint32_t depth;
    uint32_t remaining[FRAME_DEPTH_MAX + 1]; /* objects still to come, per open container */
};

enum frame_status {
    FRAME_COMPLETE,   /* [0, *ret_size) is one whole object */
    FRAME_INCOMPLETE, /* more bytes are needed; *ret_size is the least size that could do */
    FRAME_INVALID,    /* 0xc1 */
    FRAME_TOO_DEEP,
    FRAME_TOO_MANY,
    FRAME_TOO_LARGE, /* longer than the limit, as soon as that is sure */
};

/* Start of a new frame. */
void frame_reset(struct frame_scanner *scanner);

/* bytes is the present frame's beginning, size how much of it (and of what follows) has arrived.
 * Call again with the same beginning and a larger size after FRAME_INCOMPLETE. */
enum frame_status frame_scan(struct frame_scanner *scanner, const uint8_t *bytes, size_t size,
                             uint64_t limit, uint64_t *ret_size);

#endif
