/* Who the caller is to the server: kept, so that a connection that is made again is his again
 * before anything else is asked on it. Private to libmregion. */
#ifndef MREGION_CLIENT_CREDENTIALS_H
#define MREGION_CLIENT_CREDENTIALS_H

#include <stddef.h>
#include <stdint.h>

#include "client/mregion.h"

struct mregion;
struct pending;

struct credentials {
    char *user; /* NULL: there are none */
    uint8_t *password;
    size_t password_size;
};

/* Wipes and frees them. */
void credentials_release(struct credentials *credentials);

/* Packs the request that is the first on a connection that has just been made; its answer is
 * pending's. MREGION_ERR_DENIED (they are not sent over such a connection), MEMORY. */
int credentials_pack(struct mregion *connection, const struct pending *pending,
                     struct mregion_error *error);
/* Nothing of the password stays where it was packed. To be called once it is sent, or is not. */
void credentials_wipe(struct mregion *connection);

#endif
