/* Requests whose answers are handed to callbacks. Private to libmregion. */
#ifndef MREGION_CLIENT_ASYNC_H
#define MREGION_CLIENT_ASYNC_H

#include <stdbool.h>

#include "client/call.h"
#include "client/connection.h"

/* async and ret_ticket may be NULL. The token that was set is the request's. */
int async_start(struct mregion *connection, const struct request *request,
                const struct mregion_async *async, mregion_ticket *ret_ticket,
                struct mregion_error *error);
/* One that is held is to be sent now, behind everything that is. */
void async_release(struct mregion *connection, struct pending *pending);
/* One that is not over is: it is handed over with code and reason, and what is known of the change.
 */
void async_give_up(struct mregion *connection, struct pending *pending, enum mregion_code code,
                   const char *reason);
/* Hands over everything that is left. False: the connection is closed later, by the step that calls
 * back at present. */
bool async_close(struct mregion *connection);

#endif
