/* One request that could not be answered at once: what it waits for, and its answer so far.
 *
 *     STAGED ─────────────────────────────────────┐
 *     LOADING ──► READING ────────────────────────┤
 *        └──────► STREAMING ──────────────────────┤
 *     STOPPED ◄─► HELD_READING ──► STAGED         ├──► answered, freed
 *     APPENDING ──────────────────────────────────┤
 *     CHECKPOINTING ──────────────────────────────┤
 *     SCRUBBING ──────────────────────────────────┤
 *     BACKING_UP ─────────────────────────────────┤
 *     LISTING ◄─► LISTING ────────────────────────┤
 *     AUTHENTICATING ─────────────────────────────┤
 *     ADMIN ──────────────────────────────────────┘
 *
 * STAGED         its change is staged, or was before: region_done_ticket
 * LOADING        a load whose bytes are not in the data file yet: region_applied_ticket
 * READING        a load at a worker, its block pinned
 * STREAMING      a large load on its way: see stream.h
 * STOPPED        a remove, or a batch with removes, that waits for the region
 * HELD_READING   the same while a worker reads its blocks, pinned; once more where a batch finds
 *                that others have changed what is to be read
 * APPENDING      a piece of an upload that is not written yet: see upload.h
 * CHECKPOINTING  waits for region_checkpoint_ticket
 * SCRUBBING      waits for region_scrub_ticket
 * BACKING_UP     waits for its turn to be backed up, or for the end of that, or of restoreRegion or
 *                removeBackup
 * LISTING        a long answer that is put together a stretch at a time
 * AUTHENTICATING a password that waits to be verified, or is: see authenticate.h
 * ADMIN          createRegion, dropRegion, listBackups or configGet
 *
 * The states STOPPED, HELD_READING, LISTING, AUTHENTICATING and ADMIN hold the connection.
 *
 * A request counts in its connection's in_flight and keeps the connection's memory alive, but not
 * the connection open: when the peer is gone the request ends without an answer. Loop thread, but
 * for the reading itself. */
#ifndef MREGION_DAEMON_REQUEST_H
#define MREGION_DAEMON_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/extent.h"
#include "core/region.h"
#include "daemon/input.h"
#include "daemon/worker.h"

struct act;
struct conn;
struct figures;
struct list;
struct piece;
struct plan;
struct region_entry;
struct roll;
struct server;
struct stream;

enum request_state {
    REQUEST_NEW,
    REQUEST_STAGED,
    REQUEST_LOADING,
    REQUEST_READING,
    REQUEST_STREAMING,
    REQUEST_STOPPED,
    REQUEST_HELD_READING,
    REQUEST_APPENDING,
    REQUEST_CHECKPOINTING,
    REQUEST_SCRUBBING,
    REQUEST_BACKING_UP,
    REQUEST_LISTING,
    REQUEST_AUTHENTICATING,
    REQUEST_ADMIN,
    REQUEST_STATES,
};

enum result_type {
    RESULT_NIL,
    RESULT_UINT,
    RESULT_BLOB,
    RESULT_PACKED, /* MessagePack already */
    RESULT_SCRUB,
};

/* What a client has marked a change with. */
struct call_token {
    bool is_given;
    uint8_t id[16];
    uint64_t fingerprint;
};

/* A result with the room in front of it that is no longer needs no piece: the memory of so many
 * answers, which wait for one commit, would not stay in the processor's cache. */
#define REQUEST_SMALL 128

struct request {
    struct conn *conn;
    struct region_entry *entry;      /* NULL for what is of no region, or of one to be made */
    struct request *previous, *next; /* in one of the entry's lists, or the free list */
    enum request_state state;
    uint32_t msgid;
    unsigned kind; /* for the statistics: its method, and when its turn came */
    uint64_t begun_ns;
    bool is_notification;
    bool has_pin;
    enum result_type result;
    uint64_t number;     /* RESULT_UINT; RESULT_PACKED: its size */
    uint64_t ticket;     /* of what it waits for */
    struct piece *piece; /* RESULT_BLOB, RESULT_PACKED: the answer, header's room in front; NULL:
                            it is in small */
    struct call_token token;
    struct plan *plan;                       /* of a batch that is not staged yet, or NULL */
    struct stream *stream;                   /* of a large load, or NULL */
    struct list *list;                       /* of a long list, or NULL */
    struct roll *roll;                       /* of the connections, or NULL */
    struct figures *figures;                 /* of stats(), or NULL */
    struct act *act;                         /* to be audited at its end, or NULL */
    void (*resume)(struct request *request); /* STOPPED, LISTING: how it goes on */
    struct buffer home;                      /* bytes that the region borrows */

    /* Loads and removes. */
    struct extent block;
    size_t filled; /* bytes of the blob that are read */
    struct region_pin pin;
    struct work work;
    uint64_t damaged; /* which page it found damaged, or UINT64_MAX */
    uint8_t small[REQUEST_SMALL];
    struct err err; /* how the worker fared; last, since it is most of the struct */
};

/* More than that is read by a worker, cached or not: some 50 microseconds. */
#define READ_AT_ONCE ((size_t)256 * 1024)

/* Requests that are free again; kept as long as the server lives, up to REQUESTS_KEPT. */
#define REQUESTS_KEPT 4096
struct request_cache {
    struct request *free;
    size_t count;
};
void request_cache_release(struct request_cache *cache);

/* A request of the connection; NULL without memory. */
struct request *request_new(struct conn *conn, struct region_entry *entry, uint32_t msgid,
                            bool is_notification);
/* Frees it without an answer. */
void request_free(struct request *request);

/* Enters a state; the move must be one of those above. */
void request_move(struct request *request, enum request_state state);

/* Stops the connection's further requests until request_release (or the request's end). */
void request_hold(struct request *request);
void request_release(struct request *request);

/* Makes room for a result of at most size bytes, header excluded, in the place of what it has;
 * is_charged: request_memory(size) is charged to the budget already. False without memory. */
bool request_reserve(struct request *request, enum result_type result, uint64_t size,
                     bool is_charged);
/* What the answer with a result of that size takes in memory. */
uint64_t request_memory(uint64_t size);
/* Where its bytes go: a blob's without the header of the bin. */
uint8_t *request_bytes(struct request *request);

/* Answer, then free. */
void request_succeed(struct request *request);
void request_fail(struct request *request, const struct err *err);

/* The connection, which the request holds, was unparked: on with it. Nobody is told the rest of a
 * long answer whom a reload has made nobody. */
void request_resume(struct request *request);
/* The connection is being closed. A request that holds it and is under way goes on; one that has
 * only waited ends here. */
void request_abandon(struct request *request);

/* Starts the worker's read of what is left of request->block, or of the blocks of its plan, pinned;
 * done is called on the loop afterwards with request->err filled, and has to call request_read_done
 * first. */
void request_read(struct request *request, void (*done)(struct work *work));
void request_read_done(struct request *request);

#define request_of_work(pointer)                                                                   \
    ((struct request *)(void *)((char *)(pointer)-offsetof(struct request, work)))

#endif
