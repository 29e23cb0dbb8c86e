/* The open regions, found by name and by id. Loop thread. */
#ifndef MREGION_DAEMON_REGIONS_H
#define MREGION_DAEMON_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "core/err.h"
#include "core/region.h"
#include "daemon/stats.h"
#include "daemon/worker.h"
#include "proto/rpc.h"

struct conn;
struct region_entry;
struct request;
struct server;
struct stream;
struct upload;

/* One lane of a region on its way through the workers. */
struct lane {
    struct work work;
    struct work durable; /* the note that its job's batch is */
    struct region_entry *entry;
    struct region_job *job; /* under way, or NULL */
    uint64_t begun_ns;      /* when a worker took it */
    uint64_t durable_ns; /* when its batch was durable, or, if that is not waited for, it ended */
};

/* An open region and who waits for it. */
struct region_entry {
    struct server *server;
    struct region *region;
    char name[REGION_NAME_MAX + 1];
    size_t name_length;
    uint64_t id;
    bool is_dropping; /* nobody finds it any more; it goes when nothing is under way */
    bool is_held;     /* no job is begun: its folder is being renamed */
    bool is_unnamed;  /* there was no memory to find it by its new name */

    struct lane lanes[LANES];
    uv_timer_t deadline;              /* region_deadline_ms */
    uint64_t opened_us;               /* microseconds since 1970 */
    uint64_t operations[STATS_KINDS]; /* by method, executed; of them failed: */
    uint64_t errors;
    uint64_t commits;           /* region_commits when it was looked at last */
    uint64_t checkpoint_ns;     /* when the checkpoint under way was begun; 0: there is none */
    uint64_t checkpoint_ticket; /* as it was then */
    uint64_t rest_ticket;       /* region_ticket when rest looked last */
    bool is_touched;            /* in regions.touched */
    bool is_retrying;           /* the first of those parked is being run */
    bool has_failed;            /* its failure was logged */
    bool cannot_discard;        /* likewise */
    bool is_scrub_queued;       /* in regions.scrubs */
    struct region_entry *touched_next;
    struct region_entry *scrub_previous, *scrub_next;

    struct request *changes;     /* staged: by ticket, first to last */
    struct request *retries;     /* wait for region_done_ticket, each for a change of another one */
    struct request *loads;       /* wait for region_applied_ticket */
    struct request *checkpoints; /* wait for region_checkpoint_ticket */
    struct request *scrubs;      /* wait for region_scrub_ticket */
    struct upload *uploads;      /* that are open, or end */
    uint64_t reads;              /* loads at a worker, and streams */
    struct stream *streams;      /* large loads whose blocks are pinned */
    struct conn *parked;         /* connections that wait to stage, first come first */

    UT_hash_handle by_name, by_id;
};

struct regions {
    struct region_entry *names; /* heads of the hash tables */
    struct region_entry *ids;
    struct region_entry
        *last; /* whom a request named last, who is likely to be named again; NULL */
    uint64_t count;
    struct region_entry **sorted; /* by name, or NULL: nobody has asked since something changed */
    struct region_entry *touched; /* those that commit_pump has to look at */
    struct region_entry *scrubs;  /* those that wait to read a piece of a scrub */
    bool is_scrubbing;            /* one of them reads one */
};

/* Adds an open region, which the table takes: it is closed when the entry is freed. NULL without
 * memory; the region is still the caller's then. */
struct region_entry *regions_add(struct server *server, struct region *region);
/* Takes it out of the table: nobody finds it any more. Harmless the second time. */
void regions_remove(struct server *server, struct region_entry *entry);
/* It is called otherwise from now on. */
void regions_rename(struct server *server, struct region_entry *entry, const char *name);
/* Frees a removed entry whose region is closed (entry->region is NULL). */
void regions_free(struct region_entry *entry);

struct region_entry *regions_find_name(const struct regions *regions, const char *name,
                                       size_t length);
struct region_entry *regions_find_id(const struct regions *regions, uint64_t id);
/* By what a request says. ERR_NO_SUCH_REGION. */
int regions_find(struct regions *regions, const struct rpc_param *param,
                 struct region_entry **ret_entry, struct err *err);

/* Says that there is no such region: the same words whether there is none or it must not be seen.
 */
int regions_say_missing(const struct rpc_param *param, struct err *err);

/* The entries in the order of their names, regions->count of them; NULL without memory or entries.
 * Valid until one is added, removed or renamed, before which it costs nothing to ask again. */
struct region_entry *const *regions_sorted(struct regions *regions);
/* How many entries of this array have names up to this one. */
size_t regions_up_to(const struct regions *regions, struct region_entry *const *sorted,
                     const char *name);

#endif
