/* Every call of the disk fails once: nothing acknowledged is lost, nothing crashes, the region says
 * why it stopped, and opening it again makes it well. Then disks that fill up. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "support_scene.h"
#include "tests/support_main.h"

#define SETTLED 25 /* changes before the fault */
#define CHANGES 40 /* changes under the fault */

static const struct change_weights weights = {150000, 90000, 8, 3};

struct trial {
    enum durability durability;
    unsigned ops;
    int error;
    bool forever;
    uint64_t nth;
};

static const struct trial trials[] = {
    {DURABILITY_SYNC, SIM_ALL, EIO, false, 0},
    {DURABILITY_SYNC, SIM_ALL, EIO, true, 0},
    {DURABILITY_SYNC, SIM_CHANGES | SIM_BIT(SIM_OPEN), ENOSPC, false, 0},
    {DURABILITY_SYNC, SIM_CHANGES | SIM_BIT(SIM_OPEN), EDQUOT, true, 0},
    {DURABILITY_INTERVAL, SIM_ALL, EIO, false, 0},
    {DURABILITY_INTERVAL, SIM_ALL, EIO, true, 0},
};

#define TRIALS (sizeof trials / sizeof trials[0])

static const char *fault_text(const struct trial *trial)
{
    static char text[80];
    snprintf(text, sizeof text, "errno %d%s at call %llu", trial->error,
             trial->forever ? " and ever after" : "", (unsigned long long)trial->nth);
    return text;
}

static void expect(const struct scene *scene, const struct trial *trial, const char *wrong)
{
    if (wrong == NULL)
        return;
    simdisk_print_trace(scene->disk, stderr);
    ck_abort_msg("%s: %s", fault_text(trial), wrong);
}

static void set_fault(struct simdisk *disk, const struct trial *trial)
{
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = trial->ops,
                                                   .nth = trial->nth,
                                                   .error = trial->error,
                                                   .forever = trial->forever});
}

static void clear_fault(struct simdisk *disk)
{
    simdisk_set_fault(disk, (struct simdisk_fault){0});
}

/* Some state between what is durable and what was begun. */
static void check_state(struct scene *scene, const struct trial *trial)
{
    uint64_t n = pump_begun(scene->pump);
    while (n > pump_durable(scene->pump) && scene_compare(scene, n, false) != NULL)
        n--;
    expect(scene, trial, scene_compare(scene, n, false));
}

/* A region that has failed says so, refuses every change, and shows just what is acknowledged (with
 * durability interval: durable). */
static void check_failed_region(struct scene *scene, const struct trial *trial)
{
    struct err err = {0};
    struct region_info info;
    uint64_t value;
    const struct err *failure = region_failure(scene->region);
    region_get_info(scene->region, &info);
    ck_assert(info.read_only);
    ck_assert_msg(failure->text[0] != '\0' && failure->code != ERR_OK, "no reason: %s",
                  fault_text(trial));
    ck_assert_int_eq(region_allocate(scene->region, 10, &value, &err), ERR_READ_ONLY);
    ck_assert(err.text[0] != '\0');
    ck_assert_int_eq(region_request_checkpoint(scene->region, &value, &err), ERR_READ_ONLY);
    ck_assert_ptr_null(region_next_job(scene->region, LANE_COMMIT, UINT64_MAX - 1));
    ck_assert_ptr_null(region_next_job(scene->region, LANE_BACKGROUND, UINT64_MAX - 1));
    if (trial->durability == DURABILITY_SYNC)
        expect(scene, trial, scene_compare(scene, pump_acknowledged(scene->pump), false));
    else
        check_state(scene, trial);
}

static const char *work_and_settle(struct scene *scene, uint64_t count)
{
    const char *wrong = pump_run(scene->pump, count);
    return wrong == NULL ? pump_settle(scene->pump) : wrong;
}

/* The process starts anew, works on, and then the power goes: what the second process
 * acknowledged must stand on what the first one left. */
static void check_restart(struct scene *scene, const struct trial *trial,
                          struct pump_options *options)
{
    uint64_t lowest = pump_durable(scene->pump);
    options->faults = false;
    options->seed += 1000;
    expect(scene, trial, scene_reopen(scene, lowest, options));
    expect(scene, trial, work_and_settle(scene, 6));
    expect(scene, trial, scene_compare(scene, pump_begun(scene->pump), true));
    expect(scene, trial, scene_close(scene));
    scene_set_disk(scene, simdisk_crash_none(scene->disk));
    expect(scene, trial, scene_reopen(scene, pump_begun(scene->pump), options));
}

/* The power goes at once. */
static void check_power_cut(struct scene *scene, struct simdisk *crashed, const struct trial *trial)
{
    struct err err = {0};
    struct region *region;
    struct region_report report;
    struct observation seen;
    if (region_open(simdisk_io(crashed), SCENE_FOLDER, NULL, false, &region, &report, &err) != 0)
        ck_abort_msg("%s, then a power cut: %s", fault_text(trial), err.text);
    ck_assert_ptr_null(observation_take(&seen, region));
    uint64_t n = pump_begun(scene->pump), low = pump_durable(scene->pump);
    while (n > low && shadow_difference(pump_state(scene->pump, n), &seen) != NULL)
        n--;
    expect(scene, trial, shadow_difference(pump_state(scene->pump, n), &seen));
    observation_release(&seen);
    region_close(region);
    simdisk_free(crashed);
}

/* Other work in other runs, where one asks for it. */
static uint64_t seed_offset(void)
{
    const char *given = getenv("MREGION_SEED");
    return given != NULL ? strtoull(given, NULL, 0) : 0;
}

/* Returns whether the fault was reached. */
static bool run_trial(const struct trial *trial)
{
    struct scene scene;
    struct rng rng = {trial->nth};
    struct pump_options options = {.seed = 7 + seed_offset(),
                                   .weights = weights,
                                   .load_percent = 20,
                                   .checkpoint_percent = 8,
                                   .scrub_percent = 4};
    struct region_options region = scene_region_options(trial->durability, FIT_TIGHT);
    expect(&scene, trial, scene_begin(&scene, 3, &region, &options));
    expect(&scene, trial, work_and_settle(&scene, SETTLED));
    expect(&scene, trial, scene_close(&scene));
    options.faults = true;
    expect(&scene, trial, scene_reopen(&scene, pump_begun(scene.pump), &options));
    if (trial->nth % 2 == 0)
        simdisk_bypass_cache(scene.disk);
    set_fault(scene.disk, trial);
    expect(&scene, trial, work_and_settle(&scene, CHANGES));
    bool hit = simdisk_faults_hit(scene.disk) > 0;
    if (region_failure(scene.region) != NULL)
        check_failed_region(&scene, trial);
    clear_fault(scene.disk);
    struct simdisk *crashed = simdisk_crash_random(scene.disk, &rng);
    check_power_cut(&scene, crashed, trial);
    expect(&scene, trial, scene_close(&scene));
    check_restart(&scene, trial, &options);
    scene_end(&scene);
    return hit;
}

/* AddressSanitizer makes a trial ten times as slow: every fifth is enough there. */
static uint64_t step(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return getenv("MREGION_FAULTS_LONG") != NULL ? 1 : 5;
#else
    return 1;
#endif
}

START_TEST(test_the_nth_call_fails_at_work)
{
    struct trial trial = trials[_i];
    for (trial.nth = 1; run_trial(&trial); trial.nth += step())
        ck_assert_uint_lt(trial.nth, 100000);
    ck_assert_uint_gt(trial.nth, 20);
}
END_TEST

static bool run_open_trial(struct trial *trial)
{
    struct scene scene;
    struct pump_options options = {.seed = 7, .weights = weights, .checkpoint_percent = 8};
    struct region_options region = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
    expect(&scene, trial, scene_begin(&scene, 3, &region, &options));
    expect(&scene, trial, work_and_settle(&scene, SETTLED));
    expect(&scene, trial, scene_close(&scene));
    set_fault(scene.disk, trial);
    struct err err = {0};
    struct region_report report;
    struct region *opened;
    int code =
        region_open(simdisk_io(scene.disk), SCENE_FOLDER, NULL, false, &opened, &report, &err);
    bool hit = simdisk_faults_hit(scene.disk) > 0;
    if (code == 0)
        region_close(opened);
    else
        ck_assert_msg(hit && err.text[0] != '\0', "%s: no reason", fault_text(trial));
    ck_assert_uint_eq(simdisk_open_files(scene.disk), 0);
    clear_fault(scene.disk);
    expect(&scene, trial, scene_reopen(&scene, pump_begun(scene.pump), &options));
    expect(&scene, trial, work_and_settle(&scene, 5));
    scene_end(&scene);
    return hit;
}

START_TEST(test_the_nth_call_fails_at_open)
{
    struct trial trial = trials[_i];
    for (trial.nth = 1; run_open_trial(&trial); trial.nth++)
        ck_assert_uint_lt(trial.nth, 100000);
    if (trial.ops == SIM_ALL)
        ck_assert_uint_gt(trial.nth, 3);
}
END_TEST

START_TEST(test_the_nth_call_fails_at_create)
{
    struct trial trial = trials[_i];
    bool hit = true;
    for (trial.nth = 1; hit; trial.nth++) {
        struct err err = {0};
        struct simdisk *disk = simdisk_new(1);
        struct region_options options = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
        set_fault(disk, &trial);
        int code = region_create(simdisk_io(disk), SCENE_FOLDER, "main", 1, &options, &err);
        hit = simdisk_faults_hit(disk) > 0;
        ck_assert_msg(code == 0 || (hit && err.text[0] != '\0'), "no reason: %s",
                      fault_text(&trial));
        if (trial.error != EIO && hit)
            ck_assert_int_eq(code, ERR_NO_SPACE);
        ck_assert_uint_eq(simdisk_open_files(disk), 0);
        simdisk_free(disk);
    }
    ck_assert_uint_gt(trial.nth, 4);
}
END_TEST

/* ---- Full disks ---- */

static struct change blob_of(uint64_t size, uint64_t content)
{
    struct change change = {.kind = CHANGE_ADD, .size = size, .content = content};
    change.bytes = malloc(size);
    content_fill(content, 0, change.bytes, size);
    return change;
}

/* Adds until there is no space; returns how many fitted. */
static uint64_t fill(struct scene *scene, const struct trial *trial, uint64_t size)
{
    uint64_t added = 0;
    int code = 0;
    while (code == 0) {
        expect(scene, trial, pump_change(scene->pump, blob_of(size, added + 1), &code));
        added += code == 0;
        ck_assert_uint_lt(added, 10000);
    }
    ck_assert_int_eq(code, ERR_NO_SPACE);
    return added;
}

static void free_all(struct scene *scene, const struct trial *trial)
{
    const struct shadow *newest = pump_state(scene->pump, pump_begun(scene->pump));
    while (newest->count > 0) {
        int code;
        const struct segment *s = &newest->segments[newest->count / 2];
        struct change change = {.kind = CHANGE_DEALLOCATE, .block = {s->address, s->size}};
        expect(scene, trial, pump_change(scene->pump, change, &code));
        ck_assert_msg(code == 0, "a free was refused on a full disk");
        newest = pump_state(scene->pump, pump_begun(scene->pump));
    }
}

START_TEST(test_a_full_disk)
{
    static const uint64_t sizes[] = {500, 9000, 70000, 300000};
    uint64_t size = sizes[_i];
    struct trial trial = {.error = ENOSPC};
    struct scene scene;
    struct pump_options options = {.seed = 7, .weights = weights, .faults = true};
    struct region_options region = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
    expect(&scene, &trial, scene_begin(&scene, 3, &region, &options));
    expect(&scene, &trial, pump_settle(scene.pump));
    simdisk_set_capacity(scene.disk, simdisk_used(scene.disk) + MIB);
    uint64_t first = fill(&scene, &trial, size);
    for (unsigned round = 0; round < 3; round++) {
        free_all(&scene, &trial);
        expect(&scene, &trial, pump_settle(scene.pump));
        uint64_t again = fill(&scene, &trial, size);
        ck_assert_msg(again > 0, "%llu fitted at first, none after freeing all: %s",
                      (unsigned long long)first, pump_refusal(scene.pump));
    }
    ck_assert_ptr_null(region_failure(scene.region));
    expect(&scene, &trial, pump_settle(scene.pump));
    expect(&scene, &trial, scene_close(&scene));
    uint64_t begun = pump_begun(scene.pump);
    expect(&scene, &trial, scene_reopen(&scene, begun, &options));
    free_all(&scene, &trial);
    expect(&scene, &trial, pump_settle(scene.pump));
    expect(&scene, &trial, scene_close(&scene));
    scene_set_disk(&scene, simdisk_crash_none(scene.disk));
    begun = pump_begun(scene.pump);
    expect(&scene, &trial, scene_reopen(&scene, begun, &options));
    scene_end(&scene);
}
END_TEST

#define EDGES 24

/* Random changes at the edge of a full disk: each has an answer. */
START_TEST(test_at_the_edge_of_a_full_disk)
{
    static const enum durability durabilities[] = {DURABILITY_SYNC, DURABILITY_INTERVAL,
                                                   DURABILITY_NONE};
    static const enum fit fits[] = {FIT_TIGHT, FIT_LARGEST, FIT_LOWEST};
    struct trial trial = {.error = ENOSPC, .nth = (uint64_t)_i};
    struct scene scene;
    struct pump_options options = {.seed = (uint64_t)_i + 1 + seed_offset(),
                                   .weights = {_i % 2 == 0 ? 4000000 : 1000000, 200000, 10, 2},
                                   .checkpoint_percent = 3,
                                   .faults = true};
    struct region_options region = scene_region_options(durabilities[_i % 3], fits[_i / 3 % 3]);
    region.discard = _i < EDGES / 2 ? 0 : 8192;
    expect(&scene, &trial, scene_begin(&scene, 3, &region, &options));
    expect(&scene, &trial, pump_settle(scene.pump));
    simdisk_set_capacity(scene.disk, simdisk_used(scene.disk) + (uint64_t)_i % 5 * 256 * KIB);
    for (unsigned round = 0; round < 4 || pump_refused(scene.pump) == 0; round++) {
        ck_assert_uint_lt(round, 50);
        expect(&scene, &trial, work_and_settle(&scene, 200));
        ck_assert_ptr_null(region_failure(scene.region));
        expect(&scene, &trial, scene_compare(&scene, pump_begun(scene.pump), true));
    }
    free_all(&scene, &trial);
    expect(&scene, &trial, pump_settle(scene.pump));
    scene_end(&scene);
}
END_TEST

/* A region's own limit refuses what a disk would still take. */
START_TEST(test_max_size)
{
    struct trial trial = {0};
    struct scene scene;
    struct pump_options options = {.seed = 7, .weights = weights, .faults = true};
    struct region_options region = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
    region.max_size = 4 * REGION_PAGE;
    expect(&scene, &trial, scene_begin(&scene, 3, &region, &options));
    ck_assert_uint_eq(fill(&scene, &trial, REGION_PAGE), 4);
    int code;
    struct change one = {.kind = CHANGE_ALLOCATE, .size = 1};
    expect(&scene, &trial, pump_change(scene.pump, one, &code));
    ck_assert_int_eq(code, ERR_NO_SPACE);
    free_all(&scene, &trial);
    ck_assert_uint_eq(fill(&scene, &trial, 2 * REGION_PAGE), 2);
    expect(&scene, &trial, pump_settle(scene.pump));
    scene_end(&scene);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("faults");
    tcase_add_loop_test(tcase, test_the_nth_call_fails_at_work, 0, TRIALS);
    tcase_add_loop_test(tcase, test_the_nth_call_fails_at_open, 0, TRIALS);
    tcase_add_loop_test(tcase, test_the_nth_call_fails_at_create, 0, TRIALS);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("full");
    tcase_add_loop_test(tcase, test_a_full_disk, 0, 4);
    tcase_add_loop_test(tcase, test_at_the_edge_of_a_full_disk, 0, EDGES);
    tcase_add_test(tcase, test_max_size);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
