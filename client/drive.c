#include "client/drive.h"

#include <errno.h>
#include <poll.h>

#include "client/attempt.h"
#include "client/deadline.h"
#include "client/error.h"
#include "client/events.h"
#include "client/loop.h"
#include "client/outbox.h"
#include "client/wire.h"

/* A signal has come while the next attempt is waited for: whoever watches the progress may have had
 * enough. */
static int interrupted(struct mregion *connection, struct mregion_error *error)
{
    struct transfer *transfer = connection->transfer;

    if (connection->attempt.stage != STAGE_DOWN || transfer == NULL ||
        transfer->progress(transfer->done, transfer->total, transfer->context) == 0)
        return MREGION_OK;
    transfer->is_canceled = true;
    return error_set(error, MREGION_ERR_CANCELED, "canceled");
}

static int time_out(struct mregion *connection, struct mregion_error *error)
{
    if (connection->attempt.stage != STAGE_UP)
        return attempt_time_out(connection, error);
    return error_set(error, MREGION_ERR_TIMEOUT, "no answer from %.200s in time",
                     connection->endpoint.text);
}

/* A server that never stops sending must not keep the call for longer than the deadline. What has
 * come may be what is waited for: that is for the callers to see. */
static int receive(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    int code = wire_pull(connection, error);
    const struct pending *greeting = connection->attempt.greeting;

    if (code == STEP_WAIT)
        code = MREGION_OK;
    if (code != MREGION_OK || deadline_left(deadline) != 0 ||
        (greeting != NULL && greeting->state != PENDING_WAITING))
        return code;
    return time_out(connection, error);
}

/* Waits for what the next step waits for, and receives what arrives meanwhile, so that both sides
 * never wait for each other. */
static int wait_for(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    struct pollfd waiting;
    int64_t until;
    int count;

    if (connection->fd >= 0 && wire_has_input(connection))
        return receive(connection, deadline, error);
    attempt_wants(connection, &waiting.fd, &waiting.events, &until);
    count = poll(&waiting, 1, deadline_left(until < deadline ? until : deadline));
    if (count < 0 && errno == EINTR)
        return interrupted(connection, error);
    if (count < 0 && connection->fd >= 0)
        return wire_lose(connection, errno, error);
    if (count <= 0)
        return deadline_left(deadline) == 0 ? time_out(connection, error) : MREGION_OK;
    if (connection->fd >= 0 && (waiting.revents & ~POLLOUT) != 0)
        return receive(connection, deadline, error);
    /* Nor must one that takes bytes all the time. */
    return connection->attempt.stage == STAGE_UP && deadline_left(deadline) == 0
               ? time_out(connection, error)
               : MREGION_OK;
}

int drive_first(struct mregion *connection, struct mregion_error *error)
{
    int code;

    while ((code = attempt_once(connection, error)) == STEP_WAIT)
        if ((code = wait_for(connection, DEADLINE_NEVER, error)) != MREGION_OK)
            break;
    return code;
}

/* A server that ends every connection at once must not keep the call for longer. */
static bool is_over(const struct mregion *connection, int64_t deadline)
{
    return connection->fd < 0 && deadline_left(deadline) == 0;
}

static int connect_it(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    int code = STEP_WAIT;

    while (code == STEP_WAIT) {
        if (is_over(connection, deadline))
            return time_out(connection, error);
        code = attempt_step(connection, error);
        if (code != STEP_WAIT)
            break;
        code = wait_for(connection, deadline, error);
        /* What the connection has failed of while it was made is for the next step to judge. */
        if (code == MREGION_OK || connection->attempt.greeting != NULL)
            code = STEP_WAIT;
    }
    return code;
}

/* Whether a failure is one for the next step to deal with. */
static bool goes_on(const struct mregion *connection, int code)
{
    const struct pending *greeting = connection->attempt.greeting;

    return (greeting != NULL && greeting->state != PENDING_WAITING) ||
           (code == MREGION_ERR_LOST && connection->reconnects &&
            connection->pending.unsent != NULL);
}

/* Whether the message under way belongs to a call that blocks: others have their own time. */
static bool is_awaited(const struct mregion *connection)
{
    const struct pending *pending = connection->pending.sending;

    return connection->sending.request != NULL ||
           (pending != NULL && !pending->is_async && !pending->is_forgotten);
}

static int send_queue(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    int code;

    do {
        if (connection->pending.unsent != NULL && connection->reconnects &&
            is_over(connection, deadline))
            return time_out(connection, error);
        code = outbox_step(connection, error);
        if (code == MREGION_OK)
            return code;
        if (code == STEP_WAIT)
            code = wait_for(connection, deadline, error);
    } while (code == MREGION_OK || goes_on(connection, code));
    if ((code == MREGION_ERR_TIMEOUT || code == MREGION_ERR_CANCELED) && is_awaited(connection))
        outbox_stop(connection);
    return code;
}

static int flush(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    int code;

    while ((code = wire_push(connection, error)) == STEP_WAIT)
        if ((code = wait_for(connection, deadline, error)) != MREGION_OK)
            break;
    return code;
}

/* All is sent over the connection that there is. */
static int receive_more(struct mregion *connection, const struct pending *pending, int64_t deadline,
                        struct mregion_error *error)
{
    int code = wire_push(connection, error);

    if (code != MREGION_OK && code != STEP_WAIT)
        return code;
    if (pending->state != PENDING_WAITING)
        return MREGION_OK;
    if (wire_is_canceled(connection))
        return error_set(error, MREGION_ERR_CANCELED, "canceled");
    return wait_for(connection, deadline, error);
}

/* Until something comes, or is to be asked. */
static int receive_event(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    int64_t until = events_until(connection);
    int code = wire_push(connection, error);

    if (code != MREGION_OK && code != STEP_WAIT)
        return code;
    if (until >= deadline)
        return wait_for(connection, deadline, error);
    code = wait_for(connection, until, error);
    return code == MREGION_ERR_TIMEOUT ? MREGION_OK : code;
}

/* ---- For those who block ---- */

/* What was received here for others is handed over elsewhere: somebody's loop has to hear of it. */
static int armed(struct mregion *connection, int code)
{
    loop_arm(connection);
    return code;
}

int drive_connect(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    return armed(connection, connect_it(connection, deadline, error));
}

int drive_send(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    return armed(connection, send_queue(connection, deadline, error));
}

int drive_flush(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    return armed(connection, flush(connection, deadline, error));
}

int drive_until_answered(struct mregion *connection, const struct pending *pending,
                         int64_t deadline, struct mregion_error *error)
{
    int code = MREGION_OK;

    while (pending->state == PENDING_WAITING && (code == MREGION_OK || code == MREGION_ERR_LOST)) {
        code = send_queue(connection, deadline, error);
        if (code == MREGION_OK)
            code = receive_more(connection, pending, deadline, error);
    }
    /* The end of the connection may have come right behind the answer. */
    return armed(connection, pending->state == PENDING_WAITING ? code : MREGION_OK);
}

/* For who does not wait at all: what there is, and one step towards a connection, which goes on at
 * the next call. */
static int look_once(struct mregion *connection, struct mregion_error *error)
{
    const struct mregion_error *failure = &connection->attempt.failure;
    int code = outbox_step(connection, error);

    if (code != MREGION_OK && code != STEP_WAIT &&
        (code != MREGION_ERR_LOST || !connection->reconnects))
        return code;
    if (connection->fd >= 0)
        wire_poll(connection);
    events_step(connection);
    if (connection->fd < 0 && failure->code != MREGION_OK)
        return error_set(error, MREGION_ERR_TIMEOUT, "%s", failure->text);
    return error_set(error, MREGION_ERR_TIMEOUT, "no answer from %.200s in time",
                     connection->endpoint.text);
}

int drive_until_event(struct mregion *connection,
                      bool (*is_due)(const struct mregion_events *events), int64_t deadline,
                      struct mregion_error *error)
{
    bool waits = deadline_left(deadline) != 0;
    int code = MREGION_OK;

    while (code == MREGION_OK) {
        events_step(connection);
        if (is_due(connection->events))
            break;
        code = waits ? send_queue(connection, deadline, error) : look_once(connection, error);
        if (code == MREGION_OK && connection->fd >= 0)
            code = receive_event(connection, deadline, error);
        if (code == MREGION_ERR_LOST && connection->reconnects)
            code = MREGION_OK;
    }
    /* It may have come at the last moment. */
    if (code == MREGION_ERR_TIMEOUT && is_due(connection->events))
        code = MREGION_OK;
    return armed(connection, code);
}

void drive_poll(struct mregion *connection)
{
    wire_poll(connection);
    loop_arm(connection);
}
