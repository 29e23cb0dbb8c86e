/* The server's figures as they are at one moment, so that a worker can write them down while the
 * server goes on: what stats(), /metrics and /status tell.
 *
 * Figures of the server are copied at once, those of regions one by one, so that somebody who
 * copies many of them can let others have their turn in between. Loop thread, until it is whole. */
#ifndef MREGION_DAEMON_SNAPSHOT_H
#define MREGION_DAEMON_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/region.h"
#include "daemon/stats.h"

struct region_entry;
struct server;

struct snapshot_region {
    char name[REGION_NAME_MAX + 1];
    char *failure;           /* why it is read-only, or NULL */
    struct region_info info; /* without a name */
    uint64_t errors;
    uint64_t operations[STATS_KINDS];
};

struct snapshot {
    uint64_t time_us; /* since the server started */
    uint64_t regions_total;
    uint64_t connections, connections_total, connections_refused, connections_failed;
    uint64_t connections_timed_out;
    uint64_t max_connections;
    uint64_t authentications, authentication_failures, refusals;
    uint64_t received_bytes, sent_bytes;
    uint64_t buffered, max_buffered;
    uint64_t uploads;
    bool is_running; /* it takes connections, and is not about to stop */
    struct stats stats;
    struct histogram sync;

    struct snapshot_region *regions;
    size_t count, capacity;
};

/* The figures of the server, with room for so many regions. NULL without memory. */
struct snapshot *snapshot_new(const struct server *server, size_t capacity);
/* NULL is fine. Any thread. */
void snapshot_free(struct snapshot *snapshot);
/* The region's alone. Release it. */
void snapshot_region_take(struct snapshot_region *region, const struct region_entry *entry);
void snapshot_region_release(struct snapshot_region *region);
/* Adds the region's, for which there is room. */
void snapshot_add(struct snapshot *snapshot, const struct region_entry *entry);
/* By name. Any thread. */
void snapshot_sort(struct snapshot *snapshot);

#endif
