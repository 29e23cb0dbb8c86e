/* Tokens: names of changes, by which the server knows a change that it has made already. Private to
 * libmregion. */
#ifndef MREGION_CLIENT_TOKEN_H
#define MREGION_CLIENT_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "client/connection.h"

/* The token of the next change: the caller's own if one is set, which then no longer is, else a
 * fresh one. MREGION_ERR_LOCAL_IO: the system gives no random bytes. */
int token_take(struct mregion *connection, uint8_t *token, struct mregion_error *error);

/* A change that is made in several steps has no use for the caller's own token:
 * MREGION_ERR_ARGUMENT if one is set. */
int token_check_steps(const struct mregion *connection, struct mregion_error *error);

/* The change for which the caller's own token was set is over: it is not for a later one. */
void token_drop(struct mregion *connection);

#endif
