#include "daemon/snapshot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/syncs.h"

struct snapshot *snapshot_new(const struct server *server, size_t capacity)
{
    struct snapshot *snapshot = malloc(sizeof *snapshot);
    struct snapshot_region *regions = malloc((capacity > 0 ? capacity : 1) * sizeof *regions);
    if (snapshot == NULL || regions == NULL) {
        free(snapshot);
        free(regions);
        return NULL;
    }
    *snapshot = (struct snapshot){
        .time_us = uv_hrtime() / 1000 - server->started_ms * 1000,
        .regions_total = server->regions.count,
        .connections = server->conns_count,
        .connections_total = server->conns_total,
        .connections_refused = server->counters.connections_refused,
        .connections_failed = server->counters.connections_failed,
        .connections_timed_out = server->counters.connections_timed_out,
        .max_connections = server->conf.max_connections,
        .authentications = server->authentications,
        .authentication_failures = server->authentication_failures,
        .refusals = server->refusals,
        .received_bytes = server->stats.received_bytes,
        .sent_bytes = server->pieces.sent_bytes,
        .buffered = server->budget.used,
        .max_buffered = server->budget.limit,
        .uploads = server->uploads_count,
        .is_running = server->phase == SERVER_RUNNING,
        .regions = regions,
        .capacity = capacity,
    };
    stats_copy(&snapshot->stats, &server->stats);
    syncs_read(&snapshot->sync);
    return snapshot;
}

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    for (size_t i = 0; i < snapshot->count; i++)
        snapshot_region_release(&snapshot->regions[i]);
    free(snapshot->regions);
    free(snapshot);
}

void snapshot_region_take(struct snapshot_region *region, const struct region_entry *entry)
{
    const struct err *failure = region_failure(entry->region);
    memcpy(region->name, entry->name, sizeof region->name);
    region->failure = failure != NULL ? strdup(failure->text) : NULL;
    region_get_info_now(entry->region, &region->info);
    region->info.name = NULL;
    region->errors = entry->errors;
    memcpy(region->operations, entry->operations, sizeof region->operations);
}

void snapshot_region_release(struct snapshot_region *region)
{
    free(region->failure);
}

void snapshot_add(struct snapshot *snapshot, const struct region_entry *entry)
{
    assert(snapshot->count < snapshot->capacity);
    snapshot_region_take(&snapshot->regions[snapshot->count++], entry);
}

static int compare(const void *a, const void *b)
{
    const struct snapshot_region *first = a, *second = b;
    return strcmp(first->name, second->name);
}

void snapshot_sort(struct snapshot *snapshot)
{
    qsort(snapshot->regions, snapshot->count, sizeof snapshot->regions[0], compare);
}
