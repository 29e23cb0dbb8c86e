/* The bytes of one connection that have arrived and are not handled yet.
 *
 * Mostly they lie in the buffer that all connections share for reading (scratch), are handled in
 * place and gone when the loop turns. What is left over - a message that is not whole, or one that
 * has to wait - moves to a buffer of the connection's own, which grows geometrically with what
 * really arrives, never by a claimed length.
 *
 * A message that is too large for the scratch is read up to exactly its end, so that its buffer
 * holds nothing else and can become the home of its blob (input_detach). Who has sent a large
 * message is believed: the next one has its buffer at once, as far as twice the bytes of that one,
 * and when it follows directly only its beginning is read into the scratch. So it lies where it
 * arrived, and a claim still gets no memory that the same peer has not filled before. Loop thread.
 */
#ifndef MREGION_DAEMON_INPUT_H
#define MREGION_DAEMON_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/budget.h"

/* One read takes at most so much. Not more than LARGE_BLOB: a message whose blob the region would
 * borrow never fits. */
#define SCRATCH_SIZE ((size_t)64 * 1024)

/* So much into a buffer of the connection's own: what one has of the loop at a time is bounded. */
#define READ_MAX ((size_t)256 * 1024)

struct input {
    struct budget *budget; /* of what is not whole yet */
    uint8_t *scratch;
    struct buffer own; /* base is NULL when there is none */
    uint8_t *base;     /* own.base or scratch; [start, end) has arrived and is not handled */
    size_t start;
    size_t end;
    size_t proven;    /* bytes of the last message that was too large for the scratch, or 0 */
    bool after_large; /* nothing has been handled since that */
};

void input_init(struct input *input, struct budget *budget, uint8_t *scratch);
void input_release(struct input *input);

static inline size_t input_size(const struct input *input)
{
    return input->end - input->start;
}

static inline const uint8_t *input_bytes(const struct input *input)
{
    return input->base + input->start;
}

/* Where the next read may put its bytes; input_filled says how many came. */
uv_buf_t input_room(struct input *input);
void input_filled(struct input *input, size_t size);

/* The first message, of size bytes, is handled. */
void input_consume(struct input *input, size_t size);

/* Makes the first message, of size bytes, zeros, and whatever else it may have left behind on its
 * way: it has held a secret. Not while another connection reads. */
void input_wipe(struct input *input, size_t size);

/* Moves what is left from the scratch to a buffer of its own, before another connection reads.
 * False without memory. */
bool input_keep(struct input *input);

/* Makes room to read on towards a message of at least wanted bytes, of which too few have arrived.
 * INPUT_WAIT: the budget has no room now. */
enum input_status { INPUT_READY, INPUT_WAIT, INPUT_NO_MEMORY };
enum input_status input_prepare(struct input *input, const struct conn *conn, uint64_t wanted);
/* How many bytes input_prepare would ask the budget for. */
uint64_t input_growth(const struct input *input, uint64_t wanted);

/* Hands over the buffer, which holds exactly one message of size bytes; the input is empty then.
 * It counts for the whole budget from now on: give it back there with budget_keep, or with
 * buffer_free. */
struct buffer input_detach(struct input *input, size_t size);
void buffer_free(struct buffer *buffer, struct budget *whole);

#endif
