/* Every call of the disk fails once while regions are made and dropped: the store says so, stays
 * usable, and what was acknowledged holds. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "core/limits.h"
#include "core/store.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

#define NAMES 2

static const char *const names[NAMES] = {"alpha", "beta"};

enum presence {
    ABSENT,
    PRESENT,
    UNCERTAIN, /* its making or dropping failed */
};

struct world {
    struct simdisk *disk;
    struct io *io;
    enum presence presence[NAMES];
};

static void make(struct world *world, struct store *store, size_t i)
{
    struct err err = {0};
    struct region *region;
    struct region_options options = region_options_default();
    int code = store_create_region(store, names[i], &options, &region, &err);
    if (code == 0)
        region_close(region);
    else
        ck_assert(err.text[0] != '\0');
    world->presence[i] = code == 0 ? PRESENT : UNCERTAIN;
}

static void drop(struct world *world, struct store *store, size_t i)
{
    struct err err = {0};
    int code = store_drop_region(store, names[i], &err);
    if (code != 0)
        ck_assert(err.text[0] != '\0');
    world->presence[i] = code == 0 ? ABSENT : UNCERTAIN;
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
    if (world->presence[1] == PRESENT)
        drop(world, store, 1);
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
        region_close(region);
        code = store_drop_region(store, names[i], &err);
        ck_assert_msg(code == 0, "call %llu: dropping %s: %s", call, names[i], err.text);
    }
    store_close(store);
}

static bool run(uint64_t nth, int error, bool forever)
{
    struct world world = {.disk = simdisk_new(1)};
    world.io = simdisk_io(world.disk);
    simdisk_set_fault(world.disk, (struct simdisk_fault){SIM_ALL, NULL, nth, error, forever});
    work(&world);
    bool hit = simdisk_faults_hit(world.disk) > 0;
    ck_assert_uint_eq(simdisk_open_files(world.disk), 0);
    ck_assert_uint_eq(simdisk_breaches(world.disk), 0);
    simdisk_set_fault(world.disk, (struct simdisk_fault){0});
    check_store(&world, nth);
    ck_assert_uint_eq(simdisk_open_files(world.disk), 0);
    simdisk_free(world.disk);
    return hit;
}

START_TEST(test_the_nth_call_fails)
{
    static const int errors[] = {EIO, ENOSPC};
    uint64_t nth = 1;
    while (run(nth, errors[_i / 2], _i % 2 == 1))
        nth++;
    ck_assert_uint_gt(nth, 40);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store faults");
    TCase *tcase = tcase_create("store faults");
    tcase_add_loop_test(tcase, test_the_nth_call_fails, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
