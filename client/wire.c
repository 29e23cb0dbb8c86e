#include "client/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "client/deadline.h"
#include "client/error.h"
#include "client/inbox.h"
#include "client/secure.h"

void wire_moved(struct mregion *connection, struct pending *pending, uint64_t size)
{
    struct transfer *transfer = connection->transfer;

    if (!pending->is_reported || transfer == NULL || size == 0)
        return;
    pending->moved += size;
    transfer->done += size;
    if (transfer->progress(transfer->done, transfer->total, transfer->context) != 0 &&
        transfer->done != transfer->total)
        transfer->is_canceled = true;
}

/* Whether the message under way is to be stopped in its middle. */
static bool is_canceled(const struct mregion *connection)
{
    const struct transfer *transfer = connection->transfer;

    return transfer != NULL && transfer->is_canceled && !transfer->is_cut;
}

static int lose(struct mregion *connection, int number, struct mregion_error *error)
{
    struct mregion_error sentence;

    if (number == EPROTO && connection->secure != NULL) {
        secure_failure(connection->secure, &sentence);
        return connection_end(connection, true, sentence.code, sentence.text, error);
    }
    (void)error_set_system(&sentence, MREGION_ERR_LOST, number, "the connection to %.200s broke",
                           connection->endpoint.text);
    return connection_end(connection, true, MREGION_ERR_LOST, sentence.text, error);
}

/* What TLS has taken out of the socket, or not got into it. */
static bool has_input(const struct mregion *connection)
{
    return connection->secure != NULL && secure_has_input(connection->secure);
}

static bool has_output(const struct mregion *connection)
{
    return connection->secure != NULL && secure_has_output(connection->secure);
}

/* Where the socket's next bytes go. MREGION_ERR_MEMORY ends the connection. */
static int receive(struct mregion *connection, struct mregion_error *error)
{
    struct iovec room;
    ssize_t count;

    if (!inbox_room(connection, &room))
        return connection_end(connection, false, MREGION_ERR_MEMORY,
                              "out of memory for the server's answer", error);
    count = connection->secure == NULL
                ? recv(connection->fd, room.iov_base, room.iov_len, MSG_DONTWAIT)
                : secure_receive(connection->secure, connection->fd, room.iov_base, room.iov_len);
    if (count > 0)
        return inbox_filled(connection, (size_t)count, error);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? MREGION_OK : lose(connection, errno, error);
    return connection_end(connection, true, MREGION_ERR_LOST, "the server closed the connection",
                          error);
}

/* The server no longer takes requests; it may have said why. */
static int lose_after_send(struct mregion *connection, int number, struct mregion_error *error)
{
    int code = MREGION_OK;

    if (number != EPIPE && number != ECONNRESET)
        return lose(connection, number, error);
    while (code == MREGION_OK) {
        struct pollfd waiting = {.fd = connection->fd, .events = POLLIN};

        if (!has_input(connection) && poll(&waiting, 1, 0) <= 0)
            return lose(connection, number, error);
        code = receive(connection, error);
    }
    return code;
}

/* Waits for the socket, receives what there is. */
static int wait_for(struct mregion *connection, bool wants_to_send, int64_t deadline,
                    struct mregion_error *error)
{
    struct pollfd waiting = {.fd = connection->fd, .events = POLLIN};
    int count;

    if (has_input(connection))
        return receive(connection, error);
    if (wants_to_send || has_output(connection))
        waiting.events |= POLLOUT;
    do
        count = poll(&waiting, 1, deadline_left(deadline));
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return lose(connection, errno, error);
    if (count == 0)
        return error_set(error, MREGION_ERR_TIMEOUT, "no answer from %.200s in time",
                         connection->endpoint.text);
    if ((waiting.revents & ~POLLOUT) != 0)
        return receive(connection, error);
    return MREGION_OK;
}

/* Sends as much of out, and of the size bytes behind it, as the socket takes now. */
static ssize_t send_some(struct mregion *connection, const void *bytes, uint64_t size)
{
    struct iovec parts[2] = {
        {.iov_base = connection->out.data + connection->sent,
         .iov_len = connection->out.size - connection->sent},
        {.iov_base = (void *)(uintptr_t)bytes, .iov_len = (size_t)size},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = size > 0 ? 2 : 1};

    if (connection->secure != NULL)
        return secure_send(connection->secure, connection->fd, parts, (unsigned)message.msg_iovlen);
    return sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* count bytes have left: returns how many of them lay behind out. */
static size_t account(struct mregion *connection, size_t count)
{
    size_t left = connection->out.size - connection->sent;

    if (count < left) {
        connection->sent += count;
        return 0;
    }
    msgpack_sbuffer_clear(&connection->out);
    connection->sent = 0;
    return count - left;
}

int wire_flush(struct mregion *connection, int64_t deadline, struct mregion_error *error)
{
    while (connection->out.size > connection->sent || has_output(connection)) {
        ssize_t count = send_some(connection, NULL, 0);
        int code;

        if (count >= 0) {
            (void)account(connection, (size_t)count);
            continue;
        }
        if (errno == EINTR)
            continue;
        code = errno == EAGAIN ? wait_for(connection, true, deadline, error)
                               : lose_after_send(connection, errno, error);
        if (code != MREGION_OK)
            return code;
    }
    return MREGION_OK;
}

void wire_push(struct mregion *connection)
{
    ssize_t count = send_some(connection, NULL, 0);

    if (count > 0)
        (void)account(connection, (size_t)count);
}

void wire_poll(struct mregion *connection)
{
    struct pollfd waiting = {.fd = connection->fd, .events = POLLIN};

    if (connection->out.size > connection->sent || has_output(connection))
        wire_push(connection);
    while (connection->fd >= 0 && (has_input(connection) || poll(&waiting, 1, 0) > 0))
        (void)receive(connection, NULL);
}

/* Takes back a message of which nothing was sent, ends the connection otherwise. head bytes of it
 * were in connection->out. */
static void stop_message(struct mregion *connection, size_t begin, size_t head, bool is_begun)
{
    if (connection->fd < 0 || (!is_begun && head == 0))
        return;
    if (!is_begun && connection->out.size == begin + head && connection->sent <= begin)
        connection->out.size = begin;
    else
        (void)connection_end(connection, false, MREGION_ERR_LOST,
                             "another request was stopped in the middle of its message", NULL);
}

int wire_send_blob(struct mregion *connection, struct pending *pending, size_t begin,
                   const void *bytes, uint64_t size, int64_t deadline, struct mregion_error *error)
{
    const uint8_t *rest = bytes;
    size_t head = connection->out.size - begin;
    uint64_t left = size;

    while (left > 0) {
        ssize_t count = send_some(connection, rest, left);
        int code = MREGION_OK;

        if (count >= 0) {
            size_t moved = account(connection, (size_t)count);

            rest += moved;
            left -= moved;
            wire_moved(connection, pending, moved);
            if (left > 0 && is_canceled(connection))
                code = error_set(error, MREGION_ERR_CANCELED, "canceled");
        } else if (errno == EAGAIN) {
            code = wait_for(connection, true, deadline, error);
        } else if (errno != EINTR) {
            code = lose_after_send(connection, errno, error);
        }
        if (code != MREGION_OK) {
            stop_message(connection, begin, head, left < size);
            return code;
        }
    }
    return MREGION_OK;
}

int wire_wait(struct mregion *connection, const struct pending *pending, int64_t deadline,
              struct mregion_error *error)
{
    int code = wire_flush(connection, deadline, error);

    while (code == MREGION_OK && pending->state == PENDING_WAITING) {
        if (is_canceled(connection))
            return error_set(error, MREGION_ERR_CANCELED, "canceled");
        code = wait_for(connection, false, deadline, error);
        if (code == MREGION_OK && has_output(connection))
            wire_push(connection);
    }
    /* The end of the connection may have come right behind the answer. */
    return pending->state == PENDING_WAITING ? code : MREGION_OK;
}
