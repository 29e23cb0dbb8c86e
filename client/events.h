/* What happens to regions, received between answers and kept until somebody takes it. Private to
 * libmregion.
 *
 *     asking ──► subscribed ──► (a while) ──► asking, to see that somebody is there
 *        ▲            └─── connection lost ────┐
 *        └─────────────────────────────────────┘
 *
 * The server is asked by a request of the library's own, which is repeated over as many connections
 * as it takes, and once more after a while: who only listens would not notice that nobody is at the
 * other end any more, or would be closed for being idle. */
#ifndef MREGION_CLIENT_EVENTS_H
#define MREGION_CLIENT_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/connection.h"
#include "proto/cursor.h"

/* Each is fine where nobody has subscribed. */

/* A notification has come, of which the cursor is behind the type. What is no event is ignored. */
void events_take(struct mregion *connection, struct cursor cursor);
/* The connection is about to be ended. */
void events_lose(struct mregion *connection);
/* Looks at what became of the asking, and asks where that is due. */
void events_step(struct mregion *connection);
/* It cannot be asked, for a reason that waiting does not change. */
void events_fail(struct mregion *connection, const struct mregion_error *reason);
/* When the next step is due. */
int64_t events_until(const struct mregion *connection);
/* Whether there is something to hand over to a callback. */
bool events_are_due(const struct mregion *connection);
void events_hand_over(struct mregion *connection);
/* Nobody hears of anything any more. */
void events_release(struct mregion *connection);

/* For those who block: whether there is something to be taken; whether it is known if the server
 * takes the subscription. */
bool events_has_next(const struct mregion_events *events);
bool events_is_settled(const struct mregion_events *events);

#endif
