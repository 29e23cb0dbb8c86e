#include "client/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
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

static void reset(struct dial *dial)
{
    *dial = (struct dial){
        .fd = -1, .number = EADDRNOTAVAIL, .opened = dial->opened, .watcher = dial->watcher};
}

static int fail(const struct endpoint *endpoint, int number, struct mregion_error *error)
{
    if (number == ENOMEM)
        return error_no_memory(error);
    if (number < 0)
        return error_set(error, MREGION_ERR_CONNECT, "cannot connect to %.200s: %s", endpoint->text,
                         gai_strerror(number));
    return error_set_system(error, MREGION_ERR_CONNECT, number, "cannot connect to %.200s",
                            endpoint->text);
}

/* What is an address already is not looked up, and so nothing waits. */
int dial_begin(struct dial *dial, const struct endpoint *endpoint, struct mregion_error *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
    int number;

    reset(dial);
    if (endpoint->is_unix)
        return MREGION_OK;
    number = getaddrinfo(endpoint->path, endpoint->port, &hints, &dial->list);
    dial->next = dial->list;
    if (number == EAI_NONAME) {
        number = lookup_start(endpoint->path, endpoint->port, &dial->lookup);
        dial->opened++;
    }
    if (number == EAI_SYSTEM)
        number = errno;
    return number != 0 ? fail(endpoint, number, error) : MREGION_OK;
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

static void unwatch(const struct dial *dial, int fd)
{
    if (dial->watcher >= 0)
        (void)epoll_ctl(dial->watcher, EPOLL_CTL_DEL, fd, NULL);
}

static void go_on(struct dial *dial)
{
    dial_close(dial, dial->fd);
    dial->fd = -1;
    dial->is_connecting = false;
    dial->is_tried = true;
    if (dial->next != NULL)
        dial->next = dial->next->ai_next;
}

/* MREGION_OK: there is a list of addresses. */
static int look_up(struct dial *dial, const struct endpoint *endpoint, int64_t until,
                   struct mregion_error *error)
{
    int number;

    if (!lookup_is_done(dial->lookup))
        return deadline_left(until) == 0 ? fail(endpoint, ETIMEDOUT, error) : STEP_WAIT;
    unwatch(dial, lookup_fd(dial->lookup));
    number = lookup_take(dial->lookup, &dial->list);
    dial->lookup = NULL;
    dial->next = dial->list;
    return number != 0 ? fail(endpoint, number, error) : MREGION_OK;
}

int dial_step(struct dial *dial, const struct endpoint *endpoint, int64_t until,
              struct mregion_error *error)
{
    const struct sockaddr *address;
    union address path;
    socklen_t length;
    int code = dial->lookup != NULL ? look_up(dial, endpoint, until, error) : MREGION_OK;

    if (code != MREGION_OK)
        return code;
    for (; current(dial, endpoint, &path, &address, &length); go_on(dial)) {
        if (dial->fd < 0) {
            dial->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            dial->opened++;
        }
        dial->number = dial->fd < 0 ? errno : try_connect(dial, address, length, until);
        if (dial->number == EAGAIN)
            return STEP_WAIT;
        if (dial->number != 0)
            continue;
        if (!endpoint->is_unix)
            set_options(dial->fd);
        return MREGION_OK;
    }
    return fail(endpoint, dial->number, error);
}

void dial_wants(const struct dial *dial, int *ret_fd, short *ret_events, int *ret_pause_ms)
{
    *ret_pause_ms = -1;
    *ret_fd = dial->fd;
    *ret_events = POLLOUT;
    if (dial->lookup != NULL) {
        *ret_fd = lookup_fd(dial->lookup);
        *ret_events = POLLIN;
    } else if (!dial->is_connecting) {
        *ret_fd = -1;
        *ret_pause_ms = BACKLOG_RETRY_MS;
    }
}

void dial_close(const struct dial *dial, int fd)
{
    if (fd < 0)
        return;
    unwatch(dial, fd);
    (void)close(fd);
}

void dial_end(struct dial *dial)
{
    dial_close(dial, dial->fd);
    if (dial->lookup != NULL)
        unwatch(dial, lookup_fd(dial->lookup));
    lookup_abandon(dial->lookup);
    if (dial->list != NULL)
        freeaddrinfo(dial->list);
    reset(dial);
}
