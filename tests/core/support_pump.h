/* The daemon's part in a test, without its threads: stages random changes on a region, runs the
 * jobs of all lanes, serves loads, and knows after how many changes the region stands.
 *
 * Each lane's job runs as a coroutine that stops before every operation on the simulated disk.
 * The pump chooses at random what comes next: another change, or one more operation of either
 * lane. So changes gather while a commit is half done, and a checkpoint is written between the
 * operations of commits, all from one seed.
 *
 * What the pump checks by itself: every answer against the shadow, no operation that may block on
 * the loop, loads that see what was staged before them and nothing later, scrubs that find nothing,
 * tickets that never go back, and an engine that never waits for ever. */
#ifndef MREGION_TESTS_SUPPORT_PUMP_H
#define MREGION_TESTS_SUPPORT_PUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/region.h"
#include "support_change.h"
#include "support_shadow.h"
#include "support_simdisk.h"

struct pump;

struct pump_options {
    uint64_t seed;
    struct change_weights weights;
    unsigned load_percent;       /* loads per change */
    unsigned checkpoint_percent; /* checkpoint requests per change */
    unsigned reload_percent; /* other options per change: what the region holds stays the same */
    bool reload_durability;  /* the other options may be another durability, too */
    unsigned scrub_percent;  /* scrub requests per change */
    unsigned upload_percent; /* steps of uploads per change */
    unsigned backup_percent; /* backups begun, or cancelled, per change */
    bool faults;             /* disk or memory may fail: refusals are no complaint */
    bool acknowledge_early;  /* a deliberate bug: a change counts as acknowledged when staged */

    /* Called on the pump's own stack just before a job's sync, and when a batch was acknowledged
     * that is not in place yet: the moments to cut the power. Returns NULL, or a complaint that
     * ends the run. May be NULL. */
    const char *(*before_sync)(void *context, struct pump *pump);
    void *context;
};

/* Borrows all three. base is what the region holds now. */
struct pump *pump_new(struct simdisk *disk, struct region *region, const struct shadow *base,
                      const struct pump_options *options);
/* Before the region is closed: releases what belongs to it, keeps the history. The region must be
 * idle or failed. May be called again. */
void pump_detach(struct pump *pump);
/* Detaches, too, if that was not done. */
void pump_free(struct pump *pump);

/* Stages count more changes and runs jobs in between. NULL, or a complaint (the pump's). Ends
 * early, with NULL, when the region has failed. */
const char *pump_run(struct pump *pump, uint64_t count);
/* Runs jobs until nothing is left to do. */
const char *pump_settle(struct pump *pump);
/* After a complaint: runs what is left without checking anything. Returns whether the region may be
 * closed then. */
bool pump_abandon(struct pump *pump);
/* One given change (released by the pump), staged when the engine will have it. *ret_code is its
 * answer. */
const char *pump_change(struct pump *pump, struct change change, int *ret_code);

/* Whether the caller is about to do a worker's work, which may block, with the region. */
void pump_as_worker(struct pump *pump, bool is_worker);

/* Changes staged; acknowledged; certain to survive a power cut. */
uint64_t pump_begun(const struct pump *pump);
uint64_t pump_acknowledged(const struct pump *pump);
uint64_t pump_durable(const struct pump *pump);
/* The region after the first n changes, pump_durable() <= n <= pump_begun(). */
const struct shadow *pump_state(const struct pump *pump, uint64_t n);

/* Whether the content came as a large blob by itself, whose bytes go straight to the data file and,
 * with durability none, may reach the disk later than its record. */
bool pump_is_direct(const struct pump *pump, uint64_t content);

/* Uploads that became blobs. */
uint64_t pump_uploads(const struct pump *pump);

/* Whether the last backup is whole, or not there, on a disk that a power cut has left. */
const char *pump_look_at_backup(const struct pump *pump, struct simdisk *disk);
bool pump_backup_is_made(const struct pump *pump);
/* Backups that were made. */
uint64_t pump_backups(const struct pump *pump);

struct simdisk *pump_disk(const struct pump *pump);
struct region *pump_region(const struct pump *pump);
/* How many changes were refused for want of space or memory, or by a failed region; and what the
 * last one was told. */
uint64_t pump_refused(const struct pump *pump);
const char *pump_refusal(const struct pump *pump);

#endif
