/* The configuration in force: told by a worker, because it has as many lines as there are regions
 * and users. Reloads wait meanwhile: see reload.h. */
#include <stdlib.h>
#include <string.h>

#include "conf/entries.h"
#include "daemon/access.h"
#include "daemon/config.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/reload.h"
#include "daemon/request.h"
#include "daemon/server.h"

/* More than the names of all settings. */
#define PATTERN_MAX 4096

struct inquiry {
    struct work work;
    struct request *request;
    const struct server *server;
    msgpack_sbuffer answer;
    int code;
    struct err err;
    char patterns[PATTERN_MAX + 1];
};

/* Patterns are separated by commas, of which no name has one. */
static bool is_wanted(const char *name, char *patterns)
{
    size_t length = strlen(name);
    for (char *pattern = patterns; pattern != NULL;) {
        char *comma = strchr(pattern, ',');
        if (comma != NULL)
            *comma = '\0';
        bool matches = users_match(pattern, name, length);
        if (comma != NULL)
            *comma = ',';
        if (matches)
            return true;
        pattern = comma != NULL ? comma + 1 : NULL;
    }
    return false;
}

/* What the file says of a setting that waits for a restart; NULL: it does not. */
static const char *find_waiting(const struct server *server, const char *name)
{
    const struct config_changes *changes = &server->reload.changes;
    for (size_t i = 0; i < changes->count; i++)
        if (changes->items[i].kind == CONFIG_RESTART && strcmp(changes->items[i].name, name) == 0)
            return changes->items[i].after;
    return NULL;
}

/* Those of a region or user never wait. */
static const char *waiting_of(const struct server *server, const struct conf_entry *entry)
{
    return entry->item == NULL ? find_waiting(server, entry->name) : NULL;
}

static int pack_text(msgpack_packer *packer, const char *text)
{
    size_t length = strlen(text);
    int status = msgpack_pack_str(packer, length);
    return status == 0 ? msgpack_pack_str_body(packer, text, length) : status;
}

static int pack_entry(const struct server *server, msgpack_packer *packer,
                      const struct conf_entry *entry)
{
    const char *waiting = waiting_of(server, entry);
    int status = pack_text(packer, entry->name);
    if (status == 0)
        status = msgpack_pack_map(packer, waiting != NULL ? 2 : 1);
    if (status == 0)
        status = pack_text(packer, "value");
    if (status == 0)
        status = pack_text(packer, entry->value);
    if (status == 0 && waiting != NULL)
        status = pack_text(packer, "after_restart");
    if (status == 0 && waiting != NULL)
        status = pack_text(packer, waiting);
    return status;
}

/* Moves those that are wanted to the front, in their order. */
static void choose(struct conf_entries *entries, char *patterns)
{
    size_t count = 0;
    for (size_t i = 0; i < entries->count; i++)
        if (is_wanted(entries->items[i].name, patterns))
            entries->items[count++] = entries->items[i];
    entries->count = count;
}

/* At most: a head of a text takes 5 bytes. */
static uint64_t answer_size(const struct server *server, const struct conf_entries *entries)
{
    uint64_t size = 5;
    for (size_t i = 0; i < entries->count; i++) {
        const char *waiting = waiting_of(server, &entries->items[i]);
        size += strlen(entries->items[i].name) + strlen(entries->items[i].value) + 40;
        if (waiting != NULL)
            size += strlen(waiting);
    }
    return size;
}

/* ---- The worker ---- */

static int no_memory(struct inquiry *inquiry)
{
    return err_set(&inquiry->err, ERR_INTERNAL, "configGet: out of memory");
}

static int pack(struct inquiry *inquiry, const struct conf_entries *entries)
{
    uint64_t size = answer_size(inquiry->server, entries);
    msgpack_packer packer;
    if (!answer_fits(inquiry->server, "configGet", size, "ask for fewer settings", &inquiry->err))
        return (int)inquiry->err.code;
    msgpack_packer_init(&packer, &inquiry->answer, msgpack_sbuffer_write);
    int status = msgpack_pack_map(&packer, entries->count);
    for (size_t i = 0; i < entries->count && status == 0; i++)
        status = pack_entry(inquiry->server, &packer, &entries->items[i]);
    return status == 0 ? 0 : no_memory(inquiry);
}

static void run_inquiry(struct work *work)
{
    struct inquiry *inquiry = (struct inquiry *)work;
    struct conf_entries entries;
    if (conf_entries_make(&inquiry->server->conf, &entries) != 0) {
        inquiry->code = no_memory(inquiry);
        return;
    }
    choose(&entries, inquiry->patterns);
    inquiry->code = pack(inquiry, &entries);
    conf_entries_release(&entries);
}

/* ---- The loop ---- */

/* It may have waited for a reload, by which its user has lost what it takes: what is in force now
 * is not for him. */
static bool may_hear(struct inquiry *inquiry)
{
    const struct conn *conn = inquiry->request->conn;
    return !conn_takes_answers(conn) ||
           access_may_still_administer_all(conn, "configGet", &inquiry->err);
}

static void answer(struct inquiry *inquiry)
{
    struct request *request = inquiry->request;
    size_t size = inquiry->answer.size;
    if (!may_hear(inquiry))
        inquiry->code = (int)inquiry->err.code;
    if (inquiry->code == 0 && !request_reserve(request, RESULT_PACKED, size, false))
        inquiry->code = no_memory(inquiry);
    if (inquiry->code != 0) {
        request_fail(request, &inquiry->err);
        return;
    }
    memcpy(request_bytes(request), inquiry->answer.data, size);
    request->number = size;
    request_succeed(request);
}

static void on_found(struct work *work)
{
    struct inquiry *inquiry = (struct inquiry *)work;
    struct server *server = inquiry->request->conn->server;
    answer(inquiry);
    msgpack_sbuffer_destroy(&inquiry->answer);
    free(inquiry);
    reload_end_turn(server);
}

enum outcome handle_CONFIG_GET(struct call *call)
{
    const struct rpc_param *param = &call->args.params[0];
    struct err err;
    if (!access_may_administer_all(call, &err))
        return call_error(call, &err);
    if (param->size > PATTERN_MAX || memchr(param->bytes, '\0', param->size) != NULL) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "configGet: pattern must be at most %d characters, none of them a null",
                PATTERN_MAX);
        return call_error(call, &err);
    }
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    struct request *request = inquiry == NULL ? NULL
                                              : request_new(call->conn, NULL, call->envelope.msgid,
                                                            call->envelope.is_notification);
    if (request == NULL) {
        free(inquiry);
        return call_no_memory(call);
    }
    inquiry->request = request;
    inquiry->server = call->server;
    memcpy(inquiry->patterns, param->bytes, param->size);
    msgpack_sbuffer_init(&inquiry->answer);
    request_move(request, REQUEST_ADMIN);
    request_hold(request);
    inquiry->work = (struct work){.run = run_inquiry, .done = on_found};
    reload_take_turn(call->server, &inquiry->work);
    return HANDLED;
}
