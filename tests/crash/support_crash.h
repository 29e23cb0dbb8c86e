/* A run of random changes on one region whose power is cut before every sync, in every way that
 * the plan says; and what must hold on each of the disks that are left.
 *
 * After a crash the region opens, its invariants hold, and it is just as the model was after some
 * number of changes, no less than were acknowledged and no more than were begun. With durability
 * none only what a checkpoint has counts as acknowledged, and of the changes after it a large blob
 * may have lost its bytes, but not its place, and nothing else may have. On some of the
 * disks, chosen by the seed, also:
 *   - opening it read-only first changes nothing on the disk and shows the same;
 *   - recovering twice, or twice from the same disk, gives the same bytes;
 *   - power cut during the recovery, at some moments or before each of its syncs in every way that
 *     a second plan says, it recovers to the same state;
 *   - changes made after the recovery survive the next power cut.
 * Backups are made meanwhile, of half of the regions by clones: on every disk the last one is
 * whole, and what the region was at its moment, or it is not there. */
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
    unsigned checkpoint_percent, reload_percent, scrub_percent, upload_percent;
    unsigned backup_percent;
    bool reload_durability;
    struct simcrash_plan plan;
    unsigned extra_percent; /* of the states get each of the further checks */

    /* Of a million states, in so many the power is cut again before each sync of the recovery. */
    unsigned second_cuts;
    struct simcrash_plan second_plan;

    /* Deliberate bugs, to prove that the checks find them. */
    const char *ignored_syncs;       /* pattern of paths whose syncs do nothing, NULL = none */
    const char *ignored_in_recovery; /* the same during a recovery that is cut before its syncs */
    bool acknowledge_early;
};

struct crash_totals {
    uint64_t points;                       /* moments at which the power was cut */
    uint64_t exhaustive;                   /* those of them at which every subset was tried */
    uint64_t states;                       /* disks that were left and checked */
    uint64_t extras;                       /* further checks */
    uint64_t second_points, second_states; /* of cuts during a recovery, not in those above */
    uint64_t lossy;                        /* of the states: blobs that durability none lost */
    uint64_t commits, checkpoints, cut_tails, replayed;
    uint64_t discarded; /* bytes */
    uint64_t uploads;   /* that became blobs */
    uint64_t backups;   /* that were made */
};

/* Adds to *totals. Returns true when all held; else describes on `out` what did not. */
bool crash_run(const struct crash_options *options, struct crash_totals *totals, FILE *out);

/* One line of figures on stdout, the same of every program; it is appended, too, to the file that
 * MREGION_CRASH_TOTALS in the environment names. The seconds are those of the processor. */
void crash_print_figures(const char *name, const struct crash_totals *totals);

#endif
