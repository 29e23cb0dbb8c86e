#include "client/loop.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "client/attempt.h"
#include "client/deadline.h"
#include "client/error.h"
#include "client/events.h"
#include "client/wire.h"

/* A socket that cannot be watched is looked at so often. */
#define RETRY_MS 10

/* The same numbers for both system calls. */
_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT, "poll and epoll differ");

int loop_open(struct mregion *connection, struct mregion_error *error)
{
    struct loop *loop = &connection->loop;
    struct epoll_event event = {.events = EPOLLIN};

    if (loop->fd >= 0)
        return MREGION_OK;
    loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->timer >= 0 && loop->fd >= 0 &&
        epoll_ctl(loop->fd, EPOLL_CTL_ADD, loop->timer, &event) == 0) {
        loop->until = DEADLINE_NEVER;
        connection->attempt.dial.watcher = loop->fd;
        return MREGION_OK;
    }
    (void)error_set_system(error, MREGION_ERR_LOCAL_IO, errno,
                           "no descriptor for the connection's events");
    loop_close(loop);
    return MREGION_ERR_LOCAL_IO;
}

void loop_close(struct loop *loop)
{
    if (loop->timer >= 0)
        (void)close(loop->timer);
    if (loop->fd >= 0)
        (void)close(loop->fd);
    loop->timer = -1;
    loop->fd = -1;
}

static void set_timer(struct loop *loop, int64_t until)
{
    struct itimerspec spec = {.it_value = {0}};

    if (until == loop->until)
        return;
    loop->until = until;
    if (until != DEADLINE_NEVER) {
        spec.it_value.tv_sec = until / 1000;
        spec.it_value.tv_nsec = until % 1000 * 1000000 + 1; /* zero would be never */
    }
    (void)timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

/* A socket that was closed is not in there any more. False: the system has no room for it. */
static bool watch(struct mregion *connection, int fd, short events)
{
    struct loop *loop = &connection->loop;
    uint64_t number = fd < 0 ? 0 : connection->attempt.dial.opened;
    struct epoll_event event = {.events = (uint32_t)events};

    if (number == 0 || (number == loop->watched && events == loop->events))
        return true;
    if (epoll_ctl(loop->fd, number == loop->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) !=
        0)
        return false;
    loop->watched = number;
    loop->events = events;
    return true;
}

static bool has_work(const struct mregion *connection)
{
    return connection->pending.unsent != NULL || connection->attempt.greeting != NULL;
}

void loop_arm(struct mregion *connection)
{
    struct loop *loop = &connection->loop;
    int64_t until = DEADLINE_NEVER;
    short events = 0;
    int fd = -1;

    if (loop->fd < 0)
        return;
    if (connection->fd >= 0 || has_work(connection))
        attempt_wants(connection, &fd, &events, &until);
    else
        attempt_end(connection); /* for nobody */
    if (connection->attempt.stage == STAGE_UP && connection->pending.unsent != NULL)
        events |= POLLOUT;
    if (loop->deadline < until)
        until = loop->deadline;
    if (events_until(connection) < until)
        until = events_until(connection);
    if (connection->pending.over != NULL || events_are_due(connection) ||
        (connection->fd >= 0 && wire_has_input(connection)))
        until = 0;
    if (!watch(connection, fd, events) && until > deadline_after(RETRY_MS))
        until = deadline_after(RETRY_MS);
    set_timer(loop, until);
}
