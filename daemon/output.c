#include "daemon/output.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/region.h"

void pieces_init(struct pieces *pieces, struct budget *budget)
{
    *pieces = (struct pieces){.budget = budget};
}

static void free_all(struct piece *piece)
{
    while (piece != NULL) {
        struct piece *next = piece->next;
        free(piece);
        piece = next;
    }
}

void pieces_release(struct pieces *pieces)
{
    free_all(pieces->free);
    free_all(pieces->free_small);
    pieces->free = pieces->free_small = NULL;
    pieces->free_count = pieces->free_small_count = 0;
}

static struct piece *take_free(struct piece **first, unsigned *count)
{
    struct piece *piece = *first;
    if (piece != NULL) {
        *first = piece->next;
        --*count;
    }
    return piece;
}

static bool keep_free(struct piece **first, unsigned *count, unsigned most, struct piece *piece)
{
    if (*count >= most)
        return false;
    piece->next = *first;
    *first = piece;
    ++*count;
    return true;
}

struct piece *piece_new(struct pieces *pieces, size_t capacity, bool is_charged)
{
    struct piece *piece = NULL;
    size_t room = capacity > SMALL_PIECE ? capacity : SMALL_PIECE;
    if (room == SMALL_PIECE)
        piece = take_free(&pieces->free_small, &pieces->free_small_count);
    else if (room == PIECE_SIZE)
        piece = take_free(&pieces->free, &pieces->free_count);
    if (piece == NULL)
        piece = malloc(sizeof *piece + room);
    if (piece == NULL)
        return NULL;
    *piece = (struct piece){.capacity = capacity};
    pieces->used += capacity;
    if (!is_charged)
        budget_add(pieces->budget, capacity);
    return piece;
}

struct piece *piece_new_held(struct pieces *pieces, size_t count)
{
    size_t capacity = PIECE_HEAD + count * sizeof(struct pagecache_hold);
    struct piece *piece = piece_new(pieces, capacity > SMALL_PIECE ? PIECE_SIZE : capacity, false);
    assert(capacity <= PIECE_SIZE);
    if (piece != NULL)
        piece->holds = (struct pagecache_hold *)(void *)(piece->bytes + PIECE_HEAD);
    return piece;
}

void piece_free(struct pieces *pieces, struct piece *piece)
{
    if (piece == NULL)
        return;
    if (piece->holds != NULL)
        region_let_go(piece->holds, piece->hold_count);
    size_t capacity = piece->capacity;
    budget_give(pieces->budget, capacity);
    pieces->used -= capacity;
    if (capacity <= SMALL_PIECE &&
        keep_free(&pieces->free_small, &pieces->free_small_count, SMALL_PIECES_KEPT, piece))
        return;
    if (capacity == PIECE_SIZE && keep_free(&pieces->free, &pieces->free_count, PIECES_KEPT, piece))
        return;
    free(piece);
}

void output_init(struct output *output, struct pieces *pieces)
{
    *output = (struct output){.pieces = pieces};
}

static void pop_first(struct output *output)
{
    struct piece *piece = output->first;
    output->first = piece->next;
    if (output->first == NULL)
        output->last = NULL;
    if (piece->home == NULL) {
        piece_free(output->pieces, piece);
        return;
    }
    piece->next = *piece->home;
    *piece->home = piece;
}

void output_release(struct output *output)
{
    while (output->first != NULL) {
        output->first->home = NULL;
        pop_first(output);
    }
    output->pending = output->held = 0;
}

static void link_piece(struct output *output, struct piece *piece)
{
    piece->next = NULL;
    if (output->last == NULL)
        output->first = piece;
    else
        output->last->next = piece;
    output->last = piece;
}

uint8_t *output_reserve(struct output *output, size_t size)
{
    struct piece *piece = output->last;
    if (piece == NULL || piece->is_open || piece->holds != NULL ||
        piece->capacity - piece->used < size) {
        piece = piece_new(output->pieces, size > PIECE_SIZE ? size : PIECE_SIZE, false);
        if (piece == NULL)
            return NULL;
        link_piece(output, piece);
    }
    uint8_t *bytes = piece->bytes + piece->used;
    piece->used += size;
    output->pending += size;
    return bytes;
}

void output_undo(struct output *output, size_t size)
{
    assert(output->last != NULL && output->last->used - output->last->sent >= size);
    output->last->used -= size;
    output->pending -= size;
}

void output_append(struct output *output, struct piece *piece)
{
    link_piece(output, piece);
    output->pending += piece->used - piece->sent;
    if (piece->holds != NULL)
        output->held += piece->used - piece->sent;
}

void output_insert(struct output *output, struct piece *behind, struct piece *piece)
{
    assert(behind->is_open);
    behind->is_open = false;
    piece->next = behind->next;
    behind->next = piece;
    if (output->last == behind)
        output->last = piece;
    output->pending += piece->used - piece->sent;
    if (output->first == behind && behind->sent == behind->used)
        pop_first(output);
}

void output_disown(struct output *output, struct piece *const *home)
{
    for (struct piece *piece = output->first; piece != NULL; piece = piece->next) {
        if (piece->home != home)
            continue;
        piece->home = NULL;
        piece->is_open = false;
    }
}

int output_pack(void *context, const char *bytes, size_t size)
{
    struct output *output = context;
    uint8_t *room = output_reserve(output, size);
    if (room == NULL) {
        output->has_failed = true;
        return -1;
    }
    memcpy(room, bytes, size);
    return 0;
}

/* The unsent bytes of a piece with held pages, as at least one buffer; those of pages that lie one
 * behind the other in one. Returns how many. */
static unsigned held_vectors(const struct piece *piece, uv_buf_t *buffers, unsigned limit)
{
    size_t sent = piece->sent;
    unsigned count = 0;
    if (sent < piece->head) {
        buffers[count++] = uv_buf_init((char *)piece->bytes + sent, (unsigned)(piece->head - sent));
        sent = piece->head;
    }
    size_t at = sent - piece->head + piece->skip, end = piece->used - piece->head + piece->skip;
    while (at < end) {
        char *base = (char *)piece->holds[at / DATA_PAGE].bytes + at % DATA_PAGE;
        size_t size = min_u64(DATA_PAGE - at % DATA_PAGE, end - at);
        if (count > 0 && buffers[count - 1].base + buffers[count - 1].len == base)
            buffers[count - 1].len += size;
        else if (count < limit)
            buffers[count++] = uv_buf_init(base, (unsigned)size);
        else
            break;
        at += size;
    }
    return count;
}

unsigned output_vectors(const struct output *output, uv_buf_t *buffers, unsigned limit)
{
    unsigned count = 0;
    for (struct piece *piece = output->first; piece != NULL && count < limit; piece = piece->next) {
        if (piece->holds != NULL) {
            count += held_vectors(piece, buffers + count, limit - count);
        } else if (piece->sent < piece->used) {
            buffers[count].base = (char *)piece->bytes + piece->sent;
            buffers[count].len = piece->used - piece->sent;
            count++;
        }
        if (piece->is_open)
            break;
    }
    return count;
}

void output_sent(struct output *output, uint64_t size)
{
    assert(size <= output->pending);
    output->pending -= size;
    output->pieces->sent_bytes += size;
    while (output->first != NULL) {
        struct piece *piece = output->first;
        size_t left = piece->used - piece->sent;
        if (piece->holds != NULL)
            output->held -= min_u64(size, left);
        if (size < left) {
            piece->sent += size;
            return;
        }
        size -= left;
        if (piece->is_open) {
            piece->sent = piece->used;
            break;
        }
        pop_first(output);
    }
    assert(size == 0);
}
