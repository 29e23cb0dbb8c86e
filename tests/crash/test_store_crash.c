/* Regions are made, dropped, renamed while they are open and given other options, while the power
 * is cut before every sync: each is there as a whole or not at all, under one name, those that were
 * acknowledged keep their blobs, and nothing that a crash leaves behind is in the way of anything.
 */
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
    uint64_t max_size[NAMES], new_max_size[NAMES]; /* what it may be; the same unless being set */
    bool is_renaming;                              /* from the one to the other of these two */
    size_t from, to;
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
    size_t was = world->is_renaming && i == world->to ? world->from : i;
    uint64_t max_size = seen.info.options.max_size;
    if (wrong == NULL && seen.info.size + world->contents[was].size > 0)
        wrong = shadow_difference(&world->contents[was], &seen);
    if (wrong == NULL && max_size != world->max_size[was] && max_size != world->new_max_size[was])
        wrong = "it has other options";
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
    if (world->is_renaming && found[world->from] == found[world->to])
        ck_abort_msg("a region that was being renamed is there %s",
                     found[world->from] ? "twice" : "no more");
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
    world->max_size[i] = world->new_max_size[i] = 0;
    world->armed = true;
    int code = store_create_region(store, names[i], &defaults, &region, &err);
    ck_assert_msg(code == 0, "making %s: %s", names[i], err.text);
    world->armed = false;
    world->presence[i] = PRESENT;
    shadow_init(&world->contents[i]);
    fill_region(world, region, i);
    region_close(region);
}

static struct region *open_region(struct store *store, size_t i)
{
    struct err err = {0};
    struct region *region;
    if (store_open_region(store, names[i], NULL, &region, NULL, &err) != 0)
        ck_abort_msg("%s does not open: %s", names[i], err.text);
    return region;
}

/* It goes on being used under the new name, in the new folder. */
static void give_name(struct world *world, struct store *store, size_t from, size_t to)
{
    struct err err = {0};
    bool is_renamed;
    struct region *region = open_region(store, from);
    struct region_label *label = store_new_label(names[to], &err);
    fill_region(world, region, from);
    world->is_renaming = world->armed = true;
    world->from = from;
    world->to = to;
    world->presence[from] = world->presence[to] = UNCERTAIN;
    int code = store_rename_region(store, names[from], names[to], &is_renamed, &err);
    ck_assert_msg(code == 0 && is_renamed, "renaming %s: %s", names[from], err.text);
    world->is_renaming = world->armed = false;
    world->presence[from] = ABSENT;
    world->presence[to] = PRESENT;
    world->contents[to] = world->contents[from];
    world->contents[from] = (struct shadow){0};
    world->max_size[to] = world->new_max_size[to] = world->max_size[from];
    region_rename(region, label);
    ck_assert_str_eq(region_name(region), names[to]);
    fill_region(world, region, to);
    region_close(region);
}

static void set_options(struct world *world, struct store *store, size_t i)
{
    struct err err = {0};
    struct region_options changed = options();
    changed.max_size = world->new_max_size[i] = (1 + rng_below(&world->rng, 1000)) * GIB;
    world->armed = true;
    int code = store_set_options(store, names[i], &changed, &err);
    ck_assert_msg(code == 0, "setting the options of %s: %s", names[i], err.text);
    world->armed = false;
    world->max_size[i] = world->new_max_size[i];
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
    for (unsigned round = 0; round < 16; round++) {
        size_t i = rng_below(&world.rng, NAMES), other = rng_below(&world.rng, NAMES);
        if (world.presence[i] == PRESENT && world.presence[other] == ABSENT)
            give_name(&world, store, i, other);
        else if (world.presence[i] == PRESENT && rng_chance(&world.rng, 50))
            set_options(&world, store, i);
        else if (world.presence[i] == PRESENT)
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
        if (world.presence[i] == PRESENT)
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
