/* A connection: the socket, what is on its way in both directions, and who waits for what. Private
 * to libmregion. */
#ifndef MREGION_CLIENT_CONNECTION_H
#define MREGION_CLIENT_CONNECTION_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/credentials.h"
#include "client/dial.h"
#include "client/endpoint.h"
#include "client/mregion.h"
#include "client/pending.h"
#include "client/step.h"
#include "proto/frame.h"

/* A blob under way that reports its progress. */
struct transfer {
    mregion_progress progress;
    void *context;
    uint64_t done;
    uint64_t total; /* 0: not known */
    bool is_canceled;
    bool is_cut; /* into several messages, none of which is stopped in its middle: so the
                    connection stays and the rest can be put in order */
};

/* Bytes that have arrived and are not handled yet: [start, end) of the memory. */
struct inbox {
    uint8_t *bytes;
    size_t capacity;
    size_t start;
    size_t end;
    struct frame_scanner scanner; /* of the frame that begins at start */
    uint64_t body_left;           /* of the blob that is being received past the inbox, for
                                     pending_table.receiving */
};

/* A message that is sent from where it is, behind what is gathered. It may outlive its pending one,
 * which is pending_table.sending. */
struct sending {
    const uint8_t *rest; /* what has not left: of a blob, or of a whole message */
    uint64_t left;       /* 0: none is under way */
    uint64_t size;
    size_t begin, head;            /* what is gathered for it, in connection->out */
    const struct request *request; /* whose tail follows the blob, or NULL; its token: */
    uint8_t token[MREGION_TOKEN_SIZE];
    bool has_token;
    uint8_t *message; /* memory of our own, or NULL */
};

/* How far the making of a connection is. */
enum stage {
    STAGE_DOWN,     /* there is none; nothing is done about it before retry_at if is_pausing */
    STAGE_DIALING,  /* a socket is being connected */
    STAGE_SHAKING,  /* hands, for TLS */
    STAGE_GREETING, /* there is one, and before the queue goes on something is asked */
    STAGE_UP,
};

struct attempt {
    enum stage stage;
    struct dial dial; /* its socket becomes the connection's when the connection is there */
    int64_t until;    /* may it take, before STAGE_UP */
    bool is_pausing;
    int64_t retry_at;
    uint32_t pause_ms; /* before the next attempt; 0 at first, and after an answer */
    struct pending *greeting;
    uint32_t greeting_pause_ms; /* pause_ms before it was answered */
    bool greeting_is_info;      /* serverInfo, and not authenticate */
    struct mregion_error
        failure; /* of the last attempt; its code is MREGION_OK when it succeeded */
};

/* The descriptor that somebody's loop watches: an epoll instance, with the socket and a timer. */
struct loop {
    int fd; /* -1: nobody has asked for it */
    int timer;
    uint64_t watched; /* dial.opened of the socket in it; 0: none */
    short events;     /* of that */
    int64_t until;    /* when the timer is set for */
    bool is_processing;
    bool is_closing;
    bool is_full;     /* a submit was refused, and nobody was told that there is room again */
    uint64_t attempt; /* connection->attempts of what is handed over at present */
    mregion_on_room on_room;
    void *room_data;
    int64_t deadline; /* no asynchronous request's is earlier */
};

struct secure;

struct mregion {
    struct endpoint endpoint;
    struct credentials credentials;
    struct secure *secure; /* NULL: without TLS */
    bool is_untrusted;     /* the server has shown a certificate that is not accepted */
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;         /* of the next call */
    uint32_t timeout_default_ms; /* of the connection */
    uint32_t tickets_max;
    uint64_t kept_max;
    bool reconnects;
    bool has_no_tokens;
    bool has_token; /* the caller's own, for the next change */
    uint8_t token[MREGION_TOKEN_SIZE];
    mregion_progress progress;
    void *progress_context;
    struct transfer *transfer; /* the one under way, or NULL */

    int fd;               /* -1 while there is no connection */
    uint64_t attempts;    /* how often it was made */
    bool is_lost_by_peer; /* why there is none: the server, or the network, ended it */
    struct attempt attempt;
    uint64_t max_message; /* of the server at the other end; 0: not asked yet */
    msgpack_sbuffer out;  /* requests to be sent, from sent on */
    size_t sent;
    struct sending sending;
    struct inbox inbox;
    struct pending_table pending;
    struct loop loop;
    struct mregion_events *events; /* NULL: nobody has subscribed */
    bool was_subscribed; /* the server may tell events on this connection, wanted or not */
};

/* Notices that the other end has closed while nothing was asked. To be called before something new
 * is asked. */
void connection_look(struct mregion *connection);

/* Ends the connection. After MREGION_ERR_LOST the queue is to be sent again on the next one; what
 * else waits fails with code and text, and so does the queue after any other code. What was
 * gathered is dropped. Sets *error and returns code. */
int connection_end(struct mregion *connection, bool by_peer, enum mregion_code code,
                   const char *text, struct mregion_error *error);

#endif
