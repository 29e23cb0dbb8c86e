#include "client/async.h"

#include <stdlib.h>
#include <string.h>

#include "client/attempt.h"
#include "client/deadline.h"
#include "client/error.h"
#include "client/events.h"
#include "client/loop.h"
#include "client/outbox.h"
#include "client/request.h"
#include "client/token.h"
#include "client/wire.h"

/* What one call receives at most, in pieces of as much as there is room for: others have something
 * to do too. */
#define TURNS_MAX 16

/* ---- Submitting ---- */

int async_start(struct mregion *connection, const struct request *request,
                const struct mregion_async *async, mregion_ticket *ret_ticket,
                struct mregion_error *error)
{
    static const struct mregion_async nobody;
    struct loop *loop = &connection->loop;
    struct pending *pending = NULL;
    int code = MREGION_OK;

    if (async == NULL)
        async = &nobody;
    if (loop->is_closing)
        code = error_set(error, MREGION_ERR_ARGUMENT, "the connection is being closed");
    if (code == MREGION_OK)
        code = call_start(connection, request, &pending, error);
    if (request_takes_token(request))
        token_drop(connection);
    loop->is_full = loop->is_full || code == MREGION_ERR_FULL;
    if (code != MREGION_OK)
        return code;
    pending->on_answer = async->on_answer;
    pending->data = async->data;
    pending->deadline =
        deadline_after(async->timeout_ms != 0 ? async->timeout_ms : connection->timeout_ms);
    if (pending->deadline < loop->deadline)
        loop->deadline = pending->deadline;
    if (ret_ticket != NULL)
        *ret_ticket = pending->ticket;
    loop_arm(connection);
    return MREGION_OK;
}

void async_release(struct mregion *connection, struct pending *pending)
{
    pending->is_held = false;
    pending_enqueue(&connection->pending, pending);
    loop_arm(connection);
}

/* ---- The end of what has no answer ---- */

void async_give_up(struct mregion *connection, struct pending *pending, enum mregion_code code,
                   const char *reason)
{
    struct mregion_error error;

    (void)error_set(&error, code, "%s", reason);
    if (!pending->only_reads && (pending->was_sent || connection->pending.sending == pending))
        error_append(&error, "; the change may have happened, or may still happen");
    else if (!pending->only_reads)
        error_append(&error, "; nothing was changed");
    pending_give_up(&connection->pending, pending, code, error.text);
}

/* Whether nobody has been told what became of it. */
static bool is_open(const struct pending *pending)
{
    return pending->is_async && !pending->is_over;
}

/* Calls act for every one of those. */
static void for_each_open(struct mregion *connection,
                          void (*act)(struct mregion *connection, struct pending *pending,
                                      const void *context),
                          const void *context)
{
    for (size_t i = 0; i < PENDING_BUCKETS; i++) {
        struct pending *next;

        for (struct pending *one = connection->pending.buckets[i]; one != NULL; one = next) {
            next = one->next;
            if (is_open(one))
                act(connection, one, context);
        }
    }
}

static void expire(struct mregion *connection, struct pending *pending, const void *context)
{
    struct mregion_error reason = connection->attempt.failure;
    const int64_t *now = context;

    if (pending->deadline > *now) {
        if (pending->deadline < connection->loop.deadline)
            connection->loop.deadline = pending->deadline;
        return;
    }
    /* What was never sent has failed of what kept it from being sent. */
    if (pending->was_sent || connection->attempt.stage == STAGE_UP || reason.code == MREGION_OK)
        (void)error_set(&reason, MREGION_ERR_TIMEOUT, "no answer from %.200s in time",
                        connection->endpoint.text);
    async_give_up(connection, pending, reason.code, reason.text);
}

static void expire_all(struct mregion *connection)
{
    int64_t now = deadline_now();

    if (connection->loop.deadline > now)
        return;
    connection->loop.deadline = DEADLINE_NEVER;
    for_each_open(connection, expire, &now);
}

/* It cannot be sent, for a reason that waiting does not change. What has been sent is still to be
 * answered. */
static void fail(struct mregion *connection, struct pending *pending, const void *context)
{
    const struct mregion_error *reason = context;

    if (!pending_is_in_flight(&connection->pending, pending))
        async_give_up(connection, pending, reason->code, reason->text);
}

static void close_one(struct mregion *connection, struct pending *pending, const void *context)
{
    (void)context;
    async_give_up(connection, pending, MREGION_ERR_CANCELED, "the connection was closed");
}

void mregion_cancel(struct mregion *connection, mregion_ticket ticket)
{
    struct pending *pending = pending_find_msgid(&connection->pending, (uint32_t)ticket);

    if (pending == NULL || pending->ticket != ticket || !is_open(pending))
        return;
    async_give_up(connection, pending, MREGION_ERR_CANCELED, "canceled");
    loop_arm(connection);
}

/* ---- Handing over ---- */

/* What the pending one has is taken first: the callback may do anything. */
static void hand_over(struct mregion *connection, struct pending *pending)
{
    struct mregion_answer answer = {.ticket = pending->ticket, .code = pending->code, .text = ""};
    mregion_on_answer on_answer = pending->on_answer;
    struct reply reply = {.bytes = NULL};
    char *text = pending->text;
    void *data = pending->data;
    struct value value;

    pending->text = NULL;
    connection->loop.attempt = pending->attempt;
    if (answer.code != MREGION_OK) {
        answer.text = text != NULL ? text : "out of memory for the reason";
    } else if (pending->result_size > 0) {
        struct cursor cursor;

        reply_take(pending, &reply);
        cursor = reply_cursor(&reply);
        value = cursor_next(&cursor);
        answer.number = value.type == VALUE_UINT ? value.number : 0;
        answer.result = reply.bytes;
        answer.result_size = reply.size;
    }
    pending_leave(&connection->pending, pending);
    if (on_answer != NULL)
        on_answer(connection, &answer, data);
    free(text);
    reply_release(&reply);
}

static void hand_over_all(struct mregion *connection)
{
    struct pending *pending;

    while (!connection->loop.is_closing &&
           (pending = pending_take_over(&connection->pending)) != NULL)
        hand_over(connection, pending);
}

static void tell_room(struct mregion *connection)
{
    const struct pending_table *table = &connection->pending;
    struct loop *loop = &connection->loop;

    if (!loop->is_full || loop->is_closing || table->count > connection->tickets_max / 2 ||
        table->kept > connection->kept_max / 2)
        return;
    loop->is_full = false;
    if (loop->on_room != NULL)
        loop->on_room(connection, loop->room_data);
}

void mregion_set_on_room(struct mregion *connection, mregion_on_room on_room, void *data)
{
    connection->loop.on_room = on_room;
    connection->loop.room_data = data;
}

/* ---- One turn ---- */

/* Sends and receives what can be now. */
static int take_step(struct mregion *connection, struct mregion_error *error)
{
    int code = outbox_step(connection, error);

    if (code == MREGION_OK && connection->fd >= 0)
        code = wire_push(connection, error);
    if ((code == MREGION_OK || code == STEP_WAIT) && connection->fd >= 0)
        code = wire_pull(connection, error);
    return code;
}

static void take_steps(struct mregion *connection)
{
    struct mregion_error reason;
    int code = MREGION_OK;

    for (int turn = 0; turn < TURNS_MAX && code != STEP_WAIT; turn++) {
        if (connection->fd < 0 && connection->pending.unsent == NULL &&
            connection->attempt.greeting == NULL)
            return;
        code = take_step(connection, &reason);
        if (code != MREGION_OK && code != STEP_WAIT &&
            (code != MREGION_ERR_LOST || !connection->reconnects)) {
            for_each_open(connection, fail, &reason);
            events_fail(connection, &reason);
        }
    }
}

void mregion_process(struct mregion *connection)
{
    struct loop *loop = &connection->loop;

    if (loop->is_processing)
        return;
    loop->is_processing = true;
    events_step(connection);
    take_steps(connection);
    events_step(connection);
    expire_all(connection);
    hand_over_all(connection);
    events_hand_over(connection);
    tell_room(connection);
    loop->is_processing = false;
    if (loop->is_closing)
        mregion_close(connection);
    else
        loop_arm(connection);
}

int mregion_fd(struct mregion *connection, int *ret_fd, struct mregion_error *error)
{
    int code = loop_open(connection, error);

    if (code != MREGION_OK)
        return code;
    *ret_fd = connection->loop.fd;
    loop_arm(connection);
    return MREGION_OK;
}

bool async_close(struct mregion *connection)
{
    struct loop *loop = &connection->loop;
    struct pending *pending;

    loop->is_closing = true;
    if (loop->is_processing)
        return false;
    loop->is_processing = true; /* what a callback may still do is nothing */
    for_each_open(connection, close_one, NULL);
    while ((pending = pending_take_over(&connection->pending)) != NULL)
        hand_over(connection, pending);
    return true;
}
