/* Regions that the first release wrote are migrated while the power is cut before every change and
 * every sync, and migrated again: at the end each is what it was, byte for byte, whatever reached
 * the disk. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/support_golden.h"
#include "../core/support_region.h"
#include "../core/support_shadow.h"
#include "../core/support_simcrash.h"
#include "core/crc32c.h"
#include "core/limits.h"
#include "core/migrate.h"
#include "core/store.h"
#include "support_crash.h"
#include "tests/support_figures.h"
#include "tests/support_main.h"

struct world {
    enum golden_region which;
    const char *name;
    struct simdisk *old_disk; /* with the files of format 1 */
    struct rng rng;
    struct observation truth;
    struct crash_totals totals;
    uint64_t rolled;   /* of the states, those that were migrated (again) */
    uint64_t old;      /* those that were of format 1 still */
    uint64_t used;     /* those that were changed afterwards */
    unsigned depth;    /* power cuts during what follows a power cut */
    uint64_t again;    /* of a thousand states, in so many the power is cut a second time */
    uint64_t every[2]; /* by depth: only one of so many moments is tried */
};

/* ---- Opening ---- */

static struct region *open_region(struct store *store, const char *name,
                                  struct region_report *report)
{
    struct err err = {0};
    struct region *region;
    if (store_open_region(store, name, NULL, &region, report, &err) != 0)
        ck_abort_msg("%s: %s", name, err.text);
    return region;
}

static struct store *open_store(struct simdisk *disk)
{
    struct err err = {0};
    struct store *store;
    if (store_open(simdisk_io(disk), false, &store, &err) != 0)
        ck_abort_msg("%s", err.text);
    return store;
}

static bool same(const struct observation *a, const struct observation *b)
{
    if (a->info.size != b->info.size || a->info.pages != b->info.pages ||
        a->used_count != b->used_count || a->free_count != b->free_count ||
        memcmp(a->info.uuid, b->info.uuid, 16) != 0 || a->info.id != b->info.id ||
        memcmp(a->free, b->free, a->free_count * sizeof a->free[0]) != 0)
        return false;
    for (size_t i = 0; i < a->used_count; i++) {
        struct extent block = a->used[i];
        if (block.address != b->used[i].address || block.size != b->used[i].size ||
            memcmp(a->bytes + block.address, b->bytes + block.address, block.size) != 0)
            return false;
    }
    return true;
}

/* ---- Power cuts ---- */

static void cut_here(void *context, struct simdisk *disk, enum simdisk_op op, const char *path);

static bool is_what_it_was(const struct world *world, const struct region *region)
{
    struct observation seen = {0};
    const char *wrong = observation_take(&seen, region);
    bool is_same = wrong == NULL && same(&seen, &world->truth);
    if (wrong != NULL)
        fprintf(stderr, "%s\n", wrong);
    observation_release(&seen);
    return is_same;
}

/* What is changed after a migration outlives the next power cut, beside what is left of the old
 * files. Takes the region. */
static void use(struct world *world, struct simdisk *disk, struct store *store,
                struct region *region)
{
    static const uint8_t blob[3 * DATA_PAGE] = "new";
    struct region_info info;
    region_get_info(region, &info);
    if (info.options.durability != DURABILITY_SYNC) {
        region_close(region);
        store_close(store);
        return;
    }
    uint64_t address = drive_add(region, blob, sizeof blob);
    drive_settle(region);
    region_close(region);
    store_close(store);
    struct simdisk *after = simdisk_crash_random(disk, &world->rng);
    store = open_store(after);
    region = open_region(store, world->name, NULL);
    drive_expect(region, address, blob, sizeof blob);
    drive_deallocate(region, address, sizeof blob);
    drive_close(region);
    store_close(store);
    simdisk_free(after);
    world->used++;
}

/* As long as meta says that the folder is of format 1, its files are what they were. */
static void check_old_files(struct world *world, struct simdisk *crashed)
{
    struct meta meta;
    struct err err = {0};
    uint32_t version;
    char folder[64];
    snprintf(folder, sizeof folder, "regions/%s", world->name);
    if (migrate_read_meta(simdisk_io(crashed), folder, &meta, &version, &err) != 0)
        ck_abort_msg("meta cannot be read: %s", err.text);
    if (version != 1)
        return;
    if (!golden_same_old(crashed, world->old_disk, world->which))
        ck_abort_msg("a file of format 1 has changed");
    world->old++;
}

static int check_state(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct world *world = context;
    struct region_report report = {0};
    bool again = world->depth == 0 && rng_below(&world->rng, 1000) < world->again;
    bool is_used = !again && rng_chance(&world->rng, 20);
    if (!again && !is_used)
        simdisk_keep_power(crashed);
    check_old_files(world, crashed);
    struct store *store = open_store(crashed);
    if (again) {
        world->depth++;
        simdisk_set_hook(crashed, cut_here, world);
    }
    struct region *region = open_region(store, world->name, &report);
    if (again) {
        simdisk_set_hook(crashed, NULL, NULL);
        world->depth--;
    }
    if (!is_what_it_was(world, region)) {
        simcrash_print(how, stderr);
        ck_abort_msg("%s is not what it was", world->name);
    }
    world->rolled += report.migrated_from != 0;
    if (is_used) {
        use(world, crashed, store, region);
    } else {
        region_close(region);
        store_close(store);
    }
    if (simdisk_open_files(crashed) != 0)
        ck_abort_msg("a file is still open");
    if (simdisk_breaches(crashed) != 0)
        ck_abort_msg("the contract of io.h was broken");
    return 0;
}

static void cut_here(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    static const struct simcrash_plan plans[] = {
        {.exhaustive_max = 4, .sample = 4, .random_subsets = 4, .tears = 2},
        {.exhaustive_max = 6, .sample = 3, .random_subsets = 3, .tears = 1},
    };
    struct world *world = context;
    struct crash_totals *totals = &world->totals;
    unsigned depth = world->depth;
    (void)path;
    /* The second time before syncs only: that is when the most is pending. */
    if ((SIM_BIT(op) & (depth == 0 ? SIM_SYNCS | SIM_CHANGES : SIM_SYNCS)) == 0 ||
        rng_below(&world->rng, world->every[depth]) != 0)
        return;
    ++*(depth == 0 ? &totals->points : &totals->second_points);
    simcrash_enumerate(disk, &plans[depth], &world->rng, check_state, world,
                       depth == 0 ? &totals->states : &totals->second_states);
}

static void check_figures(const struct observation *seen, const struct golden_figures *figures)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < seen->used_count; i++)
        crc = crc32c(crc, seen->bytes + seen->used[i].address, (size_t)seen->used[i].size);
    ck_assert_uint_eq(seen->info.size, figures->size);
    ck_assert_uint_eq(seen->info.pages, figures->pages);
    ck_assert_uint_eq(seen->info.allocated, figures->allocated);
    ck_assert_uint_eq(seen->info.free_blocks, figures->free_blocks);
    ck_assert_uint_eq(crc, figures->crc);
}

/* What the region is, from a disk that was not disturbed. */
static void learn(struct world *world, enum golden_region which)
{
    struct region_report report = {0};
    struct simdisk *disk = golden_disk_of(which);
    struct store *store = open_store(disk);
    struct region *region = open_region(store, world->name, &report);
    ck_assert_uint_eq(report.migrated_from, 1);
    ck_assert_ptr_null(observation_take(&world->truth, region));
    check_figures(&world->truth, &golden_figures[which]);
    region_close(region);
    store_close(store);
    simdisk_free(disk);
}

/* With small limits before every change and every sync. */
START_TEST(test_power_cuts)
{
    enum golden_region which = (enum golden_region)(_i / GOLDEN_VARIANTS);
    enum golden_variant variant = (enum golden_variant)(_i % GOLDEN_VARIANTS);
    bool is_long = getenv("MREGION_CRASH_LONG") != NULL;
    bool is_small = JOURNAL_SEGMENT < 1 * MIB;
    char title[80];
    struct world world = {
        .which = which,
        .name = golden_names[which],
        .rng = {(uint64_t)_i + 1},
        .again = is_long ? 300 : 20,
        .every = {1, is_long ? 1 : 4},
    };
    if (!is_small) { /* segments are written in many pieces */
        world.every[0] *= is_long ? 16 : 64;
        world.every[1] *= 8;
    }
    learn(&world, which);
    struct simdisk *disk = golden_disk_of(which);
    golden_vary(disk, which, variant);
    world.old_disk = simdisk_crash_none(disk);
    ck_assert(golden_same_old(disk, world.old_disk, which));
    simdisk_set_hook(disk, cut_here, &world);
    struct store *store = open_store(disk);
    struct region *region = open_region(store, world.name, NULL);
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert(is_what_it_was(&world, region));
    region_close(region);
    store_close(store);
    ck_assert(!is_small || (world.old > 0 && world.old <= world.rolled));
    ck_assert(!is_small || world.rolled < world.totals.states + world.totals.second_states);
    ck_assert(!is_small || world.used > 0 || which == GOLDEN_PACKED || which == GOLDEN_EMPTY);
    world.totals.extras = world.used;
    snprintf(title, sizeof title, "migration of %s variant %d%s", world.name, (int)variant,
             is_small ? "" : " with real limits");
    crash_print_figures(title, &world.totals);
    observation_release(&world.truth);
    simdisk_free(world.old_disk);
    simdisk_free(disk);
}
END_TEST

/* ---- Calls that fail ---- */

struct attempt {
    int error;
    bool forever;
    bool has_power_cut; /* right after the call that failed */
};

static const struct attempt attempts[] = {
    {EIO, false, false},  {EIO, true, false},    {EIO, false, true},    {ENOSPC, false, false},
    {ENOSPC, true, true}, {EDQUOT, false, true}, {EINTR, false, false}, {EINTR, true, true}};

#define ATTEMPTS (sizeof attempts / sizeof attempts[0])
#define WRECKS 4

struct wrecks {
    struct simdisk *disks[WRECKS];
    struct rng *rng;
    size_t count;
};

static void power_goes(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    struct wrecks *wrecks = context;
    (void)op;
    (void)path;
    for (; wrecks->count < WRECKS; wrecks->count++)
        wrecks->disks[wrecks->count] =
            wrecks->count == 0 ? simdisk_crash_none(disk) : simdisk_crash_random(disk, wrecks->rng);
}

/* Takes the disk. */
static void check_left(struct world *world, struct simdisk *disk)
{
    check_old_files(world, disk);
    struct store *store = open_store(disk);
    struct region *region = open_region(store, world->name, NULL);
    ck_assert(is_what_it_was(world, region));
    region_close(region);
    store_close(store);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
    world->totals.states++;
}

/* Returns whether the call was reached. */
static bool try_call(struct world *world, const struct simdisk *golden,
                     const struct attempt *attempt, uint64_t nth, struct faults_figures *figures)
{
    struct err err = {0};
    struct region *region = NULL;
    struct wrecks wrecks = {.rng = &world->rng};
    struct simdisk *disk = simdisk_crash_none(golden);
    struct store *store = open_store(disk);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_ALL,
                                             .pattern = "regions/main*",
                                             .nth = nth,
                                             .error = attempt->error,
                                             .forever = attempt->forever,
                                             .after = attempt->has_power_cut ? power_goes : NULL,
                                             .context = &wrecks});
    int code = store_open_region(store, world->name, NULL, &region, NULL, &err);
    bool was_hit = simdisk_faults_hit(disk) > 0;
    figures->runs++;
    figures->failed += simdisk_faults_hit(disk);
    figures->power_cuts += wrecks.count + 1;
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    world->totals.extras += code != 0;
    if (code != 0)
        ck_assert_msg(was_hit && err.text[0] != '\0', "a failure without a sentence");
    else
        region_close(region);
    store_close(store);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    for (size_t i = 0; i < wrecks.count; i++)
        check_left(world, wrecks.disks[i]);
    check_left(world, simdisk_crash_random(disk, &world->rng));
    check_left(world, disk);
    return was_hit;
}

/* Every call of the disk fails: the region is as good as before, whether it is migrated again at
 * once, or after a power cut. */
START_TEST(test_the_nth_call_fails)
{
    const struct attempt *attempt = &attempts[_i];
    struct world world = {.name = golden_names[GOLDEN_MAIN], .which = GOLDEN_MAIN, .rng = {1}};
    struct faults_figures figures = {0};
    uint64_t nth = 1;
    struct simdisk *golden = golden_disk_of(GOLDEN_MAIN);
    bool is_long = getenv("MREGION_FAULTS_LONG") != NULL;
    golden_vary(golden, GOLDEN_MAIN, (enum golden_variant)((unsigned)_i % GOLDEN_VARIANTS));
    world.old_disk = golden;
    learn(&world, GOLDEN_MAIN);
    while (try_call(&world, golden, attempt, nth, &figures))
        nth += is_long ? 1 : rng_between(&world.rng, 1, 49);
    ck_assert_uint_gt(world.totals.extras, is_long ? 100 : 3);
    printf("faults: migration, %s %s: %llu calls failed, %llu attempts came to nothing, %llu disks "
           "migrated again\n",
           strerrorname_np(attempt->error), attempt->forever ? "for ever" : "once",
           (unsigned long long)figures.failed, (unsigned long long)world.totals.extras,
           (unsigned long long)world.totals.states);
    faults_add_figures("migration", &figures);
    observation_release(&world.truth);
    simdisk_free(golden);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migration");
    TCase *tcase = tcase_create("migration");
    tcase_add_unchecked_fixture(tcase, golden_unpack, NULL);
    tcase_add_loop_test(tcase, test_power_cuts, 0, GOLDEN_REGIONS * GOLDEN_VARIANTS);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("calls that fail");
    tcase_add_unchecked_fixture(tcase, golden_unpack, NULL);
    if (JOURNAL_SEGMENT < 1 * MIB)
        tcase_add_loop_test(tcase, test_the_nth_call_fails, 0, ATTEMPTS);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
