#include "client/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/error.h"
#include "client/request.h"
#include "client/wire.h"

/* Requests are gathered up to so many bytes before they are sent. */
#define GATHER_MAX ((size_t)64 << 10)
/* A blob up to this size is gathered with its request; a larger one is sent from where it is. */
#define GATHER_BLOB_MAX ((uint64_t)16 << 10)
/* What is packed for requests is kept for the next ones, up to this size. */
#define OUT_KEPT ((size_t)1 << 20)

static const uint8_t *token_of(const struct pending *pending)
{
    return pending->has_token ? pending->token : NULL;
}

/* ---- From the caller's request ---- */

/* The rest of a message whose blob has left. Everything in front of it has left too, so that the
 * buffer has the room; should it not, the message cannot be ended. */
static int send_tail(struct mregion *connection, const struct pending *pending,
                     const struct request *request, struct mregion_error *error)
{
    if (!request_pack_tail(request, token_of(pending), &connection->out))
        return connection_end(connection, false, MREGION_ERR_MEMORY, "out of memory for a request",
                              error);
    wire_push(connection);
    return MREGION_OK;
}

static int send_request(struct mregion *connection, struct pending *pending, int64_t deadline,
                        struct mregion_error *error)
{
    /* An answer that comes early is the end of the pending one's, not of the caller's memory. */
    const struct request *request = pending->request;
    msgpack_sbuffer *out = &connection->out;
    size_t begin = out->size;
    bool is_whole = request->blob_size <= GATHER_BLOB_MAX;
    int code;

    if (!request_pack(request, token_of(pending), pending_msgid(pending), out) ||
        (is_whole && request->blob_size > 0 &&
         msgpack_sbuffer_write(out, request->blob, (size_t)request->blob_size) != 0) ||
        (is_whole && !request_pack_tail(request, token_of(pending), out))) {
        out->size = begin;
        return error_no_memory(error);
    }
    if (is_whole) {
        wire_moved(connection, pending, request->blob_size);
        return MREGION_OK;
    }
    code = wire_send_blob(connection, pending, begin, request->blob, request->blob_size, deadline,
                          error);
    return code != MREGION_OK ? code : send_tail(connection, pending, request, error);
}

/* ---- From memory of our own ---- */

bool outbox_copy(struct mregion *connection, struct pending *pending)
{
    const struct request *request = pending->request;
    msgpack_sbuffer *out = &connection->out;
    size_t begin = out->size, blob = (size_t)request->blob_size, head = 0, tail = 0;
    uint8_t *message = NULL;

    /* The end of the buffer is only where it is packed. */
    if (request_pack(request, token_of(pending), pending_msgid(pending), out)) {
        head = out->size - begin;
        if (request_pack_tail(request, token_of(pending), out)) {
            tail = out->size - begin - head;
            message = malloc(head + blob + tail);
        }
    }
    out->size = begin;
    if (message == NULL)
        return false;
    memcpy(message, out->data + begin, head);
    if (blob > 0)
        memcpy(message + head, request->blob, blob);
    memcpy(message + head + blob, out->data + begin + head, tail);
    pending->message = message;
    pending->message_size = head + blob + tail;
    pending->request = NULL;
    connection->pending.kept += pending->message_size;
    return true;
}

/* A large message is taken out of the pending one while it is sent: an answer that comes early
 * frees what is in there. */
static int send_message(struct mregion *connection, struct pending *pending, int64_t deadline,
                        struct mregion_error *error)
{
    uint8_t *message = pending->message;
    int code;

    if (pending->message_size <= GATHER_BLOB_MAX)
        return msgpack_sbuffer_write(&connection->out, (const char *)message,
                                     pending->message_size) == 0
                   ? MREGION_OK
                   : error_no_memory(error);
    pending->message = NULL;
    code = wire_send_blob(connection, pending, connection->out.size, message, pending->message_size,
                          deadline, error);
    if (pending->state == PENDING_WAITING)
        pending->message = message;
    else
        free(message);
    return code;
}

/* ---- The queue ---- */

static int send_one(struct mregion *connection, struct pending *pending, int64_t deadline,
                    struct mregion_error *error)
{
    msgpack_sbuffer *out = &connection->out;
    int code = MREGION_OK;

    if (out->size - connection->sent >= GATHER_MAX)
        code = wire_flush(connection, deadline, error);
    if (code != MREGION_OK || pending != connection->pending.unsent)
        return code;
    if (out->size == 0 && out->alloc > OUT_KEPT) {
        msgpack_sbuffer_destroy(out);
        msgpack_sbuffer_init(out);
    }
    /* From its first byte on it could be sent twice. */
    if (!pending->is_repeatable)
        pending_sent(&connection->pending, pending);
    code = pending->message != NULL ? send_message(connection, pending, deadline, error)
                                    : send_request(connection, pending, deadline, error);
    if (code == MREGION_OK && pending == connection->pending.unsent)
        pending_sent(&connection->pending, pending);
    return code;
}

int outbox_send(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    struct pending_table *table = &connection->pending;
    int code;

    do {
        code = MREGION_OK;
        while (code == MREGION_OK && table->unsent != NULL) {
            code = connection_ensure(connection, deadline, error);
            if (code == MREGION_OK)
                code = send_one(connection, table->unsent, deadline, error);
        }
    } while (code == MREGION_ERR_LOST && connection->reconnects && table->unsent != NULL);
    return code;
}
