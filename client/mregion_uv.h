/* libmregion on a libuv loop. Header only: whoever includes it links libmregion and libuv.
 *
 *     struct mregion_uv watcher;
 *
 *     mregion_open("tcp:db:7420", NULL, &connection, &error);
 *     mregion_uv_start(&watcher, uv_default_loop(), connection, &error);
 *     mregion_async_add(connection, "main", bytes, size, &async, NULL, &error);
 *     uv_run(uv_default_loop(), UV_RUN_DEFAULT);
 *
 * The watcher is active until it is stopped, as a listening socket is: uv_run returns before only
 * if it is unreferenced, uv_unref((uv_handle_t *)&watcher.poll). */
#ifndef MREGION_UV_H
#define MREGION_UV_H

#include <mregion.h>
#include <stdio.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mregion_uv;

typedef void (*mregion_uv_on_stopped)(struct mregion_uv *watcher);

/* The caller's memory, from the start until on_stopped is called. */
struct mregion_uv {
    uv_poll_t poll;
    struct mregion *connection; /* NULL once it is stopped */
    mregion_uv_on_stopped on_stopped;
    void *data; /* the caller's */
};

static inline void mregion_uv_on_poll(uv_poll_t *poll, int status, int events)
{
    struct mregion_uv *watcher = (struct mregion_uv *)poll->data;

    (void)status; /* what is wrong with the descriptor, the connection finds out itself */
    (void)events;
    mregion_process(watcher->connection);
}

/* Calls mregion_process from now on whenever there is something to do. watcher->data is left alone.
 * Errors: LOCAL_IO. */
static inline int mregion_uv_start(struct mregion_uv *watcher, uv_loop_t *loop,
                                   struct mregion *connection, struct mregion_error *error)
{
    int fd, number, code = mregion_fd(connection, &fd, error);

    if (code != MREGION_OK)
        return code;
    watcher->connection = connection;
    watcher->on_stopped = NULL;
    number = uv_poll_init(loop, &watcher->poll, fd);
    watcher->poll.data = watcher;
    if (number == 0) /* which a handle takes that was just made */
        number = uv_poll_start(&watcher->poll, UV_READABLE, mregion_uv_on_poll);
    if (number == 0)
        return MREGION_OK;
    if (error != NULL) {
        error->code = MREGION_ERR_LOCAL_IO;
        (void)snprintf(error->text, sizeof error->text, "cannot watch the connection: %s",
                       uv_strerror(number));
    }
    return MREGION_ERR_LOCAL_IO;
}

static inline void mregion_uv_on_close(uv_handle_t *handle)
{
    struct mregion_uv *watcher = (struct mregion_uv *)handle->data;

    if (watcher->on_stopped != NULL)
        watcher->on_stopped(watcher);
}

/* Stops watching, which is to be done before mregion_close; from a callback of the connection too.
 * on_stopped, which may be NULL, is called in a later turn of the loop: the watcher's memory is the
 * caller's again. */
static inline void mregion_uv_stop(struct mregion_uv *watcher, mregion_uv_on_stopped on_stopped)
{
    watcher->on_stopped = on_stopped;
    watcher->connection = NULL;
    uv_close((uv_handle_t *)&watcher->poll, mregion_uv_on_close);
}

#ifdef __cplusplus
}
#endif

#endif
