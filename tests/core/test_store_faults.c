/* Calls of the disk fail, once or for ever, while regions are made, renamed, given other options
 * and dropped, and the power goes right then or later: the store says so, stays usable, and what
 * was acknowledged holds.
 *
 * MREGION_FAULTS_LONG: every call, instead of a few of them. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "core/store.h"
#include "support_simdisk.h"
#include "tests/support_figures.h"
#include "tests/support_main.h"

#define NAMES 3

static const char *const names[NAMES] = {"alpha", "beta", "gamma"};

enum presence {
    ABSENT,
    PRESENT,
    UNCERTAIN, /* its making or dropping failed */
};

struct world {
    struct simdisk *disk;
    struct io *io;
    enum presence presence[NAMES];
    bool is_busy[NAMES];   /* is being made or dropped */
    bool is_one_of_two;    /* the second and the third are one region whose renaming failed */
    bool is_being_renamed; /* likewise, and it is under way */
    uint64_t max_size[2];  /* of the first: either */
};

static void make(struct world *world, struct store *store, size_t i)
{
    struct err err = {0};
    struct region *region;
    struct region_options options = region_options_default();
    world->is_busy[i] = true;
    int code = store_create_region(store, names[i], &options, &region, &err);
    world->is_busy[i] = false;
    if (code == 0)
        region_close(region);
    else
        ck_assert(err.text[0] != '\0');
    world->presence[i] = code == 0 ? PRESENT : UNCERTAIN;
}

static void drop(struct world *world, struct store *store, size_t i)
{
    struct err err = {0};
    world->is_busy[i] = true;
    int code = store_drop_region(store, names[i], &err);
    world->is_busy[i] = false;
    if (code != 0)
        ck_assert(err.text[0] != '\0');
    world->presence[i] = code == 0 ? ABSENT : UNCERTAIN;
}

static void give_name(struct world *world, struct store *store)
{
    struct err err = {0};
    bool is_renamed;
    world->is_being_renamed = true;
    int code = store_rename_region(store, names[1], names[2], &is_renamed, &err);
    world->is_being_renamed = false;
    if (code != 0)
        ck_assert(err.text[0] != '\0');
    ck_assert(code != 0 || is_renamed);
    world->is_one_of_two = code != 0;
    world->presence[1] = code == 0 ? ABSENT : UNCERTAIN;
    world->presence[2] = code == 0 ? PRESENT : UNCERTAIN;
}

static void set_options(struct world *world, struct store *store)
{
    struct err err = {0};
    struct region_options options = region_options_default();
    options.max_size = world->max_size[1] = 7 * GIB;
    int code = store_set_options(store, names[0], &options, &err);
    if (code != 0)
        ck_assert(err.text[0] != '\0');
    else
        world->max_size[0] = world->max_size[1];
}

static void work(struct world *world)
{
    struct err err = {0};
    struct store *store;
    if (store_open(world->io, false, &store, &err) != 0) {
        ck_assert(err.text[0] != '\0');
        return;
    }
    make(world, store, 0);
    make(world, store, 1);
    if (world->presence[0] == PRESENT)
        drop(world, store, 0);
    if (world->presence[0] == ABSENT)
        make(world, store, 0);
    if (world->presence[0] == PRESENT)
        set_options(world, store);
    if (world->presence[1] == PRESENT)
        give_name(world, store);
    if (world->presence[2] == PRESENT)
        drop(world, store, 2);
    store_close(store);
}

static int note_name(void *context, const char *name)
{
    bool *found = context;
    for (size_t i = 0; i < NAMES; i++)
        if (strcmp(names[i], name) == 0)
            found[i] = true;
    return 0;
}

static void expect_options(const struct world *world, const struct region *region, uint64_t nth)
{
    struct region_info info;
    region_get_info(region, &info);
    ck_assert_msg(info.options.max_size == world->max_size[0] ||
                      info.options.max_size == world->max_size[1],
                  "call %llu: max_size is %llu", (unsigned long long)nth,
                  (unsigned long long)info.options.max_size);
}

/* After a restart: the regions that must be there are, open, and every name can be used. */
static void check_store(const struct world *world, uint64_t nth)
{
    struct err err = {0};
    struct store *store;
    bool found[NAMES] = {false};
    unsigned long long call = nth;
    int code = store_open(world->io, false, &store, &err);
    ck_assert_msg(code == 0, "call %llu: %s", call, err.text);
    ck_assert_int_eq(store_list(store, note_name, found, &err), 0);
    if (world->is_one_of_two)
        ck_assert_msg(found[1] != found[2], "call %llu: renamed, and %s", call,
                      found[1] ? "there twice" : "gone");
    for (size_t i = 0; i < NAMES; i++) {
        struct region *region;
        struct region_report report;
        struct region_options options = region_options_default();
        if (world->presence[i] != UNCERTAIN)
            ck_assert_msg(found[i] == (world->presence[i] == PRESENT), "call %llu: %s is %s", call,
                          names[i], found[i] ? "there" : "missing");
        code = found[i] ? store_open_region(store, names[i], NULL, &region, &report, &err)
                        : store_create_region(store, names[i], &options, &region, &err);
        ck_assert_msg(code == 0, "call %llu: %s: %s", call, names[i], err.text);
        if (i == 0 && world->presence[0] == PRESENT)
            expect_options(world, region, nth);
        region_close(region);
        code = store_drop_region(store, names[i], &err);
        ck_assert_msg(code == 0, "call %llu: dropping %s: %s", call, names[i], err.text);
    }
    store_close(store);
}

/* The store on the disk that is left: as check_store. Takes the disk. */
static void check_after(const struct world *world, struct simdisk *disk, uint64_t nth)
{
    struct world left = *world;
    left.disk = disk;
    left.io = simdisk_io(disk);
    check_store(&left, nth);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

/* The power goes right after the call that failed: what was acknowledged before it holds. */
#define WRECKS 4

struct wrecks {
    struct world *world;
    struct world left[WRECKS];
    size_t count;
};

/* What is under way may have happened or not. */
static void power_goes(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    struct wrecks *wrecks = context;
    struct rng rng = {simdisk_calls(disk, SIM_ALL)};
    (void)op;
    (void)path;
    if (wrecks->count > 0)
        return;
    for (; wrecks->count < WRECKS; wrecks->count++) {
        struct world *left = &wrecks->left[wrecks->count];
        *left = *wrecks->world;
        for (size_t i = 0; i < NAMES; i++)
            if (left->is_busy[i] || (left->is_being_renamed && i > 0))
                left->presence[i] = UNCERTAIN;
        left->is_one_of_two |= left->is_being_renamed;
        left->disk =
            wrecks->count == 0 ? simdisk_crash_none(disk) : simdisk_crash_random(disk, &rng);
    }
}

static uint64_t calls_failed, power_cuts;

static bool run(uint64_t nth, int error, bool forever)
{
    struct world world = {.disk = simdisk_new(1)};
    struct wrecks wrecks = {.world = &world};
    struct rng rng = {nth};
    world.io = simdisk_io(world.disk);
    simdisk_set_fault(world.disk, (struct simdisk_fault){.ops = SIM_ALL,
                                                         .nth = nth,
                                                         .error = error,
                                                         .forever = forever,
                                                         .after = power_goes,
                                                         .context = &wrecks});
    work(&world);
    bool hit = simdisk_faults_hit(world.disk) > 0;
    calls_failed += simdisk_faults_hit(world.disk);
    ck_assert_uint_eq(simdisk_open_files(world.disk), 0);
    ck_assert_uint_eq(simdisk_breaches(world.disk), 0);
    simdisk_set_fault(world.disk, (struct simdisk_fault){0});
    for (size_t i = 0; i < wrecks.count; i++)
        check_after(&wrecks.left[i], wrecks.left[i].disk, nth);
    check_after(&world, simdisk_crash_none(world.disk), nth);
    check_after(&world, simdisk_crash_random(world.disk, &rng), nth);
    power_cuts += wrecks.count + 2;
    check_after(&world, world.disk, nth);
    return hit;
}

START_TEST(test_the_nth_call_fails)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EINTR};
    bool is_long = getenv("MREGION_FAULTS_LONG") != NULL;
    struct rng rng = {(uint64_t)_i};
    uint64_t nth = is_long ? 1 : rng_between(&rng, 1, 16), runs = 1;
    for (; run(nth, errors[_i / 2], _i % 2 == 1); runs++)
        nth += is_long ? 1 : rng_between(&rng, 1, 63);
    ck_assert_uint_gt(nth, 40);
    printf("faults: store, making, renaming and dropping, %s %s: %llu runs, %llu calls failed, "
           "%llu power "
           "cuts\n",
           strerrorname_np(errors[_i / 2]), _i % 2 == 1 ? "for ever" : "once",
           (unsigned long long)runs, (unsigned long long)calls_failed,
           (unsigned long long)power_cuts);
    faults_add_figures(
        "store_faults",
        &(struct faults_figures){.runs = runs, .failed = calls_failed, .power_cuts = power_cuts});
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store faults");
    TCase *tcase = tcase_create("store faults");
    tcase_add_loop_test(tcase, test_the_nth_call_fails, 0, 8);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
