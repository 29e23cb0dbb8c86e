/* Bytes over the socket: requests out, answers in, each to who waits for it. While something is
 * sent, what arrives is received, so that both sides never wait for each other. Private to
 * libmregion.
 *
 * Every function fails with MREGION_ERR_TIMEOUT (the connection goes on), or has ended the
 * connection (connection_end) with LOST or PROTOCOL. */
#ifndef MREGION_CLIENT_WIRE_H
#define MREGION_CLIENT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "client/connection.h"

/* Sends what is in connection->out. */
int wire_flush(struct mregion *connection, int64_t deadline, struct mregion_error *error);

/* Sends what is in connection->out, whose last message begins at begin, and then the size bytes
 * that belong to that message, which is pending's. When that fails in the middle of the message the
 * connection is ended; before, the message is taken back. Besides: MREGION_ERR_CANCELED. */
int wire_send_blob(struct mregion *connection, struct pending *pending, size_t begin,
                   const void *bytes, uint64_t size, int64_t deadline, struct mregion_error *error);

/* Sends what the socket takes at once. That the connection is lost will show later. */
void wire_push(struct mregion *connection);

/* Sends what is there and receives until the request no longer waits. Besides:
 * MREGION_ERR_CANCELED. */
int wire_wait(struct mregion *connection, const struct pending *pending, int64_t deadline,
              struct mregion_error *error);

/* Receives what is there, without waiting. The same holds. */
void wire_poll(struct mregion *connection);

/* More of pending's blob has moved: tells the caller's callback, if it is the one under way. */
void wire_moved(struct mregion *connection, struct pending *pending, uint64_t size);

#endif
