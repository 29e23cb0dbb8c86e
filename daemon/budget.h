/* The bytes of requests and answers that are in memory, over all connections, and who waits for
 * room among them.
 *
 * Small buffers are counted only (budget_add). A large one is asked for (budget_take): what does
 * not fit waits, first come first served. So that connections which each hold half a message
 * cannot block each other for ever, one of them at a time may exceed the limit, by one message at
 * most, however much the small buffers of those that wait add up to. So the true bound is overdraft
 * above the limit, or above the small buffers where they alone exceed it.
 *
 * Buffers in which large messages came and were executed are kept for the next ones, as long as
 * there are such and nobody else needs the room: fresh memory costs more than a copy. Loop thread.
 */
#ifndef MREGION_DAEMON_BUDGET_H
#define MREGION_DAEMON_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;

/* Memory on the heap, counted in the budget. */
struct buffer {
    uint8_t *base;
    size_t capacity; /* what may be used of it */
    size_t memory;   /* what is counted */
};

/* Large messages that are on their way at the same time. */
#define BUFFERS_KEPT 64

struct budget {
    uint64_t used;
    uint64_t limit;         /* max_buffered */
    uint64_t overdraft;     /* max_message, and the room a buffer's growth may waste */
    struct conn *overdrawn; /* who holds the overdraft; only compared */
    uint64_t floor;         /* what is used without the overdraft, while somebody holds it */
    struct conn *waiting;   /* linked by wait_next, wait_previous of struct conn */
    bool is_granting;       /* the first of those that waited is being served */
    /* In no use, so no part of what is used: but used and kept together are within the limit. */
    struct buffer kept[BUFFERS_KEPT]; /* in the order of their coming */
    unsigned kept_count;
    unsigned kept_idle; /* so many were there at any time since budget_age_kept */
    uint64_t kept_size;
};

/* Sizes below this are not asked for. With max_connections they are a bound of their own. */
#define BUDGET_SMALL ((uint64_t)64 * 1024)

void budget_init(struct budget *budget, uint64_t limit, uint64_t max_message);
void budget_set_limits(struct budget *budget, uint64_t limit, uint64_t max_message);

/* Counts size bytes for the connection and returns true, or returns false: it has to wait its turn
 * (conn_park_memory). */
bool budget_take(struct budget *budget, const struct conn *conn, uint64_t size);
/* Whether budget_take would succeed for one that waited. */
bool budget_fits(const struct budget *budget, const struct conn *conn, uint64_t size);
/* Counts without asking. */
void budget_add(struct budget *budget, uint64_t size);
void budget_give(struct budget *budget, uint64_t size);

/* Gives a buffer back, and keeps its memory while there is room. Takes it. */
void budget_keep(struct budget *budget, struct buffer *buffer);
/* A kept buffer with the capacity, whose memory is hardly more, counted for the connection instead
 * of counted bytes: like budget_take. False: there is none, or not now. */
bool budget_take_kept(struct budget *budget, const struct conn *conn, size_t capacity,
                      uint64_t counted, struct buffer *ret);
/* Frees those that were not needed since the last time. */
void budget_age_kept(struct budget *budget);
void budget_release_kept(struct budget *budget);

/* The connection is gone: another one may have the overdraft. */
void budget_forget(struct budget *budget, const struct conn *conn);

#endif
