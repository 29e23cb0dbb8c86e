#include "daemon/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/access.h"
#include "daemon/answer.h"
#include "daemon/audit.h"
#include "daemon/authenticate.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/figures.h"
#include "daemon/list.h"
#include "daemon/plan.h"
#include "daemon/probes.h"
#include "daemon/regions.h"
#include "daemon/roll.h"
#include "daemon/scrub.h"
#include "daemon/server.h"
#include "daemon/stream.h"
#include "proto/rpc.h"

#define MOVE(to) (1U << REQUEST_##to)

/* Which states may follow which. */
static const unsigned moves[REQUEST_STATES] = {
    [REQUEST_NEW] = MOVE(STAGED) | MOVE(LOADING) | MOVE(READING) | MOVE(STREAMING) | MOVE(STOPPED) |
                    MOVE(HELD_READING) | MOVE(APPENDING) | MOVE(CHECKPOINTING) | MOVE(SCRUBBING) |
                    MOVE(BACKING_UP) | MOVE(LISTING) | MOVE(AUTHENTICATING) | MOVE(ADMIN),
    [REQUEST_LOADING] = MOVE(READING) | MOVE(STREAMING),
    [REQUEST_STOPPED] = MOVE(STOPPED) | MOVE(HELD_READING) | MOVE(STAGED),
    [REQUEST_HELD_READING] = MOVE(HELD_READING) | MOVE(STOPPED) | MOVE(STAGED),
};

void request_move(struct request *request, enum request_state state)
{
    assert(moves[request->state] & 1U << state);
    request->state = state;
}

void request_cache_release(struct request_cache *cache)
{
    while (cache->free != NULL) {
        struct request *request = cache->free;
        cache->free = request->next;
        free(request);
    }
    cache->count = 0;
}

struct request *request_new(struct conn *conn, struct region_entry *entry, uint32_t msgid,
                            bool is_notification)
{
    struct request_cache *cache = &conn->server->requests;
    struct stats *stats = &conn->server->stats;
    struct request *request = cache->free;
    if (request != NULL) {
        cache->free = request->next;
        cache->count--;
    } else {
        request = malloc(sizeof *request);
        if (request == NULL)
            return NULL;
    }
    /* not all of it: the sentence of err alone is most of the struct */
    request->conn = conn;
    request->entry = entry;
    request->previous = request->next = NULL;
    request->state = REQUEST_NEW;
    request->msgid = msgid;
    request->kind = stats->kind;
    request->begun_ns = stats->begun_ns;
    stats->is_waiting = true;
    request->is_notification = is_notification;
    request->has_pin = false;
    request->result = RESULT_NIL;
    request->piece = NULL;
    request->token.is_given = false;
    request->plan = NULL;
    request->stream = NULL;
    request->list = NULL;
    request->roll = NULL;
    request->figures = NULL;
    request->act = NULL;
    request->filled = 0;
    request->err.code = ERR_OK;
    request->resume = NULL;
    request->home = (struct buffer){0};
    conn->in_flight++;
    return request;
}

static void drop_piece(struct request *request)
{
    if (request->piece == NULL)
        return;
    request->conn->reserved -= request->piece->capacity;
    piece_free(&request->conn->server->pieces, request->piece);
    request->piece = NULL;
}

void request_free(struct request *request)
{
    struct conn *conn = request->conn;
    struct server *server = conn->server;
    assert(!request->has_pin);
    drop_piece(request);
    plan_free(request->plan, &server->budget);
    stream_release(request->stream);
    list_release(request);
    roll_release(request);
    figures_release(request);
    if (request->home.memory > SCRATCH_SIZE)
        budget_keep(&server->arriving, &request->home);
    else if (request->home.base != NULL)
        buffer_free(&request->home, &server->budget);
    if (conn->held == request)
        request_release(request);
    if (server->requests.count < REQUESTS_KEPT) {
        request->next = server->requests.free;
        server->requests.free = request;
        server->requests.count++;
    } else {
        free(request);
    }
    conn_request_gone(conn);
}

void request_hold(struct request *request)
{
    assert(request->conn->held == NULL || request->conn->held == request);
    request->conn->held = request;
}

void request_release(struct request *request)
{
    assert(request->conn->held == request);
    request->conn->held = NULL;
    conn_wake(request->conn);
}

uint64_t request_memory(uint64_t size)
{
    return RPC_BIN_HEADER_MAX + size;
}

bool request_reserve(struct request *request, enum result_type result, uint64_t size,
                     bool is_charged)
{
    struct conn *conn = request->conn;
    uint64_t memory = request_memory(size);
    drop_piece(request);
    request->result = result;
    if (memory <= sizeof request->small) {
        if (is_charged)
            budget_give(&conn->server->budget, memory);
        return true;
    }
    request->piece = piece_new(&conn->server->pieces, (size_t)memory, is_charged);
    if (request->piece == NULL)
        return false;
    conn->reserved += request->piece->capacity;
    return true;
}

uint8_t *request_bytes(struct request *request)
{
    uint8_t *room = request->piece != NULL ? request->piece->bytes : request->small;
    return room + RPC_BIN_HEADER_MAX;
}

/* Results up to this size leave with other answers in a shared piece. */
#define RESULT_COPIED 1024
_Static_assert(RESULT_COPIED >= REQUEST_SMALL, "what is larger has a piece of its own");

/* The piece with the header right before its bytes, of which there are size. */
static void send_piece(struct request *request, const uint8_t *header, size_t length, size_t size)
{
    struct conn *conn = request->conn;
    struct piece *piece = request->piece;
    piece->sent = RPC_BIN_HEADER_MAX - length;
    piece->used = RPC_BIN_HEADER_MAX + size;
    memcpy(piece->bytes + piece->sent, header, length);
    conn->reserved -= piece->capacity;
    request->piece = NULL;
    output_append(&conn->output, piece);
    conn_send(conn);
}

static void send_blob(struct request *request)
{
    uint8_t header[RPC_BIN_HEADER_MAX];
    size_t size = (size_t)request->block.size;
    size_t length = rpc_bin_header(header, request->msgid, (uint32_t)size);
    if (size > RESULT_COPIED) {
        send_piece(request, header, length, size);
        return;
    }
    uint8_t *answer = request_bytes(request) - length;
    memcpy(answer, header, length);
    output_pack(&request->conn->output, (const char *)answer, length + size);
    conn_send(request->conn);
}

static void send_packed(struct request *request)
{
    size_t size = (size_t)request->number;
    if (size <= RESULT_COPIED) {
        answer_packed(request->conn, request->msgid, request_bytes(request), size);
        return;
    }
    uint8_t header[RPC_RESULT_HEADER_MAX];
    size_t length = rpc_result_header(header, request->msgid);
    send_piece(request, header, length, size);
}

static bool is_answered(const struct request *request)
{
    return !request->is_notification && conn_takes_answers(request->conn);
}

/* It is over, for better or worse. */
static void count(const struct request *request, enum err_code code)
{
    PROBE_REQUEST_END(request->conn->number, request->msgid, stats_kind_name(request->kind), code);
    stats_answered(&request->conn->server->stats, request->kind, request->begun_ns);
}

void request_succeed(struct request *request)
{
    count(request, ERR_OK);
    if (request->act != NULL)
        audit_end(request, NULL);
    if (is_answered(request)) {
        switch (request->result) {
        case RESULT_NIL:
            answer_nil(request->conn, request->msgid);
            break;
        case RESULT_UINT:
            answer_uint(request->conn, request->msgid, request->number);
            break;
        case RESULT_BLOB:
            send_blob(request);
            break;
        case RESULT_PACKED:
            send_packed(request);
            break;
        case RESULT_SCRUB:
            scrub_send(request);
            break;
        }
    }
    request_free(request);
}

void request_fail(struct request *request, const struct err *err)
{
    request->conn->server->counters.requests_failed++;
    stats_error(&request->conn->server->stats, request->kind, err->code);
    if (request->entry != NULL)
        request->entry->errors++;
    count(request, err->code);
    if (request->act != NULL)
        audit_end(request, err);
    if (is_answered(request))
        answer_error(request->conn, request->msgid, err);
    request_free(request);
}

void request_resume(struct request *request)
{
    struct err err;
    if (request->state == REQUEST_LISTING &&
        !access_is_still_known(request->conn, stats_kind_name(request->kind), &err))
        request_fail(request, &err);
    else if (request->state == REQUEST_STOPPED || request->state == REQUEST_LISTING)
        request->resume(request);
}

void request_abandon(struct request *request)
{
    if (request->state == REQUEST_STOPPED || request->state == REQUEST_LISTING)
        request_free(request);
    else if (request->state == REQUEST_AUTHENTICATING)
        authenticate_abandon(request);
}

/* ---- Reading at a worker ---- */

static void run_read(struct work *work)
{
    struct request *request = request_of_work(work);
    size_t filled = request->filled;
    if (region_read(request->entry->region, request->block.address + filled,
                    request_bytes(request) + filled, request->block.size - filled,
                    &request->damaged, &request->err) == 0)
        request->err.code = ERR_OK;
}

static void run_plan(struct work *work)
{
    struct request *request = request_of_work(work);
    if (plan_read(request->plan, request->entry->region, &request->damaged, &request->err) == 0)
        request->err.code = ERR_OK;
}

void request_read(struct request *request, void (*done)(struct work *work))
{
    struct region_entry *entry = request->entry;
    if (request->plan != NULL)
        plan_pin(request->plan, entry->region);
    else
        region_pin(entry->region, &request->pin, request->block);
    request->has_pin = true;
    entry->reads++;
    request->work = (struct work){.run = request->plan != NULL ? run_plan : run_read, .done = done};
    workers_submit(&entry->server->workers, WORK_OTHER, &request->work);
}

void request_read_done(struct request *request)
{
    struct region_entry *entry = request->entry;
    if (request->plan != NULL)
        plan_unpin(request->plan, entry->region);
    else
        region_unpin(entry->region, &request->pin);
    request->has_pin = false;
    entry->reads--;
    if (request->err.code == ERR_OK)
        request->filled = request->block.size;
    else
        (void)region_note_damage(entry->region, request->damaged); /* commit_pump logs it */
    commit_touch(entry);
}
