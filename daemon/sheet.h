/* What is served over HTTP, put together little by little so that nobody waits for it: the figures
 * of some regions are copied in each iteration of the loop, then a worker writes them down. One
 * sheet at a time is made, and everybody gets a copy who waited for the same when it was begun.
 *
 *     /          a page for people, which asks for the following
 *     /metrics   for Prometheus, in its own format or OpenMetrics
 *     /healthz   whether the process serves
 *     /readyz    whether every region is open and takes changes
 *     /status    as JSON: what the server is, and what stats() tells
 *     /status/REGION/map?cells=N    how full each part of the region is
 *
 * Loop thread. */
#ifndef MREGION_DAEMON_SHEET_H
#define MREGION_DAEMON_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/limits.h"
#include "daemon/textbuf.h"
#include "daemon/worker.h"

struct http;
struct map;
struct snapshot;
struct visit;

enum sheet { SHEET_METRICS, SHEET_OPENMETRICS, SHEET_STATUS, SHEET_MAP };

struct sheet_order {
    enum sheet sheet;
    char region[REGION_NAME_MAX + 1]; /* of SHEET_MAP */
    unsigned cells;
};

struct sheets {
    uv_idle_t idle; /* runs while figures are copied */
    struct visit *waiting, **waiting_last;

    /* The one being made. */
    struct work work;
    bool is_busy;
    bool is_writing; /* a worker does */
    struct sheet_order order;
    struct visit *visits; /* who gets it */
    struct snapshot *snapshot;
    uint64_t *ids; /* of the regions to be copied */
    size_t ids_count, ids_done;
    struct map *map;
    struct textbuf text; /* what is written */
    char *policy;        /* of the page: what a browser lets it do */
};

void sheets_init(struct sheets *sheets, struct http *http);
/* Those who wait are answered that the server stops. */
void sheets_release(struct http *http);

/* Answers the visit to this path, at once or later. */
void sheet_visit(struct visit *visit, const char *path);

#endif
