/* Blobs that come out.
 *
 * loadBlob, the happy path: the block is checked, its cached bytes are copied into the connection's
 * output, or held where they are and sent from there, and that is all. Where that cannot be, the
 * answer has a piece of its own, for which the budget must have room; where it is larger still, it
 * is streamed (stream.h). Where the bytes are still on their way into the data file the request
 * waits for that; where they are not cached a worker reads them, while a pin keeps commits from
 * overwriting them.
 *
 * removeBlob reads first and frees afterwards: if reading fails nothing is freed, so nothing is
 * lost for an error. Usually both happen at once. Where the read has to wait it holds its
 * connection, so that later requests of the same connection find the block freed; other connections
 * go on. What they did to the block meanwhile is found out by asking region_load_begin again: under
 * the pin the bytes cannot have changed without a ticket to wait for, and then they are read again.
 * With a token the bytes are kept, so they are read also where nobody waits for them. */
#include <inttypes.h>
#include <string.h>

#include "daemon/answer.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/fingerprint.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/stream.h"
#include "daemon/token.h"
#include "proto/pack.h"

/* ---- Out ---- */

/* A cached blob that fits a shared piece: from the page cache into the output. */
static bool load_at_once(struct call *call, struct extent block)
{
    struct conn *conn = call->conn;
    uint8_t header[RPC_BIN_HEADER_MAX];
    size_t length = rpc_bin_header(header, call->envelope.msgid, (uint32_t)block.size);
    size_t size = (size_t)block.size;
    if (length + size > PIECE_SIZE)
        return false;
    uint8_t *room = output_reserve(&conn->output, length + size);
    if (room == NULL)
        return false;
    memcpy(room, header, length);
    if (region_read_now(call->entry->region, block.address, room + length, size) < size) {
        output_undo(&conn->output, length + size);
        return false;
    }
    conn_send(conn);
    return true;
}

/* Blobs from this size on are sent from the cache of verified pages; smaller ones are copied, which
 * costs less than pieces and vectors do. */
#ifndef HOLD_MIN
#define HOLD_MIN ((uint64_t)2 * KIB)
#endif

/* A blob that is cached here or by the kernel: from where it is held straight to the socket. */
static bool load_held(struct call *call, struct extent block)
{
    struct conn *conn = call->conn;
    size_t count = region_hold_count(block);
    struct piece *piece = piece_new_held(&conn->server->pieces, count);
    if (piece == NULL)
        return false;
    enum region_hold result = region_hold_now(call->entry->region, block, piece->holds);
    if (result != REGION_HELD) {
        piece_free(&conn->server->pieces, piece);
        if (result == REGION_HELD_BY_OTHERS)
            server_note_holds(conn->server);
        return false;
    }
    piece->hold_count = count;
    piece->head = rpc_bin_header(piece->bytes, call->envelope.msgid, (uint32_t)block.size);
    piece->skip = (size_t)(block.address % DATA_PAGE);
    piece->used = piece->head + (size_t)block.size;
    output_append(&conn->output, piece);
    conn_send(conn);
    return true;
}

static bool load_now(struct call *call, struct extent block)
{
    if (block.size >= HOLD_MIN && block.size <= REGION_HOLD_MAX && load_held(call, block))
        return true;
    return load_at_once(call, block);
}

/* Makes the request that a blob is read for. NULL: the outcome says what was done instead. */
static struct request *blob_request(struct call *call, struct extent block,
                                    enum outcome *ret_outcome)
{
    struct server *server = call->server;
    uint64_t memory = request_memory(block.size);
    if (!budget_take(&server->budget, call->conn, memory)) {
        conn_park_memory(call->conn, memory);
        *ret_outcome = PARKED;
        return NULL;
    }
    struct request *request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (request != NULL) {
        request->block = block;
        if (request_reserve(request, RESULT_BLOB, block.size, true))
            return request;
        request_free(request);
    }
    budget_give(&server->budget, memory);
    *ret_outcome = call_no_memory(call);
    return NULL;
}

/* Reads what is cached; whether that was all. */
static bool read_cached(struct request *request)
{
    size_t size = (size_t)request->block.size;
    if (size > READ_AT_ONCE)
        return false;
    request->filled +=
        region_read_now(request->entry->region, request->block.address + request->filled,
                        request_bytes(request) + request->filled, size - request->filled);
    return request->filled == size;
}

static void on_load_read(struct work *work)
{
    struct request *request = request_of_work(work);
    request_read_done(request);
    if (request->err.code != ERR_OK)
        request_fail(request, &request->err);
    else
        request_succeed(request);
}

static void load_read(struct request *request)
{
    if (read_cached(request)) {
        request_succeed(request);
        return;
    }
    request_move(request, REQUEST_READING);
    request_read(request, on_load_read);
}

void handle_load_ready(struct request *request)
{
    if (request->stream != NULL)
        stream_ready(request);
    else if (request->conn->state == CONN_CLOSING)
        request_free(request);
    else
        load_read(request);
}

enum outcome handle_LOAD_BLOB(struct call *call)
{
    struct extent block = call_block(call, 1);
    struct err err;
    uint64_t after;
    if (region_load_begin(call->entry->region, block, &after, &err) != 0 ||
        !call_fits(call, block.size, "load it in pieces", &err))
        return call_error(call, &err);
    if (call->envelope.is_notification)
        return HANDLED; /* nobody wants to know */
    if (after == 0 && load_now(call, block))
        return HANDLED;
    if (stream_is_due(call->server, block.size))
        return stream_begin(call, block, after);
    enum outcome outcome;
    struct request *request = blob_request(call, block, &outcome);
    if (request == NULL)
        return outcome;
    request->ticket = after;
    if (after != 0)
        commit_wait_applied(request);
    else
        load_read(request);
    return HANDLED;
}

/* ---- Out and away ---- */

static void remove_step(struct request *request);

/* Waits, in order, until the region has done something. */
static void remove_stop(struct request *request)
{
    request_move(request, REQUEST_STOPPED);
    request->resume = remove_step;
    request_hold(request);
    conn_park_region(request->conn, request->entry);
    commit_touch(request->entry);
}

/* Frees the block; a token keeps its bytes. */
static int remove_and_keep(struct request *request, struct err *err)
{
    struct region *region = request->entry->region;
    const struct call_token *token = &request->token;
    uint8_t header[PACK_HEADER_MAX];
    size_t size = (size_t)request->block.size;
    size_t length = (size_t)(pack_bin_header(header, (uint32_t)size) - header);
    int status = token_expect(region, token, length + size, err);
    if (status == 0)
        status = region_deallocate(region, request->block, err);
    if (status != 0) {
        token_forget(region, token);
        return status;
    }
    /* the room for the answer's header */
    uint8_t *result = request_bytes(request) - length;
    memcpy(result, header, length);
    token_keep(region, token, result, length + size);
    return 0;
}

/* The bytes are read, and what they were a moment ago they are now. */
static void remove_stage(struct request *request)
{
    struct err err;
    int status = remove_and_keep(request, &err);
    if (status == REGION_WAIT) {
        remove_stop(request);
        return;
    }
    if (status != 0) {
        request_fail(request, &err);
        return;
    }
    if (request->conn->held == request)
        request_release(request);
    commit_wait_change(request);
}

/* Whether the block can be read now; else the request has failed or waits. */
static bool remove_may_read(struct request *request)
{
    struct err err;
    uint64_t after;
    if (token_was_overtaken(request))
        return false;
    if (region_load_begin(request->entry->region, request->block, &after, &err) != 0) {
        request_fail(request, &err);
        return false;
    }
    if (after == 0)
        return true;
    remove_stop(request);
    return false;
}

static void on_remove_read(struct work *work)
{
    struct request *request = request_of_work(work);
    request_read_done(request);
    if (request->conn->state == CONN_CLOSING)
        request_free(request); /* nobody is left to take the blob: it stays */
    else if (request->err.code != ERR_OK)
        request_fail(request, &request->err);
    else if (remove_may_read(request))
        remove_stage(request);
}

/* The block can be read now. */
static void remove_read(struct request *request)
{
    request->filled = 0;
    if (read_cached(request)) {
        remove_stage(request);
        return;
    }
    request_move(request, REQUEST_HELD_READING);
    request_hold(request);
    request_read(request, on_remove_read);
}

static void remove_step(struct request *request)
{
    if (remove_may_read(request))
        remove_read(request);
}

enum outcome handle_REMOVE_BLOB(struct call *call)
{
    struct extent block = call_block(call, 1);
    struct call_token token;
    struct err err;
    uint64_t after;
    enum outcome outcome;
    if (token_read(call, &token, &err) != 0)
        return call_error(call, &err);
    if (token.is_given) {
        token.fingerprint = fingerprint_add(0, &call->args);
        if (token_was_used(call, &token, &outcome))
            return outcome;
    }
    if (region_load_begin(call->entry->region, block, &after, &err) != 0 ||
        !call_fits(call, block.size, "load it in pieces", &err) ||
        (token.is_given && !token_keeps_blobs(METHOD_REMOVE_BLOB, block.size, &err)))
        return call_error(call, &err);
    if (call->envelope.is_notification && !token.is_given)
        return handle_change(call); /* nobody wants the bytes */
    struct request *request = blob_request(call, block, &outcome);
    if (request == NULL)
        return outcome;
    request->token = token;
    if (after == 0)
        remove_read(request);
    else
        remove_stop(request);
    return HANDLED;
}
