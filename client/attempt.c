#include "client/attempt.h"

#include <errno.h>
#include <poll.h>

#include "client/deadline.h"
#include "client/error.h"
#include "client/info.h"
#include "client/secure.h"
#include "client/wire.h"

/* Between attempts: doubled each time. */
#define PAUSE_FIRST_MS 10
#define PAUSE_MAX_MS 1000

/* ---- A socket, and TLS ---- */

void attempt_end(struct mregion *connection)
{
    struct attempt *attempt = &connection->attempt;

    if (attempt->stage == STAGE_SHAKING)
        secure_stop(connection->secure, attempt->dial.fd);
    if (attempt->stage == STAGE_DIALING || attempt->stage == STAGE_SHAKING) {
        dial_end(&attempt->dial);
        attempt->stage = STAGE_DOWN;
    }
}

static int begin(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;

    attempt->until = deadline_after(connection->connect_timeout_ms);
    attempt->stage = STAGE_DIALING;
    connection->is_untrusted = false;
    return dial_begin(&attempt->dial, &connection->endpoint, error);
}

static int dial(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;
    int code = dial_step(&attempt->dial, &connection->endpoint, attempt->until, error);

    if (code == MREGION_OK && connection->secure != NULL) {
        attempt->stage = STAGE_SHAKING;
        code = secure_begin(connection->secure, error);
    }
    return code;
}

static int shake(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;
    int code = secure_step(connection->secure, attempt->dial.fd, &connection->is_untrusted, error);

    return code == STEP_WAIT && deadline_left(attempt->until) == 0
               ? attempt_time_out(connection, error)
               : code;
}

int attempt_once(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;
    int code = attempt->stage == STAGE_DOWN ? begin(connection, error) : MREGION_OK;

    if (code == MREGION_OK && attempt->stage == STAGE_DIALING)
        code = dial(connection, error);
    if (code == MREGION_OK && attempt->stage == STAGE_SHAKING)
        code = shake(connection, error);
    if (code == MREGION_OK) {
        connection->fd = attempt->dial.fd;
        attempt->dial.fd = -1;
        dial_end(&attempt->dial);
        attempt->stage = STAGE_UP;
        connection->attempts++;
    } else if (code != STEP_WAIT) {
        attempt_end(connection);
    }
    return code;
}

/* ---- What is asked first ---- */

/* Whether another attempt may fare better. */
static bool is_passing(int code)
{
    return code == MREGION_ERR_CONNECT || code == MREGION_ERR_LOST || code == MREGION_ERR_BUSY ||
           code == MREGION_ERR_SHUTTING_DOWN || code == MREGION_ERR_TIMEOUT;
}

static int refuse_greeting(struct mregion *connection, int code, const char *text,
                           struct mregion_error *error)
{
    bool passes = is_passing(code) || code == MREGION_ERR_MEMORY; /* and the queue is kept */

    if (connection->fd >= 0)
        (void)connection_end(connection, passes,
                             passes ? MREGION_ERR_LOST : (enum mregion_code)code, text, NULL);
    return error_set(error, (enum mregion_code)code, "%s", text);
}

static int begin_greeting(struct mregion *connection, bool is_info, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;
    struct pending *pending = pending_new(&connection->pending);
    struct mregion_error reason;
    int code;

    if (pending == NULL)
        code = error_no_memory(&reason);
    else if (is_info)
        code = info_pack(connection, pending, &reason);
    else
        code = credentials_pack(connection, pending, &reason);
    if (code != MREGION_OK) {
        if (pending != NULL)
            pending_free(&connection->pending, pending);
        return refuse_greeting(connection, code, reason.text, error);
    }
    attempt->greeting = pending;
    attempt->greeting_is_info = is_info;
    attempt->greeting_pause_ms = attempt->pause_ms;
    attempt->stage = STAGE_GREETING;
    attempt->until = deadline_after(connection->timeout_default_ms);
    return MREGION_OK;
}

int attempt_ask_info(struct mregion *connection, struct mregion_error *error)
{
    return begin_greeting(connection, true, error);
}

/* It has been answered, or has failed with its connection. */
static int end_greeting(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;
    struct pending *pending = attempt->greeting;
    struct mregion_error reason = {.code = MREGION_OK};

    attempt->greeting = NULL;
    if (attempt->greeting_is_info && connection->fd >= 0)
        info_take(connection, pending);
    else if (pending->state == PENDING_FAILED)
        (void)error_set(&reason, pending->code, "%s",
                        pending->text != NULL ? pending->text : "out of memory for the reason");
    pending_free(&connection->pending, pending);
    if (!attempt->greeting_is_info)
        credentials_wipe(connection);
    if (reason.code == MREGION_OK) {
        attempt->stage = STAGE_UP;
        return MREGION_OK;
    }
    /* An answer that says no is no reason to hurry. */
    attempt->pause_ms = attempt->greeting_pause_ms;
    return refuse_greeting(connection, reason.code, reason.text, error);
}

static int greet(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;

    if (attempt->greeting->state == PENDING_WAITING)
        (void)wire_push(connection, NULL); /* what fails is the end of the greeting too */
    if (attempt->greeting->state != PENDING_WAITING)
        return end_greeting(connection, error);
    return deadline_left(attempt->until) == 0 ? attempt_time_out(connection, error) : STEP_WAIT;
}

/* ---- All of it ---- */

void attempt_hurry(struct mregion *connection)
{
    connection->attempt.pause_ms = 0;
    connection->attempt.is_pausing = false;
}

/* Not at once where the attempt before came to nothing, longer each time. */
static int pause_first(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;

    if (attempt->stage != STAGE_DOWN)
        return MREGION_OK;
    if (!connection->reconnects && connection->attempts > 0)
        return error_set(error, MREGION_ERR_LOST, "the connection to %.200s is lost",
                         connection->endpoint.text);
    if (!attempt->is_pausing) {
        attempt->is_pausing = true;
        attempt->retry_at = deadline_now() + attempt->pause_ms;
        attempt->pause_ms = attempt->pause_ms == 0 ? PAUSE_FIRST_MS : 2 * attempt->pause_ms;
        if (attempt->pause_ms > PAUSE_MAX_MS)
            attempt->pause_ms = PAUSE_MAX_MS;
    }
    if (deadline_left(attempt->retry_at) > 0)
        return STEP_WAIT;
    attempt->is_pausing = false;
    return MREGION_OK;
}

static int try_again(struct mregion *connection, struct mregion_error *error)
{
    int code = pause_first(connection, error);

    if (code == MREGION_OK)
        code = attempt_once(connection, error);
    if (code == MREGION_OK && connection->credentials.user != NULL)
        code = begin_greeting(connection, false, error);
    return code;
}

int attempt_step(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;
    struct mregion_error reason;
    int code = MREGION_OK;

    while (attempt->stage != STAGE_UP || attempt->greeting != NULL) {
        code =
            attempt->greeting != NULL ? greet(connection, &reason) : try_again(connection, &reason);
        if (code == STEP_WAIT)
            return code;
        if (code != MREGION_OK) {
            attempt->failure = reason;
            /* What waits has lost nothing by a connection that was not there for it yet. */
            if (reason.code == MREGION_ERR_LOST)
                attempt->failure.code = MREGION_ERR_CONNECT;
            if (!is_passing(code) || connection->is_untrusted || !connection->reconnects)
                return error_set(error, reason.code, "%s", reason.text);
        }
    }
    attempt->failure.code = MREGION_OK;
    return MREGION_OK;
}

int attempt_time_out(struct mregion *connection, struct mregion_error *error)
{
    struct attempt *attempt = &connection->attempt;
    const char *address = connection->endpoint.text;
    int code;

    switch (attempt->stage) {
    case STAGE_DIALING:
    case STAGE_SHAKING:
        code = error_set_system(error, MREGION_ERR_CONNECT, ETIMEDOUT,
                                attempt->stage == STAGE_SHAKING ? "no TLS with %.200s"
                                                                : "cannot connect to %.200s",
                                address);
        attempt_end(connection);
        return code;
    case STAGE_GREETING:
        (void)connection_end(connection, false, MREGION_ERR_LOST, "no answer in time", NULL);
        pending_free(&connection->pending, attempt->greeting);
        attempt->greeting = NULL;
        credentials_wipe(connection);
        return error_set(error, MREGION_ERR_TIMEOUT, "no answer from %.200s in time", address);
    default:
        if (attempt->failure.code != MREGION_OK)
            return error_set(error, attempt->failure.code, "%s", attempt->failure.text);
        return error_set(error, MREGION_ERR_CONNECT, "%.200s ended the connection once more",
                         address);
    }
}

void attempt_wants(const struct mregion *connection, int *ret_fd, short *ret_events,
                   int64_t *ret_until)
{
    const struct attempt *attempt = &connection->attempt;
    int pause_ms;

    *ret_fd = attempt->stage == STAGE_DOWN ? -1 : connection->fd;
    *ret_events = POLLIN;
    *ret_until = attempt->until;
    switch (attempt->stage) {
    case STAGE_DOWN:
        *ret_until = attempt->is_pausing ? attempt->retry_at : 0;
        break;
    case STAGE_DIALING:
        dial_wants(&attempt->dial, ret_fd, ret_events, &pause_ms);
        if (pause_ms >= 0)
            *ret_until = deadline_after((uint32_t)pause_ms);
        break;
    case STAGE_SHAKING:
        *ret_fd = attempt->dial.fd;
        if (secure_has_output(connection->secure))
            *ret_events |= POLLOUT;
        break;
    case STAGE_UP:
        *ret_until = DEADLINE_NEVER;
        /* fallthrough */
    case STAGE_GREETING:
        if (wire_has_output(connection))
            *ret_events |= POLLOUT;
        break;
    }
}
