/* The bytes of requests and answers that are in memory, over all connections, and who waits for
 * room among them.
 *
 * Small buffers are counted only (budget_add). A large one is asked for (budget_take): what does
 * not fit waits, first come first served. So that connections which each hold half a message
 * cannot block each other for ever, one of them at a time may exceed the limit, by one message at
 * most, however much the small buffers of those that wait add up to. So the true bound is overdraft
 * above the limit, or above the small buffers where they alone exceed it. Loop thread. */
#ifndef MREGION_DAEMON_BUDGET_H
#define MREGION_DAEMON_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct conn;

struct budget {
    uint64_t used;
    uint64_t limit;         /* max_buffered */
    uint64_t overdraft;     /* max_message, and the room a buffer's growth may waste */
    struct conn *overdrawn; /* who holds the overdraft; only compared */
    uint64_t floor;         /* what is used without the overdraft, while somebody holds it */
    struct conn *waiting;   /* linked by wait_next, wait_previous of struct conn */
    bool is_granting;       /* the first of those that waited is being served */
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
/* The connection is gone: another one may have the overdraft. */
void budget_forget(struct budget *budget, const struct conn *conn);

#endif
