#include "client/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/deadline.h"
#include "client/error.h"
#include "client/step.h"

/* A Unix socket whose queue of waiting connections is full gives no event: asked again so often. */
#define BACKLOG_RETRY_MS 10

union address {
    struct sockaddr any;
    struct sockaddr_un un;
};

int dial_begin(struct dial *dial, const struct endpoint *endpoint, struct mregion_error *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int number;

    *dial = (struct dial){.fd = -1, .number = EADDRNOTAVAIL};
    if (endpoint->is_unix)
        return MREGION_OK;
    number = getaddrinfo(endpoint->path, endpoint->port, &hints, &dial->list);
    dial->next = dial->list;
    if (number == EAI_SYSTEM)
        return error_set_system(error, MREGION_ERR_CONNECT, errno, "cannot connect to %.200s",
                                endpoint->text);
    if (number != 0)
        return error_set(error, MREGION_ERR_CONNECT, "cannot connect to %.200s: %s", endpoint->text,
                         gai_strerror(number));
    return MREGION_OK;
}

/* Requests leave at once; a peer that is gone for good is found out some day. */
static void set_options(int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

/* 0, an errno value, or EAGAIN: not yet. */
static int look(const struct dial *dial, int64_t until)
{
    struct pollfd waiting = {.fd = dial->fd, .events = POLLOUT};
    socklen_t length = sizeof(int);
    int number = 0;

    if (poll(&waiting, 1, 0) <= 0)
        return deadline_left(until) == 0 ? ETIMEDOUT : EAGAIN;
    return getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &number, &length) != 0 ? errno : number;
}

/* The same. */
static int try_connect(struct dial *dial, const struct sockaddr *address, socklen_t length,
                       int64_t until)
{
    if (dial->is_connecting)
        return look(dial, until);
    if (connect(dial->fd, address, length) == 0)
        return 0;
    if (errno == EAGAIN && deadline_left(until) == 0)
        return ETIMEDOUT;
    if (errno != EINPROGRESS && errno != EINTR)
        return errno;
    dial->is_connecting = true;
    return look(dial, until);
}

/* The address that is tried; false when all have been. */
static bool current(const struct dial *dial, const struct endpoint *endpoint,
                    union address *ret_unix, const struct sockaddr **ret_address,
                    socklen_t *ret_length)
{
    if (!endpoint->is_unix) {
        if (dial->next != NULL) {
            *ret_address = dial->next->ai_addr;
            *ret_length = dial->next->ai_addrlen;
        }
        return dial->next != NULL;
    }
    *ret_unix = (union address){.un.sun_family = AF_UNIX};
    memcpy(ret_unix->un.sun_path, endpoint->path, strlen(endpoint->path) + 1);
    *ret_address = &ret_unix->any;
    *ret_length = sizeof ret_unix->un;
    return !dial->is_tried;
}

static void go_on(struct dial *dial)
{
    if (dial->fd >= 0)
        (void)close(dial->fd);
    dial->fd = -1;
    dial->is_connecting = false;
    dial->is_tried = true;
    if (dial->next != NULL)
        dial->next = dial->next->ai_next;
}

int dial_step(struct dial *dial, const struct endpoint *endpoint, int64_t until,
              struct mregion_error *error)
{
    const struct sockaddr *address;
    union address path;
    socklen_t length;

    for (; current(dial, endpoint, &path, &address, &length); go_on(dial)) {
        if (dial->fd < 0)
            dial->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        dial->number = dial->fd < 0 ? errno : try_connect(dial, address, length, until);
        if (dial->number == EAGAIN)
            return STEP_WAIT;
        if (dial->number != 0)
            continue;
        if (!endpoint->is_unix)
            set_options(dial->fd);
        return MREGION_OK;
    }
    return error_set_system(error, MREGION_ERR_CONNECT, dial->number, "cannot connect to %.200s",
                            endpoint->text);
}

int dial_pause(const struct dial *dial)
{
    return dial->is_connecting ? -1 : BACKLOG_RETRY_MS;
}

void dial_end(struct dial *dial)
{
    if (dial->fd >= 0)
        (void)close(dial->fd);
    if (dial->list != NULL)
        freeaddrinfo(dial->list);
    *dial = (struct dial){.fd = -1};
}
