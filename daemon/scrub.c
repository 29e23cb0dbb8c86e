#include "daemon/scrub.h"

#include <inttypes.h>
#include <time.h>
#include <utlist.h>

#include "daemon/answer.h"
#include "daemon/audit.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/events.h"
#include "daemon/handle.h"
#include "daemon/log.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/server.h"

/* ---- Turns ---- */

bool scrub_is_queued(const struct region_entry *entry)
{
    return entry->is_scrub_queued;
}

static void join(struct region_entry *entry)
{
    if (entry->is_scrub_queued)
        return;
    entry->is_scrub_queued = true;
    DL_APPEND2(entry->server->regions.scrubs, entry, scrub_previous, scrub_next);
}

static void leave(struct region_entry *entry)
{
    if (!entry->is_scrub_queued)
        return;
    entry->is_scrub_queued = false;
    DL_DELETE2(entry->server->regions.scrubs, entry, scrub_previous, scrub_next);
}

/* The first in the queue has its turn. */
static void pass_on(struct regions *regions)
{
    if (!regions->is_scrubbing && regions->scrubs != NULL)
        commit_touch(regions->scrubs);
}

bool scrub_may_start(struct region_entry *entry)
{
    struct regions *regions = &entry->server->regions;
    if (entry->is_dropping || entry->server->phase != SERVER_RUNNING)
        return false;
    if (regions->is_scrubbing || (regions->scrubs != NULL && regions->scrubs != entry)) {
        /* Those that want nothing leave the queue when their turn has come. */
        join(entry);
        return false;
    }
    leave(entry);
    return true;
}

void scrub_started(struct region_entry *entry, bool has_started)
{
    struct regions *regions = &entry->server->regions;
    regions->is_scrubbing = has_started;
    pass_on(regions);
}

void scrub_piece_done(struct region_entry *entry)
{
    struct regions *regions = &entry->server->regions;
    regions->is_scrubbing = false;
    pass_on(regions);
}

/* ---- Who waits ---- */

void scrub_wait(struct request *request)
{
    struct region_entry *entry = request->entry;
    request->result = RESULT_SCRUB;
    request_move(request, REQUEST_SCRUBBING);
    commit_touch(entry);
    DL_APPEND2(entry->scrubs, request, previous, next);
    request->conn->scrubs++;
}

static void stop_waiting(struct request *request)
{
    DL_DELETE2(request->entry->scrubs, request, previous, next);
    request->conn->scrubs--;
}

void scrub_answer(struct region_entry *entry)
{
    uint64_t done = region_scrub_ticket(entry->region);
    struct request *request;
    while ((request = entry->scrubs) != NULL) {
        const struct err *failure = region_failure(entry->region);
        if (failure == NULL)
            failure = region_scrub_failure(entry->region, request->ticket);
        if (request->ticket > done && failure == NULL)
            break; /* and those behind it wait for no earlier pass */
        stop_waiting(request);
        if (request->ticket <= done)
            request_succeed(request);
        else
            request_fail(request, failure);
    }
}

void scrub_refuse(struct region_entry *entry, const struct err *err)
{
    struct request *request;
    leave(entry);
    pass_on(&entry->server->regions);
    while ((request = entry->scrubs) != NULL) {
        stop_waiting(request);
        request_fail(request, err);
    }
}

void scrub_abandon(struct conn *conn)
{
    struct region_entry *entry, *next_entry;
    struct request *request, *next;
    HASH_ITER(by_id, conn->server->regions.ids, entry, next_entry)
    DL_FOREACH_SAFE(entry->scrubs, request, next)
    {
        if (request->conn != conn)
            continue;
        stop_waiting(request);
        audit_give_up(request);
        request_free(request);
    }
}

static void pack_count(msgpack_packer *packer, const char *key, uint64_t count)
{
    answer_pack_text(packer, key);
    msgpack_pack_uint64(packer, count);
}

void scrub_send(const struct request *request)
{
    const struct region *region = request->entry->region;
    struct region_scrub scrub;
    uint64_t damages[DAMAGES_KEPT];
    msgpack_packer packer;
    if (!answer_begin(request->conn, request->msgid, &packer))
        return;
    region_get_last_scrub(region, &scrub);
    size_t count = region_damages(region, damages, DAMAGES_KEPT);
    msgpack_pack_map(&packer, 5);
    pack_count(&packer, "pages", scrub.pages);
    pack_count(&packer, "verified", scrub.verified);
    pack_count(&packer, "unverified", scrub.unverified);
    pack_count(&packer, "damaged", scrub.damaged);
    answer_pack_text(&packer, "damages");
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_uint64(&packer, damages[i]);
}

enum outcome handle_SCRUB(struct call *call)
{
    struct region_entry *entry = call->entry;
    struct err err;
    uint64_t ticket;
    if (call->server->phase != SERVER_RUNNING) {
        err_set(&err, ERR_SHUTTING_DOWN, "the server is stopping, and does not begin a scrub");
        return call_error(call, &err);
    }
    struct request *request =
        request_new(call->conn, entry, call->envelope.msgid, call->envelope.is_notification);
    if (request == NULL)
        return call_no_memory(call);
    audit_begin(call, request);
    if (region_request_scrub(entry->region, &ticket, &err) != 0) {
        request_fail(request, &err);
        return HANDLED;
    }
    request->ticket = ticket;
    scrub_wait(request);
    return HANDLED;
}

/* ---- What was found ---- */

/* Lines at a stretch; a region keeps no more. */
#define FINDINGS 64

void scrub_log_findings(struct region_entry *entry)
{
    struct region_finding findings[FINDINGS];
    uint64_t more;
    size_t count = region_take_findings(entry->region, findings, FINDINGS, &more);
    for (size_t i = 0; i < count; i++) {
        log_error_about(
            (&(struct log_about){.region = entry->name, .error = err_name(ERR_CORRUPT)}),
            "region %s: page at %" PRIu64 " %s: what is stored in [%" PRIu64 ", %" PRIu64
            ") is damaged",
            entry->name, findings[i].address,
            findings[i].is_unreadable ? "cannot be read" : "does not match its checksum",
            findings[i].address, findings[i].address + DATA_PAGE);
        events_corrupt(entry, &findings[i]);
    }
    if (more > 0)
        events_more_corrupt(entry, more);
    if (more > 0 && log_allow(&entry->server->damage_limit, "further damaged pages"))
        log_error_about(
            (&(struct log_about){.region = entry->name, .error = err_name(ERR_CORRUPT)}),
            "region %s: %" PRIu64
            " further damaged pages; a scrub counts all of them, regionInfo tells their "
            "number",
            entry->name, more);
}

uint64_t scrub_finished_s(const struct region_entry *entry)
{
    struct region_scrub scrub;
    region_get_scrub(entry->region, &scrub);
    if (scrub.passes == 0)
        return 0;
    return (uint64_t)time(NULL) - (now_ms() - scrub.finished_ms) / 1000;
}
