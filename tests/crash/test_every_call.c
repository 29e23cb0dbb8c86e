/* Every call of the disk fails once, or for ever, or once and then the power goes: at work, with
 * tokens, changes made all or nothing, uploads, scrubs, checkpoints and discards under way, and
 * during the recovery of what a power cut left. Nothing acknowledged is lost, nothing comes out of
 * it that was not asked for, no file stays open, and the region opens again.
 *
 * MREGION_FAULTS_LONG: every call, instead of a few of them. MREGION_SEED: other work. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/support_scene.h"
#include "core/limits.h"
#include "tests/support_figures.h"
#include "tests/support_main.h"

#define SETTLED 25 /* changes before the fault */
#define CHANGES 40 /* changes under the fault */
#define WRECKS 8

static const struct change_weights weights = {150000, 60000, 8, 3};

struct trial {
    enum durability durability;
    int error;
    bool forever;
    uint64_t nth, seed;
};

static const struct trial trials[] = {
    {.durability = DURABILITY_SYNC, .error = EIO},
    {.durability = DURABILITY_SYNC, .error = EIO, .forever = true},
    {.durability = DURABILITY_SYNC, .error = ENOSPC},
    {.durability = DURABILITY_SYNC, .error = ENOSPC, .forever = true},
    {.durability = DURABILITY_SYNC, .error = EDQUOT},
    {.durability = DURABILITY_SYNC, .error = EINTR},
    {.durability = DURABILITY_INTERVAL, .error = EIO},
    {.durability = DURABILITY_INTERVAL, .error = EDQUOT, .forever = true},
    {.durability = DURABILITY_NONE, .error = EIO},
    {.durability = DURABILITY_NONE, .error = ENOSPC, .forever = true},
};

#define TRIALS (sizeof trials / sizeof trials[0])

/* Disks that a power cut leaves right after the call that failed, and between which states they
 * must be. */
struct wreck {
    struct simdisk *disk;
    uint64_t low, high;
};

struct totals {
    uint64_t runs, failed[SIM_OPS], wrecks, stopped;
};

struct run {
    const struct trial *trial;
    struct scene scene;
    struct rng rng;
    struct wreck wrecks[WRECKS];
    size_t count;
    struct totals *totals;
};

static bool is_long(void)
{
    return getenv("MREGION_FAULTS_LONG") != NULL;
}

static uint64_t seed_offset(void)
{
    const char *given = getenv("MREGION_SEED");
    return given != NULL ? strtoull(given, NULL, 0) : 0;
}

static void expect(const struct run *run, const char *wrong)
{
    const struct trial *trial = run->trial;
    if (wrong == NULL)
        return;
    if (run->scene.disk != NULL)
        simdisk_print_trace(run->scene.disk, stderr);
    ck_abort_msg("MREGION_FAULTS_LONG=1 MREGION_SEED=%llu: durability %d, %s%s at call %llu: %s",
                 (unsigned long long)seed_offset(), (int)trial->durability,
                 strerrorname_np(trial->error), trial->forever ? " and ever after" : "",
                 (unsigned long long)trial->nth, wrong);
}

static void print_totals(const char *what, const struct trial *trial, const struct totals *totals)
{
    uint64_t sum = 0;
    for (unsigned op = 0; op < SIM_OPS; op++)
        sum += totals->failed[op];
    printf("faults: %s, durability %d, %s %s: %llu runs, %llu calls failed, the region stopped in "
           "%llu, %llu power cuts:",
           what, (int)trial->durability, strerrorname_np(trial->error),
           trial->forever ? "for ever" : "once", (unsigned long long)totals->runs,
           (unsigned long long)sum, (unsigned long long)totals->stopped,
           (unsigned long long)totals->wrecks);
    for (unsigned op = 0; op < SIM_OPS; op++)
        if (totals->failed[op] > 0)
            printf(" %s %llu", simdisk_op_name((enum simdisk_op)op),
                   (unsigned long long)totals->failed[op]);
    printf("\n");
    faults_add_figures("every_call", &(struct faults_figures){.runs = totals->runs,
                                                              .failed = sum,
                                                              .power_cuts = totals->wrecks});
}

/* ---- At work ---- */

static void keep_wreck(struct run *run, struct simdisk *disk)
{
    run->wrecks[run->count++] =
        (struct wreck){disk, pump_durable(run->scene.pump), pump_begun(run->scene.pump)};
}

/* The power goes right after the call: with all that is pending, none of it, or some. */
static void power_goes(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    struct run *run = context;
    size_t pending = simdisk_pending(disk);
    bool *kept = malloc(pending + 1);
    (void)path;
    run->totals->failed[op]++;
    if (run->count > 0) {
        free(kept);
        return;
    }
    memset(kept, 1, pending + 1);
    keep_wreck(run, simdisk_crash(disk, kept, (struct tear){0}, 1));
    keep_wreck(run, simdisk_crash_none(disk));
    while (run->count < WRECKS) {
        struct tear tear = {.pending = rng_below(&run->rng, pending)};
        unsigned percent = (unsigned)rng_between(&run->rng, 10, 90);
        for (size_t i = 0; i < pending; i++)
            kept[i] = rng_chance(&run->rng, percent);
        if (pending > 0 && simdisk_pending_list(disk)[tear.pending]->kind == PENDING_SECTOR) {
            tear.kind = (enum tear_kind)rng_below(&run->rng, TEAR_KINDS);
            kept[tear.pending] = true;
        }
        keep_wreck(run, simdisk_crash(disk, kept, tear, rng_next(&run->rng)));
    }
    free(kept);
}

/* The number of the state that the region on the disk has; it must be one from low to high. */
static uint64_t state_of(struct run *run, struct simdisk *disk, uint64_t low, uint64_t high)
{
    struct err err = {0};
    struct region *region;
    struct observation seen;
    if (region_open(simdisk_io(disk), SCENE_FOLDER, NULL, false, &region, NULL, &err) != 0)
        expect(run, err.text);
    expect(run, observation_take(&seen, region));
    uint64_t n = high;
    while (n > low && shadow_difference(pump_state(run->scene.pump, n), &seen) != NULL)
        n--;
    expect(run, shadow_difference(pump_state(run->scene.pump, n), &seen));
    expect(run, region_check(region));
    observation_release(&seen);
    region_close(region);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    return n;
}

static void check_wrecks(struct run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        (void)state_of(run, run->wrecks[i].disk, run->wrecks[i].low, run->wrecks[i].high);
        simdisk_free(run->wrecks[i].disk);
        run->totals->wrecks++;
    }
    run->count = 0;
}

static void set_fault(struct run *run, struct simdisk *disk)
{
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_ALL,
                                                   .nth = run->trial->nth,
                                                   .error = run->trial->error,
                                                   .forever = run->trial->forever,
                                                   .after = power_goes,
                                                   .context = run});
}

static void work_and_settle(struct run *run, uint64_t count)
{
    expect(run, pump_run(run->scene.pump, count));
    expect(run, pump_settle(run->scene.pump));
}

/* What a region shows that has failed: what it acknowledged, where that is what is durable. */
static void check_open(struct run *run)
{
    struct scene *scene = &run->scene;
    bool has_failed = region_failure(scene->region) != NULL;
    uint64_t n = pump_begun(scene->pump), low = pump_durable(scene->pump);
    run->totals->stopped += has_failed;
    if (has_failed && run->trial->durability == DURABILITY_SYNC)
        n = low = pump_acknowledged(scene->pump);
    while (has_failed && n > low && scene_compare(scene, n, false) != NULL)
        n--;
    expect(run, scene_compare(scene, n, false));
    if (has_failed)
        ck_assert(region_failure(scene->region)->text[0] != '\0');
}

static struct pump_options work_options(uint64_t seed)
{
    return (struct pump_options){.seed = seed + seed_offset(),
                                 .weights = weights,
                                 .load_percent = 20,
                                 .checkpoint_percent = 8,
                                 .scrub_percent = 4,
                                 .upload_percent = 30};
}

/* Small limits everywhere, so that little work makes every kind of call. */
static struct region_options region_options(const struct trial *trial)
{
    struct region_options options = scene_region_options(trial->durability, FIT_TIGHT);
    options.discard = 2 * DATA_PAGE;
    options.page_cache = 4 * DATA_PAGE;
    return options;
}

/* Returns whether the call was reached. */
static bool run_work(const struct trial *trial, struct totals *totals)
{
    struct run run = {.trial = trial, .totals = totals, .rng = {trial->nth}};
    struct scene *scene = &run.scene;
    struct pump_options options = work_options(7);
    struct region_options region = region_options(trial);
    expect(&run, scene_begin(scene, 3, &region, &options));
    simdisk_set_cold_reads(scene->disk, 50);
    work_and_settle(&run, SETTLED);
    expect(&run, scene_close(scene));
    options.faults = true;
    expect(&run, scene_reopen(scene, 0, &options));
    set_fault(&run, scene->disk);
    work_and_settle(&run, CHANGES);
    bool hit = simdisk_faults_hit(scene->disk) > 0;
    simdisk_set_fault(scene->disk, (struct simdisk_fault){0});
    check_open(&run);
    check_wrecks(&run);
    expect(&run, scene_close(scene));
    /* The process starts anew on the same disk, works on, and then the power goes. */
    options.faults = false;
    options.seed += 1000;
    expect(&run, scene_reopen(scene, pump_durable(scene->pump), &options));
    work_and_settle(&run, 6);
    expect(&run, scene_compare(scene, pump_begun(scene->pump), true));
    uint64_t low = pump_durable(scene->pump);
    expect(&run, scene_close(scene));
    scene_set_disk(scene, simdisk_crash_none(scene->disk));
    expect(&run, scene_reopen(scene, low, &options));
    scene_end(scene);
    totals->runs++;
    return hit;
}

/* The next call to be tried: each, or in a short run one here and there. */
static uint64_t next_call(uint64_t nth, uint64_t stride)
{
    struct rng rng = {nth * 31 + seed_offset()};
    return nth + (is_long() ? 1 : rng_between(&rng, stride / 2, stride + stride / 2));
}

START_TEST(test_at_work)
{
    struct trial trial = trials[_i];
    struct totals totals = {0};
    struct rng rng = {(uint64_t)_i + seed_offset()};
    trial.nth = is_long() ? 1 : rng_between(&rng, 1, 40);
    while (run_work(&trial, &totals)) {
        trial.nth = next_call(trial.nth, 40);
        ck_assert_uint_lt(trial.nth, 100000);
    }
    ck_assert_uint_gt(totals.runs, 3);
    print_totals("at work", &trial, &totals);
}
END_TEST

/* ---- At the start ---- */

struct start {
    struct run run;
    struct simdisk *disk; /* what the power cut left */
    uint64_t state;       /* what recovery makes of it */
};

static void prepare_start(struct start *start, struct trial *trial, struct totals *totals)
{
    struct run *run = &start->run;
    struct pump_options options = work_options(trial->seed);
    struct region_options region = region_options(trial);
    struct rng rng = {trial->seed + seed_offset()};
    *start = (struct start){.run = {.trial = trial, .totals = totals, .rng = rng}};
    expect(run, scene_begin(&run->scene, 3, &region, &options));
    expect(run, pump_run(run->scene.pump, SETTLED + CHANGES));
    start->disk = simdisk_crash_random(run->scene.disk, &rng);
    struct simdisk *copy = simdisk_crash_none(start->disk);
    start->state = state_of(run, copy, pump_durable(run->scene.pump), pump_begun(run->scene.pump));
    simdisk_free(copy);
}

static void end_start(struct start *start)
{
    simdisk_free(start->disk);
    scene_end(&start->run.scene);
}

/* The disk is freed. */
static void check_start(struct start *start, struct simdisk *disk)
{
    (void)state_of(&start->run, disk, start->state, start->state);
    simdisk_free(disk);
    start->run.totals->wrecks++;
}

static bool run_start(struct start *start, bool read_only)
{
    struct err err = {0};
    struct run *run = &start->run;
    struct region *region;
    struct simdisk *disk = simdisk_crash_none(start->disk);
    set_fault(run, disk);
    int code = region_open(simdisk_io(disk), SCENE_FOLDER, NULL, read_only, &region, NULL, &err);
    bool hit = simdisk_faults_hit(disk) > 0;
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    if (code == 0)
        region_close(region);
    else if (!hit || err.text[0] == '\0')
        expect(run, "refused, and no call had failed");
    run->totals->stopped += code != 0;
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    if (read_only)
        ck_assert(simtree_equal(simdisk_tree(disk), simdisk_tree(start->disk)));
    for (size_t i = 0; i < run->count; i++)
        check_start(start, run->wrecks[i].disk);
    run->count = 0;
    check_start(start, simdisk_crash_random(disk, &run->rng));
    /* Without a power cut; and then with one. */
    (void)state_of(run, disk, start->state, start->state);
    check_start(start, simdisk_crash_none(disk));
    simdisk_free(disk);
    run->totals->runs++;
    return hit;
}

static void run_starts(struct trial trial, bool read_only)
{
    struct totals totals = {0};
    struct start start;
    for (trial.seed = 1; trial.seed <= (is_long() ? 3 : 1); trial.seed++) {
        struct rng rng = {trial.seed * 100 + (uint64_t)trial.error + seed_offset()};
        trial.nth = is_long() ? 1 : rng_between(&rng, 1, 6);
        prepare_start(&start, &trial, &totals);
        while (run_start(&start, read_only)) {
            trial.nth = next_call(trial.nth, 6);
            ck_assert_uint_lt(trial.nth, 100000);
        }
        end_start(&start);
    }
    ck_assert_uint_gt(totals.runs, 1);
    print_totals(read_only ? "opening read-only" : "recovery", &trial, &totals);
}

START_TEST(test_at_recovery)
{
    run_starts(trials[_i], false);
}
END_TEST

START_TEST(test_at_opening_read_only)
{
    run_starts(trials[_i], true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("every call");
    TCase *tcase = tcase_create("every call");
    tcase_add_loop_test(tcase, test_at_work, 0, TRIALS);
    tcase_add_loop_test(tcase, test_at_recovery, 0, TRIALS);
    tcase_add_loop_test(tcase, test_at_opening_read_only, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
