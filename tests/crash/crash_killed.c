/* A process that dies while its machine lives: what it wrote and never synced is in the caches, and
 * the next process, which sees all of it, recovers from that. Then the power goes, at any moment of
 * that recovery, or it fails half way and is begun again.
 *
 *     crash_killed [--seed N] [--runs N]
 *
 * A run makes random changes until a disk error stops the region, recovers with power cuts at many
 * operations, and goes on from there, a few times. Where the journal is read past the page cache
 * the error may also be that a sync of it fails: what then looks well in the cache is on no disk.
 * Whatever is left must open as it was after some number of changes: no fewer than were durable
 * when the region stopped, no more than were begun. With MREGION_CRASH_LONG in the environment
 * eleven times as many runs. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "../core/support_scene.h"
#include "core/limits.h"
#include "support_crash.h"

#define RUNS 150
#define ROUNDS 3
#define CUTS 2 /* disks that are left at one moment */

struct killed {
    struct scene scene;
    struct rng rng;
    bool bypasses_cache;
    uint64_t lowest;     /* changes that are durable */
    const char *wrong;   /* what a power cut showed, NULL while all is well */
    char complaint[700]; /* its text */
    uint64_t stops, recoveries, failures;
    struct crash_totals totals;
};

/* ---- After a power cut ---- */

/* NULL when the region that is open is in one of the states that it may be in. */
static const char *match(struct killed *k, struct region *region)
{
    struct observation seen = {0};
    const char *wrong = observation_take(&seen, region);
    uint64_t n = pump_begun(k->scene.pump);
    if (wrong == NULL) {
        while (n > k->lowest && shadow_difference(pump_state(k->scene.pump, n), &seen) != NULL)
            n--;
        wrong = shadow_difference(pump_state(k->scene.pump, n), &seen);
    }
    observation_release(&seen);
    return wrong;
}

static const char *look(struct killed *k, struct simdisk *disk)
{
    struct err err = {0};
    struct region *region = NULL;
    struct region_report report;
    k->totals.states++;
    simdisk_keep_power(disk);
    if (region_open(simdisk_io(disk), SCENE_FOLDER, NULL, false, &region, &report, &err) != 0) {
        snprintf(k->complaint, sizeof k->complaint, "after a power cut it does not open: %s",
                 err.text);
        return k->complaint;
    }
    const char *wrong = match(k, region);
    if (wrong != NULL)
        snprintf(k->complaint, sizeof k->complaint, "after a power cut: %s", wrong);
    region_close(region);
    return wrong == NULL ? NULL : k->complaint;
}

static void cut(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    struct killed *k = context;
    (void)path;
    if (!((SIM_SYNCS | SIM_CHANGES) & SIM_BIT(op)) || k->wrong != NULL ||
        (!(SIM_SYNCS & SIM_BIT(op)) && !rng_chance(&k->rng, 60)))
        return;
    k->totals.points++;
    for (unsigned i = 0; i < CUTS && k->wrong == NULL; i++) {
        struct simdisk *crashed = simdisk_crash_random(disk, &k->rng);
        k->wrong = look(k, crashed);
        simdisk_free(crashed);
    }
}

/* ---- One process ---- */

/* What stops a region: errors at moments after which something is written and not synced. */
static struct simdisk_fault choose_stop(struct killed *k)
{
    static const struct simdisk_fault stops[] = {
        {.ops = SIM_BIT(SIM_SYNC), .pattern = SCENE_FOLDER "/checkpoint-*"},
        {.ops = SIM_BIT(SIM_RENAME), .pattern = SCENE_FOLDER "/journal-*"},
        {.ops = SIM_BIT(SIM_SYNC_DIRECTORY), .pattern = SCENE_FOLDER},
        {.ops = SIM_BIT(SIM_ALLOCATE), .pattern = SCENE_FOLDER "/data"},
        {.ops = SIM_BIT(SIM_WRITE), .pattern = SCENE_FOLDER "/checkpoint-*"},
        {.ops = SIM_BIT(SIM_WRITE), .pattern = SCENE_FOLDER "/data"},
        {.ops = SIM_BIT(SIM_SYNC), .pattern = SCENE_FOLDER "/journal-*"}, /* last */
    };
    size_t count = sizeof stops / sizeof stops[0];
    struct simdisk_fault stop = stops[rng_below(&k->rng, count - (k->bypasses_cache ? 0 : 1))];
    stop.nth = rng_between(&k->rng, 1, 3);
    stop.error = EIO;
    return stop;
}

static const char *work_until_stopped(struct killed *k)
{
    struct scene *scene = &k->scene;
    const char *wrong = pump_run(scene->pump, rng_between(&k->rng, 1, 40));
    simdisk_set_fault(scene->disk, choose_stop(k));
    if (wrong == NULL)
        wrong = pump_run(scene->pump, 60);
    /* Changes cannot do without this one for long. */
    if (wrong == NULL && region_failure(scene->region) == NULL)
        simdisk_set_fault(scene->disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE),
                                                              .pattern = SCENE_FOLDER "/journal-*",
                                                              .nth = 1,
                                                              .error = EIO,
                                                              .forever = true});
    while (wrong == NULL && region_failure(scene->region) == NULL) {
        wrong = pump_run(scene->pump, 5);
        if (wrong == NULL)
            wrong = pump_settle(scene->pump);
    }
    simdisk_set_fault(scene->disk, (struct simdisk_fault){0});
    if (wrong == NULL)
        wrong = pump_settle(scene->pump); /* the other lane's job */
    k->lowest = pump_durable(scene->pump);
    k->stops++;
    return wrong != NULL ? wrong : scene_close(scene);
}

/* A recovery that most likely fails half way. */
static const char *recover_badly(struct killed *k)
{
    static const unsigned ops[] = {SIM_BIT(SIM_OPEN), SIM_BIT(SIM_RENAME),
                                   SIM_BIT(SIM_READ) | SIM_BIT(SIM_SIZE), SIM_BIT(SIM_WRITE)};
    struct scene *scene = &k->scene;
    struct err err = {0};
    struct region *region = NULL;
    struct region_report report;
    simdisk_set_fault(scene->disk, (struct simdisk_fault){.ops = ops[rng_below(&k->rng, 4)],
                                                          .nth = rng_between(&k->rng, 1, 25),
                                                          .error = EIO,
                                                          .forever = true});
    int code =
        region_open(simdisk_io(scene->disk), SCENE_FOLDER, NULL, false, &region, &report, &err);
    simdisk_set_fault(scene->disk, (struct simdisk_fault){0});
    if (code != 0) {
        k->failures++;
        snprintf(k->complaint, sizeof k->complaint, "%s", err.text);
        return code == ERR_IO_ERROR ? NULL : k->complaint;
    }
    const char *wrong = match(k, region);
    region_close(region);
    return wrong;
}

static const char *recover_under_cuts(struct killed *k, const struct pump_options *options)
{
    struct scene *scene = &k->scene;
    const char *wrong = NULL;
    simdisk_set_hook(scene->disk, cut, k);
    for (uint64_t bad = rng_below(&k->rng, 4); bad > 0 && wrong == NULL; bad--)
        wrong = recover_badly(k);
    if (wrong == NULL)
        wrong = scene_reopen(scene, k->lowest, options);
    simdisk_set_hook(scene->disk, NULL, NULL);
    k->recoveries++;
    return wrong != NULL ? wrong : k->wrong;
}

/* ---- A run ---- */

static const char *rounds(struct killed *k, uint64_t seed)
{
    struct pump_options options = {
        .seed = seed,
        .weights = {.live_target = 120000, .size_max = 12000, .large_percent = 15},
        .checkpoint_percent = 5,
        .faults = true,
    };
    enum durability durability = rng_chance(&k->rng, 70) ? DURABILITY_INTERVAL : DURABILITY_SYNC;
    struct region_options region = scene_region_options(durability, FIT_TIGHT);
    const char *wrong = scene_begin(&k->scene, seed, &region, &options);
    k->bypasses_cache = seed % 2 == 0;
    if (k->bypasses_cache)
        simdisk_bypass_cache(k->scene.disk);
    for (unsigned round = 0; round < ROUNDS && wrong == NULL; round++) {
        options.seed = rng_next(&k->rng) >> 32;
        wrong = work_until_stopped(k);
        if (wrong == NULL)
            wrong = recover_under_cuts(k, &options);
    }
    return wrong;
}

static bool run(struct killed *k, uint64_t seed)
{
    k->rng = (struct rng){seed};
    k->wrong = NULL;
    const char *wrong = rounds(k, seed);
    if (wrong == NULL)
        wrong = pump_settle(k->scene.pump);
    if (wrong == NULL)
        wrong = scene_close(&k->scene);
    if (wrong != NULL) {
        printf("seed %llu: %s\n", (unsigned long long)seed, wrong);
        simdisk_print_trace(k->scene.disk, stdout);
    }
    scene_end(&k->scene);
    return wrong == NULL;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {{"seed", required_argument, NULL, 's'},
                                                 {"runs", required_argument, NULL, 'r'},
                                                 {NULL, 0, NULL, 0}};
    uint64_t seed = 1, runs = RUNS * (getenv("MREGION_CRASH_LONG") != NULL ? 11 : 1);
    struct killed k = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (option == 'r')
            runs = strtoull(optarg, NULL, 0);
        else
            return 64;
    }
    for (uint64_t i = 0; i < runs; i++)
        if (!run(&k, seed + i)) {
            printf("replay: %s --seed %llu --runs 1\n", argv[0], (unsigned long long)seed + i);
            return 1;
        }
    printf("killed: %llu regions stopped, %llu recoveries under power cuts, %llu more that failed, "
           "%llu states checked\n",
           (unsigned long long)k.stops, (unsigned long long)k.recoveries,
           (unsigned long long)k.failures, (unsigned long long)k.totals.states);
    crash_print_figures("killed", &k.totals);
    return 0;
}
