#include "client/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/async.h"
#include "client/attempt.h"
#include "client/deadline.h"
#include "client/drive.h"
#include "client/error.h"
#include "client/events.h"
#include "client/loop.h"
#include "client/outbox.h"
#include "client/secure.h"
#include "client/wire.h"

#define CONNECT_TIMEOUT_MS 10000
#define TIMEOUT_MS 60000
#define TICKETS_MAX 1024
#define KEPT_MAX ((uint64_t)64 << 20)
/* Programs that were built before the library had tokens pass zeros there. */
_Static_assert(sizeof(struct mregion_options) ==
                   offsetof(struct mregion_options, no_tokens) + 8 * sizeof(uint64_t),
               "the options have another size than at first");

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

int mregion_open(const char *address, const struct mregion_options *options,
                 struct mregion **ret_connection, struct mregion_error *error)
{
    static const struct mregion_options defaults;
    struct mregion *connection = calloc(1, sizeof *connection);
    int code;

    if (connection == NULL)
        return error_no_memory(error);
    if (options == NULL)
        options = &defaults;
    connection->fd = -1;
    connection->attempt.dial = (struct dial){.fd = -1, .watcher = -1};
    connection->loop = (struct loop){.fd = -1, .timer = -1, .deadline = DEADLINE_NEVER};
    connection->connect_timeout_ms =
        (uint32_t)or_default(options->connect_timeout_ms, CONNECT_TIMEOUT_MS);
    connection->timeout_default_ms = (uint32_t)or_default(options->timeout_ms, TIMEOUT_MS);
    connection->timeout_ms = connection->timeout_default_ms;
    connection->tickets_max = (uint32_t)or_default(options->tickets_max, TICKETS_MAX);
    connection->kept_max = or_default(options->kept_max, KEPT_MAX);
    connection->reconnects = !options->no_reconnect;
    connection->has_no_tokens = options->no_tokens;
    msgpack_sbuffer_init(&connection->out);
    frame_reset(&connection->inbox.scanner);
    code = endpoint_init(&connection->endpoint, address, error);
    if (code == MREGION_OK && connection->endpoint.is_tls)
        code = secure_new(options->tls, &connection->endpoint, &connection->secure, error);
    if (code == MREGION_OK)
        *ret_connection = connection;
    else
        mregion_close(connection);
    return code;
}

int mregion_connect(const char *address, const struct mregion_options *options,
                    struct mregion **ret_connection, struct mregion_error *error)
{
    struct mregion *connection = NULL;
    int code = mregion_open(address, options, &connection, error);

    if (code != MREGION_OK)
        return code;
    code = drive_first(connection, error);
    if (code == MREGION_OK)
        *ret_connection = connection;
    else
        mregion_close(connection);
    return code;
}

void mregion_close(struct mregion *connection)
{
    if (connection == NULL || !async_close(connection))
        return;
    events_release(connection);
    attempt_end(connection);
    if (connection->fd >= 0) {
        secure_stop(connection->secure, connection->fd);
        (void)close(connection->fd);
    }
    free(connection->sending.message);
    secure_free(connection->secure);
    endpoint_release(&connection->endpoint);
    credentials_release(&connection->credentials);
    pending_table_release(&connection->pending);
    msgpack_sbuffer_destroy(&connection->out);
    free(connection->inbox.bytes);
    loop_close(&connection->loop);
    free(connection);
}

void mregion_set_timeout(struct mregion *connection, uint32_t timeout_ms)
{
    connection->timeout_ms = timeout_ms != 0 ? timeout_ms : connection->timeout_default_ms;
}

void mregion_set_progress(struct mregion *connection, mregion_progress progress, void *context)
{
    connection->progress = progress;
    connection->progress_context = context;
}

void mregion_free(void *memory)
{
    free(memory);
}

/* What has moved of blobs that are sent or asked for again has not moved. */
static void take_back(struct mregion *connection)
{
    for (struct pending *one = connection->pending.first; one != NULL; one = one->after) {
        if (one->is_reported && connection->transfer != NULL)
            connection->transfer->done -= one->moved;
        one->moved = 0;
    }
}

int connection_end(struct mregion *connection, bool by_peer, enum mregion_code code,
                   const char *text, struct mregion_error *error)
{
    struct inbox *inbox = &connection->inbox;

    events_lose(connection);
    secure_stop(connection->secure, connection->fd);
    dial_close(&connection->attempt.dial, connection->fd);
    connection->fd = -1;
    connection->attempt.stage = STAGE_DOWN;
    connection->is_lost_by_peer = by_peer;
    connection->max_message = 0;
    outbox_drop(connection);
    inbox->start = 0;
    inbox->end = 0;
    connection->pending.receiving = NULL;
    frame_reset(&inbox->scanner);
    pending_fail_all(&connection->pending, code, text,
                     code != MREGION_ERR_LOST || !connection->reconnects);
    take_back(connection);
    pending_unsend_all(&connection->pending);
    return error_set(error, code, "%s", text);
}

/* ---- Again ---- */

void connection_look(struct mregion *connection)
{
    char byte;
    ssize_t count;

    /* Where something is asked, its answer will tell. */
    if (connection->fd < 0 || connection->pending.waiting > 0 ||
        connection->out.size > connection->sent)
        return;
    if (connection->secure != NULL) {
        drive_poll(connection); /* an end may be there that TLS has announced */
        return;
    }
    count = recv(connection->fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
        (void)connection_end(connection, true, MREGION_ERR_LOST, "the server closed the connection",
                             NULL);
}
