/* Backups that a pump has made while it changes the region: what they must be, and whether they
 * are.
 *
 * The model is copied at the moment of the cut, which is when the region says that it has been;
 * what is staged by then is in the backup, and nothing else. */
#ifndef MREGION_TESTS_SUPPORT_BACKUPS_H
#define MREGION_TESTS_SUPPORT_BACKUPS_H

#include "core/region.h"
#include "support_shadow.h"
#include "support_simdisk.h"

struct backups {
    uint64_t begun, made;
    bool is_under_way;
    bool is_cancelled;
    bool has_cut;
    bool is_made;      /* the last one is whole, and was said to be */
    struct shadow cut; /* where has_cut */
    char name[32];     /* of the last one */
    char complaint[400];
};

void backups_release(struct backups *backups);
/* Begins one, or cancels the one that is under way. */
const char *backups_step(struct backups *backups, struct region *region, struct simdisk *disk,
                         struct rng *rng);
/* A job of the lane is done; newest is the model of all that is staged. A worker's work. Functions
 * that return text return NULL or a complaint. */
const char *backups_moved(struct backups *backups, struct region *region, struct simdisk *disk,
                          const struct shadow *newest, bool may_fail);
/* Whether the last backup, on this disk, which a power cut has left, is whole or not there. */
const char *backups_look(const struct backups *backups, struct simdisk *disk);

#endif
