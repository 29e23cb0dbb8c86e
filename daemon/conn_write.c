#include "daemon/conn_private.h"
#include "daemon/server.h"
#include "daemon/stream.h"

/* Buffers in one write: far more than a turn usually leaves, and no malloc in a partial one. */
#define WRITE_VECTORS 64

/* Bytes have been sent; where that was what stopped the connection, it goes on. */
static void sent(struct conn *conn, size_t size)
{
    output_sent(&conn->output, size);
    stream_sent(conn);
    if (!conn->is_reading)
        conn_wake(conn);
}

/* The socket has taken bytes. */
static void left(struct conn *conn, size_t size)
{
    conn->moved += size;
    conn->sent += size;
    conn->moved_ms = uv_now(&conn->server->loop);
    if (conn->tls == NULL) {
        sent(conn, size);
        return;
    }
    tls_sent(conn->tls, size);
    conn_count_tls(conn);
    if (!conn->is_reading)
        conn_wake(conn);
}

static void on_written(uv_write_t *write, int status)
{
    struct conn *conn = write->data;
    conn->is_writing = false;
    if (conn->state == CONN_CLOSING)
        return;
    if (status < 0) {
        conn_lose(conn, status);
        return;
    }
    if (conn->is_lost) {
        output_release(&conn->output);
        conn_wake(conn);
        return;
    }
    left(conn, conn->writing);
    conn_send(conn);
}

/* The next bytes, as much as the loop may send at a stretch. */
static unsigned next_plain(const struct conn *conn, uv_buf_t *buffers, size_t *ret_size)
{
    unsigned count = output_vectors(&conn->output, buffers, WRITE_VECTORS);
    size_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        if (buffers[i].len >= STRETCH_BYTES - size) {
            buffers[i].len = STRETCH_BYTES - size;
            count = i + 1;
        }
        size += buffers[i].len;
    }
    *ret_size = size;
    return count;
}

/* More of the output goes through TLS. */
static void encrypt(struct conn *conn)
{
    uv_buf_t buffers[WRITE_VECTORS];
    struct iovec pieces[WRITE_VECTORS];
    size_t size, taken;
    size_t most = conn->server->tls_active > 1 ? TLS_CHUNK : TLS_CHUNK_ALONE;
    unsigned count = next_plain(conn, buffers, &size);
    for (unsigned i = 0; i < count; i++)
        pieces[i] = (struct iovec){.iov_base = buffers[i].base, .iov_len = buffers[i].len};
    if (tls_write(conn->tls, pieces, count, most, &taken) == TLS_FAILED) {
        struct log_about about = conn_about(conn);
        log_warning_about(&about, "%s: closed: TLS: %s", conn->peer, tls_reason(conn->tls));
        conn_close(conn);
    } else if (taken > 0) {
        sent(conn, taken);
    }
}

static bool has_output(const struct conn *conn)
{
    size_t waiting;
    return conn->output.pending > 0 ||
           (conn->tls != NULL && tls_waiting(conn->tls, &waiting) != NULL);
}

/* What goes to the socket next. */
static unsigned next_vectors(struct conn *conn, uv_buf_t *buffers, size_t *ret_size)
{
    if (conn->tls == NULL)
        return next_plain(conn, buffers, ret_size);
    const uint8_t *bytes = tls_waiting(conn->tls, ret_size);
    if (bytes == NULL && conn->output.pending > 0) {
        encrypt(conn);
        bytes = tls_waiting(conn->tls, ret_size);
    }
    if (bytes == NULL || conn->state == CONN_CLOSING)
        return 0;
    conn_count_tls(conn);
    buffers[0] = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)*ret_size);
    return 1;
}

/* Leaves what the socket does not take now to the loop. */
static void write_later(struct conn *conn)
{
    uv_buf_t buffers[WRITE_VECTORS];
    unsigned count = next_vectors(conn, buffers, &conn->writing);
    conn->operation.write.data = conn;
    int error = uv_write(&conn->operation.write, &conn->handle.stream, buffers, count, on_written);
    if (error != 0) {
        conn_lose(conn, error);
        return;
    }
    conn->is_writing = true;
}

void conn_flush(struct conn *conn)
{
    if (conn->output.has_failed && conn->state != CONN_CLOSING) {
        struct log_about about = conn_about(conn);
        log_warning_about(&about, "%s: closed: out of memory for an answer", conn->peer);
        conn_close(conn);
    }
    conn_begin_stretch(conn);
    while (conn->state != CONN_CLOSING && !conn->is_lost && !conn->is_writing && has_output(conn)) {
        uv_buf_t buffers[WRITE_VECTORS];
        size_t size;
        if (conn->stretch_written >= STRETCH_BYTES) {
            conn_later(conn);
            return;
        }
        unsigned count = next_vectors(conn, buffers, &size);
        if (count == 0)
            return; /* the rest of a stream comes first */
        int written = uv_try_write(&conn->handle.stream, buffers, count);
        if (written < 0 && written != UV_EAGAIN) {
            conn_lose(conn, written);
            return;
        }
        if (written > 0) {
            conn->stretch_written += (size_t)written;
            left(conn, (size_t)written);
        }
        if (written < 0 || (size_t)written < size)
            write_later(conn);
    }
}
