#include "daemon/stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/bytes.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/log.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/server.h"

/* Verified in one trip to a worker: others are to have their turn. */
#define VERIFY_AT_ONCE (16 * STREAM_PIECE)
#define PIECES 2

_Static_assert(STREAM_MIN >= PIECES * STREAM_PIECE && STREAM_MIN_MANY >= PIECES * STREAM_PIECE_MANY,
               "a streamed answer is larger than its pieces");

struct stream {
    struct request *request;
    struct stream *conn_previous, *conn_next;   /* conn->streams */
    struct stream *entry_previous, *entry_next; /* entry->streams, while the block is pinned */
    bool is_pinned;
    bool is_reading;      /* at a worker */
    size_t piece_size;    /* bytes of the block in each of its pieces */
    uint64_t verified;    /* bytes of the block behind its beginning, which comes last */
    uint64_t queued;      /* bytes that are in the output, or were sent */
    struct piece *spare;  /* neither being read into nor to be sent */
    struct piece *filled; /* that the worker reads into */
    struct piece *last;   /* in the output, open; NULL before the first one */
    uint64_t deadline_ms; /* when the connection is closed for being in the way; 0 */
};

bool stream_is_due(const struct server *server, uint64_t size)
{
    return size > STREAM_MIN || (size > STREAM_MIN_MANY && pieces_are_many(&server->pieces));
}

/* Bytes of the block that its pieces hold. */
static uint64_t beginning_size(const struct stream *stream)
{
    return PIECES * stream->piece_size;
}

static uint64_t left(const struct stream *stream)
{
    return stream->request->block.size - stream->queued;
}

/* ---- The beginning and the end ---- */

/* What they are charged with is the caller's to give back. */
static void free_charged(struct pieces *pieces, struct piece *piece)
{
    while (piece != NULL) {
        struct piece *next = piece->next;
        pieces->used -= piece->capacity;
        free(piece);
        piece = next;
    }
}

static struct stream *stream_new(struct request *request, size_t piece_size)
{
    struct conn *conn = request->conn;
    struct stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->request = request;
    stream->piece_size = piece_size;
    for (int i = 0; i < PIECES; i++) {
        struct piece *piece =
            piece_new(&conn->server->pieces, (size_t)request_memory(piece_size), true);
        if (piece == NULL) {
            free_charged(&conn->server->pieces, stream->spare);
            free(stream);
            return NULL;
        }
        piece->next = stream->spare;
        stream->spare = piece;
    }
    return stream;
}

static void unpin(struct stream *stream)
{
    struct region_entry *entry = stream->request->entry;
    if (!stream->is_pinned)
        return;
    stream->is_pinned = false;
    stream->request->has_pin = false;
    region_unpin(entry->region, &stream->request->pin);
    entry->reads--;
    DL_DELETE2(entry->streams, stream, entry_previous, entry_next);
    commit_touch(entry);
}

void stream_release(struct stream *stream)
{
    if (stream == NULL)
        return;
    struct conn *conn = stream->request->conn;
    struct pieces *pieces = &conn->server->pieces;
    output_disown(&conn->output, &stream->spare);
    while (stream->spare != NULL) {
        struct piece *piece = stream->spare;
        stream->spare = piece->next;
        piece_free(pieces, piece);
    }
    piece_free(pieces, stream->filled);
    conn->reserved -= left(stream);
    DL_DELETE2(conn->streams, stream, conn_previous, conn_next);
    free(stream);
}

/* Ends it, answered or not. */
static void finish(struct stream *stream)
{
    assert(!stream->is_reading);
    unpin(stream);
    request_free(stream->request);
}

/* ---- Reading at a worker ---- */

/* Bytes of the block that begin so far behind its start. Whether they are well. */
static bool read_part(struct request *request, uint64_t offset, uint8_t *room, uint64_t size)
{
    struct err err;
    request->err.code = ERR_OK;
    if (region_read(request->entry->region, request->block.address + offset, room, (size_t)size,
                    &request->damaged, &err) == 0)
        return true;
    request->err = err;
    return false;
}

/* First what lies behind the beginning, then the beginning, which stays in the pieces. */
static void run_verify(struct work *work)
{
    struct request *request = request_of_work(work);
    struct stream *stream = request->stream;
    uint64_t beginning = beginning_size(stream), rest = request->block.size - beginning;
    uint64_t end = min_u64(rest, stream->verified + VERIFY_AT_ONCE);
    while (stream->verified < end) {
        uint64_t size = min_u64(end - stream->verified, stream->piece_size);
        if (!read_part(request, beginning + stream->verified, stream->spare->bytes, size))
            return;
        stream->verified += size;
    }
    if (end < rest)
        return;
    uint64_t offset = 0;
    for (struct piece *piece = stream->spare; piece != NULL; piece = piece->next) {
        if (!read_part(request, offset, piece->bytes + RPC_BIN_HEADER_MAX, stream->piece_size))
            return;
        offset += stream->piece_size;
    }
}

static void run_fill(struct work *work)
{
    struct request *request = request_of_work(work);
    struct stream *stream = request->stream;
    struct piece *piece = stream->filled;
    (void)read_part(request, stream->queued, piece->bytes + RPC_BIN_HEADER_MAX,
                    piece->used - RPC_BIN_HEADER_MAX);
}

static void submit(struct stream *stream, void (*run)(struct work *), void (*done)(struct work *))
{
    struct request *request = stream->request;
    stream->is_reading = true;
    request->work = (struct work){.run = run, .done = done};
    workers_submit(&request->conn->server->workers, WORK_OTHER, &request->work);
}

/* Back on the loop. False: the stream has ended, for nobody takes the answer. */
static bool is_back(struct stream *stream)
{
    struct request *request = stream->request;
    stream->is_reading = false;
    if (request->err.code != ERR_OK)
        (void)region_note_damage(request->entry->region, request->damaged);
    commit_touch(request->entry);
    if (conn_takes_answers(request->conn))
        return true;
    finish(stream);
    return false;
}

/* ---- Sending ---- */

static void on_filled(struct work *work);

/* So many bytes of the block are in it, or will be. */
static void set_size(struct piece *piece, uint64_t size)
{
    piece->used = RPC_BIN_HEADER_MAX + (size_t)size;
    piece->sent = RPC_BIN_HEADER_MAX;
}

static void fill(struct stream *stream, struct piece *piece, uint64_t size)
{
    set_size(piece, size);
    stream->filled = piece;
    submit(stream, run_fill, on_filled);
}

/* All of the rest in one piece. Whether there is memory for that. */
static bool fill_rest(struct stream *stream)
{
    struct conn *conn = stream->request->conn;
    struct budget *budget = &conn->server->budget;
    uint64_t memory = request_memory(left(stream));
    if (!budget_take(budget, conn, memory))
        return false;
    struct piece *piece = piece_new(&conn->server->pieces, (size_t)memory, true);
    if (piece == NULL) {
        budget_give(budget, memory);
        return false;
    }
    fill(stream, piece, left(stream));
    return true;
}

static bool is_in_the_way(const struct stream *stream)
{
    return stream->request->pin.is_in_the_way || stream->request->entry->is_dropping;
}

/* Out of the list of spare pieces, to which it comes back once it is sent. */
static struct piece *take_spare(struct stream *stream)
{
    struct piece *piece = stream->spare;
    stream->spare = piece->next;
    piece->home = &stream->spare;
    return piece;
}

/* It waits for its peer, or has just been read. */
static void go_on(struct stream *stream)
{
    struct piece *piece = stream->spare;
    if (is_in_the_way(stream)) {
        bool is_last = piece != NULL && left(stream) <= stream->piece_size;
        if (!is_last && fill_rest(stream))
            return;
        if (stream->deadline_ms == 0)
            stream->deadline_ms = now_ms() + YIELD_MS;
        server_sweep_soon(stream->request->conn->server);
    }
    if (piece == NULL)
        return;
    take_spare(stream);
    fill(stream, piece, min_u64(left(stream), stream->piece_size));
}

static void queue(struct stream *stream, struct piece *piece)
{
    struct request *request = stream->request;
    struct conn *conn = request->conn;
    uint64_t size = piece->used - piece->sent;
    conn->reserved -= size;
    stream->queued += size;
    piece->is_open = left(stream) > 0;
    if (stream->last == NULL) {
        uint8_t header[RPC_BIN_HEADER_MAX];
        size_t length = rpc_bin_header(header, request->msgid, (uint32_t)request->block.size);
        piece->sent -= length;
        memcpy(piece->bytes + piece->sent, header, length);
        output_append(&conn->output, piece);
    } else {
        output_insert(&conn->output, stream->last, piece);
    }
    stream->last = piece;
    conn->moved_ms = uv_now(&conn->server->loop); /* from now on it is the peer's turn */
    conn_send(conn);
}

/* Nothing of the answer is out yet. */
static void refuse(struct stream *stream)
{
    unpin(stream);
    request_fail(stream->request, &stream->request->err);
}

/* What was well a moment ago is not any more. */
static void break_off(struct stream *stream)
{
    struct request *request = stream->request;
    struct conn *conn = request->conn;
    struct log_about about = conn_about(conn);
    about.region = request->entry != NULL ? request->entry->name : NULL;
    about.error = err_name(request->err.code);
    log_warning_about(&about,
                      "%s: closed in the middle of an answer, which cannot be taken back: %s",
                      conn->peer, request->err.text);
    finish(stream);
    conn_close(conn);
}

static void on_filled(struct work *work)
{
    struct request *request = request_of_work(work);
    struct stream *stream = request->stream;
    if (!is_back(stream))
        return;
    assert(stream->last != NULL);
    if (request->err.code != ERR_OK) {
        break_off(stream);
        return;
    }
    struct piece *piece = stream->filled;
    stream->filled = NULL;
    queue(stream, piece);
    if (left(stream) == 0)
        finish(stream);
    else
        go_on(stream);
}

/* ---- Verifying ---- */

/* It was read last, so it is there. */
static void send_beginning(struct stream *stream)
{
    while (stream->spare != NULL) {
        struct piece *piece = take_spare(stream);
        set_size(piece, stream->piece_size);
        queue(stream, piece);
    }
}

static void on_verified(struct work *work)
{
    struct request *request = request_of_work(work);
    struct stream *stream = request->stream;
    if (!is_back(stream))
        return;
    if (request->err.code != ERR_OK) {
        refuse(stream);
    } else if (stream->verified < request->block.size - beginning_size(stream)) {
        submit(stream, run_verify, on_verified);
    } else {
        send_beginning(stream);
        go_on(stream);
    }
}

void stream_ready(struct request *request)
{
    struct stream *stream = request->stream;
    struct region_entry *entry = request->entry;
    request_move(request, REQUEST_STREAMING);
    if (!conn_takes_answers(request->conn)) {
        finish(stream);
        return;
    }
    region_pin(entry->region, &request->pin, request->block);
    request->has_pin = true;
    stream->is_pinned = true;
    entry->reads++;
    DL_APPEND2(entry->streams, stream, entry_previous, entry_next);
    submit(stream, run_verify, on_verified);
}

enum outcome stream_begin(struct call *call, struct extent block, uint64_t after)
{
    struct conn *conn = call->conn;
    struct budget *budget = &call->server->budget;
    size_t piece_size = pieces_are_many(&call->server->pieces) || block.size <= STREAM_MIN
                            ? STREAM_PIECE_MANY
                            : STREAM_PIECE;
    uint64_t memory = PIECES * request_memory(piece_size);
    if (!budget_take(budget, conn, memory)) {
        conn_park_memory(conn, memory);
        return PARKED;
    }
    struct request *request = request_new(conn, call->entry, call->envelope.msgid, false);
    if (request != NULL)
        request->stream = stream_new(request, piece_size);
    if (request == NULL || request->stream == NULL) {
        budget_give(budget, memory);
        if (request != NULL)
            request_free(request);
        return call_no_memory(call);
    }
    request->block = block;
    conn->reserved += block.size;
    DL_APPEND2(conn->streams, request->stream, conn_previous, conn_next);
    request->ticket = after;
    if (after != 0)
        commit_wait_applied(request);
    else
        stream_ready(request);
    return HANDLED;
}

/* ---- The peer, and who waits ---- */

/* It is neither with a worker nor in entry->loads. */
static bool is_idle(const struct stream *stream)
{
    return stream->is_pinned && !stream->is_reading;
}

uint64_t stream_idle_count(const struct conn *conn)
{
    uint64_t count = 0;
    const struct stream *stream;
    DL_FOREACH2(conn->streams, stream, conn_next)
    count += is_idle(stream);
    return count;
}

uint64_t stream_idle_bytes(const struct conn *conn)
{
    uint64_t bytes = 0;
    const struct stream *stream;
    DL_FOREACH2(conn->streams, stream, conn_next)
    bytes += is_idle(stream) ? stream->piece_size : 0;
    return bytes;
}

void stream_sent(struct conn *conn)
{
    struct stream *stream, *next;
    DL_FOREACH_SAFE2(conn->streams, stream, next, conn_next)
    if (is_idle(stream))
        go_on(stream);
}

void stream_abandon(struct conn *conn)
{
    struct stream *stream, *next;
    DL_FOREACH_SAFE2(conn->streams, stream, next, conn_next)
    if (is_idle(stream))
        finish(stream);
}

void stream_yield(struct region_entry *entry)
{
    struct stream *stream, *next;
    DL_FOREACH_SAFE2(entry->streams, stream, next, entry_next)
    if (is_idle(stream) && is_in_the_way(stream) && stream->deadline_ms == 0)
        go_on(stream);
}

bool stream_sweep(struct conn *conn, uint64_t at_ms)
{
    struct stream *stream, *next;
    bool is_needed = false;
    DL_FOREACH_SAFE2(conn->streams, stream, next, conn_next)
    {
        if (stream->deadline_ms == 0 || !is_idle(stream))
            continue;
        if (at_ms >= stream->deadline_ms) {
            conn_give_up(conn,
                         "a change of region %s waits for bytes that it is loading, it takes them "
                         "too slowly, and max_buffered has no room for them",
                         stream->request->entry->name);
            return false;
        }
        go_on(stream);
        is_needed = true;
    }
    return is_needed;
}
