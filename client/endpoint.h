/* Where the server is. Private to libmregion. */
#ifndef MREGION_CLIENT_ENDPOINT_H
#define MREGION_CLIENT_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "client/mregion.h"

struct endpoint {
    char *text; /* as it was given: for error sentences */
    bool is_unix;
    bool is_tls;
    char *path; /* of a Unix socket, else the host */
    char *port;
};

/* Takes "unix:PATH", "tcp:HOST:PORT" or "tls:HOST:PORT" apart; endpoint_release frees it.
 * MREGION_ERR_ARGUMENT, MREGION_ERR_MEMORY; nothing is to be released then. */
int endpoint_init(struct endpoint *endpoint, const char *address, struct mregion_error *error);
void endpoint_release(struct endpoint *endpoint);

/* Whether nobody on the way can read what is sent over the connected socket, also without TLS: only
 * then a password is. */
bool endpoint_is_private(int fd);

#endif
