#include "daemon/dispatch.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/access.h"
#include "daemon/answer.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/log.h"
#include "daemon/probes.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "proto/methods.h"

const handler handlers[METHODS] = {
#define METHOD(symbol, name, parameters, names, options, result, access)                           \
    [METHOD_##symbol] = handle_##symbol,
#include "proto/methods.def"
#undef METHOD
};

/* ---- Answers of the call at hand ---- */

enum outcome call_nil(struct call *call)
{
    if (!call->envelope.is_notification)
        answer_nil(call->conn, call->envelope.msgid);
    return HANDLED;
}

enum outcome call_uint(struct call *call, uint64_t number)
{
    if (!call->envelope.is_notification)
        answer_uint(call->conn, call->envelope.msgid, number);
    return HANDLED;
}

enum outcome call_bool(struct call *call, bool value)
{
    if (!call->envelope.is_notification)
        answer_bool(call->conn, call->envelope.msgid, value);
    return HANDLED;
}

enum outcome call_error(struct call *call, const struct err *err)
{
    call->server->counters.requests_failed++;
    stats_error(&call->server->stats, call->args.method, err->code);
    call->server->stats.code = err->code;
    if (call->entry != NULL)
        call->entry->errors++;
    if (!call->envelope.is_notification)
        answer_error(call->conn, call->envelope.msgid, err);
    return HANDLED;
}

enum outcome call_no_memory(struct call *call)
{
    struct err err;
    err_set(&err, ERR_INTERNAL, "%s: out of memory", methods[call->args.method].name);
    return call_error(call, &err);
}

enum outcome call_park(struct call *call)
{
    conn_park_region(call->conn, call->entry);
    commit_touch(call->entry);
    return PARKED;
}

bool answer_fits(const struct server *server, const char *method, uint64_t size, const char *remedy,
                 struct err *err)
{
    uint64_t max_message = server->conf.max_message;
    if (size <= max_message - RPC_BIN_HEADER_MAX)
        return true;
    err_set(err, ERR_TOO_LARGE,
            "%s: %" PRIu64 " bytes do not fit an answer of max_message, %" PRIu64 " bytes; %s",
            method, size, max_message, remedy);
    return false;
}

bool call_fits(const struct call *call, uint64_t size, const char *remedy, struct err *err)
{
    return answer_fits(call->server, methods[call->args.method].name, size, remedy, err);
}

struct extent call_block(const struct call *call, unsigned index)
{
    return (struct extent){.address = call->args.params[index].number,
                           .size = call->args.params[index + 1].number};
}

/* ---- Options ---- */

bool call_option(struct call *call, struct option *ret_option)
{
    if (call->args.options_count == 0)
        return false;
    call->args.options_count--;
    struct value key = cursor_next(&call->args.options);
    struct cursor value = call->args.options;
    ret_option->key = key.raw.bytes;
    ret_option->key_size = key.raw.size;
    ret_option->value = cursor_next(&value);
    cursor_skip(&call->args.options);
    return true;
}

bool option_is(const struct option *option, const char *key)
{
    return option->key_size == strlen(key) && memcmp(option->key, key, option->key_size) == 0;
}

int option_uint(const struct call *call, const struct option *option, uint64_t *ret_number,
                struct err *err)
{
    if (option->value.type != VALUE_UINT)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s: option %.*s must be an unsigned integer, "
                       "not %s",
                       methods[call->args.method].name, (int)option->key_size,
                       (const char *)option->key, value_type_name(option->value.type));
    *ret_number = option->value.number;
    return 0;
}

/* ---- Dispatch ---- */

static inline enum outcome handle(struct call *call, const struct method *method)
{
    /* nobody overtakes those who wait */
    if (call->entry != NULL && method->access >= METHOD_WRITE && method->access <= METHOD_UPKEEP &&
        call->entry->parked != NULL && !call->entry->is_retrying)
        return call_park(call);
    return handlers[call->args.method](call);
}

/* The same where there are users: first it is asked who wants it. */
static __attribute__((noinline)) enum outcome execute_for_user(struct call *call,
                                                               const struct method *method)
{
    struct err err;
    if (!access_is_known(call, &err))
        return call_error(call, &err);
    if (method->parameters[0] == 'R') {
        int status =
            regions_find(&call->server->regions, &call->args.params[0], &call->entry, &err);
        if (!access_may_use(call, &err) || status != 0)
            return call_error(call, &err);
    }
    return handle(call, method);
}

/* Executes a well-formed call. */
static enum outcome execute(struct call *call)
{
    struct err err;
    const struct method *method = &methods[call->args.method];
    call->server->stats.kind = call->args.method;
    PROBE_REQUEST_BEGIN(call->conn->number, call->envelope.msgid, method->name);
    if (call->envelope.is_notification && method->access <= METHOD_OPEN)
        return HANDLED; /* nobody wants to know, and nothing would change */
    if (call->server->conf.users_count > 0)
        return execute_for_user(call, method);
    if (method->parameters[0] == 'R' &&
        regions_find(&call->server->regions, &call->args.params[0], &call->entry, &err) != 0)
        return call_error(call, &err);
    return handle(call, method);
}

static void finish(const struct call *call, enum outcome outcome)
{
    struct conn *conn = call->conn;
    struct stats *stats = &call->server->stats;
    if (outcome == PARKED) {
        conn->parked_ns = stats->begun_ns;
        return;
    }
    conn->parked_ns = 0;
    conn->server->requests_total++;
    conn->requests++;
    stats_executed(stats, call->args.method, call->size);
    if (!stats->is_waiting)
        PROBE_REQUEST_END(conn->number, call->envelope.msgid, stats_kind_name(call->args.method),
                          stats->code);
    if (call->entry != NULL)
        call->entry->operations[call->args.method]++;
    /* a message whose buffer became the home of its blob is gone already; so is a closed
     * connection's input */
    if (input_size(&conn->input) > 0)
        input_consume(&conn->input, call->size);
}

/* Parsing fills in envelope and args: no need to clear them first. */
static void begin(struct call *call, struct conn *conn)
{
    call->server = conn->server;
    call->conn = conn;
    call->entry = NULL;
    stats_begin(&conn->server->stats, conn->parked_ns);
}

size_t dispatch_short(struct conn *conn, uint64_t size_max)
{
    struct call call;
    size_t size = input_size(&conn->input);
    begin(&call, conn);
    call.size =
        rpc_parse_short(input_bytes(&conn->input), size < size_max ? size : (size_t)size_max,
                        &call.envelope, &call.args);
    if (call.size == 0)
        return 0;
    if (conn->is_lost)
        call.envelope.is_notification = true; /* executed, but nobody hears of it */
    finish(&call, execute(&call));
    return call.size;
}

void dispatch(struct conn *conn, size_t size)
{
    struct call call;
    struct err err;
    begin(&call, conn);
    call.size = size;
    if (rpc_parse(input_bytes(&conn->input), size, &call.envelope, &err) != 0) {
        if (call.envelope.has_msgid)
            answer_error(conn, call.envelope.msgid, &err);
        if (conn->tls == NULL && tls_is_hello(input_bytes(&conn->input), input_size(&conn->input)))
            conn_fail(conn, "it speaks TLS, which is not spoken here: a tls listener is for that");
        else
            conn_fail(conn, "%s", err.text);
        return;
    }
    if (conn->is_lost)
        call.envelope.is_notification = true;
    if (rpc_call_parse(&call.envelope, &call.args, &err) != 0)
        finish(&call, access_refuse_malformed(&call, &err));
    else
        finish(&call, execute(&call));
}

bool dispatch_peek_msgid(const uint8_t *bytes, size_t size, uint32_t *ret_msgid)
{
    /* The widest beginning: array 32, type in 64 bits, msgid in 64 bits. What has not arrived is
     * read as nil. */
    uint8_t head[5 + 9 + 9];
    memset(head, 0xc0, sizeof head);
    memcpy(head, bytes, size < sizeof head ? size : sizeof head);
    struct cursor cursor = {head, head + sizeof head};
    struct value array = cursor_next(&cursor);
    if (array.type != VALUE_ARRAY || array.count < 2)
        return false;
    struct value type = cursor_next(&cursor);
    if (type.type != VALUE_UINT || type.number != 0)
        return false;
    struct value msgid = cursor_next(&cursor);
    if (msgid.type != VALUE_UINT || msgid.number > UINT32_MAX || (size_t)(cursor.at - head) > size)
        return false;
    *ret_msgid = (uint32_t)msgid.number;
    return true;
}
