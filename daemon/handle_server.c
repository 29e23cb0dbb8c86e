/* The server itself, and the set of its regions. */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/access.h"
#include "daemon/admin.h"
#include "daemon/answer.h"
#include "daemon/audit.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/log.h"
#include "daemon/region_options.h"
#include "daemon/regions.h"
#include "daemon/scrub.h"
#include "daemon/server.h"

enum outcome handle_PING(struct call *call)
{
    msgpack_packer packer;
    if (!call->envelope.is_notification && answer_begin(call->conn, call->envelope.msgid, &packer))
        answer_pack_text(&packer, "pong");
    return HANDLED;
}

/* The regions that whoever asks may see, and how many damaged pages they have together. */
static uint64_t count_seen(const struct call *call, uint64_t *ret_damaged)
{
    struct region_entry *entry, *next;
    uint64_t count = 0;
    *ret_damaged = 0;
    HASH_ITER(by_id, call->server->regions.ids, entry, next)
    {
        struct region_info info;
        if (!access_sees(call->conn, entry))
            continue;
        region_get_info_now(entry->region, &info);
        *ret_damaged += info.damaged_pages;
        count++;
    }
    return count;
}

enum outcome handle_SERVER_INFO(struct call *call)
{
    const struct server *server = call->server;
    uint64_t damaged, regions = count_seen(call, &damaged);
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"protocol", 1},
        {"pid", (uint64_t)getpid()},
        {"uptime_s", (now_ms() - server->started_ms) / 1000},
        {"connections", server->conns_count},
        {"connections_total", server->conns_total},
        {"requests_total", server->requests_total},
        {"regions", regions},
        {"max_message", server->conf.max_message},
        {"max_batch", server->conf.max_batch},
        {"max_uploads", server->conf.max_uploads},
        {"upload_timeout", server->conf.upload_timeout_ms},
        {"uploads", server->uploads_count},
        {"max_connections", server->conf.max_connections},
        {"max_connections_per_peer", server->conf.max_connections_per_peer},
        {"idle_timeout", server->conf.idle_timeout_ms},
        {"message_timeout", server->conf.message_timeout_ms},
        {"max_pipeline", server->conf.max_pipeline},
        {"max_unread", server->conf.max_unread},
        {"max_regions", server->conf.max_regions},
        {"max_buffered", server->conf.max_buffered},
        {"stall_timeout", server->conf.stall_timeout_ms},
        {"buffered", server->budget.used},
        {"damaged_pages", damaged},
        {"users", server->conf.users_count},
        {"authentications", server->authentications},
        {"authentication_failures", server->authentication_failures},
        {"refusals", server->refusals},
        {"connections_refused", server->counters.connections_refused},
        {"connections_failed", server->counters.connections_failed},
        {"connections_timed_out", server->counters.connections_timed_out},
        {"requests_failed", server->counters.requests_failed},
        {"accept_pauses", server->counters.accept_pauses},
    };
    const size_t count = sizeof numbers / sizeof numbers[0];
    msgpack_packer packer;
    if (call->envelope.is_notification || !answer_begin(call->conn, call->envelope.msgid, &packer))
        return HANDLED;
    msgpack_pack_map(&packer, 3 + count);
    answer_pack_text(&packer, "name");
    answer_pack_text(&packer, "mregiond");
    answer_pack_text(&packer, "version");
    answer_pack_text(&packer, MREGION_VERSION);
    answer_pack_text(&packer, "sandbox");
    answer_pack_text(&packer, sandbox_describe(&server->sandbox));
    for (size_t i = 0; i < count; i++) {
        answer_pack_text(&packer, numbers[i].key);
        msgpack_pack_uint64(&packer, numbers[i].value);
    }
    return HANDLED;
}

enum outcome handle_LIST_REGIONS(struct call *call)
{
    struct regions *regions = &call->server->regions;
    struct region_entry *const *entries = regions_sorted(regions);
    msgpack_packer packer;
    uint64_t seen = 0;
    if (entries == NULL && regions->count > 0)
        return call_no_memory(call);
    for (uint64_t i = 0; i < regions->count; i++)
        seen += access_sees(call->conn, entries[i]);
    if (!call->envelope.is_notification &&
        answer_begin(call->conn, call->envelope.msgid, &packer)) {
        msgpack_pack_array(&packer, seen);
        for (uint64_t i = 0; i < regions->count; i++)
            if (access_sees(call->conn, entries[i]))
                answer_pack_text(&packer, entries[i]->name);
    }
    return HANDLED;
}

/* ---- The set of regions ---- */

/* The request waits for its task, and its connection for the request. */
static struct request *admin_request(struct call *call)
{
    struct request *request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (request == NULL)
        return NULL;
    request_move(request, REQUEST_ADMIN);
    request_hold(request);
    audit_begin(call, request);
    return request;
}

static bool check_name(const struct call *call, const struct rpc_param *name, struct err *err)
{
    char escaped[REGION_NAME_MAX * 4 + 1];
    if (region_name_is_valid((const char *)name->bytes, name->size))
        return true;
    log_escape((const char *)name->bytes, name->size, escaped, sizeof escaped);
    err_set(err, ERR_INVALID_ARGUMENT,
            "%s: name must be 1 to %d of A-Z a-z 0-9 . _ -, the first one a letter or digit, not "
            "\"%.80s\"",
            methods[call->args.method].name, REGION_NAME_MAX, escaped);
    return false;
}

/* A task that answers the request. */
static enum outcome begin_task(struct call *call, const struct admin_wish *wish)
{
    struct request *request = admin_request(call);
    if (request == NULL)
        return call_no_memory(call);
    if (!admin_begin(call->server, wish, request)) {
        audit_give_up(request);
        request_free(request);
        return call_no_memory(call);
    }
    return HANDLED;
}

enum outcome handle_CREATE_REGION(struct call *call)
{
    const struct rpc_param *name = &call->args.params[0];
    struct admin_wish wish = {.kind = ADMIN_CREATE,
                              .name = (const char *)name->bytes,
                              .name_length = name->size,
                              .options = region_options_default()};
    struct err err;
    if (!check_name(call, name, &err) ||
        !access_may_create(call, (const char *)name->bytes, name->size, &err) ||
        region_options_read(call, &wish.options, &wish.given, &err) != 0 ||
        region_options_check(&wish.options, &err) != 0)
        return call_error(call, &err);
    return begin_task(call, &wish);
}

enum outcome handle_DROP_REGION(struct call *call)
{
    struct request *request = admin_request(call);
    if (request == NULL)
        return call_no_memory(call);
    if (!admin_drop(call->server, call->entry, request)) {
        audit_give_up(request);
        request_free(request);
        return call_no_memory(call);
    }
    return HANDLED;
}

enum outcome handle_RENAME_REGION(struct call *call)
{
    const struct rpc_param *name = &call->args.params[1];
    struct err err;
    if (!check_name(call, name, &err) ||
        !access_may_create(call, (const char *)name->bytes, name->size, &err))
        return call_error(call, &err);
    return begin_task(call, &(struct admin_wish){.kind = ADMIN_RENAME,
                                                 .entry = call->entry,
                                                 .name = (const char *)name->bytes,
                                                 .name_length = name->size});
}

enum outcome handle_SET_REGION(struct call *call)
{
    struct admin_wish wish = {
        .kind = ADMIN_SET, .entry = call->entry, .options = region_options_default()};
    struct err err;
    if (region_options_read(call, &wish.options, &wish.given, &err) != 0 ||
        region_options_check(&wish.options, &err) != 0)
        return call_error(call, &err);
    if (wish.given == 0) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "setRegion: no option is given: say which are to change, such as {\"max_size\": "
                "\"10GiB\"}");
        return call_error(call, &err);
    }
    return begin_task(call, &wish);
}
