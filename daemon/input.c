#include "daemon/input.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"

#define MEMORY_UNIT 4096

_Static_assert(SCRATCH_SIZE <= LARGE_BLOB, "a borrowed blob must have a buffer of its own");
_Static_assert(SCRATCH_SIZE <= BUDGET_SMALL, "keeping what was read must not need the budget");

void input_init(struct input *input, struct budget *budget, uint8_t *scratch)
{
    *input = (struct input){.budget = budget, .scratch = scratch, .base = scratch};
}

void buffer_free(struct buffer *buffer, struct budget *whole)
{
    free(buffer->base);
    budget_give_passed(whole, buffer->memory);
    *buffer = (struct buffer){0};
}

static void drop_own(struct input *input)
{
    if (input->own.base != NULL) {
        free(input->own.base);
        budget_give(input->budget, input->own.memory);
        input->own = (struct buffer){0};
    }
    input->base = input->scratch;
    input->start = input->end = 0;
}

void input_release(struct input *input)
{
    drop_own(input);
}

/* How much is read at first. Less where the last message was a large one: it is enough to see how
 * long this one is. And where all beginnings are too many: those have a buffer of their own of this
 * size, and read on in turn. */
static size_t first_read(const struct input *input)
{
    return input->after_large || budget_is_tight(input->budget) ? BUDGET_FIRST : SCRATCH_SIZE;
}

uv_buf_t input_room(struct input *input)
{
    if (input->own.base == NULL) {
        assert(input->start == input->end);
        input->base = input->scratch;
        input->start = input->end = 0;
        return uv_buf_init((char *)input->scratch, (unsigned)first_read(input));
    }
    size_t room = input->own.capacity - input->end;
    assert(input->start == 0 && room > 0);
    return uv_buf_init((char *)input->own.base + input->end,
                       (unsigned)(room < READ_MAX ? room : READ_MAX));
}

void input_filled(struct input *input, size_t size)
{
    input->end += size;
}

/* A message has come whole. */
static void note_size(struct input *input, size_t size)
{
    input->after_large = size > SCRATCH_SIZE;
    if (input->after_large)
        input->proven = size;
}

void input_consume(struct input *input, size_t size)
{
    assert(size <= input_size(input));
    note_size(input, size);
    input->start += size;
    if (input->start == input->end)
        drop_own(input);
}

/* Every byte of [base, base + capacity) but the message's followers, which lie in it from start on.
 */
static void wipe_but(uint8_t *base, size_t capacity, size_t start, size_t end)
{
    sodium_memzero(base, start);
    sodium_memzero(base + end, capacity - end);
}

void input_wipe(struct input *input, size_t size)
{
    if (input->own.base != NULL) {
        wipe_but(input->own.base, input->own.memory, input->start + size, input->end);
        sodium_memzero(input->scratch, SCRATCH_SIZE);
    } else {
        wipe_but(input->scratch, SCRATCH_SIZE, input->start + size, input->end);
    }
}

bool input_keep(struct input *input)
{
    size_t size = input_size(input);
    if (size == 0 || input->own.base != NULL)
        return true;
    const uint8_t *bytes = input_bytes(input);
    size_t capacity = BUDGET_FIRST;
    while (capacity < size)
        capacity *= 2;
    uint8_t *base = malloc(capacity);
    if (base == NULL)
        return false;
    budget_add(input->budget, capacity);
    memcpy(base, bytes, size);
    input->own = (struct buffer){base, capacity, capacity};
    input->base = base;
    input->start = 0;
    input->end = size;
    return true;
}

/* A small message may bring its followers along; a large one is to be alone in its buffer. */
static size_t next_capacity(const struct input *input, uint64_t wanted)
{
    uint64_t most = wanted <= SCRATCH_SIZE ? SCRATCH_SIZE : wanted;
    uint64_t earned = 2 * max_u64(input->own.capacity, input->proven);
    assert(input->own.capacity <= most);
    return (size_t)min_u64(earned, most);
}

/* Large messages of about the same size are to fit into each other's buffers. */
static size_t memory_for(size_t capacity)
{
    return capacity <= SCRATCH_SIZE ? capacity : (size_t)round_up(capacity, MEMORY_UNIT);
}

uint64_t input_growth(const struct input *input, uint64_t wanted)
{
    size_t memory = memory_for(next_capacity(input, wanted));
    return memory <= input->own.memory ? 0 : memory - input->own.memory;
}

/* False: there is no kept buffer for it. */
static bool move_to_kept(struct input *input, const struct conn *conn, size_t capacity)
{
    struct buffer kept;
    if (capacity <= SCRATCH_SIZE ||
        !budget_take_kept(input->budget, conn, capacity, input->own.memory, &kept))
        return false;
    memcpy(kept.base, input->own.base, input->end);
    free(input->own.base);
    input->own = kept;
    return true;
}

static enum input_status enlarge(struct input *input, const struct conn *conn, size_t capacity)
{
    size_t memory = memory_for(capacity);
    uint64_t more = memory - input->own.memory;
    if (!budget_take(input->budget, conn, more))
        return INPUT_WAIT;
    uint8_t *base = realloc(input->own.base, memory);
    if (base == NULL) {
        budget_give(input->budget, more);
        return INPUT_NO_MEMORY;
    }
    input->own = (struct buffer){base, capacity, memory};
    return INPUT_READY;
}

static enum input_status grow(struct input *input, const struct conn *conn, size_t capacity)
{
    enum input_status status = INPUT_READY;
    if (capacity <= input->own.memory)
        input->own.capacity = capacity;
    else if (!move_to_kept(input, conn, capacity))
        status = enlarge(input, conn, capacity);
    input->base = input->own.base;
    return status;
}

enum input_status input_prepare(struct input *input, const struct conn *conn, uint64_t wanted)
{
    if (input->own.base == NULL)
        return INPUT_READY;
    size_t size = input_size(input);
    if (input->start > 0) {
        memmove(input->own.base, input_bytes(input), size);
        input->start = 0;
        input->end = size;
    }
    assert(wanted > size);
    if (size < input->own.capacity)
        return INPUT_READY;
    return grow(input, conn, next_capacity(input, wanted));
}

struct buffer input_detach(struct input *input, size_t size)
{
    assert(input->own.base != NULL && input->start == 0 && input->end == size);
    note_size(input, size);
    struct buffer buffer = input->own;
    budget_pass_on(input->budget, buffer.memory);
    input->own = (struct buffer){0};
    drop_own(input);
    return buffer;
}
