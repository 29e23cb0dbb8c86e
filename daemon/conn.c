#include "daemon/conn.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <utlist.h>

#include "core/bytes.h"
#include "daemon/answer.h"
#include "daemon/backup.h"
#include "daemon/certificates.h"
#include "daemon/dispatch.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/roll.h"
#include "daemon/scrub.h"
#include "daemon/server.h"
#include "daemon/stream.h"
#include "daemon/upload.h"

/* Buffers in one write: far more than a turn usually leaves, and no malloc in a partial one. */
#define WRITE_VECTORS 64

static void begin_message(struct conn *conn);
static void conn_finish(struct conn *conn);
static void run(struct conn *conn);
static void set_reading(struct conn *conn, bool reading);
static void start_reading(struct conn *conn);

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

/* Goes on with it in the loop's next iteration. */
static void later(struct conn *conn)
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
    later(conn);
}

void conn_go_on(struct conn *conn)
{
    conn->is_yielding = false;
    if (conn->output.pending > 0)
        conn_send(conn);
    conn_wake(conn);
}

/* What counts is what it has had since the others had their turn. */
static void begin_stretch(struct conn *conn)
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

static void park_at(struct conn *conn, struct budget *budget, uint64_t bytes)
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
    park_at(conn, &conn->server->budget, bytes);
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

/* The peer is gone. What it had sent whole is still executed. */
static void lose(struct conn *conn, int error)
{
    log_debug("%s: %s", conn->peer, uv_strerror(error));
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

/* ---- Reading ---- */

/* Little where beginnings are too many: what is not decrypted yet is one. */
static size_t tls_room(const struct server *server)
{
    return budget_is_tight(&server->arriving) ? BUDGET_FIRST : SCRATCH_SIZE;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct conn *conn = handle->data;
    if (conn->tls != NULL)
        *buffer = uv_buf_init((char *)conn->server->tls_scratch, (unsigned)tls_room(conn->server));
    else if (conn->state == CONN_LINGERING)
        *buffer = uv_buf_init((char *)conn->server->scratch, SCRATCH_SIZE);
    else
        *buffer = input_room(&conn->input);
}

/* So many bytes are in the room that the input had for them. */
static void received(struct conn *conn, size_t size)
{
    input_filled(&conn->input, size);
    run(conn);
    /* While they are in the processor's cache, if no commit waits for the turn's end. */
    if (conn->output.pending >= PIECE_SIZE && conn->server->regions.touched == NULL)
        conn_flush(conn);
}

/* ---- Reading through TLS ---- */

static void count_tls(struct conn *conn)
{
    uint64_t held = tls_held(conn->tls);
    if (held > conn->tls_counted)
        budget_add(&conn->server->budget, held - conn->tls_counted);
    else
        budget_give(&conn->server->budget, conn->tls_counted - held);
    conn->tls_counted = held;
}

/* The handshake is through. */
static void on_secured(struct conn *conn)
{
    const struct ssl_st *ssl = tls_ssl(conn->tls);
    bool has_certificate;
    conn->tls_late_ms = 0;
    conn->subject = certificates_subject(ssl, &has_certificate);
    if (has_certificate && conn->subject == NULL)
        conn_fail(conn, "out of memory");
    log_debug("%s: %s, certificate: %s", conn->peer, SSL_get_version(ssl),
              has_certificate ? conn->subject : "none");
    access_identify(conn);
}

/* A message is begun with the first byte of its record, not with the record's last. */
static void note_record(struct conn *conn)
{
    if (input_size(&conn->input) > 0 || !conn->is_reading)
        return;
    if (!tls_is_within_record(conn->tls))
        conn->begun_ms = 0; /* it was a record without a message */
    else if (conn->begun_ms == 0 && tls_is_open(conn->tls))
        begin_message(conn);
}

/* Handles what has arrived, as far as the connection reads, and keeps the rest. */
static void decrypt(struct conn *conn)
{
    struct tls *tls = conn->tls;
    while (conn->state == CONN_OPEN && conn->is_reading) {
        size_t size, waiting;
        uv_buf_t room = input_room(&conn->input);
        enum tls_status status = tls_read(tls, room.base, room.len, &size);
        if (conn->tls_late_ms != 0 && tls_is_open(tls))
            on_secured(conn);
        if (tls_waiting(tls, &waiting) != NULL)
            conn_send(conn); /* of the handshake, or an alert */
        if (status == TLS_MORE || conn->state != CONN_OPEN)
            break;
        if (status == TLS_BYTES)
            received(conn, size);
        else if (status == TLS_ENDED)
            conn_end(conn);
        else
            conn_fail(conn, "TLS: %s", tls_reason(tls));
    }
    if (conn->state == CONN_CLOSING)
        return;
    if (!tls_keep(tls))
        conn_fail(conn, "out of memory");
    count_tls(conn);
    note_record(conn);
    if (conn->is_reading && !tls_has_input(tls))
        start_reading(conn);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct conn *conn = stream->data;
    if (size == 0 || conn->state == CONN_CLOSING)
        return;
    if (size == UV_EOF && conn->state == CONN_OPEN && conn->tls == NULL) {
        conn_end(conn);
        return;
    }
    if (size < 0) {
        lose(conn, (int)size);
        return;
    }
    conn->moved_ms = uv_now(&conn->server->loop);
    conn->moved += (uint64_t)size;
    if (conn->state == CONN_LINGERING)
        return;
    begin_stretch(conn);
    conn->stretch_read += (size_t)size;
    if (conn->tls == NULL) {
        received(conn, (size_t)size);
    } else {
        conn->server->tls_reads++;
        tls_feed(conn->tls, buffer->base, (size_t)size);
        decrypt(conn);
    }
    if (conn->stretch_read >= STRETCH_BYTES && conn->is_reading) {
        conn_yield(conn);
        set_reading(conn, false);
    }
}

static void start_reading(struct conn *conn)
{
    int error = uv_read_start(&conn->handle.stream, on_room, on_read);
    if (error != 0 && error != UV_EALREADY) {
        log_debug("%s: %s", conn->peer, uv_strerror(error));
        conn_close(conn);
    }
}

/* From the socket, unless there is something to be decrypted first: conn_run does that. */
static void set_reading(struct conn *conn, bool reading)
{
    if (conn->is_reading == reading)
        return;
    conn->is_reading = reading;
    if (!reading)
        uv_read_stop(&conn->handle.stream);
    else if (conn->tls == NULL || conn->state == CONN_LINGERING || !tls_has_input(conn->tls))
        start_reading(conn);
}

/* Once half of what answers may take (pieces_are_many) is in use, each has this share of the rest.
 */
#define OWED_SHARE 16

/* How many bytes of answers may be owed before the next request is executed. Where memory is short,
 * small answers must not pile up either, which are not asked for. Whoever stops here has answers to
 * be sent, and goes on after that. */
static uint64_t pending_max(const struct server *server)
{
    const struct budget *budget = &server->budget;
    uint64_t owed = server->pieces.used, most = budget->limit / PIECES_PART;
    if (budget->used >= budget->limit || owed >= most)
        return BUDGET_SMALL;
    if (owed < most / 2)
        return server->conf.max_unread;
    return min_u64(server->conf.max_unread, max_u64(BUDGET_SMALL, (most - owed) / OWED_SHARE));
}

/* Whether the next request may be executed now. */
static bool may_execute(const struct conn *conn)
{
    return (conn->state == CONN_OPEN || conn->state == CONN_ENDING) &&
           conn->wait == CONN_WAITS_NOT && conn->held == NULL && !conn->is_yielding &&
           conn->in_flight < conn->server->conf.max_pipeline &&
           conn->output.pending + conn->reserved < pending_max(conn->server);
}

/* Bytes that the socket has for us. */
static uint64_t unread(const struct conn *conn)
{
    int fd, count = 0;
    if (uv_fileno((const uv_handle_t *)&conn->handle.stream, &fd) != 0 ||
        ioctl(fd, FIONREAD, &count) != 0 || count < 0)
        return 0;
    return (uint64_t)count;
}

/* A small message that is in the socket to its end takes memory for this turn only: where small
 * ones are asked for, it passes all those who have sent beginnings and no more. */
static enum input_status prepare(struct conn *conn, uint64_t wanted)
{
    struct budget *arriving = &conn->server->arriving;
    uint64_t missing = wanted - input_size(&conn->input);
    bool is_small = wanted <= SCRATCH_SIZE && budget_is_tight(arriving);
    arriving->is_passing = is_small && unread(conn) >= missing;
    enum input_status status = input_prepare(&conn->input, conn, wanted);
    arriving->is_passing = false;
    conn->wait_unread = is_small ? missing : 0;
    return status;
}

/* After as much was executed as can be: wanted is what the message at the input's start needs at
 * least. Reads on, or waits. */
static void settle(struct conn *conn, uint64_t wanted)
{
    if (conn->state == CONN_CLOSING || conn->state == CONN_LINGERING)
        return;
    if (conn->state == CONN_ENDING && may_execute(conn)) {
        input_release(&conn->input); /* a message that will never be whole */
        conn_finish(conn);
        return;
    }
    if (conn->input.own.base == NULL)
        budget_forget(&conn->server->arriving, conn); /* what it held of that has become whole */
    if (!input_keep(&conn->input)) {
        conn_fail(conn, "out of memory");
        return;
    }
    if (conn->state != CONN_OPEN || !may_execute(conn)) {
        set_reading(conn, false);
        return;
    }
    switch (prepare(conn, wanted)) {
    case INPUT_READY:
        set_reading(conn, true);
        break;
    case INPUT_WAIT:
        set_reading(conn, false);
        conn->begun_ms = 0; /* it is not the peer who is slow */
        park_at(conn, &conn->server->arriving, input_growth(&conn->input, wanted));
        break;
    case INPUT_NO_MEMORY:
        conn_fail(conn, "out of memory");
        break;
    }
}

/* Memory for large messages is for those who are known. */
static uint64_t message_max(const struct conn *conn)
{
    const struct conf *conf = &conn->server->conf;
    if (conf->users_count == 0 || conn->identity.user != NULL ||
        conf->max_message <= ACCESS_MESSAGE_MAX)
        return conf->max_message;
    return ACCESS_MESSAGE_MAX;
}

/* The stream cannot be followed any further. Answers first where the message says whom. */
static void refuse_frame(struct conn *conn, enum frame_status status, uint64_t size)
{
    struct err err;
    switch (status) {
    case FRAME_TOO_LARGE:
        err_set(&err, ERR_TOO_LARGE, "a message is longer than %s, %" PRIu64 " bytes",
                message_max(conn) == conn->server->conf.max_message
                    ? "max_message"
                    : "one may be before the connection is a user's",
                message_max(conn));
        break;
    case FRAME_TOO_DEEP:
        err_set(&err, ERR_INVALID_ARGUMENT, "a message is nested deeper than %d levels",
                FRAME_DEPTH_MAX);
        break;
    case FRAME_TOO_MANY:
        err_set(&err, ERR_INVALID_ARGUMENT, "a message has more than %d elements",
                FRAME_ELEMENTS_MAX);
        break;
    default:
        err_set(&err, ERR_INVALID_ARGUMENT, "not MessagePack: byte 0xc1 at offset %" PRIu64, size);
        break;
    }
    uint32_t msgid;
    if (dispatch_peek_msgid(input_bytes(&conn->input), input_size(&conn->input), &msgid))
        answer_error(conn, msgid, &err);
    conn_fail(conn, "%s", err.text);
}

/* The clock is looked at after so many small requests, and after each larger one, or while large
 * answers are owed: it takes as long as a small part of one. */
#define CLOCK_EVERY 16
#define CLOCK_SIZE 1024

/* One that waits for something else has left its stretch by that. */
static void look_at_clock(struct conn *conn, uint64_t began_ns)
{
    if (input_size(&conn->input) > 0 && conn->stretch_ns + (uv_hrtime() - began_ns) >= STRETCH_NS &&
        may_execute(conn))
        conn_yield(conn);
}

/* A part of it has come. */
static void begin_message(struct conn *conn)
{
    conn->begun_ms = uv_now(&conn->server->loop);
    server_watch_time(conn->server);
}

/* Handles the message at the input's start; its size. 0: it is not whole, and *wanted says what
 * it needs, or it was refused. */
static size_t run_message(struct conn *conn, uint64_t size_max, uint64_t *wanted)
{
    size_t whole = conn->scanner.position == 0 ? dispatch_short(conn, size_max) : 0;
    if (whole > 0)
        return whole;
    uint64_t size;
    enum frame_status status = frame_scan(&conn->scanner, input_bytes(&conn->input),
                                          input_size(&conn->input), size_max, &size);
    if (status == FRAME_INCOMPLETE) {
        *wanted = size;
        if (conn->begun_ms == 0)
            begin_message(conn);
        return 0;
    }
    if (status != FRAME_COMPLETE) {
        refuse_frame(conn, status, conn->scanner.position);
        return 0;
    }
    frame_reset(&conn->scanner);
    dispatch(conn, (size_t)size);
    return (size_t)size;
}

static void run(struct conn *conn)
{
    if (conn->wait != CONN_WAITS_NOT || conn->is_yielding)
        return;
    begin_stretch(conn);
    uint64_t began_ns = uv_hrtime(), wanted = 1, size_max = message_max(conn);
    unsigned count = 0;
    if (conn->held != NULL)
        request_resume(conn->held);
    while (may_execute(conn) && input_size(&conn->input) > 0) {
        size_t size = run_message(conn, size_max, &wanted);
        if (size == 0)
            break;
        conn->begun_ms = 0;
        if (++count % CLOCK_EVERY == 0 || size > CLOCK_SIZE || conn->output.held > BUDGET_SMALL)
            look_at_clock(conn, began_ns);
    }
    settle(conn, wanted);
    conn->stretch_ns += uv_hrtime() - began_ns;
}

void conn_run(struct conn *conn)
{
    run(conn);
    if (conn->tls != NULL && conn->is_reading && tls_has_input(conn->tls))
        decrypt(conn);
}

/* ---- Writing ---- */

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
    count_tls(conn);
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
        lose(conn, status);
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
        log_warning("%s: closed: TLS: %s", conn->peer, tls_reason(conn->tls));
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
    count_tls(conn);
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
        lose(conn, error);
        return;
    }
    conn->is_writing = true;
}

void conn_flush(struct conn *conn)
{
    if (conn->output.has_failed && conn->state != CONN_CLOSING) {
        log_warning("%s: closed: out of memory for an answer", conn->peer);
        conn_close(conn);
    }
    begin_stretch(conn);
    while (conn->state != CONN_CLOSING && !conn->is_writing && has_output(conn)) {
        uv_buf_t buffers[WRITE_VECTORS];
        size_t size;
        if (conn->stretch_written >= STRETCH_BYTES) {
            later(conn);
            return;
        }
        unsigned count = next_vectors(conn, buffers, &size);
        if (count == 0)
            return; /* the rest of a stream comes first */
        int written = uv_try_write(&conn->handle.stream, buffers, count);
        if (written < 0 && written != UV_EAGAIN) {
            lose(conn, written);
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
    set_reading(conn, true);
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
    log_debug("%s: closed", conn->peer);
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
    set_reading(conn, true);
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

/* Ends the connection if nothing is left to do on it. */
static void conn_finish(struct conn *conn)
{
    if (conn->state != CONN_ENDING || conn->in_flight > 0 || conn->output.pending > 0 ||
        conn->is_writing || conn->output.has_failed || !has_said_end(conn))
        return;
    if (!conn->is_lost && (conn->has_failed || unread(conn) > 0))
        linger(conn);
    else
        conn_close(conn);
}

void conn_end(struct conn *conn)
{
    if (conn->state != CONN_OPEN)
        return;
    conn->state = CONN_ENDING;
    set_reading(conn, false);
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
        log_warning("%s: closing: %s", conn->peer, reason);
    }
    conn->state = CONN_ENDING;
    conn->has_failed = true;
    set_reading(conn, false);
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
        log_warning("%s: closed: %s", conn->peer, reason);
    }
    conn_close(conn);
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

bool conn_sweep(struct conn *conn, uint64_t at_ms)
{
    const struct server *server = conn->server;
    if (conn->wait == CONN_WAITS_MEMORY && conn->wait_budget == &server->arriving &&
        conn->wait_unread > 0 && unread(conn) >= conn->wait_unread) {
        conn_unpark(conn);
        conn_wake(conn);
    }
    if (conn->state == CONN_LINGERING && at_ms >= conn->linger_ms) {
        conn_close(conn);
        return false;
    }
    if (server->phase == SERVER_DRAINING && at_ms >= server->drain_deadline_ms &&
        conn->in_flight == stream_idle_count(conn)) {
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
