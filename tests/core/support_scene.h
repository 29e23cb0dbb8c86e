/* A region on a simulated disk with a pump on it: what most tests of the engine begin with. */
#ifndef MREGION_TESTS_SUPPORT_SCENE_H
#define MREGION_TESTS_SUPPORT_SCENE_H

#include "support_pump.h"

#define SCENE_FOLDER "region"

struct scene {
    struct simdisk *disk;
    struct region *region;
    struct pump *pump;
    char complaint[600];
};

/* The options of a small region: smallest journal, smallest flush interval, scrubs all the
 * time. */
struct region_options scene_region_options(enum durability durability, enum fit fit);

/* A fresh, durable, empty region, opened. The functions that return text return NULL when all is
 * well, else a complaint of the scene's. */
const char *scene_begin(struct scene *scene, uint64_t seed, const struct region_options *region,
                        const struct pump_options *pump);
/* Opens the region that is on the disk, which must be as it was after some number of changes, at
 * least `lowest` and at most all that were begun. A new pump goes on from there. */
const char *scene_reopen(struct scene *scene, uint64_t lowest, const struct pump_options *pump);
/* Closes the region, which must be idle or failed; disk and history stay for scene_reopen. */
const char *scene_close(struct scene *scene);
/* Replaces the disk, while the region is closed. Takes it. */
void scene_set_disk(struct scene *scene, struct simdisk *disk);
/* Frees everything; after a complaint too. */
void scene_end(struct scene *scene);

/* Whether the open region is just as the newest state (or that after n changes) says; with bytes,
 * the pump must have settled. */
const char *scene_compare(struct scene *scene, uint64_t n, bool bytes);

#endif
