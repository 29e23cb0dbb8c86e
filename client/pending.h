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

struct request;

struct pending {
    struct pending *next; /* in its bucket, or among the spare ones */
    mregion_ticket ticket;
    enum pending_state state;
    bool is_forgotten; /* nobody wants the answer: freed when it comes */

    /* What is asked, for as long as it may have to be sent: packed from the caller's request, whose
     * memory is borrowed, or a whole message in memory of our own. */
    const struct request *request;
    uint8_t *message;
    size_t message_size;
    uint8_t token[MREGION_TOKEN_SIZE];
    bool has_token;
    bool is_repeatable;             /* may be sent again when a connection was lost */
    bool is_queued;                 /* to be sent, or sent again; neighbors in the queue: */
    bool is_sent;                   /* over the present connection, or gathered for it */
    bool was_sent;                  /* over any */
    struct pending *before, *after; /* in the order of submission */

    bool is_reported; /* to the callback of the blob under way; so much has been: */
    uint64_t moved;

    /* Where the bytes of a blob go, which is the caller's memory; NULL: kept as a result. */
    uint8_t *sink;
    uint64_t sink_size;

    uint8_t *result; /* small, or memory of its own */
    size_t result_size;
    uint8_t small[PENDING_SMALL];

    enum mregion_code code;
    char *text; /* NULL when there was no memory for it */

    /* Of one whose answer is handed to a callback, once, and not collected. */
    bool is_async;
    bool
        is_over; /* it is among those to be handed over; canceled, too late, or no longer waiting */
    bool only_reads;
    bool is_held;     /* not to be sent yet, whatever becomes of the connection */
    bool is_bound;    /* has no meaning over another connection than the present one */
    uint64_t attempt; /* connection->attempts when it was sent */
    int64_t deadline;
    mregion_on_answer on_answer; /* or NULL */
    void *data;
    struct pending *next_over;
};

#define PENDING_BUCKETS 256

struct pending_table {
    struct pending *buckets[PENDING_BUCKETS]; /* by message id */
    struct pending *spare;
    mregion_ticket last;
    size_t count;   /* all, the forgotten ones included */
    size_t waiting; /* of which no answer has come */
    uint64_t kept;  /* bytes of results and of messages */

    /* The queue: what is sent again on the next connection, then from unsent on what is not sent
     * on this one. */
    struct pending *first, *last_queued;
    struct pending *unsent;
    struct pending *over,
        **last_over;         /* to be handed over, in the order in which they came to it */
    struct pending *sending; /* whose message is under way and has left in part, at most; or NULL */
    struct pending *receiving; /* whose blob is being received where it belongs; or NULL */
};

/* A message id is the low 32 bits of a ticket. */
static inline uint32_t pending_msgid(const struct pending *pending)
{
    return (uint32_t)pending->ticket;
}

void pending_table_release(struct pending_table *table);

/* A new one, waiting, with the next ticket; NULL without memory. */
struct pending *pending_new(struct pending_table *table);
/* Removes it from the table, with its result; one whose blob is being received is only forgotten.
 */
void pending_free(struct pending_table *table, struct pending *pending);

/* NULL: there is none. A forgotten one has no ticket any more, but its message id still; the answer
 * of an asynchronous one is found by nobody. */
struct pending *pending_find_ticket(const struct pending_table *table, mregion_ticket ticket);
struct pending *pending_find_msgid(const struct pending_table *table, uint32_t msgid);

/* Puts it at the end of the queue. */
void pending_enqueue(struct pending_table *table, struct pending *pending);
/* It is table->unsent, and no longer: it leaves the queue unless it may be sent again. */
void pending_sent(struct pending_table *table, struct pending *pending);
/* The connection is gone: all that is queued is to be sent on the next one. */
void pending_unsend_all(struct pending_table *table);

/* Nobody will collect it: its memory may go; its sink, and a request that is borrowed, are left
 * alone from now on. A change that is kept as a message is still made. */
void pending_forget(struct pending_table *table, struct pending *pending);

/* An asynchronous one is canceled, or too late: it is not sent any more, and is handed over with
 * code and text, whatever the server may still answer. */
void pending_give_up(struct pending_table *table, struct pending *pending, enum mregion_code code,
                     const char *text);
/* Takes the first of those that are to be handed over; NULL: there is none. */
struct pending *pending_take_over(struct pending_table *table);
/* It has been handed over: frees it, as soon as no answer can come any more. */
void pending_leave(struct pending_table *table, struct pending *pending);
/* Whether some of it is at the server, or on its way there. */
bool pending_is_in_flight(const struct pending_table *table, const struct pending *pending);

/* The answer has come; result (size bytes of MessagePack) is copied. Frees a forgotten one. */
void pending_answer(struct pending_table *table, struct pending *pending, const uint8_t *result,
                    size_t size);
/* It has failed; length bytes at text are copied. Frees a forgotten one. */
void pending_fail(struct pending_table *table, struct pending *pending, enum mregion_code code,
                  const char *text, size_t length);
/* Fails all that wait on a connection that is gone, but what is queued and not bound to it only if
 * with_queue. */
void pending_fail_all(struct pending_table *table, enum mregion_code code, const char *text,
                      bool with_queue);

#endif
