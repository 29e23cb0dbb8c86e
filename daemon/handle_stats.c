/* What the server has done: see stats.h. */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "daemon/access.h"
#include "daemon/answer.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/tell.h"

/* Regions in one answer, which is put together in one go: 0.7 milliseconds where each has 250
 * bytes. */
#define REGIONS_MAX 1000

/* Which regions are asked for. */
struct choice {
    char after[REGION_NAME_MAX + 1]; /* "" for from the first */
    uint64_t limit;
};

static int read_after(const struct option *option, struct choice *choice, struct err *err)
{
    const struct value *value = &option->value;
    if ((value->type != VALUE_STR && value->type != VALUE_BIN) ||
        value->raw.size > REGION_NAME_MAX || memchr(value->raw.bytes, '\0', value->raw.size))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "stats: option after must be a region's name, of %d bytes at most",
                       REGION_NAME_MAX);
    memcpy(choice->after, value->raw.bytes, value->raw.size);
    choice->after[value->raw.size] = '\0';
    return 0;
}

static int read_choice(struct call *call, struct choice *choice, struct err *err)
{
    struct option option;
    while (call_option(call, &option)) {
        int code = option_is(&option, "after") ? read_after(&option, choice, err)
                                               : option_uint(call, &option, &choice->limit, err);
        if (code != 0)
            return code;
    }
    choice->limit = min_u64(choice->limit, REGIONS_MAX);
    return 0;
}

/* Adds those that are chosen. Whether there are more. False without memory, and *ret_failed. */
static bool add_regions(struct call *call, const struct choice *choice, struct snapshot *snapshot,
                        bool *ret_failed)
{
    const struct regions *regions = &call->server->regions;
    struct region_entry **entries = choice->limit > 0 ? regions_sorted(regions) : NULL;
    bool has_more = false;
    *ret_failed = choice->limit > 0 && regions->count > 0 && entries == NULL;
    for (uint64_t i = 0; entries != NULL && i < regions->count && !has_more; i++) {
        if (strcmp(entries[i]->name, choice->after) <= 0 || !access_sees(call->conn, entries[i]))
            continue;
        has_more = snapshot->count == choice->limit;
        if (!has_more)
            snapshot_add(snapshot, entries[i]);
    }
    free(entries);
    return has_more;
}

enum outcome handle_STATS(struct call *call)
{
    struct choice choice = {.limit = REGIONS_MAX};
    struct err err;
    struct tell_msgpack teller;
    msgpack_packer packer;
    bool has_failed = false;
    if (read_choice(call, &choice, &err) != 0)
        return call_error(call, &err);
    struct snapshot *snapshot =
        snapshot_new(call->server, (size_t)min_u64(choice.limit, call->server->regions.count));
    if (snapshot == NULL)
        return call_no_memory(call);
    bool has_more = add_regions(call, &choice, snapshot, &has_failed);
    if (!has_failed && answer_begin(call->conn, call->envelope.msgid, &packer)) {
        tell_msgpack_init(&teller, &call->conn->output);
        tell_stats(&teller.teller, snapshot, has_more);
        tell_msgpack_end(&teller);
    }
    snapshot_free(snapshot);
    return has_failed ? call_no_memory(call) : HANDLED;
}
