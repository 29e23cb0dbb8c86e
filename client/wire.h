/* Bytes over the socket: requests out, answers in, each to who waits for it. Nothing here waits.
 * Private to libmregion.
 *
 * What fails has ended the connection (connection_end) with LOST or PROTOCOL. */
#ifndef MREGION_CLIENT_WIRE_H
#define MREGION_CLIENT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/connection.h"

/* Sends what is gathered and the message under way. MREGION_OK: all of it has left. STEP_WAIT: the
 * socket takes no more. Besides: MREGION_ERR_CANCELED, MEMORY. */
int wire_push(struct mregion *connection, struct mregion_error *error);
/* Receives what is there, at most as much as there is room for at once. STEP_WAIT: nothing is. */
int wire_pull(struct mregion *connection, struct mregion_error *error);
/* Both, until nothing more is there. */
void wire_poll(struct mregion *connection);

/* Whether there is something to be sent, or to be received without waiting for the socket. */
bool wire_has_output(const struct mregion *connection);
bool wire_has_input(const struct mregion *connection);

/* Whether the blob under way is to be stopped in the middle of its message. */
bool wire_is_canceled(const struct mregion *connection);
/* The socket has failed with an errno value. */
int wire_lose(struct mregion *connection, int number, struct mregion_error *error);

/* More of pending's blob has moved: tells the caller's callback, if it is the one under way. */
void wire_moved(struct mregion *connection, struct pending *pending, uint64_t size);

#endif
