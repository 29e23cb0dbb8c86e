#include "daemon/upload.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <utlist.h>

#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/log.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/server.h"

struct upload *upload_new(struct conn *conn, struct region_entry *entry,
                          struct region_upload *bytes)
{
    struct server *server = conn->server;
    struct upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL)
        return NULL;
    upload->handle = server->uploads_next++;
    upload->conn = conn;
    upload->entry = entry;
    upload->bytes = bytes;
    upload->moved_ms = now_ms();
    DL_APPEND2(conn->uploads, upload, conn_previous, conn_next);
    DL_APPEND2(entry->uploads, upload, entry_previous, entry_next);
    server->uploads_count++;
    server_sweep_soon(server);
    return upload;
}

struct upload *upload_find(const struct conn *conn, uint64_t handle)
{
    struct upload *upload;
    DL_FOREACH2(conn->uploads, upload, conn_next)
    if (upload->handle == handle)
        return upload;
    return NULL;
}

/* ---- The end ---- */

/* The message that waits for an upload of the connection is tried again. */
static void wake(struct conn *conn)
{
    if (conn->wait != CONN_WAITS_UPLOAD)
        return;
    conn_unpark(conn);
    conn_wake(conn);
}

/* Nobody finds it any more, and it counts no longer. */
static void leave_conn(struct upload *upload)
{
    wake(upload->conn);
    DL_DELETE2(upload->conn->uploads, upload, conn_previous, conn_next);
    upload->conn->server->uploads_count--;
    upload->conn = NULL;
}

static void upload_free(struct upload *upload)
{
    assert(upload->conn == NULL && upload->appends == NULL);
    DL_DELETE2(upload->entry->uploads, upload, entry_previous, entry_next);
    commit_touch(upload->entry);
    free(upload);
}

void upload_committed(struct upload *upload)
{
    leave_conn(upload);
    upload_free(upload);
}

/* It has ended, and no job has its bytes. */
static void give_back(struct upload *upload)
{
    struct request *request;
    region_upload_abort(upload->entry->region, upload->bytes);
    while ((request = upload->appends) != NULL) {
        DL_DELETE2(upload->appends, request, previous, next);
        request_fail(request, &upload->reason);
    }
    upload_free(upload);
}

void upload_abort(struct upload *upload, const struct err *reason)
{
    leave_conn(upload);
    upload->has_ended = true;
    upload->reason = *reason;
    if (!region_upload_is_writing(upload->bytes))
        give_back(upload);
}

void upload_abandon(struct conn *conn)
{
    struct upload *upload, *next;
    struct err reason;
    err_set(&reason, ERR_INTERNAL, "the connection was closed");
    DL_FOREACH_SAFE2(conn->uploads, upload, next, conn_next)
    upload_abort(upload, &reason);
}

void upload_refuse(struct region_entry *entry, const struct err *reason)
{
    struct upload *upload, *next;
    DL_FOREACH_SAFE2(entry->uploads, upload, next, entry_next)
    if (!upload->has_ended)
        upload_abort(upload, reason);
}

/* A message that is still arriving, or has to wait for the region, is a sign of life; but not of
 * who may not write there any more, of whom none is for the upload. */
static uint64_t last_sign_ms(const struct upload *upload, uint64_t at_ms)
{
    struct conn *conn = upload->conn;
    bool is_denied = !access_may_write(conn, upload->entry);
    uint64_t quiet_ms = uv_now(&conn->server->loop) - conn->moved_ms;
    if (upload->appends != NULL || (conn->wait != CONN_WAITS_NOT && !is_denied))
        return at_ms;
    if (is_denied || input_size(&conn->input) == 0 || at_ms - quiet_ms < upload->moved_ms)
        return upload->moved_ms;
    return at_ms - quiet_ms;
}

bool upload_sweep(struct conn *conn, uint64_t at_ms)
{
    uint64_t timeout_ms = conn->server->conf.upload_timeout_ms;
    struct upload *upload, *next;
    DL_FOREACH_SAFE2(conn->uploads, upload, next, conn_next)
    {
        if (at_ms - last_sign_ms(upload, at_ms) < timeout_ms)
            continue;
        struct err reason;
        err_set(&reason, ERR_BUSY, "the upload has timed out");
        log_warning("%s: upload %" PRIu64 " to region %s is given up, and its space given back: "
                    "nothing came for it within upload_timeout, %" PRIu64 " s",
                    conn->peer, upload->handle, upload->entry->name, timeout_ms / 1000);
        upload_abort(upload, &reason);
    }
    return conn->uploads != NULL;
}

/* ---- Appends ---- */

void upload_wait(struct upload *upload, struct request *request)
{
    request_move(request, REQUEST_APPENDING);
    upload->moved_ms = now_ms();
    commit_touch(upload->entry);
    DL_APPEND2(upload->appends, request, previous, next);
}

bool upload_has_appends(const struct conn *conn)
{
    const struct upload *upload;
    DL_FOREACH2(conn->uploads, upload, conn_next)
    if (upload->appends != NULL)
        return true;
    return false;
}

/* Returns whether any was. */
static bool answer_appends(struct upload *upload)
{
    const struct request *first = upload->appends;
    uint64_t written = region_upload_written(upload->bytes);
    const struct err *failure = region_upload_failure(upload->bytes);
    struct request *request;
    while ((request = upload->appends) != NULL && request->ticket <= written) {
        DL_DELETE2(upload->appends, request, previous, next);
        upload->moved_ms = now_ms();
        if (failure == NULL)
            request_succeed(request);
        else
            request_fail(request, failure);
    }
    return upload->appends != first;
}

void upload_settle(struct region_entry *entry)
{
    struct upload *upload, *next;
    DL_FOREACH_SAFE2(entry->uploads, upload, next, entry_next)
    {
        if (!upload->has_ended) {
            /* As long as nothing has changed whoever waits would only wait again, and have this
             * called again: another upload of the connection that is not busy changes nothing. */
            bool is_free =
                upload->conn->wait_upload == upload && !region_upload_is_busy(upload->bytes);
            if (answer_appends(upload) || is_free)
                wake(upload->conn);
        } else if (!region_upload_is_writing(upload->bytes)) {
            give_back(upload);
        }
    }
}
