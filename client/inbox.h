/* What arrives: cut into answers, each given to the request that waits for it. A large blob goes
 * straight to the memory of who asked for it. Private to libmregion. */
#ifndef MREGION_CLIENT_INBOX_H
#define MREGION_CLIENT_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "client/connection.h"

/* Where the next bytes are to be received; false without memory. The memory grows with what
 * arrives, not with what is announced. */
bool inbox_room(struct mregion *connection, struct iovec *ret_room);

/* So many bytes were put there. MREGION_ERR_PROTOCOL when they are no answer; the connection is
 * ended then. */
int inbox_filled(struct mregion *connection, size_t size, struct mregion_error *error);

#endif
