#include "daemon/figures.h"

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "daemon/access.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/tell.h"

/* Regions in one answer. */
#define REGIONS_MAX 1000
/* At a stretch, some 150 microseconds. */
#define STRETCH 100
/* What a region takes in the answer, with its name and a few methods; many take more. */
#define ROW_SIZE ((uint64_t)512)
/* What comes behind the last one, at most. */
#define END_SIZE 16

struct figures {
    char after[REGION_NAME_MAX + 1]; /* "" for from the first; then the last one that was seen */
    uint64_t limit, count;
    uint64_t charged; /* of the budget: what it will take, or has taken if that is more */
    size_t count_at;  /* where it stands in the text: behind the first byte of a map 16 */
    struct textbuf text;
};

void figures_release(struct request *request)
{
    struct figures *figures = request->figures;
    if (figures == NULL)
        return;
    budget_give(&request->conn->server->budget, figures->charged);
    textbuf_release(&figures->text);
    free(figures);
    request->figures = NULL;
}

/* ---- Options ---- */

static int read_after(const struct option *option, struct figures *figures, struct err *err)
{
    const struct value *value = &option->value;
    if ((value->type != VALUE_STR && value->type != VALUE_BIN) ||
        value->raw.size > REGION_NAME_MAX || memchr(value->raw.bytes, '\0', value->raw.size))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "stats: option after must be a region's name, of %d bytes at most",
                       REGION_NAME_MAX);
    memcpy(figures->after, value->raw.bytes, value->raw.size);
    figures->after[value->raw.size] = '\0';
    return 0;
}

static int read_options(struct call *call, struct figures *figures, struct err *err)
{
    struct option option;
    while (call_option(call, &option)) {
        int code = option_is(&option, "after") ? read_after(&option, figures, err)
                                               : option_uint(call, &option, &figures->limit, err);
        if (code != 0)
            return code;
    }
    figures->limit = min_u64(figures->limit, REGIONS_MAX);
    return 0;
}

/* ---- Told ---- */

/* A map 16, whose count is not known yet. */
#define COUNT_OPEN UINT16_MAX

static bool begin(struct figures *figures, const struct server *server)
{
    struct snapshot *snapshot = snapshot_new(server, 0);
    struct tell_msgpack teller;
    if (snapshot == NULL)
        return false;
    tell_msgpack_init(&teller, &figures->text);
    tell_stats_begin(&teller.teller, snapshot, COUNT_OPEN);
    tell_msgpack_end(&teller);
    figures->count_at = figures->text.used - 2;
    snapshot_free(snapshot);
    return !figures->text.has_failed;
}

/* False: it does not fit the answer any more, and was not told. The first one always is: an answer
 * without any would lead no further. */
static bool tell_entry_of(struct figures *figures, const struct region_entry *entry)
{
    struct snapshot_region region;
    struct tell_msgpack teller;
    struct textbuf *text = &figures->text;
    size_t before = text->used;
    snapshot_region_take(&region, entry);
    tell_msgpack_init(&teller, text);
    tell_stats_region(&teller.teller, &region);
    tell_msgpack_end(&teller);
    snapshot_region_release(&region);
    if (figures->count > 0 &&
        text->used + END_SIZE + RPC_BIN_HEADER_MAX > entry->server->conf.max_message) {
        text->used = before;
        return false;
    }
    figures->count++;
    return true;
}

static void no_memory(struct request *request)
{
    struct err err;
    err_set(&err, ERR_INTERNAL, "stats: out of memory");
    request_fail(request, &err);
}

static void finish(struct request *request, bool has_more)
{
    struct figures *figures = request->figures;
    struct textbuf *text = &figures->text;
    struct tell_msgpack teller;
    struct err err;
    tell_msgpack_init(&teller, text);
    tell_stats_end(&teller.teller, has_more);
    tell_msgpack_end(&teller);
    if (!answer_fits(request->conn->server, "stats", text->used, "raise max_message", &err)) {
        request_fail(request, &err);
        return;
    }
    if (text->has_failed || !request_reserve(request, RESULT_PACKED, text->used, false)) {
        no_memory(request);
        return;
    }
    text->bytes[figures->count_at] = (char)(figures->count >> 8);
    text->bytes[figures->count_at + 1] = (char)figures->count;
    memcpy(request_bytes(request), text->bytes, text->used);
    request->number = text->used;
    request_succeed(request);
}

/* The next regions. Whether these were the last ones, and *ret_more: but for those that the limit,
 * or the length of an answer, keeps out. */
static bool tell_some(struct request *request, struct region_entry *const *entries, bool *ret_more)
{
    struct figures *figures = request->figures;
    const struct regions *regions = &request->conn->server->regions;
    size_t at =
        figures->limit > 0 ? regions_up_to(regions, entries, figures->after) : regions->count;
    size_t end = (size_t)min_u64(at + STRETCH, regions->count);
    const struct region_entry *last = NULL;
    *ret_more = false;
    for (; at < end; at++) {
        if (access_sees(request->conn, entries[at])) {
            *ret_more = figures->count == figures->limit || !tell_entry_of(figures, entries[at]);
            if (*ret_more)
                break;
        }
        last = entries[at];
    }
    if (last != NULL)
        memcpy(figures->after, last->name, sizeof figures->after);
    return *ret_more || at == regions->count;
}

/* Others have their turn: they are to know what it holds by now. */
static void give_way(struct request *request)
{
    struct figures *figures = request->figures;
    size_t held = figures->text.capacity;
    if (held > figures->charged) {
        budget_add(&request->conn->server->budget, held - figures->charged);
        figures->charged = held;
    }
    conn_yield(request->conn);
}

static void step(struct request *request)
{
    struct regions *regions = &request->conn->server->regions;
    struct region_entry *const *entries = regions_sorted(regions);
    bool has_more;
    if (entries == NULL && regions->count > 0) {
        no_memory(request);
        return;
    }
    if (tell_some(request, entries, &has_more))
        finish(request, has_more);
    else
        give_way(request);
}

/* ---- The request ---- */

/* Of one stretch nobody keeps account, so that a server is watched also when its memory is short.
 */
static uint64_t charge_for(const struct call *call, uint64_t limit)
{
    uint64_t count = min_u64(limit, call->server->regions.count);
    return count > STRETCH ? min_u64(count * ROW_SIZE, call->server->conf.max_message) : 0;
}

enum outcome handle_STATS(struct call *call)
{
    struct figures asked = {.limit = REGIONS_MAX};
    struct budget *budget = &call->server->budget;
    struct err err;
    if (read_options(call, &asked, &err) != 0)
        return call_error(call, &err);
    if (call->envelope.is_notification)
        return HANDLED;
    asked.charged = charge_for(call, asked.limit);
    if (asked.charged > 0 && !budget_take(budget, call->conn, asked.charged)) {
        conn_park_memory(call->conn, asked.charged);
        return PARKED;
    }
    struct request *request = request_new(call->conn, NULL, call->envelope.msgid, false);
    struct figures *figures = request == NULL ? NULL : malloc(sizeof *figures);
    if (figures == NULL) {
        budget_give(budget, asked.charged);
        if (request != NULL)
            request_free(request);
        return call_no_memory(call);
    }
    *figures = asked;
    request->figures = figures;
    if (!begin(figures, call->server)) {
        request_free(request);
        return call_no_memory(call);
    }
    request->resume = step;
    request_move(request, REQUEST_LISTING);
    request_hold(request);
    step(request);
    return HANDLED;
}
