/* A run of random changes on one region whose power is cut before every sync, in every way that
 * the plan says; and what must hold on each of the disks that are left.
 *
 * After a crash the region opens, its invariants hold, and it is just as the model was after some
 * number of changes, no less than were acknowledged and no more than were begun. On some of the
 * disks, chosen by the seed, also:
 *   - opening it read-only first changes nothing on the disk and shows the same;
 *   - recovering twice, or twice from the same disk, gives the same bytes;
 *   - power cut during the recovery, it recovers all the same;
 *   - changes made after the recovery survive the next power cut. */
#ifndef MREGION_TESTS_SUPPORT_CRASH_H
#define MREGION_TESTS_SUPPORT_CRASH_H

#include <stdbool.h>
#include <stdint.h>

#include "../core/support_pump.h"
#include "../core/support_simcrash.h"

struct crash_options {
    uint64_t seed;
    uint64_t operations;
    struct region_options region;
    struct change_weights weights;
    unsigned checkpoint_percent, reload_percent, scrub_percent;
    struct simcrash_plan plan;
    unsigned extra_percent; /* of the states get each of the further checks */

    /* Deliberate bugs, to prove that the checks find them. */
    const char *ignored_syncs; /* pattern of paths whose syncs do nothing, NULL = none */
    bool acknowledge_early;
};

struct crash_totals {
    uint64_t points; /* moments at which the power was cut */
    uint64_t states; /* disks that were left and checked */
    uint64_t extras; /* further checks */
    uint64_t commits, checkpoints, cut_tails, replayed;
    uint64_t discarded; /* bytes */
};

/* Adds to *totals. Returns true when all held; else describes on `out` what did not. */
bool crash_run(const struct crash_options *options, struct crash_totals *totals, FILE *out);

#endif
