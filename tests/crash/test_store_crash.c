/* Regions are made and dropped while the power is cut before every sync: each is there as a whole
 * or not at all, those that were acknowledged keep their blobs, and nothing that a crash leaves
 * behind is in the way of anything. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "../core/support_pump.h"
#include "../core/support_simcrash.h"
#include "core/limits.h"
#include "core/store.h"
#include "support_crash.h"
#include "tests/support_main.h"

#define NAMES 4

static const char *const names[NAMES] = {"alpha", "beta", "gamma", "delta"};

enum presence {
    ABSENT,
    PRESENT,
    UNCERTAIN, /* being made or dropped */
};

struct world {
    struct simdisk *disk;
    struct rng rng;
    enum presence presence[NAMES];
    struct shadow contents[NAMES];
    bool armed;
    struct crash_totals totals;
};

static struct region_options options(void)
{
    struct region_options result = region_options_default();
    result.journal_size = JOURNAL_SIZE_MIN;
    return result;
}

/* ---- A disk that a power cut left ----
 * What holds is asserted only where it does not: Check writes every assertion to a file. */

static int note_name(void *context, const char *name)
{
    bool *found = context;
    for (size_t i = 0; i < NAMES; i++)
        if (strcmp(names[i], name) == 0) {
            if (found[i])
                ck_abort_msg("%s is listed twice", name);
            found[i] = true;
            return 0;
        }
    ck_abort_msg("a region that nobody made: %s", name);
}

static void check_region(const struct world *world, struct store *store, size_t i)
{
    struct err err = {0};
    struct region *region;
    struct region_report report;
    struct observation seen;
    if (store_open_region(store, names[i], NULL, &region, &report, &err) != 0)
        ck_abort_msg("%s does not open: %s", names[i], err.text);
    if (strcmp(region_name(region), names[i]) != 0)
        ck_abort_msg("%s is called %s", names[i], region_name(region));
    const char *wrong = observation_take(&seen, region);
    if (wrong == NULL && seen.info.size + world->contents[i].size > 0)
        wrong = shadow_difference(&world->contents[i], &seen);
    if (wrong != NULL)
        ck_abort_msg("%s: %s", names[i], wrong);
    observation_release(&seen);
    region_close(region);
}

/* Every name is free to be used, or used already. */
static void check_names_usable(struct store *store, const bool *found)
{
    for (size_t i = 0; i < NAMES; i++) {
        struct err err = {0};
        struct region *region;
        struct region_options defaults = options();
        int code = store_create_region(store, names[i], &defaults, &region, &err);
        if (code != (found[i] ? ERR_EXISTS : 0))
            ck_abort_msg("making %s: %s", names[i], err.text);
        if (code == 0)
            region_close(region);
        if (store_drop_region(store, names[i], &err) != 0)
            ck_abort_msg("dropping %s: %s", names[i], err.text);
    }
}

static int check_state(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct world *world = context;
    struct err err = {0};
    struct store *store;
    bool found[NAMES] = {false};
    (void)how;
    simdisk_keep_power(crashed);
    if (store_open(simdisk_io(crashed), false, &store, &err) != 0)
        ck_abort_msg("the store does not open: %s", err.text);
    if (store_list(store, note_name, found, &err) != 0)
        ck_abort_msg("the store cannot be listed: %s", err.text);
    for (size_t i = 0; i < NAMES; i++) {
        if (world->presence[i] != UNCERTAIN && found[i] != (world->presence[i] == PRESENT))
            ck_abort_msg("%s is %s", names[i], found[i] ? "there" : "missing");
        if (found[i])
            check_region(world, store, i);
    }
    check_names_usable(store, found);
    store_close(store);
    if (simdisk_open_files(crashed) != 0)
        ck_abort_msg("a file is still open");
    if (simdisk_breaches(crashed) != 0)
        ck_abort_msg("the contract of io.h was broken");
    return 0;
}

static void cut_before_syncs(void *context, struct simdisk *disk, enum simdisk_op op,
                             const char *path)
{
    static const struct simcrash_plan plan = {
        .exhaustive_max = 6, .sample = 8, .random_subsets = 10, .tears = 4};
    struct world *world = context;
    (void)path;
    if (!world->armed || !(SIM_BIT(op) & SIM_SYNCS))
        return;
    world->totals.points++;
    simcrash_enumerate(disk, &plan, &world->rng, check_state, world, &world->totals.states);
}

/* ---- The run ---- */

static void fill_region(struct world *world, struct region *region, size_t i)
{
    struct region_info info;
    struct pump_options pump_options = {.seed = rng_next(&world->rng) >> 32,
                                        .weights = {.live_target = 20000, .size_max = 9000},
                                        .checkpoint_percent = 10};
    region_get_info(region, &info);
    shadow_init(&world->contents[i]);
    world->contents[i].pages = info.pages;
    struct pump *pump = pump_new(world->disk, region, &world->contents[i], &pump_options);
    ck_assert_ptr_null(pump_run(pump, 6));
    ck_assert_ptr_null(pump_settle(pump));
    shadow_copy(&world->contents[i], pump_state(pump, pump_begun(pump)));
    pump_free(pump);
    simdisk_set_hook(world->disk, cut_before_syncs, world);
}

static void make(struct world *world, struct store *store, size_t i)
{
    struct err err = {0};
    struct region *region;
    struct region_options defaults = options();
    world->presence[i] = UNCERTAIN;
    world->armed = true;
    int code = store_create_region(store, names[i], &defaults, &region, &err);
    ck_assert_msg(code == 0, "making %s: %s", names[i], err.text);
    world->armed = false;
    world->presence[i] = PRESENT;
    fill_region(world, region, i);
    region_close(region);
}

static void drop(struct world *world, struct store *store, size_t i)
{
    struct err err = {0};
    world->presence[i] = UNCERTAIN;
    world->armed = true;
    int code = store_drop_region(store, names[i], &err);
    ck_assert_msg(code == 0, "dropping %s: %s", names[i], err.text);
    world->armed = false;
    world->presence[i] = ABSENT;
    shadow_release(&world->contents[i]);
}

static void open_store(struct world *world, struct store **ret_store)
{
    struct err err = {0};
    world->armed = true;
    if (store_open(simdisk_io(world->disk), false, ret_store, &err) != 0)
        ck_abort_msg("the store does not open: %s", err.text);
    world->armed = false;
}

START_TEST(test_make_and_drop)
{
    struct world world = {.disk = simdisk_new((uint64_t)_i), .rng = {(uint64_t)_i + 1}};
    struct store *store;
    char title[40];
    simdisk_set_hook(world.disk, cut_before_syncs, &world);
    open_store(&world, &store);
    for (unsigned round = 0; round < 12; round++) {
        size_t i = rng_below(&world.rng, NAMES);
        if (world.presence[i] == PRESENT)
            drop(&world, store, i);
        else
            make(&world, store, i);
        if (rng_chance(&world.rng, 20)) {
            store_close(store);
            open_store(&world, &store);
        }
    }
    /* Once more with everything that is left in the air. */
    world.armed = true;
    cut_before_syncs(&world, world.disk, SIM_SYNC, "");
    store_close(store);
    ck_assert_uint_eq(simdisk_open_files(world.disk), 0);
    snprintf(title, sizeof title, "store with seed %d", _i);
    crash_print_figures(title, &world.totals);
    for (size_t i = 0; i < NAMES; i++)
        shadow_release(&world.contents[i]);
    simdisk_free(world.disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store under power cuts");
    TCase *tcase = tcase_create("store");
    tcase_add_loop_test(tcase, test_make_and_drop, 0,
                        getenv("MREGION_CRASH_LONG") != NULL ? 10 : 2);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
