/* Every allocation of the engine fails once: the request is refused or the region turns read-only,
 * nothing crashes, nothing acknowledged is lost.
 *
 * Linked with an engine that was compiled to call the faulty_ functions below instead of malloc and
 * its kin; the tests' own memory never fails. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/region_private.h"
#include "core/store.h"
#include "support_failing.h"
#include "support_golden.h"
#include "support_scene.h"
#include "support_work.h"
#include "tests/support_figures.h"
#include "tests/support_main.h"

static uint64_t countdown; /* the allocation that fails, 1 = the next, 0 = none */
static uint64_t failures, all_failures;
static bool fails_forever;

void *faulty_malloc(size_t size);
void *faulty_calloc(size_t count, size_t size);
void *faulty_realloc(void *memory, size_t size);
void *faulty_aligned_alloc(size_t alignment, size_t size);
int faulty_posix_memalign(void **ret_memory, size_t alignment, size_t size);
char *faulty_strdup(const char *text);

static bool fails(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    if (fails_forever)
        countdown = 1;
    failures++;
    all_failures++;
    return true;
}

void *faulty_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

void *faulty_calloc(size_t count, size_t size)
{
    return fails() ? NULL : calloc(count, size);
}

void *faulty_realloc(void *memory, size_t size)
{
    return fails() ? NULL : realloc(memory, size);
}

void *faulty_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : aligned_alloc(alignment, size);
}

int faulty_posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
    return fails() ? ENOMEM : posix_memalign(ret_memory, alignment, size);
}

char *faulty_strdup(const char *text)
{
    return fails() ? NULL : strdup(text);
}

static void arm(uint64_t nth, bool forever)
{
    countdown = nth;
    fails_forever = forever;
    failures = 0;
}

static void disarm(void)
{
    countdown = 0;
}

static void expect(uint64_t nth, const char *wrong)
{
    if (wrong != NULL)
        ck_abort_msg("allocation %llu: %s", (unsigned long long)nth, wrong);
}

static struct pump_options small_work(uint64_t seed)
{
    const char *given = getenv("MREGION_SEED");
    return (struct pump_options){
        .seed = seed + (given != NULL ? strtoull(given, NULL, 0) : 0),
        .weights = {.live_target = 150000, .size_max = 90000, .large_percent = 8},
        .load_percent = 10,
        .checkpoint_percent = 8,
        .scrub_percent = 5,
        .upload_percent = 30,
        .faults = true,
    };
}

static uint64_t refused; /* changes and openings */

/* Discards, a page cache that is always full, and reads that a worker has to do. */
static struct region_options busy_region(enum durability durability)
{
    struct region_options options = scene_region_options(durability, FIT_TIGHT);
    options.discard = 2 * DATA_PAGE;
    options.page_cache = 4 * DATA_PAGE;
    return options;
}

/* Returns whether an allocation failed. */
static bool fail_at_work(uint64_t nth, bool forever, enum durability durability)
{
    struct scene scene;
    struct pump_options options = small_work(7);
    struct region_options region = busy_region(durability);
    expect(nth, scene_begin(&scene, 3, &region, &options));
    simdisk_set_cold_reads(scene.disk, 50);
    expect(nth, pump_run(scene.pump, 10));
    expect(nth, pump_settle(scene.pump));
    arm(nth, forever);
    expect(nth, pump_run(scene.pump, 40));
    /* Out of memory for ever, a checkpoint may never get done; what was staged must. */
    if (forever)
        disarm();
    expect(nth, pump_settle(scene.pump));
    bool hit = failures > 0;
    disarm();
    bool has_failed = region_failure(scene.region) != NULL;
    uint64_t n = pump_begun(scene.pump);
    while (has_failed && n > pump_durable(scene.pump) && scene_compare(&scene, n, false) != NULL)
        n--;
    if (has_failed && durability == DURABILITY_SYNC)
        n = pump_acknowledged(scene.pump);
    /* Where taking back found no memory, what is in use is not known, and nobody may load. */
    if (!(has_failed && forever && scene.region->lost.everything))
        expect(nth, scene_compare(&scene, n, !has_failed));
    refused += pump_refused(scene.pump);
    uint64_t lowest = pump_durable(scene.pump);
    expect(nth, scene_close(&scene));
    scene_set_disk(&scene, simdisk_crash_none(scene.disk));
    options.faults = false;
    expect(nth, scene_reopen(&scene, lowest, &options));
    expect(nth, pump_run(scene.pump, 5));
    expect(nth, pump_settle(scene.pump));
    scene_end(&scene);
    return hit;
}

static void print_totals(const char *what, bool forever, uint64_t runs)
{
    printf("faults: memory, %s, %s: %llu runs, %llu refusals\n", what,
           forever ? "for ever" : "once", (unsigned long long)runs, (unsigned long long)refused);
    faults_add_figures("faulty_memory",
                       &(struct faults_figures){.runs = runs, .failed = all_failures});
}

START_TEST(test_at_work)
{
    uint64_t nth = 1;
    enum durability durability = _i < 2 ? DURABILITY_SYNC : DURABILITY_INTERVAL;
    while (fail_at_work(nth, _i % 2 == 1, durability))
        nth++;
    ck_assert_uint_gt(nth, 10);
    print_totals(durability == DURABILITY_SYNC ? "work" : "work with interval", _i % 2 == 1, nth);
}
END_TEST

static bool fail_at_open(uint64_t nth)
{
    struct scene scene;
    struct pump_options options = small_work(9);
    struct region_options region = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
    expect(nth, scene_begin(&scene, 3, &region, &options));
    expect(nth, pump_run(scene.pump, 60));
    expect(nth, pump_settle(scene.pump));
    expect(nth, scene_close(&scene));
    struct err err = {0};
    struct region_report report;
    struct region *opened;
    arm(nth, false);
    int code =
        region_open(simdisk_io(scene.disk), SCENE_FOLDER, NULL, false, &opened, &report, &err);
    bool hit = failures > 0;
    disarm();
    refused += code != 0;
    if (code == 0)
        region_close(opened);
    else
        ck_assert_msg(hit && err.text[0] != '\0', "allocation %llu: code %d without a reason",
                      (unsigned long long)nth, code);
    ck_assert_uint_eq(simdisk_open_files(scene.disk), 0);
    expect(nth, scene_reopen(&scene, pump_begun(scene.pump), &options));
    scene_end(&scene);
    return hit;
}

START_TEST(test_at_open)
{
    uint64_t nth = 1;
    while (fail_at_open(nth))
        nth++;
    ck_assert_uint_gt(nth, 3);
    print_totals("opening", false, nth);
}
END_TEST

START_TEST(test_at_create)
{
    bool hit = true;
    uint64_t nth = 1;
    for (; hit; nth++) {
        struct err err = {0};
        struct simdisk *disk = simdisk_new(1);
        struct region_options options = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
        arm(nth, false);
        int code = region_create(simdisk_io(disk), SCENE_FOLDER, "main", 1, &options, &err);
        hit = failures > 0;
        disarm();
        refused += code != 0;
        ck_assert_msg(code == 0 || (hit && err.text[0] != '\0'), "allocation %llu: no reason",
                      (unsigned long long)nth);
        ck_assert_uint_eq(simdisk_open_files(disk), 0);
        simdisk_free(disk);
    }
    print_totals("making a region", false, nth - 1);
}
END_TEST

/* ---- Stores ---- */

static int count_region(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
    return 0;
}

/* The other one, as a server has it: open meanwhile. */
static int live_on(struct store *store, const struct region_options *options, struct err *err)
{
    struct region *region;
    bool is_renamed;
    int code = store_set_options(store, "beta", options, err);
    if (code == 0)
        code = store_open_region(store, "beta", NULL, &region, NULL, err);
    if (code != 0)
        return code;
    struct region_label *label = store_new_label("gamma", err);
    code = label == NULL ? ERR_INTERNAL
                         : store_rename_region(store, "beta", "gamma", &is_renamed, err);
    if (code == 0) {
        region_rename(region, label);
        ck_assert_str_eq(region_name(region), "gamma");
    } else {
        region_label_free(label);
    }
    region_close(region);
    return code;
}

/* Makes two regions in a store, lists them, drops one and renames the other, as far as it comes. */
static int live(struct store *store, struct err *err)
{
    struct region_options options = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
    struct region *region;
    unsigned count = 0;
    int code = store_create_region(store, "alpha", &options, &region, err);
    if (code != 0)
        return code;
    region_close(region);
    code = store_create_region(store, "beta", &options, &region, err);
    if (code != 0)
        return code;
    region_close(region);
    code = store_list(store, count_region, &count, err);
    ck_assert(code != 0 || count == 2);
    if (code == 0)
        code = store_drop_region(store, "alpha", err);
    return code == 0 ? live_on(store, &options, err) : code;
}

/* After a failure: what is there opens, what is not can be made, and all can be dropped. */
static void expect_usable(struct simdisk *disk)
{
    static const char *const names[] = {"alpha", "beta", "gamma"};
    struct err err = {0};
    struct store *store;
    struct region *region;
    struct region_options options = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
    ck_assert_msg(store_open(simdisk_io(disk), false, &store, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int code = store_create_region(store, names[i], &options, &region, &err);
        if (code == ERR_EXISTS)
            code = store_open_region(store, names[i], NULL, &region, NULL, &err);
        ck_assert_msg(code == 0, "%s", err.text);
        region_close(region);
        ck_assert_int_eq(store_drop_region(store, names[i], &err), 0);
    }
    store_close(store);
}

/* The nth allocation fails, and where the store can be used still, it is. */
static bool fail_in_store(uint64_t nth)
{
    struct err err = {0};
    struct store *store = NULL;
    struct simdisk *disk = simdisk_new(1);
    arm(nth, false);
    int code = store_open(simdisk_io(disk), false, &store, &err);
    if (code == 0)
        code = live(store, &err);
    bool hit = failures > 0;
    disarm();
    store_close(store);
    refused += code != 0;
    if (code != 0)
        ck_assert_msg(hit && err.text[0] != '\0', "allocation %llu: no reason",
                      (unsigned long long)nth);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    expect_usable(disk);
    simdisk_free(disk);
    return hit;
}

START_TEST(test_in_store)
{
    uint64_t nth = 1;
    while (fail_in_store(nth))
        nth++;
    ck_assert_uint_gt(refused, 20);
    print_totals("making, listing, renaming and dropping regions", false, nth);
}
END_TEST

/* ---- Each kind of work ---- */

/* The allocation to be tried after this one: a sample, but for where more is asked for. */
static uint64_t next_of(uint64_t nth)
{
    if (getenv("MREGION_FAULTS_LONG") != NULL)
        return nth + 1 + nth / 32;
#if defined(__SANITIZE_ADDRESS__)
    return 5 * nth + 1;
#else
    return 2 * nth + 1;
#endif
}

static bool fail_at_piece(const struct work *work, uint64_t nth)
{
    work_begin(work);
    arm(nth, false);
    work->act();
    bool hit = failures > 0;
    disarm();
    work_end(work);
    return hit;
}

START_TEST(test_at_each_piece_of_work)
{
    uint64_t nth = 1, runs = 0;
    for (; fail_at_piece(&works[_i], nth); nth = next_of(nth))
        runs++;
    ck_assert_uint_gt(runs, 0);
}
END_TEST

/* A region that fails, with or without any memory to take back with what it had begun. */
START_TEST(test_at_failing_with_uploads)
{
    bool is_hit = true;
    uint64_t nth = 0;
    while (is_hit) {
        failing_begin();
        arm(++nth, _i == 1);
        failing_act();
        is_hit = failures > 0;
        disarm();
        failing_end();
    }
    ck_assert_uint_gt(nth, 1);
}
END_TEST

/* The very first changes of a region: whatever is kept for the next ones is not there yet. */
START_TEST(test_at_the_first_changes)
{
    uint64_t nth = 0;
    bool hit;
    do {
        work_begin(&first_work);
        arm(++nth, false);
        first_work.act();
        hit = failures > 0;
        disarm();
        work_end(&first_work);
    } while (hit);
    ck_assert_uint_gt(nth, 10);
}
END_TEST

/* What a piece of work left in journal and checkpoint is read, to be changed or only looked at. */
START_TEST(test_at_opening_after_each_piece_of_work)
{
    struct simdisk *left = work_leave(&works[_i]);
    for (unsigned read_only = 0; read_only < 2; read_only++) {
        uint64_t nth = 1;
        bool hit = true;
        for (; hit; nth = next_of(nth)) {
            struct err err = {0};
            arm(nth, false);
            int code = work_open(left, read_only == 1, &err);
            hit = failures > 0;
            disarm();
            ck_assert_msg(code == 0 || (hit && err.text[0] != '\0'), "allocation %llu: %d",
                          (unsigned long long)nth, code);
        }
        ck_assert_uint_gt(nth, 5);
    }
    simdisk_free(left);
}
END_TEST

/* A real file system's own memory. */
START_TEST(test_at_real_files)
{
    struct io *real = NULL;
    struct io_file *file;
    arm(1, false);
    ck_assert_int_eq(io_posix_new("/", &real), -ENOMEM);
    disarm();
    ck_assert_int_eq(io_posix_new("/", &real), 0);
    arm(1, false);
    ck_assert_int_eq(real->ops->open(real, "proc/version", IO_READ_ONLY, &file), -ENOMEM);
    disarm();
    ck_assert_int_eq(real->ops->open(real, "proc/version", IO_READ_ONLY, &file), 0);
    real->ops->close(real, file);
    io_posix_free(real);
}
END_TEST

/* ---- Migrations ---- */

static int migrate(struct simdisk *disk, struct region **ret_region, struct err *err)
{
    struct store *store;
    int code = store_open(simdisk_io(disk), false, &store, err);
    if (code != 0)
        return code;
    code = store_open_region(store, golden_names[GOLDEN_MAIN], NULL, ret_region, NULL, err);
    store_close(store);
    return code;
}

static bool fail_at_migration(const struct simdisk *golden, uint64_t nth)
{
    struct err err = {0};
    struct region *region = NULL;
    struct region_info info;
    struct simdisk *disk = simdisk_crash_none(golden);
    arm(nth, false);
    int code = migrate(disk, &region, &err);
    bool hit = failures > 0;
    disarm();
    if (code == 0) {
        region_close(region);
    } else {
        refused++;
        ck_assert_msg(hit && err.text[0] != '\0', "allocation %llu: no reason",
                      (unsigned long long)nth);
    }
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    ck_assert_msg(migrate(disk, &region, &err) == 0, "%s", err.text);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.allocated, golden_figures[GOLDEN_MAIN].allocated);
    ck_assert_uint_eq(info.free_blocks, golden_figures[GOLDEN_MAIN].free_blocks);
    region_close(region);
    simdisk_free(disk);
    return hit;
}

START_TEST(test_at_migration)
{
    struct simdisk *golden = golden_disk_of(GOLDEN_MAIN);
    uint64_t nth = 1;
    while (fail_at_migration(golden, nth))
        nth++;
    ck_assert_uint_gt(refused, 5);
    print_totals("store and migration", false, nth);
    simdisk_free(golden);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *tcase = tcase_create("memory");
    tcase_add_loop_test(tcase, test_at_work, 0, 4);
    tcase_add_test(tcase, test_at_open);
    tcase_add_test(tcase, test_at_create);
    tcase_add_test(tcase, test_in_store);
    tcase_add_test(tcase, test_at_migration);
    tcase_add_loop_test(tcase, test_at_each_piece_of_work, 0, (int)work_count);
    tcase_add_loop_test(tcase, test_at_opening_after_each_piece_of_work, 0, (int)work_count);
    tcase_add_test(tcase, test_at_the_first_changes);
    tcase_add_loop_test(tcase, test_at_failing_with_uploads, 0, 2);
    tcase_add_test(tcase, test_at_real_files);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
