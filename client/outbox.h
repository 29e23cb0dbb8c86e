/* Requests on their way out: each is sent once over a connection, in the order of submission, and
 * what is still unanswered when a connection is lost is sent again over the next one. Private to
 * libmregion. */
#ifndef MREGION_CLIENT_OUTBOX_H
#define MREGION_CLIENT_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "client/connection.h"

/* Sends the queue, small requests at least as far as connection->out, and makes a connection where
 * there is something to send and none. MREGION_OK: nothing is left to be sent. STEP_WAIT: some of
 * it is, and the socket or the clock is waited for. MREGION_ERR_LOST: the connection is lost, and
 * the queue is to be sent over the next one. What attempt_step says; CANCELED, MEMORY. */
int outbox_step(struct mregion *connection, struct mregion_error *error);
/* The bytes of the message under way have left. MREGION_ERR_MEMORY has ended the connection. */
int outbox_end_message(struct mregion *connection, struct mregion_error *error);
/* Takes the message under way back if nothing of it was sent, ends the connection otherwise. */
void outbox_stop(struct mregion *connection);
/* The connection is gone, and what was on its way out. */
void outbox_drop(struct mregion *connection);

/* Makes the pending one independent of its request's memory; false without memory. */
bool outbox_copy(struct mregion *connection, struct pending *pending);

#endif
