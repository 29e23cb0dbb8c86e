/* A socket that is being connected, to each address that the server has, in turn; nothing here
 * waits. Private to libmregion. */
#ifndef MREGION_CLIENT_DIAL_H
#define MREGION_CLIENT_DIAL_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/endpoint.h"
#include "client/lookup.h"
#include "client/mregion.h"

struct dial {
    struct lookup *lookup; /* under way, or NULL */
    struct addrinfo *list; /* of a host; */
    struct addrinfo *next; /* the one to be tried next */
    bool is_tried;         /* the one address of a Unix socket has been */
    int fd;                /* -1: none; does not block, is closed on exec */
    bool is_connecting;
    int number;      /* errno of the last attempt */
    uint64_t opened; /* sockets and lookups so far: the number of the present one */
    int watcher;     /* an epoll instance that may know the sockets, or -1 */
};

/* MREGION_ERR_CONNECT, MEMORY. */
int dial_begin(struct dial *dial, const struct endpoint *endpoint, struct mregion_error *error);
/* MREGION_OK: dial->fd is connected and now the caller's. STEP_WAIT: see dial_wants.
 * MREGION_ERR_CONNECT, also after until. */
int dial_step(struct dial *dial, const struct endpoint *endpoint, int64_t until,
              struct mregion_error *error);
/* After STEP_WAIT: these events of the descriptor (-1: none), or *ret_pause_ms (-1: no pause). */
void dial_wants(const struct dial *dial, int *ret_fd, short *ret_events, int *ret_pause_ms);
/* Gives up what there is; harmless where nothing was begun or all is done. */
void dial_end(struct dial *dial);
/* Closes a socket that came from here. A process that was forked may still have it, and the watcher
 * is told that it is of no interest. */
void dial_close(const struct dial *dial, int fd);

#endif
