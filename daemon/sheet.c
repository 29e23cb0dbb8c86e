#include "daemon/sheet.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "daemon/http.h"
#include "daemon/map.h"
#include "daemon/metrics.h"
#include "daemon/microhttpd.h"
#include "daemon/page.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/snapshot.h"
#include "daemon/tell.h"

#define PLAIN_TYPE "text/plain; charset=utf-8"
#define JSON_TYPE "application/json"
#define PAGE_TYPE "text/html; charset=utf-8"

/* Regions whose figures are copied, and free blocks of a map, in one iteration of the loop: some 50
 * microseconds. */
#define REGIONS_AT_ONCE 64
#define BLOCKS_AT_ONCE 1024

static void begin_next(struct http *http);

static void answer_text(struct visit *visit, unsigned code, const char *text)
{
    struct textbuf body = {0};
    textbuf_put(&body, text);
    http_answer(visit, code, PLAIN_TYPE, &body);
}

/* ---- Who gets it ---- */

static bool is_same(const struct sheet_order *a, const struct sheet_order *b)
{
    return a->sheet == b->sheet &&
           (a->sheet != SHEET_MAP || (strcmp(a->region, b->region) == 0 && a->cells == b->cells));
}

/* Those who wait for what the first one waits for, out of the queue. */
static void take_visits(struct sheets *sheets)
{
    struct visit **at = &sheets->waiting, *visit;
    sheets->order = sheets->waiting->order;
    sheets->visits = NULL;
    while ((visit = *at) != NULL) {
        if (!is_same(&visit->order, &sheets->order)) {
            at = &visit->next;
            continue;
        }
        *at = visit->next;
        visit->next = sheets->visits;
        sheets->visits = visit;
    }
    sheets->waiting_last = at;
}

static const char *type_of(const struct sheet_order *order)
{
    switch (order->sheet) {
    case SHEET_METRICS:
        return METRICS_TYPE;
    case SHEET_OPENMETRICS:
        return METRICS_OPEN_TYPE;
    default:
        return JSON_TYPE;
    }
}

static void give_copy(const struct sheets *sheets, struct visit *visit, unsigned code,
                      const char *type)
{
    struct textbuf body = {.has_failed = sheets->text.has_failed};
    textbuf_add(&body, sheets->text.bytes, sheets->text.used);
    http_answer(visit, code, type, &body);
}

/* Everybody who waits for it gets the text. */
static void finish(struct http *http, unsigned code, const char *type)
{
    struct sheets *sheets = &http->sheets;
    struct visit *visit;
    while ((visit = sheets->visits) != NULL) {
        sheets->visits = visit->next;
        if (sheets->visits != NULL)
            give_copy(sheets, visit, code, type);
        else
            http_answer(visit, code, type, &sheets->text);
    }
    textbuf_release(&sheets->text);
    snapshot_free(sheets->snapshot);
    sheets->snapshot = NULL;
    free(sheets->ids);
    sheets->ids = NULL;
    free(sheets->map);
    sheets->map = NULL;
    sheets->is_busy = false;
    begin_next(http);
    http_drive(http);
}

static void fail(struct http *http)
{
    http->sheets.text.has_failed = true;
    finish(http, MHD_HTTP_OK, PLAIN_TYPE);
}

/* ---- Figures ---- */

/* In front of what stats() tells: what it is, and how it is. */
static void tell_status(struct teller *teller, const struct snapshot *snapshot)
{
    teller->map(teller, 5);
    tell_text_entry(teller, "name", "mregiond");
    tell_text_entry(teller, "version", MREGION_VERSION);
    tell_flag_entry(teller, "running", snapshot->is_running);
    tell_entry(teller, "max_connections", snapshot->max_connections);
    teller->key(teller, "stats");
    tell_stats(teller, snapshot, false);
    teller->end(teller);
}

static void run_writing(struct work *work)
{
    struct sheets *sheets = (struct sheets *)(void *)((char *)work - offsetof(struct sheets, work));
    struct tell_json json;
    snapshot_sort(sheets->snapshot);
    if (sheets->order.sheet == SHEET_STATUS) {
        tell_json_init(&json, &sheets->text);
        tell_status(&json.teller, sheets->snapshot);
    } else {
        metrics_write(sheets->snapshot, sheets->order.sheet == SHEET_OPENMETRICS, &sheets->text);
    }
}

static void on_written(struct work *work)
{
    struct sheets *sheets = (struct sheets *)(void *)((char *)work - offsetof(struct sheets, work));
    struct http *http = sheets->idle.data;
    sheets->is_writing = false;
    finish(http, MHD_HTTP_OK, type_of(&sheets->order));
}

/* Whether all are copied. Those that are gone by now are left out. */
static bool copy_some(struct http *http)
{
    struct sheets *sheets = &http->sheets;
    size_t end = (size_t)min_u64(sheets->ids_done + REGIONS_AT_ONCE, sheets->ids_count);
    for (; sheets->ids_done < end; sheets->ids_done++) {
        const struct region_entry *entry =
            regions_find_id(&http->server->regions, sheets->ids[sheets->ids_done]);
        if (entry != NULL)
            snapshot_add(sheets->snapshot, entry);
    }
    return sheets->ids_done == sheets->ids_count;
}

static void list_ids(struct sheets *sheets, const struct regions *regions)
{
    struct region_entry *entry, *next;
    sheets->ids_count = sheets->ids_done = 0;
    HASH_ITER(by_id, regions->ids, entry, next)
    sheets->ids[sheets->ids_count++] = entry->id;
}

static bool begin_figures(struct http *http)
{
    struct sheets *sheets = &http->sheets;
    const struct regions *regions = &http->server->regions;
    sheets->ids = malloc((regions->count + 1) * sizeof sheets->ids[0]);
    sheets->snapshot = snapshot_new(http->server, regions->count);
    if (sheets->ids == NULL || sheets->snapshot == NULL)
        return false;
    list_ids(sheets, regions);
    return true;
}

/* ---- A map ---- */

static struct region_entry *find_region(struct http *http, const char *name)
{
    return regions_find_name(&http->server->regions, name, strlen(name));
}

static bool begin_map(struct http *http)
{
    struct sheets *sheets = &http->sheets;
    const struct region_entry *entry = find_region(http, sheets->order.region);
    sheets->map = malloc(sizeof *sheets->map);
    if (sheets->map == NULL)
        return false;
    if (entry == NULL)
        map_init(sheets->map, UINT64_MAX, 0, sheets->order.cells);
    else
        map_init(sheets->map, entry->id, region_size(entry->region), sheets->order.cells);
    return true;
}

/* Whether the map has come to its end, which is also when there is no such region any more. */
static bool map_some(struct http *http)
{
    struct sheets *sheets = &http->sheets;
    struct map *map = sheets->map;
    struct region_entry *entry = regions_find_id(&http->server->regions, map->region_id);
    struct extent blocks[BLOCKS_AT_ONCE];
    struct err err;
    size_t count;
    uint64_t begun_ns = uv_hrtime();
    if (entry == NULL || region_free_blocks(entry->region, map->position, map->size, blocks,
                                            BLOCKS_AT_ONCE, &count, &err) != 0) {
        map->region_id = UINT64_MAX;
        return true;
    }
    map_add(map, blocks, count);
    map->cost_ns += uv_hrtime() - begun_ns;
    return count < BLOCKS_AT_ONCE;
}

static void finish_map(struct http *http)
{
    struct sheets *sheets = &http->sheets;
    struct tell_json json;
    if (sheets->map->region_id == UINT64_MAX) {
        textbuf_put(&sheets->text, "there is no such region\n");
        finish(http, MHD_HTTP_NOT_FOUND, PLAIN_TYPE);
        return;
    }
    tell_json_init(&json, &sheets->text);
    map_tell(sheets->map, sheets->order.region, &json.teller);
    finish(http, MHD_HTTP_OK, JSON_TYPE);
}

/* ---- One after the other ---- */

static void on_idle(uv_idle_t *idle)
{
    struct http *http = idle->data;
    struct sheets *sheets = &http->sheets;
    bool is_map = sheets->order.sheet == SHEET_MAP;
    if (!(is_map ? map_some(http) : copy_some(http)))
        return; /* sockets are looked at in between */
    uv_idle_stop(idle);
    if (is_map) {
        finish_map(http);
        return;
    }
    sheets->is_writing = true;
    sheets->work = (struct work){.run = run_writing, .done = on_written};
    workers_submit(&http->server->workers, WORK_OTHER, &sheets->work);
}

static void begin_next(struct http *http)
{
    struct sheets *sheets = &http->sheets;
    if (sheets->is_busy || sheets->waiting == NULL)
        return;
    take_visits(sheets);
    sheets->is_busy = true;
    if (sheets->order.sheet == SHEET_MAP ? begin_map(http) : begin_figures(http))
        uv_idle_start(&sheets->idle, on_idle);
    else
        fail(http);
}

static void order(struct visit *visit, enum sheet sheet)
{
    struct sheets *sheets = &visit->http->sheets;
    visit->order.sheet = sheet;
    visit->next = NULL;
    *sheets->waiting_last = visit;
    sheets->waiting_last = &visit->next;
    begin_next(visit->http);
}

/* ---- At once ---- */

/* Names in one answer. */
#define REASONS_MAX 20

static void answer_ready(struct visit *visit)
{
    const struct server *server = visit->http->server;
    struct textbuf body = {0};
    struct region_entry *entry, *next;
    uint64_t failed = 0;
    HASH_ITER(by_id, server->regions.ids, entry, next)
    {
        if (region_failure(entry->region) == NULL || ++failed > REASONS_MAX)
            continue;
        textbuf_put(&body, "region ");
        textbuf_put(&body, entry->name);
        textbuf_put(&body, " has failed and is read-only; a restart recovers it\n");
    }
    if (failed > REASONS_MAX) {
        textbuf_put(&body, "and as many more: ");
        textbuf_number(&body, failed - REASONS_MAX);
        textbuf_put(&body, "\n");
    }
    bool is_running = server->phase == SERVER_RUNNING;
    if (!is_running)
        textbuf_put(&body, server->phase == SERVER_STARTING ? "starting\n" : "stopping\n");
    if (body.used == 0)
        textbuf_put(&body, "ready\n");
    http_answer(visit, is_running && failed == 0 ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                PLAIN_TYPE, &body);
}

static void answer_page(struct visit *visit)
{
    struct textbuf body = {0};
    textbuf_add(&body, (const char *)page_bytes, page_size);
    http_answer(visit, MHD_HTTP_OK, PAGE_TYPE, &body);
}

/* ---- Paths ---- */

/* The number of cells that is asked for; 0: it is none. */
static unsigned cells_of(struct MHD_Connection *connection)
{
    const char *text = mhd.lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "cells");
    char *end;
    if (text == NULL)
        return MAP_CELLS_DEFAULT;
    if (*text < '0' || *text > '9')
        return 0;
    unsigned long cells = strtoul(text, &end, 10);
    return *end == '\0' && cells <= MAP_CELLS_MAX ? (unsigned)cells : 0;
}

/* The map of the region that stands between "/status/" and "/map". False: that is no such path. */
static bool visit_map(struct visit *visit, const char *path)
{
    static const char before[] = "/status/", after[] = "/map";
    size_t length = strlen(path);
    size_t around = strlen(before) + strlen(after);
    if (length <= around || strncmp(path, before, strlen(before)) != 0 ||
        strcmp(path + length - strlen(after), after) != 0 ||
        !region_name_is_valid(path + strlen(before), length - around))
        return false;
    memcpy(visit->order.region, path + strlen(before), length - around);
    visit->order.region[length - around] = '\0';
    visit->order.cells = cells_of(visit->connection);
    if (find_region(visit->http, visit->order.region) == NULL)
        answer_text(visit, MHD_HTTP_NOT_FOUND, "there is no such region\n");
    else if (visit->order.cells == 0)
        answer_text(visit, MHD_HTTP_BAD_REQUEST, "cells must be a number from 1 to 4096\n");
    else
        order(visit, SHEET_MAP);
    return true;
}

void sheet_visit(struct visit *visit, const char *path)
{
    const char *accept = mhd.lookup_connection_value(visit->connection, MHD_HEADER_KIND, "Accept");
    if (strcmp(path, "/") == 0)
        answer_page(visit);
    else if (strcmp(path, "/healthz") == 0)
        answer_text(visit, MHD_HTTP_OK, "ok\n");
    else if (strcmp(path, "/readyz") == 0)
        answer_ready(visit);
    else if (strcmp(path, "/metrics") == 0)
        order(visit, metrics_wants_open(accept) ? SHEET_OPENMETRICS : SHEET_METRICS);
    else if (strcmp(path, "/status") == 0)
        order(visit, SHEET_STATUS);
    else if (!visit_map(visit, path))
        answer_text(visit, MHD_HTTP_NOT_FOUND,
                    "there are /, /metrics, /healthz, /readyz, /status and /status/REGION/map\n");
}

/* ---- The beginning and the end ---- */

void sheets_init(struct sheets *sheets, struct http *http)
{
    uv_idle_init(&http->server->loop, &sheets->idle);
    sheets->idle.data = http;
    sheets->waiting_last = &sheets->waiting;
    sheets->policy = page_policy();
}

static void refuse_all(struct visit *visit)
{
    while (visit != NULL) {
        struct visit *next = visit->next;
        answer_text(visit, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping\n");
        visit = next;
    }
}

void sheets_release(struct http *http)
{
    struct sheets *sheets = &http->sheets;
    refuse_all(sheets->visits);
    refuse_all(sheets->waiting);
    textbuf_release(&sheets->text);
    snapshot_free(sheets->snapshot);
    free(sheets->ids);
    free(sheets->map);
    free(sheets->policy);
    uv_close((uv_handle_t *)&sheets->idle, NULL);
}
