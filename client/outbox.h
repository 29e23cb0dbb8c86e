/* Requests on their way out: each is sent once over a connection, in the order of submission, and
 * what is still unanswered when a connection is lost is sent again over the next one. Private to
 * libmregion. */
#ifndef MREGION_CLIENT_OUTBOX_H
#define MREGION_CLIENT_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "client/connection.h"

/* Sends the queue, small requests at least as far as connection->out, over as many connections as
 * it takes; a connection is made only where there is something to send. MREGION_ERR_LOST: what
 * could not be sent again has failed, and nothing is left to be sent; CONNECT, TIMEOUT, CANCELED,
 * MEMORY: some of it is still to be sent. */
int outbox_send(struct mregion *connection, int64_t deadline, struct mregion_error *error);

/* Makes the pending one independent of its request's memory; false without memory. */
bool outbox_copy(struct mregion *connection, struct pending *pending);

#endif
