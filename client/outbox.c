#include "client/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/attempt.h"
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
/* The smallest max_message that a server can be given. */
#define MESSAGE_ALWAYS_FITS ((size_t)64 << 10)

static const uint8_t *token_of(const struct pending *pending)
{
    return pending->has_token ? pending->token : NULL;
}

/* ---- From the caller's request ---- */

/* The message that begins at begin in connection->out goes on with size bytes from there. */
static void begin_message(struct mregion *connection, struct pending *pending, size_t begin,
                          const void *bytes, uint64_t size)
{
    connection->sending = (struct sending){.rest = bytes,
                                           .left = size,
                                           .size = size,
                                           .begin = begin,
                                           .head = connection->out.size - begin};
    connection->pending.sending = pending;
}

static int send_request(struct mregion *connection, struct pending *pending,
                        struct mregion_error *error)
{
    const struct request *request = pending->request;
    struct sending *sending = &connection->sending;
    msgpack_sbuffer *out = &connection->out;
    size_t begin = out->size;
    bool is_whole = request->blob_size <= GATHER_BLOB_MAX;

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
    /* An answer that comes early is the end of the pending one's, not of the caller's memory. */
    begin_message(connection, pending, begin, request->blob, request->blob_size);
    sending->request = request;
    sending->has_token = pending->has_token;
    memcpy(sending->token, pending->token, sizeof sending->token);
    return MREGION_OK;
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
static int send_message(struct mregion *connection, struct pending *pending,
                        struct mregion_error *error)
{
    if (pending->message_size <= GATHER_BLOB_MAX)
        return msgpack_sbuffer_write(&connection->out, (const char *)pending->message,
                                     pending->message_size) == 0
                   ? MREGION_OK
                   : error_no_memory(error);
    begin_message(connection, pending, connection->out.size, pending->message,
                  pending->message_size);
    connection->sending.message = pending->message;
    pending->message = NULL;
    return MREGION_OK;
}

/* The message goes back to a pending one that may have to send it again. */
static void release_message(struct mregion *connection)
{
    struct pending *pending = connection->pending.sending;

    if (pending != NULL && pending->is_queued && connection->sending.message != NULL)
        pending->message = connection->sending.message;
    else
        free(connection->sending.message);
    connection->sending = (struct sending){.left = 0};
    connection->pending.sending = NULL;
}

/* Everything in front of the tail has left, so that the buffer has the room; should it not, the
 * message cannot be ended. */
int outbox_end_message(struct mregion *connection, struct mregion_error *error)
{
    struct sending sending = connection->sending;
    struct pending *pending = connection->pending.sending;

    release_message(connection);
    if (pending != NULL && pending == connection->pending.unsent)
        pending_sent(&connection->pending, pending);
    else if (pending != NULL)
        pending->is_sent = true; /* nobody wants the answer any more, but it comes */
    if (sending.request != NULL &&
        !request_pack_tail(sending.request, sending.has_token ? sending.token : NULL,
                           &connection->out))
        return connection_end(connection, false, MREGION_ERR_MEMORY, "out of memory for a request",
                              error);
    return MREGION_OK;
}

void outbox_stop(struct mregion *connection)
{
    const struct sending *sending = &connection->sending;
    struct pending *pending = connection->pending.sending;
    msgpack_sbuffer *out = &connection->out;
    bool is_begun = sending->left < sending->size;

    if (sending->left == 0)
        return;
    if (!is_begun && (sending->head == 0 || (out->size == sending->begin + sending->head &&
                                             connection->sent <= sending->begin))) {
        out->size = sending->begin;
        /* No answer comes of what has left the queue for it. */
        if (pending != NULL && !pending->is_queued)
            pending->is_sent = pending->was_sent = false;
        release_message(connection);
        return;
    }
    (void)connection_end(connection, false, MREGION_ERR_LOST,
                         "another request was stopped in the middle of its message", NULL);
}

void outbox_drop(struct mregion *connection)
{
    msgpack_sbuffer_clear(&connection->out);
    connection->sent = 0;
    release_message(connection);
}

/* ---- The queue ---- */

/* Of what was submitted without waiting nobody knew yet whether the server takes so much. False: it
 * is not to be sent now; *ret_code says whether the queue goes on. */
static bool check_size(struct mregion *connection, struct pending *pending, int *ret_code,
                       struct mregion_error *error)
{
    uint64_t max = connection->max_message;
    char text[128];

    if (!pending->is_async || pending->message_size <= MESSAGE_ALWAYS_FITS)
        return true;
    *ret_code = MREGION_OK;
    if (max == 0)
        *ret_code = attempt_ask_info(connection, error);
    if (max == 0 || pending->message_size <= max)
        return max != 0;
    (void)snprintf(text, sizeof text, "a message of %zu bytes is more than the server takes: %llu",
                   pending->message_size, (unsigned long long)max);
    pending_fail(&connection->pending, pending, MREGION_ERR_ARGUMENT, text, strlen(text));
    return false;
}

static int send_one(struct mregion *connection, struct pending *pending,
                    struct mregion_error *error)
{
    static const char no_memory[] = "out of memory for a request";
    msgpack_sbuffer *out = &connection->out;
    int code;

    if (!check_size(connection, pending, &code, error))
        return code;
    if (out->size == 0 && out->alloc > OUT_KEPT) {
        msgpack_sbuffer_destroy(out);
        msgpack_sbuffer_init(out);
    }
    pending->attempt = connection->attempts;
    /* From its first byte on it could be sent twice. */
    if (!pending->is_repeatable)
        pending_sent(&connection->pending, pending);
    code = pending->request != NULL ? send_request(connection, pending, error)
                                    : send_message(connection, pending, error);
    if (code == MREGION_OK && pending == connection->pending.unsent &&
        connection->sending.left == 0)
        pending_sent(&connection->pending, pending);
    /* It has left the queue, and no answer will come. */
    if (code != MREGION_OK && !pending->is_repeatable)
        pending_fail(&connection->pending, pending, MREGION_ERR_MEMORY, no_memory,
                     strlen(no_memory));
    return code;
}

int outbox_step(struct mregion *connection, struct mregion_error *error)
{
    struct pending_table *table = &connection->pending;
    int code = MREGION_OK;

    while (code == MREGION_OK) {
        if (connection->sending.left > 0 || connection->out.size - connection->sent >= GATHER_MAX)
            code = wire_push(connection, error);
        else if (table->unsent == NULL && connection->attempt.greeting == NULL)
            break;
        else if ((code = attempt_step(connection, error)) == MREGION_OK && table->unsent != NULL)
            code = send_one(connection, table->unsent, error);
    }
    return code;
}
