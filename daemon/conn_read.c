#include <inttypes.h>
#include <openssl/ssl.h>

#include "core/bytes.h"
#include "daemon/answer.h"
#include "daemon/certificates.h"
#include "daemon/conn_private.h"
#include "daemon/dispatch.h"
#include "daemon/request.h"
#include "daemon/server.h"

static void run(struct conn *conn);
static void start_reading(struct conn *conn);

/* A part of a message has come. */
static void begin_message(struct conn *conn)
{
    conn->begun_ms = uv_now(&conn->server->loop);
    server_watch_time(conn->server);
}

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

/* The handshake is through. */
static void on_secured(struct conn *conn)
{
    const struct ssl_st *ssl = tls_ssl(conn->tls);
    bool has_certificate;
    conn->tls_late_ms = 0;
    conn->subject = certificates_subject(ssl, &has_certificate);
    if (has_certificate && conn->subject == NULL)
        conn_fail(conn, "out of memory");
    struct log_about about = conn_about(conn);
    log_debug_about(&about, "%s: %s, certificate: %s", conn->peer, SSL_get_version(ssl),
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
    conn_count_tls(conn);
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
        conn_lose(conn, (int)size);
        return;
    }
    conn->moved_ms = uv_now(&conn->server->loop);
    conn->moved += (uint64_t)size;
    if (conn->state == CONN_LINGERING)
        return;
    conn_begin_stretch(conn);
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
        conn_set_reading(conn, false);
    }
}

static void start_reading(struct conn *conn)
{
    int error = uv_read_start(&conn->handle.stream, on_room, on_read);
    if (error != 0 && error != UV_EALREADY) {
        struct log_about about = conn_about(conn);
        log_debug_about(&about, "%s: %s", conn->peer, uv_strerror(error));
        conn_close(conn);
    }
}

void conn_set_reading(struct conn *conn, bool reading)
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

/* A small message that is in the socket to its end takes memory for this turn only: where small
 * ones are asked for, it passes all those who have sent beginnings and no more. */
static enum input_status prepare(struct conn *conn, uint64_t wanted)
{
    struct budget *arriving = &conn->server->arriving;
    uint64_t missing = wanted - input_size(&conn->input);
    bool is_small = wanted <= SCRATCH_SIZE && budget_is_tight(arriving);
    arriving->is_passing = is_small && conn_unread(conn) >= missing;
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
        conn_set_reading(conn, false);
        return;
    }
    switch (prepare(conn, wanted)) {
    case INPUT_READY:
        conn_set_reading(conn, true);
        break;
    case INPUT_WAIT:
        conn_set_reading(conn, false);
        conn->begun_ms = 0; /* it is not the peer who is slow */
        conn_park_at(conn, &conn->server->arriving, input_growth(&conn->input, wanted));
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

/* The clock is looked at after so many small requests, and after each larger one, each that looks
 * at all regions, or while large answers are owed: it takes as long as a small part of one. */
#define CLOCK_EVERY 16
#define CLOCK_SIZE 1024

/* One that waits for something else has left its stretch by that. */
static void look_at_clock(struct conn *conn, uint64_t began_ns)
{
    if (input_size(&conn->input) > 0 && conn->stretch_ns + (uv_hrtime() - began_ns) >= STRETCH_NS &&
        may_execute(conn))
        conn_yield(conn);
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

/* Whether the request before was one of the server and all that it has. */
static bool was_of_server(const struct server *server)
{
    unsigned kind = server->stats.kind;
    return kind < METHODS && methods[kind].access == METHOD_SERVER;
}

static void run(struct conn *conn)
{
    if (conn->wait != CONN_WAITS_NOT || conn->is_yielding)
        return;
    conn_begin_stretch(conn);
    uint64_t began_ns = uv_hrtime(), wanted = 1, size_max = message_max(conn);
    unsigned count = 0;
    if (conn->held != NULL)
        request_resume(conn->held);
    while (may_execute(conn) && input_size(&conn->input) > 0) {
        size_t size = run_message(conn, size_max, &wanted);
        if (size == 0)
            break;
        conn->begun_ms = 0;
        if (++count % CLOCK_EVERY == 0 || size > CLOCK_SIZE || conn->output.held > BUDGET_SMALL ||
            was_of_server(conn->server))
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
