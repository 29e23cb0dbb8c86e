/* A connection: the socket, what is on its way in both directions, and who waits for what. Private
 * to libmregion. */
#ifndef MREGION_CLIENT_CONNECTION_H
#define MREGION_CLIENT_CONNECTION_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/credentials.h"
#include "client/endpoint.h"
#include "client/mregion.h"
#include "client/pending.h"
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
    struct pending *body;         /* whose blob is being received, past the inbox; its rest: */
    uint64_t body_left;
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
    uint32_t
        backoff_ms; /* before the next attempt to make it again; 0 at first, and after an answer */
    uint64_t max_message; /* of the server at the other end; 0: not asked yet */
    msgpack_sbuffer out;  /* requests to be sent, from sent on */
    size_t sent;
    struct inbox inbox;
    struct pending_table pending;
};

/* Notices that the other end has closed while nothing was asked. To be called before something new
 * is asked. */
void connection_look(struct mregion *connection);

/* Makes the connection anew where there is none, again and again until the deadline.
 * MREGION_ERR_CONNECT, MREGION_ERR_LOST (reconnecting is off), MREGION_ERR_CANCELED; what
 * credentials_present says. */
int connection_ensure(struct mregion *connection, int64_t deadline, struct mregion_error *error);

/* Ends the connection. After MREGION_ERR_LOST the queue is to be sent again on the next one; what
 * else waits fails with code and text, and so does the queue after any other code. What was
 * gathered is dropped. Sets *error and returns code. */
int connection_end(struct mregion *connection, bool by_peer, enum mregion_code code,
                   const char *text, struct mregion_error *error);

#endif
