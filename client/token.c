#include "client/token.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "client/error.h"

/* All 16 bytes are random, each time: no two are alike by accident, whatever other connections,
 * processes (a fork of this one too) and machines do, and nobody can guess one. That costs a system
 * call for a request that costs several, and needs no state that a fork would double. */
static int make(uint8_t *token, struct mregion_error *error)
{
    ssize_t count;

    do
        count = getrandom(token, MREGION_TOKEN_SIZE, 0);
    while (count < 0 && errno == EINTR);
    if (count == MREGION_TOKEN_SIZE)
        return MREGION_OK;
    return error_set_system(error, MREGION_ERR_LOCAL_IO, errno,
                            "the system gives no random bytes for a token");
}

int token_take(struct mregion *connection, uint8_t *token, struct mregion_error *error)
{
    if (!connection->has_token)
        return make(token, error);
    memcpy(token, connection->token, MREGION_TOKEN_SIZE);
    connection->has_token = false;
    return MREGION_OK;
}

int token_check_steps(const struct mregion *connection, struct mregion_error *error)
{
    if (!connection->has_token)
        return MREGION_OK;
    return error_set(error, MREGION_ERR_ARGUMENT,
                     "a blob that does not fit one message takes several changes, and a token is "
                     "for one: allocate, store in parts, each with a token of its own");
}

void token_drop(struct mregion *connection)
{
    connection->has_token = false;
}

void mregion_set_token(struct mregion *connection, const uint8_t token[MREGION_TOKEN_SIZE])
{
    connection->has_token = token != NULL && !connection->has_no_tokens;
    if (connection->has_token)
        memcpy(connection->token, token, MREGION_TOKEN_SIZE);
}
