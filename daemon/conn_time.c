#include <inttypes.h>

#include "daemon/conn_private.h"
#include "daemon/server.h"
#include "daemon/stream.h"
#include "daemon/upload.h"

/* Who was not looked at for so long was in nobody's way meanwhile. */
#define UNSEEN_MS 2000

uint64_t conn_holds(const struct conn *conn)
{
    return conn->input.own.capacity + conn->output.pending - conn->output.held + conn->tls_counted +
           stream_idle_bytes(conn);
}

/* Whether others would have held pages, not long ago, and could not for those that are held. */
static bool is_hold_wanted(const struct server *server)
{
    return server->holds_ms != 0 &&
           uv_now(&server->loop) - server->holds_ms < server->conf.stall_timeout_ms;
}

/* Bytes that have moved, those of a write under way included: one has up to STRETCH_BYTES. */
static uint64_t moved(const struct conn *conn)
{
    if (!conn->is_writing)
        return conn->moved;
    return conn->moved + conn->writing - uv_stream_get_write_queue_size(&conn->handle.stream);
}

static void note_moved(struct conn *conn)
{
    uint64_t so_far = moved(conn);
    if (so_far != conn->moved_noted)
        conn->moved_ms = uv_now(&conn->server->loop);
    conn->moved_noted = so_far;
}

/* Whether nothing is under way here, so that its peer is the one who has to move. */
static bool is_idle(const struct conn *conn)
{
    return conn->wait == CONN_WAITS_NOT && conn->in_flight == stream_idle_count(conn);
}

/* Whether the message that has come in part has taken too long. */
static bool is_late(const struct conn *conn, uint64_t timeout_ms, uint64_t at_ms)
{
    uint64_t more_ms = input_size(&conn->input) * 1000 / MESSAGE_RATE;
    return timeout_ms > 0 && conn->is_reading && conn->begun_ms > 0 &&
           at_ms - conn->begun_ms >= timeout_ms + more_ms;
}

bool conn_check_time(struct conn *conn)
{
    const struct conf *conf = &conn->server->conf;
    uint64_t at_ms = uv_now(&conn->server->loop);
    if (conn->state != CONN_OPEN && conn->state != CONN_ENDING)
        return false;
    note_moved(conn);
    if (is_late(conn, conf->message_timeout_ms, at_ms))
        conn_give_up(conn,
                     "a message, of which %zu bytes have come, is not whole after "
                     "message_timeout, %" PRIu64 " ms",
                     input_size(&conn->input), conf->message_timeout_ms);
    else if (conf->idle_timeout_ms > 0 && is_idle(conn) && conn->uploads == NULL &&
             at_ms - conn->moved_ms >= conf->idle_timeout_ms)
        conn_give_up(conn, "nothing has moved for idle_timeout, %" PRIu64 " ms%s",
                     conf->idle_timeout_ms,
                     conn->output.pending > 0 ? "; it does not take its answers" : "");
    return conn->begun_ms > 0 || conf->idle_timeout_ms > 0;
}

/* Others wait for memory of which it holds a lot, and its peer is the one who has to move. */
static bool is_in_the_way(const struct conn *conn)
{
    const struct server *server = conn->server;
    uint64_t begun = budget_is_tight(&server->arriving) ? BUDGET_FIRST : BUDGET_SMALL;
    if (!is_idle(conn))
        return false;
    return (server->arriving.waiting != NULL && conn->input.own.capacity > begun) ||
           (server->budget.waiting != NULL && conn_holds(conn) > BUDGET_SMALL) ||
           (is_hold_wanted(server) && conn->output.held > BUDGET_SMALL);
}

/* Whether it has been in the way for too long, without moving much. */
static bool has_stalled(struct conn *conn, uint64_t at_ms)
{
    bool is_watched = at_ms - conn->seen_ms <= UNSEEN_MS;
    conn->seen_ms = at_ms;
    if (!is_watched || !is_in_the_way(conn) || moved(conn) - conn->stall_moved >= BUDGET_SMALL) {
        conn->stall_ms = at_ms;
        conn->stall_moved = moved(conn);
        return false;
    }
    return at_ms - conn->stall_ms >= conn->server->conf.stall_timeout_ms;
}

/* Whether its peer has had its time, at the server's end, to take what it is owed. What goes by
 * while the server is the one who has to move is not the peer's. */
static bool has_drained_long(struct conn *conn, uint64_t at_ms)
{
    const struct server *server = conn->server;
    uint64_t unseen_ms = at_ms - conn->seen_ms;
    note_moved(conn);
    if (!is_idle(conn) || unseen_ms > UNSEEN_MS) {
        conn->awaited_ms = at_ms;
        return false;
    }
    conn->owing_ms += unseen_ms;
    bool is_stuck = at_ms >= conn->awaited_ms + DRAIN_MS && at_ms >= conn->moved_ms + DRAIN_MS;
    return at_ms >= server->drain_deadline_ms &&
           (server->is_hurried || is_stuck || conn->owing_ms >= DRAIN_ALL_MS);
}

bool conn_sweep(struct conn *conn, uint64_t at_ms)
{
    const struct server *server = conn->server;
    if (conn->wait == CONN_WAITS_MEMORY && conn->wait_budget == &server->arriving &&
        conn->wait_unread > 0 && conn_unread(conn) >= conn->wait_unread) {
        conn_unpark(conn);
        conn_wake(conn);
    }
    if (conn->state == CONN_LINGERING && at_ms >= conn->linger_ms) {
        conn_close(conn);
        return false;
    }
    if (server->phase == SERVER_DRAINING && conn->state != CONN_LINGERING &&
        has_drained_long(conn, at_ms)) {
        conn_give_up(conn, "it did not take its answers in time");
        return false;
    }
    if (conn->tls_late_ms != 0 && at_ms >= conn->tls_late_ms) {
        conn_give_up(conn, "no TLS handshake within tls_handshake, %" PRIu64 " ms",
                     server->conf.tls.handshake_ms);
        return false;
    }
    if (has_stalled(conn, at_ms)) {
        conn_give_up(conn,
                     "it holds %" PRIu64 " bytes of max_buffered and %" PRIu64
                     " of page_cache, which others wait for, and has hardly moved for "
                     "stall_timeout, %" PRIu64 " ms",
                     conn_holds(conn), conn->output.held, server->conf.stall_timeout_ms);
        return false;
    }
    bool is_needed = upload_sweep(conn, at_ms) || is_hold_wanted(server);
    return stream_sweep(conn, at_ms) || is_needed || conn->state == CONN_LINGERING ||
           conn->tls_late_ms != 0;
}
