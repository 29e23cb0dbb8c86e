/* What is to be sent to one connection: a queue of pieces.
 *
 * Small answers are packed one behind the other into a shared piece and leave together; a large
 * blob has a piece of its own, into which it was read and from which it is written: it is never
 * copied. One whose pages are held in the cache of verified pages is sent from there: its piece
 * says which they are, and lets them go. One that is larger still comes in several pieces, of which
 * the next is inserted behind the last, whatever was answered meanwhile. Standard pieces are
 * recycled, so an idle connection holds none. Loop thread, except that a worker may fill the bytes
 * of a piece that is in no queue.
 */
#ifndef MREGION_DAEMON_OUTPUT_H
#define MREGION_DAEMON_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/pagecache.h"
#include "daemon/budget.h"

/* Hundreds of small answers; also the largest blob that is read straight into the queue. */
#define PIECE_SIZE ((size_t)16 * 1024)
/* Kept for reuse: what a burst of as many connections needs. */
#define PIECES_KEPT 64
/* Of a small answer that has to wait; and what a burst of as many requests needs. */
#define SMALL_PIECE ((size_t)1024 + 16)
#define SMALL_PIECES_KEPT 1024
/* The own bytes of a piece with held pages. */
#define PIECE_HEAD 16

struct piece {
    struct piece *next;
    size_t capacity; /* of bytes */
    size_t used;
    size_t sent;  /* <= used; a piece may begin with room left unused: sent then starts there */
    bool is_open; /* the next bytes of its answer are not there yet: nothing goes out behind
                     it before output_insert */
    struct piece **home; /* the list that it is put into once it is sent; NULL: it is freed */
    /* Of one that is sent from held pages: its own bytes are the first, head of them, then come
     * those that begin skip bytes into the first page. */
    struct pagecache_hold *holds; /* behind the head; NULL: bytes are all its own */
    size_t hold_count;
    size_t head, skip;
    _Alignas(16) uint8_t bytes[];
};

/* The recycled pieces of all connections. */
struct pieces {
    struct budget *budget;
    uint64_t used; /* bytes of those that are in use */
    struct piece *free, *free_small;
    unsigned free_count, free_small_count;
    uint64_t sent_bytes; /* of all outputs */
};

void pieces_init(struct pieces *pieces, struct budget *budget);
void pieces_release(struct pieces *pieces);
/* Whether answers take so much of max_buffered that each is to do with less of it: an eighth. */
#define PIECES_PART 8
static inline bool pieces_are_many(const struct pieces *pieces)
{
    return pieces->used >= pieces->budget->limit / PIECES_PART;
}

/* An empty piece with room for capacity bytes, NULL without memory. Counts its capacity in the
 * budget, unless it is charged there already. Free with piece_free. */
struct piece *piece_new(struct pieces *pieces, size_t capacity, bool is_charged);
/* The same for held pages: room for count holds, of which hold_count are there (none yet), and for
 * PIECE_HEAD bytes in front. What is held is no part of the budget. */
struct piece *piece_new_held(struct pieces *pieces, size_t count);
/* Lets go what it holds, gives the memory and its share of the budget back. NULL is fine. */
void piece_free(struct pieces *pieces, struct piece *piece);

struct output {
    struct pieces *pieces;
    struct piece *first, *last;
    uint64_t pending; /* bytes still to be sent */
    uint64_t held;    /* of which lie in held pages, or before them in the same piece */
    bool has_failed;  /* memory ran out in the middle of an answer: the stream is broken */
};

void output_init(struct output *output, struct pieces *pieces);
/* Frees what is queued. */
void output_release(struct output *output);

/* Room for size bytes at the end of the queue, in one run, to be filled by the caller before the
 * next call; NULL without memory. output_undo takes the last size bytes back. */
uint8_t *output_reserve(struct output *output, size_t size);
void output_undo(struct output *output, size_t size);

/* Appends a filled piece. Takes it. */
void output_append(struct output *output, struct piece *piece);
/* Puts a filled piece right behind an open one, which is open no longer and may be gone. Takes
 * it. */
void output_insert(struct output *output, struct piece *behind, struct piece *piece);
/* No piece that is queued goes to this home any more, and none of those is open. */
void output_disown(struct output *output, struct piece *const *home);

/* The write function of a msgpack_packer whose data is the output. -1 without memory; has_failed
 * is set then. */
int output_pack(void *output, const char *bytes, size_t size);

/* Describes the unsent bytes as up to limit buffers, which stay valid until output_sent; returns
 * how many. */
unsigned output_vectors(const struct output *output, uv_buf_t *buffers, unsigned limit);
/* size bytes have been sent: frees the pieces that are done with. */
void output_sent(struct output *output, uint64_t size);

#endif
