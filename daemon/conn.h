/* One connection: what it reads becomes requests, what they answer is written.
 *
 *     open ──► ending ──► lingering ──► closing ──► (freed once no request is left)
 *       └─────────┴───────────────────────┘
 *
 * open       reads, frames, hands each request to dispatch.
 * ending     reads no more (the peer has sent its last, or is gone, or the server stops); what has
 *            arrived whole is still executed, and answered unless the peer is gone.
 * lingering  everything is sent and so is our end of the stream; what the peer still sends is
 *            thrown away for a moment, because closing a socket with unread bytes would take the
 *            last answer from it.
 * closing    the handle is being closed; requests under way finish without an answer.
 *
 * An open connection stops in the middle of its requests, and reads nothing, while
 *   - a request has to wait before it can be staged (CONN_WAITS_REGION): its message stays where
 *     it is and is handled anew when the region says so;
 *   - an upload of it has to come further first (CONN_WAITS_UPLOAD), likewise;
 *   - memory is short (CONN_WAITS_MEMORY), likewise;
 *   - a request holds it (conn->held), whose effect must precede those that follow;
 *   - max_pipeline requests are under way, or max_unread bytes of answers are owed;
 *   - it has had its stretch of the loop (is_yielding): the others are first, then it goes on.
 *
 * With TLS, what was read is decrypted as far as the connection reads, and the rest is kept until
 * it reads on; what is to be sent is encrypted as the socket takes it. The bytes between TLS and
 * the socket are bounded by proto/tls. An end of the socket that TLS has not announced is a peer
 * that is gone. */
#ifndef MREGION_DAEMON_CONN_H
#define MREGION_DAEMON_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"
#include "core/limits.h"
#include "daemon/access.h"
#include "daemon/input.h"
#include "daemon/log.h"
#include "daemon/output.h"
#include "proto/frame.h"

struct origin;
struct region_entry;
struct request;
struct server;
struct stream;
struct tls;
struct upload;

/* How long a lingering connection is waited for: a peer that reads at all does so by then. */
#define LINGER_MS 2000
/* When the server stops: for how long a peer may take nothing of its answers, and for how long it
 * may be waited for in all. */
#define DRAIN_MS 5000
#define DRAIN_ALL_MS (4 * DRAIN_MS)
/* What one connection may take of the loop before all others have had their turn: time for its
 * requests, bytes read and bytes written. Together they are less than a millisecond. */
#define STRETCH_NS 500000
#define STRETCH_BYTES ((size_t)512 * 1024)
/* A message has a second more than message_timeout for so many of its bytes that have come. */
#define MESSAGE_RATE ((uint64_t)16 * 1024)

enum conn_state { CONN_OPEN, CONN_ENDING, CONN_LINGERING, CONN_CLOSING };
enum conn_wait { CONN_WAITS_NOT, CONN_WAITS_REGION, CONN_WAITS_UPLOAD, CONN_WAITS_MEMORY };

struct conn {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle;
    struct server *server;
    struct conn *previous, *next; /* all connections */

    enum conn_state state;
    bool is_closed;     /* the handle is gone */
    bool is_reading;    /* uv_read_start is in force */
    bool is_writing;    /* the write request below is under way */
    bool has_failed;    /* it was ended for a bad message */
    bool is_lost;       /* nobody is there to read answers */
    bool is_ready;      /* in the server's list of those to be run again this turn */
    bool is_dirty;      /* in the server's list of those with output */
    bool is_subscribed; /* to events */
    bool is_later;      /* in the server's list of those that go on after the others */
    bool is_yielding;   /* nothing is executed or read until then */
    struct conn *ready_next, *dirty_next, *later_next;
    uint64_t stretch;    /* the server's iteration that these belong to: */
    uint64_t stretch_ns; /* spent on its requests */
    size_t stretch_read; /* bytes */
    size_t stretch_written;

    enum conn_wait wait;
    struct conn *wait_previous, *wait_next; /* in entry->parked or budget->waiting */
    struct region_entry *wait_entry;
    const struct upload *wait_upload; /* which one, with CONN_WAITS_UPLOAD; NULL: any */
    struct budget *wait_budget;       /* with CONN_WAITS_MEMORY, and how much */
    uint64_t wait_bytes;
    uint64_t wait_unread; /* or so many in its socket, that complete a small message; 0 */
    struct request *held; /* the request that holds it, or NULL */

    struct input input;
    struct frame_scanner scanner;
    struct output output;
    uint64_t reserved;      /* bytes of answers that requests under way will add to output */
    uint64_t in_flight;     /* requests under way; they point here */
    uint64_t events_lost;   /* since the last one that it was told */
    uint64_t scrubs;        /* of which wait for a scrub */
    uint64_t backups;       /* likewise, for a backup */
    struct stream *streams; /* of which are large loads */
    struct upload *uploads; /* that it has begun */
    uint64_t moved_ms;      /* when a byte was last read or written */
    uint64_t moved;         /* bytes read and written, without a write under way */
    uint64_t moved_noted;   /* with it, when that was last looked at */
    uint64_t stall_moved;   /* as many as there were */
    uint64_t stall_ms;      /* when it was first seen holding memory that others wait for */
    uint64_t seen_ms;       /* when it was last looked at for that */
    uint64_t parked_ns;     /* when the turn of the message came that is parked; 0: none is */
    uint64_t begun_ms;      /* when the message that has come in part was begun; 0: there is none */
    uint64_t awaited_ms;    /* at the server's end: when that was last seen to be waited for here */
    uint64_t owing_ms;      /* likewise: for how long the peer was, with its answers to take */
    uint64_t linger_ms;     /* when lingering ends */
    size_t writing;         /* bytes of the write under way */
    union {
        uv_write_t write;
        uv_shutdown_t shutdown; /* once nothing is left to be written */
    } operation;
    struct identity identity;
    struct origin *origin; /* NULL until it is admitted */
    bool is_unix;
    bool is_private;   /* nobody can listen to it: a Unix socket, loopback, or TLS */
    uint64_t number;   /* of this connection, since the start */
    uint64_t since_s;  /* when it came, in seconds since 1970 */
    uint64_t requests; /* executed */
    uint64_t sent;     /* those of the bytes that have moved; the others were received */
    char peer[80];     /* for the log */

    struct tls *tls;      /* its end of TLS, or NULL: it has none */
    uint64_t tls_counted; /* bytes of the budget */
    uint64_t tls_late_ms; /* when the handshake must be through; 0: it is */
    char *subject;        /* of the peer's certificate, or NULL */
};

/* A connection whose handle is initialized but not open yet; NULL without memory. It counts as
 * open until conn_close. */
struct conn *conn_new(struct server *server, bool is_unix);
/* Its handle is that of a connected socket from now on. 0, or libuv's number of what failed, and
 * the socket is still the caller's. */
int conn_open(struct conn *conn, int fd);
/* It speaks TLS, from its first byte on. False without memory. */
bool conn_secure(struct conn *conn);
/* Whether nobody on the way can read what is sent: only then a password is taken. */
static inline bool conn_is_private(const struct conn *conn)
{
    return conn->is_private;
}
/* The subject of the certificate that the client has proved to have and that was verified, as
 * RFC 2253 writes it ("CN=backup,O=Example"), or NULL. Known by the time of the first request. */
static inline const char *conn_certificate_subject(const struct conn *conn)
{
    return conn->subject;
}
/* Its handle is connected: begins to read. */
void conn_start(struct conn *conn);

/* Has it run again, and sent what is there, once the others have had their turn; until then it
 * executes and reads nothing. */
void conn_yield(struct conn *conn);
/* For the server: that moment has come. */
void conn_go_on(struct conn *conn);
/* Handles what has arrived, as far as it goes, then reads on or stops. */
void conn_run(struct conn *conn);
/* Whether an answer put into conn->output has a chance to be read. */
static inline bool conn_takes_answers(const struct conn *conn)
{
    return (conn->state == CONN_OPEN || conn->state == CONN_ENDING) && !conn->is_lost;
}
/* Has conn_run called before the loop waits again. */
void conn_wake(struct conn *conn);
/* Answers have been put into conn->output: they are sent at the end of the turn. */
void conn_send(struct conn *conn);
/* Sends what is there. Server, at the end of the turn. */
void conn_flush(struct conn *conn);

/* The request at hand cannot go on before the region (or memory) lets it; for use within conn_run.
 * The connection is run again then. A connection that waited and has to wait again keeps its
 * place. */
void conn_park_region(struct conn *conn, struct region_entry *entry);
void conn_park_upload(struct conn *conn, const struct upload *upload);
void conn_park_memory(struct conn *conn, uint64_t bytes);
/* Takes it out of the list that it waits in. */
void conn_unpark(struct conn *conn);

/* No more reading: what is there is finished, then the connection is closed. */
void conn_end(struct conn *conn);
/* Logs why and ends the connection without executing anything further; an answer may have been
 * put into the output before. */
void conn_fail(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The fields of a line of the log about it: its peer, and its user where that is known. */
struct log_about conn_about(const struct conn *conn);
/* What it has in memory: bytes of max_buffered. */
uint64_t conn_holds(const struct conn *conn);
/* Closes it now; what was not sent is lost. */
void conn_close(struct conn *conn);
/* A request of this connection is gone: frees the connection if that was the last thing it waited
 * for, else lets it go on. */
void conn_request_gone(struct conn *conn);

/* It was taken out of the server's list of ready or dirty connections: frees it if it lives for
 * that alone. */
void conn_leave_list(struct conn *conn);

/* Closes those that linger for too long or hold what others wait for. Server, about once a second.
 * Whether it is to be looked at again soon. */
bool conn_sweep(struct conn *conn, uint64_t now_ms);
/* Closes those that have passed idle_timeout or message_timeout. Server, now and then. Whether it
 * may pass one later. */
bool conn_check_time(struct conn *conn);
/* Says so, as far as such lines may be logged, and closes it: its peer was too slow. */
void conn_give_up(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
