/* The blocking form: takes the steps of the connection, and waits in between for what they wait
 * for. Private to libmregion.
 *
 * Every function fails with MREGION_ERR_TIMEOUT or CONNECT when the deadline has passed, with
 * CANCELED, or as the steps do. */
#ifndef MREGION_CLIENT_DRIVE_H
#define MREGION_CLIENT_DRIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/connection.h"

/* Makes the connection for the first time: one attempt. */
int drive_first(struct mregion *connection, struct mregion_error *error);
/* Makes it where there is none, again and again. */
int drive_connect(struct mregion *connection, int64_t deadline, struct mregion_error *error);
/* Sends the queue, over as many connections as it takes; small requests may stay gathered. */
int drive_send(struct mregion *connection, int64_t deadline, struct mregion_error *error);
/* Sends what is gathered. */
int drive_flush(struct mregion *connection, int64_t deadline, struct mregion_error *error);
/* Sends all, and receives until the request no longer waits, over as many connections as it takes.
 */
int drive_until_answered(struct mregion *connection, const struct pending *pending,
                         int64_t deadline, struct mregion_error *error);
/* The same until is_due says so of the connection's subscription. */
int drive_until_event(struct mregion *connection,
                      bool (*is_due)(const struct mregion_events *events), int64_t deadline,
                      struct mregion_error *error);
/* Sends and receives what can be now. */
void drive_poll(struct mregion *connection);

#endif
