/* Blobs in, blobs out.
 *
 * loadBlob, the happy path: the block is checked, its cached bytes are read straight into the
 * connection's output, and that is all. Where the answer is large it has a piece of its own, for
 * which the budget must have room. Where the bytes are still on their way into the data file the
 * request waits for that; where they are not cached a worker reads them, while a pin keeps commits
 * from overwriting them.
 *
 * removeBlob reads first and frees afterwards: if reading fails nothing is freed, so nothing is
 * lost for an error. Usually both happen at once. Where the read has to wait it holds its
 * connection, so that later requests of the same connection find the block freed; other connections
 * go on. What they did to the block meanwhile is found out by asking region_load_begin again: under
 * the pin the bytes cannot have changed without a ticket to wait for, and then they are read again.
 */
#include <inttypes.h>
#include <string.h>

#include "daemon/answer.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/server.h"

/* ---- In ---- */

enum outcome handle_ADD_BLOB(struct call *call)
{
    const struct rpc_param *blob = &call->args.params[1];
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status = region_add(call->entry->region, blob->bytes, blob->size,
                               &change.request->number, &change.err);
    return change_end(&change, RESULT_UINT, blob->size);
}

enum outcome handle_STORE_BLOB(struct call *call)
{
    const struct rpc_param *blob = &call->args.params[2];
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status = region_store(call->entry->region, call->args.params[1].number, blob->bytes,
                                 blob->size, &change.err);
    return change_end(&change, RESULT_NIL, blob->size);
}

enum outcome handle_REPLACE_BLOB(struct call *call)
{
    const struct rpc_param *blob = &call->args.params[3];
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status = region_replace(call->entry->region, call_block(call, 1), blob->bytes,
                                   blob->size, &change.request->number, &change.err);
    return change_end(&change, RESULT_UINT, blob->size);
}

/* ---- Out ---- */

/* Whether an answer with so many bytes fits max_message. What could be added can be loaded: an
 * answer's envelope is no longer than that of the addBlob. */
static bool check_size(const struct call *call, uint64_t size, struct err *err)
{
    uint64_t most = call->server->conf.max_message - RPC_BIN_HEADER_MAX;
    if (size <= most)
        return true;
    err_set(err, ERR_TOO_LARGE,
            "%s: %" PRIu64 " bytes do not fit an answer of max_message, %" PRIu64
            " bytes; load it in pieces",
            methods[call->args.method].name, size, call->server->conf.max_message);
    return false;
}

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

/* Makes the request that a blob is read for. NULL: the outcome says what was done instead. */
static struct request *blob_request(struct call *call, struct extent block,
                                    enum outcome *ret_outcome)
{
    struct server *server = call->server;
    uint64_t memory = request_blob_memory(block.size);
    if (!budget_take(&server->budget, call->conn, memory)) {
        conn_park_memory(call->conn, memory);
        *ret_outcome = PARKED;
        return NULL;
    }
    struct request *request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (request != NULL) {
        request->block = block;
        if (request_reserve_blob(request))
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
    request->filled +=
        region_read_now(request->entry->region, request->block.address + request->filled,
                        request_blob(request) + request->filled, size - request->filled);
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
    if (request->conn->state == CONN_CLOSING)
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
        !check_size(call, block.size, &err))
        return call_error(call, &err);
    if (call->envelope.is_notification)
        return HANDLED; /* nobody wants to know */
    if (after == 0 && load_at_once(call, block))
        return HANDLED;
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

/* The bytes are read, and what they were a moment ago they are now. */
static void remove_stage(struct request *request)
{
    struct err err;
    int status = region_deallocate(request->entry->region, request->block, &err);
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

static void remove_step(struct request *request)
{
    if (!remove_may_read(request))
        return;
    request->filled = 0;
    if (read_cached(request)) {
        remove_stage(request);
        return;
    }
    request_move(request, REQUEST_REMOVE_READING);
    request_hold(request);
    request_read(request, on_remove_read);
}

enum outcome handle_REMOVE_BLOB(struct call *call)
{
    struct extent block = call_block(call, 1);
    struct err err;
    uint64_t after;
    if (region_load_begin(call->entry->region, block, &after, &err) != 0 ||
        !check_size(call, block.size, &err))
        return call_error(call, &err);
    if (call->envelope.is_notification)
        return handle_DEALLOCATE(call); /* nobody wants the bytes */
    enum outcome outcome;
    struct request *request = blob_request(call, block, &outcome);
    if (request == NULL)
        return outcome;
    remove_step(request);
    return HANDLED;
}
