/* Who the caller is to the server: kept, so that a connection that is made again is his again
 * before anything else is asked on it. Private to libmregion. */
#ifndef MREGION_CLIENT_CREDENTIALS_H
#define MREGION_CLIENT_CREDENTIALS_H

#include <stddef.h>
#include <stdint.h>

#include "client/mregion.h"

struct mregion;

struct credentials {
    char *user; /* NULL: there are none */
    uint8_t *password;
    size_t password_size;
};

/* Wipes and frees them. */
void credentials_release(struct credentials *credentials);

/* Authenticates on a connection that has just been made, if there are any. On failure the
 * connection is ended: with the server's code, after which the queue fails too, or, where another
 * one may fare better, LOST, BUSY, SHUTTING_DOWN, TIMEOUT, CANCELED or MEMORY; the queue is kept
 * then. */
int credentials_present(struct mregion *connection, int64_t deadline, struct mregion_error *error);

#endif
