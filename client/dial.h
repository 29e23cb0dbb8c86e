/* A socket that is being connected, to each address that the server has, in turn; nothing here
 * waits. Private to libmregion. */
#ifndef MREGION_CLIENT_DIAL_H
#define MREGION_CLIENT_DIAL_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/endpoint.h"
#include "client/mregion.h"

struct dial {
    struct addrinfo *list; /* of a host; */
    struct addrinfo *next; /* the one to be tried next */
    bool is_tried;         /* the one address of a Unix socket has been */
    int fd;                /* -1: none; does not block, is closed on exec */
    bool is_connecting;
    int number; /* errno of the last attempt */
};

/* Looks the host up, which is the one thing that may wait: as long as the system does.
 * MREGION_ERR_CONNECT. */
int dial_begin(struct dial *dial, const struct endpoint *endpoint, struct mregion_error *error);
/* MREGION_OK: dial->fd is connected and now the caller's. STEP_WAIT: ask again when the socket can
 * be written, or after dial_pause. MREGION_ERR_CONNECT, also after until. */
int dial_step(struct dial *dial, const struct endpoint *endpoint, int64_t until,
              struct mregion_error *error);
/* Milliseconds after which to ask again though the socket says nothing; -1: it will say. */
int dial_pause(const struct dial *dial);
/* Gives up what there is; harmless where nothing was begun or all is done. */
void dial_end(struct dial *dial);

#endif
