/* The requests of a connection that are submitted and not collected: what each waits for, or what
 * came. Private to libmregion. */
#ifndef MREGION_CLIENT_PENDING_H
#define MREGION_CLIENT_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/mregion.h"

enum pending_state {
    PENDING_WAITING,
    PENDING_ANSWERED, /* result holds the MessagePack, or the sink the bytes */
    PENDING_FAILED,   /* code and text say why */
};

/* Most results are a number or nil, and need no memory of their own. */
#define PENDING_SMALL 24

struct pending {
    struct pending *next; /* in its bucket, or among the spare ones */
    mregion_ticket ticket;
    enum pending_state state;
    bool is_forgotten; /* nobody wants the answer: freed when it comes */

    /* Where the bytes of a blob go, which is the caller's memory; NULL: kept as a result. */
    uint8_t *sink;
    uint64_t sink_size;

    uint8_t *result; /* small, or memory of its own */
    size_t result_size;
    uint8_t small[PENDING_SMALL];

    enum mregion_code code;
    char *text; /* NULL when there was no memory for it */
};

#define PENDING_BUCKETS 256

struct pending_table {
    struct pending *buckets[PENDING_BUCKETS]; /* by message id */
    struct pending *spare;
    mregion_ticket last;
    size_t count;   /* all, the forgotten ones included */
    size_t waiting; /* of which no answer has come */
    uint64_t kept;  /* bytes of results */
};

/* A message id is the low 32 bits of a ticket. */
static inline uint32_t pending_msgid(const struct pending *pending)
{
    return (uint32_t)pending->ticket;
}

void pending_table_release(struct pending_table *table);

/* A new one, waiting, with the next ticket; NULL without memory. */
struct pending *pending_new(struct pending_table *table);
/* Removes it from the table, with its result. */
void pending_free(struct pending_table *table, struct pending *pending);

/* NULL: there is none. A forgotten one has no ticket any more, but its message id still. */
struct pending *pending_find_ticket(const struct pending_table *table, mregion_ticket ticket);
struct pending *pending_find_msgid(const struct pending_table *table, uint32_t msgid);

/* Nobody will collect it: its memory may go, its sink is left alone from now on. */
void pending_forget(struct pending_table *table, struct pending *pending);

/* The answer has come; result (size bytes of MessagePack) is copied. Frees a forgotten one. */
void pending_answer(struct pending_table *table, struct pending *pending, const uint8_t *result,
                    size_t size);
/* It has failed; length bytes at text are copied. Frees a forgotten one. */
void pending_fail(struct pending_table *table, struct pending *pending, enum mregion_code code,
                  const char *text, size_t length);
/* Fails all that wait. */
void pending_fail_all(struct pending_table *table, enum mregion_code code, const char *text);

#endif
