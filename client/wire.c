#include "client/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "client/error.h"
#include "client/inbox.h"
#include "client/outbox.h"
#include "client/secure.h"

/* So often something is received at most where nothing is waited for: a server may send without
 * end. */
#define TURNS_MAX 256
/* So often something is sent at most until somebody looks at the clock. */
#define SENDS_MAX 16

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

bool wire_is_canceled(const struct mregion *connection)
{
    const struct transfer *transfer = connection->transfer;

    return transfer != NULL && transfer->is_canceled && !transfer->is_cut;
}

int wire_lose(struct mregion *connection, int number, struct mregion_error *error)
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

/* What TLS has taken out of the socket. */
bool wire_has_input(const struct mregion *connection)
{
    return connection->secure != NULL && secure_has_input(connection->secure);
}

bool wire_has_output(const struct mregion *connection)
{
    return connection->out.size > connection->sent || connection->sending.left > 0 ||
           (connection->secure != NULL && secure_has_output(connection->secure));
}

int wire_pull(struct mregion *connection, struct mregion_error *error)
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
        return errno == EAGAIN || errno == EINTR ? STEP_WAIT : wire_lose(connection, errno, error);
    return connection_end(connection, true, MREGION_ERR_LOST, "the server closed the connection",
                          error);
}

/* The server no longer takes requests; it may have said why. */
static int lose_after_send(struct mregion *connection, int number, struct mregion_error *error)
{
    int code = MREGION_OK;

    if (number != EPIPE && number != ECONNRESET)
        return wire_lose(connection, number, error);
    for (int turn = 0; code == MREGION_OK || code == STEP_WAIT; turn++) {
        struct pollfd waiting = {.fd = connection->fd, .events = POLLIN};

        if (turn == TURNS_MAX || (!wire_has_input(connection) && poll(&waiting, 1, 0) <= 0))
            return wire_lose(connection, number, error);
        code = wire_pull(connection, error);
    }
    return code;
}

/* Sends as much of out, and of the message behind it, as the socket takes now. */
static ssize_t send_some(struct mregion *connection)
{
    const struct sending *sending = &connection->sending;
    struct iovec parts[2] = {
        {.iov_base = connection->out.data + connection->sent,
         .iov_len = connection->out.size - connection->sent},
        {.iov_base = (void *)(uintptr_t)sending->rest, .iov_len = (size_t)sending->left},
    };
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = sending->left > 0 ? 2 : 1};

    if (connection->secure != NULL)
        return secure_send(connection->secure, connection->fd, parts, (unsigned)message.msg_iovlen);
    return sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* count bytes have left. */
static int account(struct mregion *connection, size_t count, struct mregion_error *error)
{
    struct sending *sending = &connection->sending;
    size_t gathered = connection->out.size - connection->sent;

    if (count < gathered || gathered + sending->left == 0) {
        connection->sent += count;
        return MREGION_OK;
    }
    msgpack_sbuffer_clear(&connection->out);
    connection->sent = 0;
    sending->begin = 0;
    count -= gathered;
    if (count == 0)
        return MREGION_OK;
    sending->rest += count;
    sending->left -= count;
    if (connection->pending.sending != NULL)
        wire_moved(connection, connection->pending.sending, count);
    if (sending->left == 0)
        return outbox_end_message(connection, error);
    return wire_is_canceled(connection) ? error_set(error, MREGION_ERR_CANCELED, "canceled")
                                        : MREGION_OK;
}

int wire_push(struct mregion *connection, struct mregion_error *error)
{
    int code = MREGION_OK;

    for (int turn = 0; code == MREGION_OK && wire_has_output(connection); turn++) {
        ssize_t count;

        if (turn == SENDS_MAX)
            return STEP_WAIT;
        count = send_some(connection);

        if (count >= 0)
            code = account(connection, (size_t)count, error);
        else if (errno == EAGAIN)
            code = STEP_WAIT;
        else if (errno != EINTR)
            code = lose_after_send(connection, errno, error);
    }
    return code;
}

void wire_poll(struct mregion *connection)
{
    struct pollfd waiting = {.fd = connection->fd, .events = POLLIN};

    if (wire_has_output(connection))
        (void)wire_push(connection, NULL);
    for (int turn = 0; turn < TURNS_MAX && connection->fd >= 0 &&
                       (wire_has_input(connection) || poll(&waiting, 1, 0) > 0);
         turn++)
        (void)wire_pull(connection, NULL);
}
