#include "client/credentials.h"

#include <stdlib.h>
#include <string.h>

#include "client/attempt.h"
#include "client/call.h"
#include "client/connection.h"
#include "client/deadline.h"
#include "client/drive.h"
#include "client/error.h"
#include "client/request.h"
#include "client/secure.h"

void credentials_release(struct credentials *credentials)
{
    if (credentials->password != NULL)
        explicit_bzero(credentials->password, credentials->password_size);
    free(credentials->password);
    free(credentials->user);
    *credentials = (struct credentials){0};
}

static struct request request_of(const char *user, const void *password, size_t size)
{
    return (struct request){.method = METHOD_AUTHENTICATE,
                            .region = user, /* its place among the parameters is the same */
                            .blob = password,
                            .blob_size = size};
}

void credentials_wipe(struct mregion *connection)
{
    msgpack_sbuffer *out = &connection->out;

    if (out->data != NULL)
        explicit_bzero(out->data + out->size, out->alloc - out->size);
    if (connection->secure != NULL)
        secure_wipe(connection->secure);
}

/* ---- The first time ---- */

static int check(const char *user, const void *password, size_t size, struct mregion_error *error)
{
    if (user == NULL || user[0] == '\0' || user[0] == '#')
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "the user's name is missing, or begins with #");
    if (password == NULL && size > 0)
        return error_set(error, MREGION_ERR_ARGUMENT, "the password's bytes are missing");
    return MREGION_OK;
}

/* The server would refuse it too, but then it would have been on its way. */
static int check_private(const struct mregion *connection, struct mregion_error *error)
{
    if (endpoint_is_private(connection->fd) ||
        (connection->secure != NULL && secure_verifies(connection->secure)))
        return MREGION_OK;
    return error_set(error, MREGION_ERR_DENIED,
                     "a password is sent only over a Unix socket, to loopback, or over TLS to a "
                     "server whose certificate is verified, and %.200s is none of them",
                     connection->endpoint.text);
}

static int keep(struct credentials *credentials, const char *user, const void *password,
                size_t size, struct mregion_error *error)
{
    struct credentials fresh = {.user = strdup(user), .password = malloc(size + 1)};

    if (fresh.user == NULL || fresh.password == NULL) {
        credentials_release(&fresh);
        return error_no_memory(error);
    }
    fresh.password_size = size;
    if (size > 0)
        memcpy(fresh.password, password, size);
    *credentials = fresh;
    return MREGION_OK;
}

/* On the connection that there is. */
static int authenticate(struct mregion *connection, const struct credentials *fresh,
                        struct mregion_error *error)
{
    struct request request = request_of(fresh->user, fresh->password, fresh->password_size);
    int code = check_private(connection, error);

    if (code == MREGION_OK)
        code = call_for_nothing(connection, &request, error);
    credentials_wipe(connection);
    /* The server may take this for somebody else by now, or soon. */
    if (code == MREGION_ERR_TIMEOUT && connection->fd >= 0)
        (void)connection_end(connection, false, MREGION_ERR_LOST,
                             "who is at its end is not known any more", NULL);
    return code;
}

/* There is none: the next one begins with these, and not with those of before, which may be why
 * there is none. */
static int connect_as(struct mregion *connection, const struct credentials *fresh,
                      struct mregion_error *error)
{
    struct credentials before = connection->credentials;
    int code;

    connection->credentials = *fresh;
    attempt_hurry(connection);
    code = drive_connect(connection, deadline_after(connection->timeout_ms), error);
    connection->credentials = before;
    return code;
}

int mregion_authenticate(struct mregion *connection, const char *user, const void *password,
                         size_t size, struct mregion_error *error)
{
    struct credentials fresh = {0};
    int code = check(user, password, size, error);

    if (code == MREGION_OK)
        code = keep(&fresh, user, password, size, error);
    if (code != MREGION_OK)
        return code;
    connection_look(connection);
    code = connection->fd >= 0 ? authenticate(connection, &fresh, error)
                               : connect_as(connection, &fresh, error);
    if (code != MREGION_OK) {
        credentials_release(&fresh);
        return code;
    }
    credentials_release(&connection->credentials);
    connection->credentials = fresh;
    return MREGION_OK;
}

int mregion_set_user(struct mregion *connection, const char *user, const void *password,
                     size_t size, struct mregion_error *error)
{
    struct credentials fresh = {0};
    int code = check(user, password, size, error);

    if (code == MREGION_OK)
        code = keep(&fresh, user, password, size, error);
    if (code != MREGION_OK)
        return code;
    credentials_release(&connection->credentials);
    connection->credentials = fresh;
    return MREGION_OK;
}

/* ---- Again ---- */

int credentials_pack(struct mregion *connection, const struct pending *pending,
                     struct mregion_error *error)
{
    const struct credentials *credentials = &connection->credentials;
    struct request request =
        request_of(credentials->user, credentials->password, credentials->password_size);
    msgpack_sbuffer *out = &connection->out;
    int code = check_private(connection, error);

    if (code != MREGION_OK)
        return code;
    if (!request_pack(&request, NULL, pending_msgid(pending), out) ||
        msgpack_sbuffer_write(out, request.blob, (size_t)request.blob_size) != 0) {
        out->size = 0;
        credentials_wipe(connection);
        return error_no_memory(error);
    }
    return MREGION_OK;
}
