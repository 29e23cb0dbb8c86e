#include "client/call.h"

#include <stdlib.h>
#include <string.h>

#include "client/attempt.h"
#include "client/deadline.h"
#include "client/drive.h"
#include "client/error.h"
#include "client/outbox.h"
#include "client/request.h"
#include "client/token.h"
#include "client/wire.h"

/* Requests in flight besides the caller's tickets: pieces of a blob, calls that timed out. */
#define OWN_MAX 256

static const char may_have_happened[] = "; the change may have happened, or may still happen";

/* A call gives up on its answer. When nobody else waits, the connection goes too: should it be
 * dead, the next call finds out on a new one. */
static void give_up(struct mregion *connection, struct pending *pending)
{
    bool is_alone = connection->pending.waiting == 1;

    pending_forget(&connection->pending, pending);
    if (connection->fd >= 0 && is_alone)
        (void)connection_end(connection, false, MREGION_ERR_LOST, "gave up", NULL);
}

/* ---- Submitting ---- */

/* A pending one for the request, that knows how it is to be sent and where its answer goes. */
static int prepare(struct mregion *connection, const struct request *request,
                   struct pending **ret_pending, struct mregion_error *error)
{
    struct pending *pending = pending_new(&connection->pending);
    int code = MREGION_OK;

    if (pending == NULL)
        return error_no_memory(error);
    pending->request = request;
    pending->sink = request->sink;
    pending->sink_size = request->sink_size;
    pending->has_token = request_takes_token(request) && !connection->has_no_tokens;
    pending->is_repeatable =
        connection->reconnects && (pending->has_token || request_only_reads(request));
    if (pending->has_token)
        code = token_take(connection, pending->token, error);
    if (code == MREGION_OK)
        *ret_pending = pending;
    else
        pending_free(&connection->pending, pending);
    return code;
}

/* What was sent, and is not sent again, may have happened: that is more than that there is no
 * connection, for whatever reason. */
static int after_sending(int code, struct mregion_error *error)
{
    struct mregion_error reason = {0};

    if (code == MREGION_ERR_TIMEOUT || code == MREGION_ERR_CANCELED || code == MREGION_ERR_MEMORY ||
        code == MREGION_ERR_LOST)
        return code;
    if (error != NULL)
        reason = *error;
    return error_set(error, MREGION_ERR_TIMEOUT,
                     "the connection was lost, and not made again in time: %.300s", reason.text);
}

/* Sends what is prepared. When the connection breaks, what may be sent again is none the worse: it
 * goes over the next one. */
static int send_prepared(struct mregion *connection, const struct request *request,
                         struct pending *pending, int64_t deadline, struct mregion_error *error)
{
    int code;

    attempt_hurry(connection);
    pending_enqueue(&connection->pending, pending);
    code = drive_send(connection, deadline, error);
    /* A server that ends the connection may have answered why, and that tells more. */
    if (code != MREGION_OK &&
        (pending->state == PENDING_WAITING ||
         (pending->state == PENDING_FAILED && pending->code == MREGION_ERR_LOST))) {
        if (pending->was_sent)
            code = after_sending(code, error);
        if (code == MREGION_ERR_TIMEOUT && pending->was_sent && !request_only_reads(request))
            error_append(error, "%s", may_have_happened);
        /* Of what has been gathered the rest is sent, and an answer comes. */
        if (pending->state == PENDING_WAITING &&
            pending_is_in_flight(&connection->pending, pending))
            give_up(connection, pending);
        else
            pending_free(&connection->pending, pending);
        return code;
    }
    return MREGION_OK;
}

int call_submit(struct mregion *connection, const struct request *request, int64_t deadline,
                struct pending **ret_pending, struct mregion_error *error)
{
    struct pending *pending = NULL;
    int code = request_check(request, error);

    if (code == MREGION_OK &&
        connection->pending.count >= (size_t)connection->tickets_max + OWN_MAX)
        code = error_set(error, MREGION_ERR_FULL, "%zu calls that have timed out are unanswered",
                         connection->pending.count);
    if (code != MREGION_OK)
        return code;
    connection_look(connection);
    code = prepare(connection, request, &pending, error);
    if (code != MREGION_OK)
        return code;
    pending->is_reported = connection->transfer != NULL;
    code = send_prepared(connection, request, pending, deadline, error);
    if (code == MREGION_OK)
        *ret_pending = pending;
    return code;
}

/* Whether the caller may have one more ticket, for which size bytes are kept. One alone may be of
 * any size. */
static int check_room(const struct mregion *connection, uint64_t size, struct mregion_error *error)
{
    const struct pending_table *table = &connection->pending;

    if (table->count >= connection->tickets_max)
        return error_set(error, MREGION_ERR_FULL,
                         "%zu requests are open: collect some first, or wait for their answers",
                         table->count);
    if (table->count > 0 && table->kept + size > connection->kept_max)
        return error_set(
            error, MREGION_ERR_FULL,
            "requests and answers of %llu bytes are kept: collect some first, or wait for "
            "answers",
            (unsigned long long)table->kept);
    return MREGION_OK;
}

int call_submit_ticket(struct mregion *connection, const struct request *request, int64_t deadline,
                       struct pending **ret_pending, struct mregion_error *error)
{
    struct pending *pending = NULL;
    uint64_t size = request->blob_size + request->params_size;
    int code = request_check(request, error);

    if (code == MREGION_OK)
        code = check_room(connection, size, error);
    /* What nobody collects makes room when it is answered. */
    if (code == MREGION_ERR_FULL && connection->fd >= 0) {
        drive_poll(connection);
        code = check_room(connection, size, error);
    }
    if (code != MREGION_OK)
        return code;
    connection_look(connection);
    code = prepare(connection, request, &pending, error);
    if (code != MREGION_OK)
        return code;
    if (pending->is_repeatable && !outbox_copy(connection, pending)) {
        pending_free(&connection->pending, pending);
        return error_no_memory(error);
    }
    code = send_prepared(connection, request, pending, deadline, error);
    if (code == MREGION_OK)
        *ret_pending = pending;
    return code;
}

int call_start_own(struct mregion *connection, const struct request *request,
                   struct pending **ret_pending, struct mregion_error *error)
{
    struct pending *pending = NULL;
    int code = prepare(connection, request, &pending, error);

    if (code != MREGION_OK)
        return code;
    if (!outbox_copy(connection, pending)) {
        pending_free(&connection->pending, pending);
        return error_no_memory(error);
    }
    pending->only_reads = request_only_reads(request);
    pending->is_held = request->is_held;
    pending->is_bound = request->is_bound;
    if (!pending->is_held)
        pending_enqueue(&connection->pending, pending);
    *ret_pending = pending;
    return MREGION_OK;
}

int call_start(struct mregion *connection, const struct request *request,
               struct pending **ret_pending, struct mregion_error *error)
{
    int code = request_check(request, error);

    if (code == MREGION_OK && !request->is_owed)
        code = check_room(connection, request->blob_size + request->params_size, error);
    if (code == MREGION_OK)
        code = call_start_own(connection, request, ret_pending, error);
    if (code == MREGION_OK)
        (*ret_pending)->is_async = true;
    return code;
}

int call_flush(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    int code;

    do {
        code = drive_send(connection, deadline, error);
        if (code == MREGION_OK && connection->fd >= 0)
            code = drive_flush(connection, deadline, error);
    } while (code == MREGION_ERR_LOST && connection->reconnects &&
             connection->pending.unsent != NULL);
    return code;
}

int call_notify(struct mregion *connection, const struct request *request, int64_t deadline,
                struct mregion_error *error)
{
    size_t begin;
    int code = request_check(request, error);

    if (code != MREGION_OK)
        return code;
    connection_look(connection);
    code = drive_send(connection, deadline, error);
    if (code == MREGION_OK)
        code = drive_connect(connection, deadline, error);
    if (code != MREGION_OK)
        return code;
    begin = connection->out.size;
    if (!request_pack_notification(request, &connection->out)) {
        connection->out.size = begin;
        return error_no_memory(error);
    }
    return drive_flush(connection, deadline, error);
}

/* ---- Collecting ---- */

void reply_take(struct pending *pending, struct reply *ret_reply)
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

static int wait_for_answer(struct mregion *connection, const struct pending *pending,
                           int64_t deadline, struct mregion_error *error)
{
    struct mregion_error reason;
    int code;

    attempt_hurry(connection);
    code = drive_until_answered(connection, pending, deadline, &reason);
    if (code == MREGION_OK)
        return code;
    (void)error_set(error, reason.code, "%s", reason.text);
    return after_sending(code, error);
}

int call_collect(struct mregion *connection, struct pending *pending, int64_t deadline,
                 struct reply *ret_reply, struct mregion_error *error)
{
    int code = wait_for_answer(connection, pending, deadline, error);

    if (code == MREGION_ERR_MEMORY)
        pending_forget(&connection->pending, pending);
    if (code != MREGION_OK)
        return code;
    if (pending->state == PENDING_ANSWERED)
        reply_take(pending, ret_reply);
    else
        code = error_set(error, pending->code, "%s",
                         pending->text != NULL ? pending->text : "out of memory for the reason");
    pending_free(&connection->pending, pending);
    return code;
}

int call(struct mregion *connection, const struct request *request, struct reply *ret_reply,
         struct mregion_error *error)
{
    int64_t deadline = deadline_after(connection->timeout_ms);
    struct pending *pending = NULL;
    int code = call_submit(connection, request, deadline, &pending, error);

    if (code == MREGION_OK) {
        code = call_collect(connection, pending, deadline, ret_reply, error);
        if (code == MREGION_ERR_TIMEOUT && !request_only_reads(request))
            error_append(error, "%s", may_have_happened);
        if (code == MREGION_ERR_TIMEOUT || code == MREGION_ERR_CANCELED)
            give_up(connection, pending);
    }
    if (request_takes_token(request))
        token_drop(connection);
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
