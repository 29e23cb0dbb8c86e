#include "client/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/deadline.h"
#include "client/error.h"
#include "client/secure.h"
#include "client/wire.h"

#define CONNECT_TIMEOUT_MS 10000
#define TIMEOUT_MS 60000
#define TICKETS_MAX 1024
#define KEPT_MAX ((uint64_t)64 << 20)
/* Between attempts to make a lost connection again: doubled each time. */
#define BACKOFF_FIRST_MS 10
#define BACKOFF_MAX_MS 1000

/* Programs that were built before the library had tokens pass zeros there. */
_Static_assert(sizeof(struct mregion_options) ==
                   offsetof(struct mregion_options, no_tokens) + 8 * sizeof(uint64_t),
               "the options have another size than at first");

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int connect_now(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    int64_t until = earlier(deadline, deadline_after(connection->connect_timeout_ms));
    int code = endpoint_connect(&connection->endpoint, until, &connection->fd, error);

    if (code != MREGION_OK) {
        connection->fd = -1;
        return code;
    }
    if (connection->secure != NULL)
        code = secure_start(connection->secure, connection->fd, until, &connection->is_untrusted,
                            error);
    if (code != MREGION_OK) {
        (void)close(connection->fd);
        connection->fd = -1;
        return code;
    }
    connection->attempts++;
    return MREGION_OK;
}

int mregion_connect(const char *address, const struct mregion_options *options,
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
        code = connect_now(connection, DEADLINE_NEVER, error);
    if (code != MREGION_OK) {
        mregion_close(connection);
        return code;
    }
    *ret_connection = connection;
    return MREGION_OK;
}

void mregion_close(struct mregion *connection)
{
    if (connection == NULL)
        return;
    if (connection->fd >= 0) {
        secure_stop(connection->secure, connection->fd);
        (void)close(connection->fd);
    }
    secure_free(connection->secure);
    endpoint_release(&connection->endpoint);
    credentials_release(&connection->credentials);
    pending_table_release(&connection->pending);
    msgpack_sbuffer_destroy(&connection->out);
    free(connection->inbox.bytes);
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

    secure_stop(connection->secure, connection->fd);
    (void)close(connection->fd);
    connection->fd = -1;
    connection->is_lost_by_peer = by_peer;
    connection->max_message = 0;
    msgpack_sbuffer_clear(&connection->out);
    connection->sent = 0;
    inbox->start = 0;
    inbox->end = 0;
    inbox->body = NULL;
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
        wire_poll(connection); /* an end may be there that TLS has announced */
        return;
    }
    count = recv(connection->fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
        (void)connection_end(connection, true, MREGION_ERR_LOST, "the server closed the connection",
                             NULL);
}

/* Not at once where the attempt before came to nothing, longer each time. */
static int back_off(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    struct transfer *transfer = connection->transfer;
    uint32_t wait_ms = connection->backoff_ms;
    int left = deadline_left(deadline);

    connection->backoff_ms = wait_ms == 0 ? BACKOFF_FIRST_MS : 2 * wait_ms;
    if (connection->backoff_ms > BACKOFF_MAX_MS)
        connection->backoff_ms = BACKOFF_MAX_MS;
    if (wait_ms == 0)
        return MREGION_OK;
    if (poll(NULL, 0, left >= 0 && left < (int)wait_ms ? left : (int)wait_ms) < 0 &&
        transfer != NULL &&
        transfer->progress(transfer->done, transfer->total, transfer->context) != 0) {
        transfer->is_canceled = true;
        return error_set(error, MREGION_ERR_CANCELED, "canceled");
    }
    return MREGION_OK;
}

/* Whether another attempt may fare better. */
static bool is_passing(int code)
{
    return code == MREGION_ERR_CONNECT || code == MREGION_ERR_LOST || code == MREGION_ERR_BUSY ||
           code == MREGION_ERR_SHUTTING_DOWN;
}

int connection_ensure(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    int code = MREGION_OK;

    if (connection->fd < 0 && !connection->reconnects)
        return error_set(error, MREGION_ERR_LOST, "the connection to %.200s is lost",
                         connection->endpoint.text);
    /* A server that ends every connection at once must not keep the call for longer. */
    if (connection->fd < 0 && deadline_left(deadline) == 0)
        return error_set(error, MREGION_ERR_CONNECT, "%.200s ended the connection once more",
                         connection->endpoint.text);
    while (connection->fd < 0) {
        code = back_off(connection, deadline, error);
        if (code == MREGION_OK)
            code = connect_now(connection, deadline, error);
        if (code == MREGION_OK)
            code = credentials_present(connection, deadline, error);
        if (code != MREGION_OK &&
            (!is_passing(code) || connection->is_untrusted || deadline_left(deadline) == 0))
            return code;
    }
    return MREGION_OK;
}
