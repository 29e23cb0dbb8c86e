#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <utlist.h>

#include "daemon/backup.h"
#include "daemon/certificates.h"
#include "daemon/conn_private.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/roll.h"
#include "daemon/scrub.h"
#include "daemon/server.h"
#include "daemon/stream.h"
#include "daemon/upload.h"

/* ---- Waiting and waking ---- */

void conn_wake(struct conn *conn)
{
    if (conn->is_ready || conn->state == CONN_CLOSING)
        return;
    conn->is_ready = true;
    conn->ready_next = NULL;
    *conn->server->ready_last = conn;
    conn->server->ready_last = &conn->ready_next;
}

void conn_send(struct conn *conn)
{
    if (conn->is_dirty || conn->state == CONN_CLOSING)
        return;
    conn->is_dirty = true;
    conn->dirty_next = conn->server->dirty;
    conn->server->dirty = conn;
}

void conn_later(struct conn *conn)
{
    struct server *server = conn->server;
    if (conn->is_later || conn->state == CONN_CLOSING)
        return;
    conn->is_later = true;
    conn->later_next = NULL;
    *server->later_last = conn;
    server->later_last = &conn->later_next;
    server_go_round(server);
}

void conn_yield(struct conn *conn)
{
    conn->is_yielding = true;
    conn_later(conn);
}

void conn_go_on(struct conn *conn)
{
    conn->is_yielding = false;
    if (conn->output.pending > 0)
        conn_send(conn);
    conn_wake(conn);
}

void conn_begin_stretch(struct conn *conn)
{
    if (conn->stretch == conn->server->iteration)
        return;
    conn->stretch = conn->server->iteration;
    conn->stretch_ns = 0;
    conn->stretch_read = 0;
    conn->stretch_written = 0;
}

void conn_park_region(struct conn *conn, struct region_entry *entry)
{
    assert(conn->wait == CONN_WAITS_NOT);
    conn->wait = CONN_WAITS_REGION;
    conn->wait_entry = entry;
    if (entry->is_retrying)
        DL_PREPEND2(entry->parked, conn, wait_previous, wait_next);
    else
        DL_APPEND2(entry->parked, conn, wait_previous, wait_next);
}

void conn_park_upload(struct conn *conn, const struct upload *upload)
{
    assert(conn->wait == CONN_WAITS_NOT);
    conn->wait = CONN_WAITS_UPLOAD;
    conn->wait_upload = upload;
}

void conn_park_at(struct conn *conn, struct budget *budget, uint64_t bytes)
{
    assert(conn->wait == CONN_WAITS_NOT);
    conn->wait = CONN_WAITS_MEMORY;
    conn->wait_budget = budget;
    conn->wait_bytes = bytes;
    if (budget->is_granting)
        DL_PREPEND2(budget->waiting, conn, wait_previous, wait_next);
    else
        DL_APPEND2(budget->waiting, conn, wait_previous, wait_next);
    server_sweep_soon(conn->server);
}

void conn_park_memory(struct conn *conn, uint64_t bytes)
{
    conn_park_at(conn, &conn->server->budget, bytes);
}

void conn_unpark(struct conn *conn)
{
    if (conn->wait == CONN_WAITS_REGION)
        DL_DELETE2(conn->wait_entry->parked, conn, wait_previous, wait_next);
    else if (conn->wait == CONN_WAITS_MEMORY)
        DL_DELETE2(conn->wait_budget->waiting, conn, wait_previous, wait_next);
    conn->wait = CONN_WAITS_NOT;
    conn->wait_entry = NULL;
    conn->wait_upload = NULL;
}

struct log_about conn_about(const struct conn *conn)
{
    const struct conf_user *user = conn->identity.user;
    return (struct log_about){.peer = conn->peer, .user = user != NULL ? user->name : NULL};
}

void conn_lose(struct conn *conn, int error)
{
    struct log_about about = conn_about(conn);
    log_debug_about(&about, "%s: %s", conn->peer, uv_strerror(error));
    if (conn->state == CONN_CLOSING || conn->state == CONN_LINGERING) {
        conn_close(conn);
        return;
    }
    conn->is_lost = true;
    if (!conn->is_writing) /* else its bytes are still borrowed, and it fails soon */
        output_release(&conn->output);
    stream_abandon(conn);
    conn_end(conn);
    conn_wake(conn);
}

uint64_t conn_unread(const struct conn *conn)
{
    int fd, count = 0;
    if (uv_fileno((const uv_handle_t *)&conn->handle.stream, &fd) != 0 ||
        ioctl(fd, FIONREAD, &count) != 0 || count < 0)
        return 0;
    return (uint64_t)count;
}

void conn_count_tls(struct conn *conn)
{
    uint64_t held = tls_held(conn->tls);
    if (held > conn->tls_counted)
        budget_add(&conn->server->budget, held - conn->tls_counted);
    else
        budget_give(&conn->server->budget, conn->tls_counted - held);
    conn->tls_counted = held;
}

/* ---- The beginning ---- */

struct conn *conn_new(struct server *server, bool is_unix)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return NULL;
    conn->server = server;
    conn->number = ++server->conns_total;
    conn->since_s = (uint64_t)time(NULL);
    conn->is_unix = is_unix;
    identity_init(&conn->identity);
    conn->moved_ms = uv_now(&server->loop);
    input_init(&conn->input, &server->arriving, server->scratch);
    output_init(&conn->output, &server->pieces);
    frame_reset(&conn->scanner);
    snprintf(conn->peer, sizeof conn->peer, "connection %" PRIu64, conn->number);
    int error = is_unix ? uv_pipe_init(&server->loop, &conn->handle.pipe, 0)
                        : uv_tcp_init(&server->loop, &conn->handle.tcp);
    assert(error == 0); /* neither asks the system for anything */
    conn->handle.stream.data = conn;
    DL_APPEND2(server->conns, conn, previous, next);
    server->conns_count++;
    if (server->conf.idle_timeout_ms > 0)
        server_watch_time(server);
    return conn;
}

int conn_open(struct conn *conn, int fd)
{
    return conn->handle.stream.type == UV_TCP ? uv_tcp_open(&conn->handle.tcp, fd)
                                              : uv_pipe_open(&conn->handle.pipe, fd);
}

bool conn_secure(struct conn *conn)
{
    struct server *server = conn->server;
    conn->tls = tls_new_server(server->certificates.context, &server->tls_pool);
    if (conn->tls == NULL)
        return false;
    conn->tls_late_ms = now_ms() + server->conf.tls.handshake_ms;
    server_sweep_soon(server);
    return true;
}

void conn_start(struct conn *conn)
{
    conn_set_reading(conn, true);
}

/* ---- The end ---- */

static void free_if_done(struct conn *conn)
{
    if (!conn->is_closed || conn->in_flight > 0 || conn->is_ready || conn->is_dirty ||
        conn->is_later)
        return;
    assert(conn->held == NULL && conn->wait == CONN_WAITS_NOT && conn->reserved == 0);
    tls_free(conn->tls);
    free(conn->subject);
    free(conn);
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    conn->is_closed = true;
    free_if_done(conn);
}

void conn_close(struct conn *conn)
{
    struct server *server = conn->server;
    if (conn->state == CONN_CLOSING)
        return;
    struct log_about about = conn_about(conn);
    conn->state = CONN_CLOSING;
    identity_init(&conn->identity); /* the users may be replaced before it is freed */
    conn_unpark(conn);
    if (conn->held != NULL)
        request_abandon(conn->held);
    input_release(&conn->input);
    output_release(&conn->output);
    budget_give(&server->budget, conn->tls_counted);
    conn->tls_counted = 0;
    budget_forget(&server->budget, conn);
    budget_forget(&server->arriving, conn);
    roll_forget(server, conn);
    DL_DELETE2(server->conns, conn, previous, next);
    server->conns_count--;
    origins_leave(&server->origins, conn->origin);
    conn->origin = NULL;
    log_debug_about(&about, "%s: closed", conn->peer);
    uv_close((uv_handle_t *)&conn->handle.stream, on_closed);
    if (conn->scrubs > 0)
        scrub_abandon(conn);
    if (conn->backups > 0)
        backup_abandon(conn);
    stream_abandon(conn);
    upload_abandon(conn);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    struct conn *conn = shutdown->data;
    if (status < 0 && conn->state != CONN_CLOSING)
        conn_close(conn);
}

static void linger(struct conn *conn)
{
    conn->state = CONN_LINGERING;
    conn->linger_ms = now_ms() + LINGER_MS;
    conn->operation.shutdown.data = conn;
    if (uv_shutdown(&conn->operation.shutdown, &conn->handle.stream, on_shutdown) != 0) {
        conn_close(conn);
        return;
    }
    conn_set_reading(conn, true);
    server_sweep_soon(conn->server);
}

/* With TLS the peer is told of the end. Whether it is. */
static bool has_said_end(struct conn *conn)
{
    size_t waiting;
    if (conn->tls == NULL || conn->is_lost)
        return true;
    tls_end(conn->tls);
    if (tls_waiting(conn->tls, &waiting) == NULL)
        return true;
    conn_send(conn);
    return false;
}

void conn_finish(struct conn *conn)
{
    if (conn->state != CONN_ENDING || conn->in_flight > 0 || conn->output.pending > 0 ||
        conn->is_writing || conn->output.has_failed || !has_said_end(conn))
        return;
    if (!conn->is_lost && (conn->has_failed || conn_unread(conn) > 0))
        linger(conn);
    else
        conn_close(conn);
}

void conn_end(struct conn *conn)
{
    if (conn->state != CONN_OPEN)
        return;
    conn->state = CONN_ENDING;
    conn_set_reading(conn, false);
    if (conn->wait == CONN_WAITS_MEMORY && conn->held == NULL)
        conn_unpark(conn); /* what is whole asks again, what is not is dropped */
    conn_wake(conn);
}

void conn_fail(struct conn *conn, const char *format, ...)
{
    if (conn->state != CONN_OPEN && conn->state != CONN_ENDING)
        return;
    conn->server->counters.connections_failed++;
    if (log_allow(&conn->server->fail_limit, "connections closed for bad messages")) {
        char reason[ERR_TEXT_SIZE];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(reason, sizeof reason, format, arguments);
        va_end(arguments);
        struct log_about about = conn_about(conn);
        log_warning_about(&about, "%s: closing: %s", conn->peer, reason);
    }
    conn->state = CONN_ENDING;
    conn->has_failed = true;
    conn_set_reading(conn, false);
    input_release(&conn->input);
    conn_wake(conn);
}

void conn_request_gone(struct conn *conn)
{
    assert(conn->in_flight > 0);
    conn->in_flight--;
    if (conn->state == CONN_CLOSING)
        free_if_done(conn);
    else if (!conn->is_reading)
        conn_wake(conn);
}

void conn_leave_list(struct conn *conn)
{
    free_if_done(conn);
}

void conn_give_up(struct conn *conn, const char *format, ...)
{
    struct server *server = conn->server;
    server->counters.connections_timed_out++;
    if (log_allow(&server->late_limit, "connections closed for being slow")) {
        char reason[ERR_TEXT_SIZE];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(reason, sizeof reason, format, arguments);
        va_end(arguments);
        struct log_about about = conn_about(conn);
        log_warning_about(&about, "%s: closed: %s", conn->peer, reason);
    }
    conn_close(conn);
}
