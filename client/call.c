#include "client/call.h"

#include <stdlib.h>
#include <string.h>

#include "client/deadline.h"
#include "client/error.h"
#include "client/request.h"
#include "client/wire.h"

/* Requests are gathered up to so many bytes before they are sent. */
#define GATHER_MAX ((size_t)64 << 10)
/* A blob up to this size is gathered with its request; a larger one is sent from where it is. */
#define GATHER_BLOB_MAX ((uint64_t)16 << 10)
/* What is packed for requests is kept for the next ones, up to this size. */
#define OUT_KEPT ((size_t)1 << 20)
/* Requests in flight besides the caller's tickets: pieces of a blob, calls that timed out. */
#define OWN_MAX 256

/* ---- Submitting ---- */

int call_check_room(const struct mregion *connection, struct mregion_error *error)
{
    const struct pending_table *table = &connection->pending;

    if (table->count >= connection->tickets_max)
        return error_set(error, MREGION_ERR_FULL, "%zu tickets are open: collect some first",
                         table->count);
    if (table->kept > connection->kept_max)
        return error_set(error, MREGION_ERR_FULL,
                         "answers of %llu bytes wait to be collected: collect some first",
                         (unsigned long long)table->kept);
    return MREGION_OK;
}

/* The request is packed, from begin on; what is small stays gathered. */
static int send_request(struct mregion *connection, const struct request *request, size_t begin,
                        int64_t deadline, struct mregion_error *error)
{
    if (request->blob_size > GATHER_BLOB_MAX)
        return wire_send_blob(connection, begin, request->blob, request->blob_size, deadline,
                              error);
    if (request->blob_size > 0) {
        if (msgpack_sbuffer_write(&connection->out, request->blob, (size_t)request->blob_size) !=
            0) {
            connection->out.size = begin;
            return error_no_memory(error);
        }
        wire_moved(connection, request->blob_size);
    }
    return MREGION_OK;
}

/* Before a request is packed: a connection, and little in front of it. */
static int prepare(struct mregion *connection, const struct request *request, int64_t deadline,
                   struct mregion_error *error)
{
    int code = request_check(request, error);

    if (code == MREGION_OK)
        code = connection_ensure(connection, deadline, error);
    if (code == MREGION_OK && connection->out.size - connection->sent >= GATHER_MAX)
        code = wire_flush(connection, deadline, error);
    if (code == MREGION_OK && connection->out.size == 0 && connection->out.alloc > OUT_KEPT) {
        msgpack_sbuffer_destroy(&connection->out);
        msgpack_sbuffer_init(&connection->out);
    }
    return code;
}

int call_submit(struct mregion *connection, const struct request *request, int64_t deadline,
                struct pending **ret_pending, struct mregion_error *error)
{
    struct pending *pending = NULL;
    size_t begin;
    int code;

    if (connection->pending.count >= (size_t)connection->tickets_max + OWN_MAX)
        return error_set(error, MREGION_ERR_FULL, "%zu calls that have timed out are unanswered",
                         connection->pending.count);
    code = prepare(connection, request, deadline, error);
    if (code != MREGION_OK)
        return code;
    pending = pending_new(&connection->pending);
    if (pending == NULL)
        return error_no_memory(error);
    pending->sink = request->sink;
    pending->sink_size = request->sink_size;
    begin = connection->out.size;
    if (!request_pack(request, pending_msgid(pending), &connection->out)) {
        connection->out.size = begin;
        pending_free(&connection->pending, pending);
        return error_no_memory(error);
    }
    code = send_request(connection, request, begin, deadline, error);
    /* A server that ends the connection may have answered why, and that tells more. */
    if (code != MREGION_OK &&
        (pending->state != PENDING_FAILED || pending->code == MREGION_ERR_LOST)) {
        pending_free(&connection->pending, pending);
        return code;
    }
    *ret_pending = pending;
    return MREGION_OK;
}

int call_notify(struct mregion *connection, const struct request *request, int64_t deadline,
                struct mregion_error *error)
{
    size_t begin;
    int code = prepare(connection, request, deadline, error);

    if (code != MREGION_OK)
        return code;
    begin = connection->out.size;
    if (!request_pack_notification(request, &connection->out)) {
        connection->out.size = begin;
        return error_no_memory(error);
    }
    return wire_flush(connection, deadline, error);
}

/* ---- Collecting ---- */

static void take_result(struct pending *pending, struct reply *ret_reply)
{
    ret_reply->size = pending->result_size;
    if (pending->result == pending->small) {
        memcpy(ret_reply->small, pending->small, pending->result_size);
        ret_reply->bytes = ret_reply->small;
    } else {
        ret_reply->bytes = pending->result;
        pending->result = NULL;
    }
}

int call_collect(struct mregion *connection, struct pending *pending, int64_t deadline,
                 struct reply *ret_reply, struct mregion_error *error)
{
    int code = wire_wait(connection, pending, deadline, error);

    if (code != MREGION_OK)
        return code;
    if (pending->state == PENDING_ANSWERED)
        take_result(pending, ret_reply);
    else
        code = error_set(error, pending->code, "%s",
                         pending->text != NULL ? pending->text : "out of memory for the reason");
    pending_free(&connection->pending, pending);
    return code;
}

/* A call gives up on its answer. When nobody else waits, the connection goes too: should it be
 * dead, the next call finds out on a new one. */
static void give_up(struct mregion *connection, struct pending *pending)
{
    pending_forget(&connection->pending, pending);
    if (connection->fd >= 0 && connection->pending.waiting == 1)
        (void)connection_end(connection, false, MREGION_ERR_LOST, "gave up", NULL);
}

static int call_once(struct mregion *connection, const struct request *request, int64_t deadline,
                     struct reply *ret_reply, struct mregion_error *error)
{
    struct pending *pending = NULL;
    int code = call_submit(connection, request, deadline, &pending, error);

    if (code != MREGION_OK)
        return code;
    code = call_collect(connection, pending, deadline, ret_reply, error);
    if (code == MREGION_ERR_TIMEOUT || code == MREGION_ERR_CANCELED)
        give_up(connection, pending);
    return code;
}

int call(struct mregion *connection, const struct request *request, struct reply *ret_reply,
         struct mregion_error *error)
{
    int64_t deadline = deadline_after(connection->timeout_ms);
    int code = call_once(connection, request, deadline, ret_reply, error);

    if (code == MREGION_ERR_LOST && connection->reconnects && request_only_reads(request)) {
        if (connection->transfer != NULL)
            connection->transfer->done = 0;
        code = call_once(connection, request, deadline, ret_reply, error);
    }
    return code;
}

/* ---- Results ---- */

void reply_release(struct reply *reply)
{
    if (reply->bytes != reply->small)
        free(reply->bytes);
    reply->bytes = NULL;
}

struct cursor reply_cursor(const struct reply *reply)
{
    return (struct cursor){.at = reply->bytes, .end = reply->bytes + reply->size};
}

int reply_unexpected(struct mregion_error *error)
{
    return error_set(error, MREGION_ERR_PROTOCOL,
                     "the server's answer is not what the method promises");
}

int reply_take_scalar(struct reply *reply, enum value_type type, struct value *ret_value,
                      struct mregion_error *error)
{
    struct cursor cursor = reply_cursor(reply);
    struct value value = cursor_next(&cursor);

    reply_release(reply);
    if (value.type != type)
        return reply_unexpected(error);
    *ret_value = value;
    return MREGION_OK;
}

int call_for_nothing(struct mregion *connection, const struct request *request,
                     struct mregion_error *error)
{
    struct reply reply = {0};
    int code = call(connection, request, &reply, error);

    if (code == MREGION_OK)
        reply_release(&reply);
    return code;
}

static int call_for_scalar(struct mregion *connection, const struct request *request,
                           enum value_type type, struct value *ret_value,
                           struct mregion_error *error)
{
    struct reply reply = {0};
    int code = call(connection, request, &reply, error);

    return code != MREGION_OK ? code : reply_take_scalar(&reply, type, ret_value, error);
}

int call_for_uint(struct mregion *connection, const struct request *request, uint64_t *ret,
                  struct mregion_error *error)
{
    struct value value;
    int code = call_for_scalar(connection, request, VALUE_UINT, &value, error);

    if (code == MREGION_OK && ret != NULL)
        *ret = value.number;
    return code;
}

int call_for_bool(struct mregion *connection, const struct request *request, bool *ret,
                  struct mregion_error *error)
{
    struct value value;
    int code = call_for_scalar(connection, request, VALUE_BOOL, &value, error);

    if (code == MREGION_OK)
        *ret = value.boolean;
    return code;
}
