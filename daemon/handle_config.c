/* The configuration in force. */
#include <string.h>

#include "conf/entries.h"
#include "daemon/access.h"
#include "daemon/answer.h"
#include "daemon/config.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/server.h"

/* More than the names of all settings. */
#define PATTERN_MAX 4096

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

static void pack_entry(const struct server *server, msgpack_packer *packer,
                       const struct conf_entry *entry)
{
    const char *waiting = entry->item == NULL ? find_waiting(server, entry->name) : NULL;
    answer_pack_text(packer, entry->name);
    msgpack_pack_map(packer, waiting != NULL ? 2 : 1);
    answer_pack_text(packer, "value");
    answer_pack_text(packer, entry->value);
    if (waiting == NULL)
        return;
    answer_pack_text(packer, "after_restart");
    answer_pack_text(packer, waiting);
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

static uint64_t answer_size(const struct conf_entries *entries)
{
    uint64_t size = 0;
    for (size_t i = 0; i < entries->count; i++)
        size += strlen(entries->items[i].name) + 2 * strlen(entries->items[i].value) + 40;
    return size;
}

static enum outcome answer(struct call *call, struct conf_entries *entries)
{
    msgpack_packer packer;
    struct err err;
    if (!call_fits(call, answer_size(entries), "ask for fewer settings", &err))
        return call_error(call, &err);
    if (call->envelope.is_notification || !answer_begin(call->conn, call->envelope.msgid, &packer))
        return HANDLED;
    msgpack_pack_map(&packer, entries->count);
    for (size_t i = 0; i < entries->count; i++)
        pack_entry(call->server, &packer, &entries->items[i]);
    return HANDLED;
}

enum outcome handle_CONFIG_GET(struct call *call)
{
    const struct rpc_param *param = &call->args.params[0];
    char patterns[PATTERN_MAX + 1];
    struct conf_entries entries;
    struct err err;
    if (!access_may_administer_all(call, &err))
        return call_error(call, &err);
    if (param->size > PATTERN_MAX || memchr(param->bytes, '\0', param->size) != NULL) {
        err_set(&err, ERR_INVALID_ARGUMENT,
                "configGet: pattern must be at most %d characters, none of them a null",
                PATTERN_MAX);
        return call_error(call, &err);
    }
    memcpy(patterns, param->bytes, param->size);
    patterns[param->size] = '\0';
    if (conf_entries_make(&call->server->conf, &entries) != 0)
        return call_no_memory(call);
    choose(&entries, patterns);
    enum outcome outcome = answer(call, &entries);
    conf_entries_release(&entries);
    return outcome;
}
