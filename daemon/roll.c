#include "daemon/roll.h"

#include <assert.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "daemon/access.h"
#include "daemon/answer.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/request.h"
#include "daemon/server.h"

/* Connections in one answer. */
#define ROLL_MAX 1000
/* What one takes in it at most, and what is around them. */
#define ROW_MAX ((uint64_t)512)
#define FRAME_MAX ((uint64_t)64)
/* Connections that may come while it is put together, and still find room. */
#define SLACK 16
/* At a stretch: so many are told, some 100 microseconds, or so many passed over. */
#define STRETCH_TOLD 100
#define STRETCH_PASSED 2000

struct roll {
    struct roll *next; /* of the server's */
    struct conn *at;   /* comes next; NULL: none does */
    uint64_t after;
    uint64_t limit;
    uint64_t count;
    uint8_t *header; /* where the count goes */
    struct answer_room room;
    msgpack_packer packer;
};

void roll_release(struct request *request)
{
    struct roll *roll = request->roll, **link = &request->conn->server->rolls;
    if (roll == NULL)
        return;
    while (*link != roll)
        link = &(*link)->next;
    *link = roll->next;
    free(roll);
    request->roll = NULL;
}

void roll_forget(struct server *server, const struct conn *conn)
{
    for (struct roll *roll = server->rolls; roll != NULL; roll = roll->next)
        if (roll->at == conn)
            roll->at = conn->next;
}

/* ---- One ---- */

static void pack_text_or_nil(msgpack_packer *packer, const char *key, const char *text)
{
    answer_pack_text(packer, key);
    if (text != NULL)
        answer_pack_text(packer, text);
    else
        msgpack_pack_nil(packer);
}

static void pack_flag(msgpack_packer *packer, const char *key, bool flag)
{
    answer_pack_text(packer, key);
    if (flag)
        msgpack_pack_true(packer);
    else
        msgpack_pack_false(packer);
}

static void pack_one(msgpack_packer *packer, const struct conn *conn)
{
    const struct conf_user *user = conn->identity.user;
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {"id", conn->number},
        {"since", conn->since_s},
        {"idle_ms", uv_now(&conn->server->loop) - conn->moved_ms},
        {"requests", conn->requests},
        {"bytes_received", conn->moved - conn->sent},
        {"bytes_sent", conn->sent},
        {"in_flight", conn->in_flight},
        {"unread", conn->output.pending},
        {"buffered", conn_holds(conn)},
    };
    const size_t count = sizeof numbers / sizeof numbers[0];
    msgpack_pack_map(packer, count + 5);
    for (size_t i = 0; i < count; i++) {
        answer_pack_text(packer, numbers[i].key);
        msgpack_pack_uint64(packer, numbers[i].number);
    }
    pack_text_or_nil(packer, "peer", conn->peer);
    pack_text_or_nil(packer, "user", user != NULL ? user->name : NULL);
    pack_text_or_nil(packer, "by", user != NULL ? known_by_name(conn->identity.by) : NULL);
    pack_flag(packer, "tls", conn->tls != NULL);
    pack_flag(packer, "subscribed", conn->is_subscribed);
}

/* ---- All ---- */

static void begin(struct roll *roll)
{
    msgpack_packer_init(&roll->packer, &roll->room, answer_write_to_room);
    msgpack_pack_map(&roll->packer, 2);
    answer_pack_text(&roll->packer, "connections");
    roll->header = roll->room.end;
    roll->room.end += 3; /* array 16, whose count is not known yet */
}

static void finish(struct request *request)
{
    struct roll *roll = request->roll;
    roll->header[0] = 0xdc;
    roll->header[1] = (uint8_t)(roll->count >> 8);
    roll->header[2] = (uint8_t)roll->count;
    pack_flag(&roll->packer, "more", roll->at != NULL);
    request->number = (uint64_t)(roll->room.end - request_bytes(request));
    request_succeed(request);
}

static bool has_room(const struct roll *roll)
{
    return roll->count < roll->limit &&
           (uint64_t)(roll->room.limit - roll->room.end) >= ROW_MAX + FRAME_MAX / 2;
}

static void step(struct request *request)
{
    struct roll *roll = request->roll;
    unsigned told = 0, passed = 0;
    while (roll->at != NULL && told < STRETCH_TOLD && passed < STRETCH_PASSED) {
        const struct conn *conn = roll->at;
        if (conn->number <= roll->after) {
            passed++;
        } else if (has_room(roll)) {
            uint8_t *begin = roll->room.end;
            pack_one(&roll->packer, conn);
            assert((uint64_t)(roll->room.end - begin) <= ROW_MAX);
            roll->count++;
            told++;
        } else {
            finish(request);
            return;
        }
        roll->at = conn->next;
    }
    if (roll->at == NULL)
        finish(request);
    else
        conn_yield(request->conn);
}

static int read_options(struct call *call, uint64_t *ret_after, uint64_t *ret_limit,
                        struct err *err)
{
    struct option option;
    *ret_after = 0;
    *ret_limit = ROLL_MAX;
    while (call_option(call, &option)) {
        uint64_t *number = option_is(&option, "after") ? ret_after : ret_limit;
        int code = option_uint(call, &option, number, err);
        if (code != 0)
            return code;
    }
    *ret_limit = min_u64(*ret_limit, ROLL_MAX);
    *ret_limit = min_u64(*ret_limit, (call->server->conf.max_message - FRAME_MAX) / ROW_MAX - 1);
    return 0;
}

enum outcome handle_CONNECTIONS(struct call *call)
{
    struct server *server = call->server;
    uint64_t after, limit;
    struct err err;
    if (!access_may_administer_all(call, &err) || read_options(call, &after, &limit, &err) != 0)
        return call_error(call, &err);
    uint64_t bytes = FRAME_MAX + min_u64(limit, server->conns_count + SLACK) * ROW_MAX;
    uint64_t memory = request_memory(bytes);
    if (!budget_take(&server->budget, call->conn, memory)) {
        conn_park_memory(call->conn, memory);
        return PARKED;
    }
    struct request *request = request_new(call->conn, NULL, call->envelope.msgid, false);
    struct roll *roll = request == NULL ? NULL : malloc(sizeof *roll);
    if (roll == NULL || !request_reserve(request, RESULT_PACKED, bytes, true)) {
        budget_give(&server->budget, memory);
        free(roll);
        if (request != NULL)
            request_free(request);
        return call_no_memory(call);
    }
    *roll = (struct roll){.next = server->rolls,
                          .at = server->conns,
                          .after = after,
                          .limit = limit,
                          .room = {request_bytes(request), request_bytes(request) + bytes}};
    server->rolls = roll;
    request->roll = roll;
    request->resume = step;
    begin(roll);
    request_move(request, REQUEST_LISTING);
    request_hold(request);
    step(request);
    return HANDLED;
}
