/* The bytes of requests and answers that are in memory, over all connections, and who waits for
 * room among them.
 *
 * Small buffers are counted only (budget_add). A large one is asked for (budget_take): what does
 * not fit waits, first come first served. So that connections which each hold half a message
 * cannot block each other for ever, one of them at a time may exceed the limit, by one message at
 * most, however much the small buffers of those that wait add up to. So the true bound is overdraft
 * above the limit, or above the small buffers where they alone exceed it.
 *
 * What has come of messages that are not whole yet is a part of it with a limit of its own: who
 * sends half a message and waits shall not have all of the memory. A message that became whole
 * counts for the whole budget only (budget_pass_on), and nobody exceeds the part's limit while the
 * others alone exceed that of the whole. Those who wait for the part do not hold up the others. Of
 * small beginnings, too, there may be no end: once they are tight, which is as much again as the
 * part's limit, they are asked for like large ones, but for the first BUDGET_FIRST bytes of each.
 *
 * Buffers in which large messages came and were executed are kept for the next ones, as long as
 * there are such and nobody else needs the room: fresh memory costs more than a copy. They are kept
 * in the part, which the next ones are taken from.
 *
 * Loop thread. */
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
    uint64_t limit;         /* max_buffered, or the part's share */
    uint64_t overdraft;     /* max_message, and the room a buffer's growth may waste */
    struct budget *whole;   /* what this is a part of: it counts there too, and both have to fit */
    struct budget *part;    /* what is a part of this */
    struct conn *overdrawn; /* who holds the overdraft; only compared */
    uint64_t floor;         /* what is used without the overdraft, while somebody holds it */
    struct conn *waiting;   /* linked by wait_next, wait_previous of struct conn */
    bool is_granting;       /* the first of those that waited is being served */
    bool is_passing;        /* the next small buffer is not asked for, however tight it is */
    /* In no use, so no part of what is used. But with all that is used of the whole they are within
     * BUDGET_KEPT times the part's limit, and within that of the whole. */
    struct buffer kept[BUFFERS_KEPT]; /* in the order of their coming */
    unsigned kept_count;
    unsigned kept_idle; /* so many were there at any time since budget_age_kept */
    uint64_t kept_size;
};

/* Sizes below this are not asked for. With max_connections they are a bound of their own. */
#define BUDGET_SMALL ((uint64_t)64 * 1024)
/* Nor is this, however tight it is: a page, for a message that came in two packets. */
#define BUDGET_FIRST ((uint64_t)4096)
/* The part: a sixteenth, which is many messages at a time; where that is little, so much of it. */
#define BUDGET_PART 16
#define BUDGET_PART_MIN ((uint64_t)16 * 1024 * 1024)
/* Those that arrive, and as many that are being executed. */
#define BUDGET_KEPT 2

void budget_init(struct budget *budget, uint64_t limit, uint64_t max_message);
void budget_init_part(struct budget *part, struct budget *whole);
/* Of the whole, and then of its part. */
void budget_set_limits(struct budget *budget, uint64_t limit, uint64_t max_message);
void budget_set_part_limits(struct budget *part);

/* Counts size bytes for the connection and returns true, or returns false: it has to wait its turn
 * (conn_park_memory). */
bool budget_take(struct budget *budget, const struct conn *conn, uint64_t size);
/* Whether budget_take would succeed for one that waited. */
bool budget_fits(const struct budget *budget, const struct conn *conn, uint64_t size);
/* Whether small buffers of the part are to be asked for, too. */
bool budget_is_tight(const struct budget *part);
/* Counts without asking. */
void budget_add(struct budget *budget, uint64_t size);
void budget_give(struct budget *budget, uint64_t size);
/* What was taken from the part counts for the whole only from now on (what is no part stays); it is
 * given back with budget_give_passed. */
void budget_pass_on(struct budget *part, uint64_t size);
void budget_give_passed(struct budget *whole, uint64_t size);

/* Gives a buffer back that was passed on, and keeps its memory while there is room. Takes it. */
void budget_keep(struct budget *part, struct buffer *buffer);
/* A kept buffer with the capacity, whose memory is hardly more, counted for the connection instead
 * of counted bytes: like budget_take. False: there is none, or not now. */
bool budget_take_kept(struct budget *part, const struct conn *conn, size_t capacity,
                      uint64_t counted, struct buffer *ret);
/* Frees those that were not needed since the last time. */
void budget_age_kept(struct budget *part);
void budget_release_kept(struct budget *part);

/* The connection is gone: another one may have the overdraft. */
void budget_forget(struct budget *budget, const struct conn *conn);

#endif
