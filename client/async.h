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
/* Hands over everything that is left. False: the connection is closed later, by the step that calls
 * back at present. */
bool async_close(struct mregion *connection);

#endif
