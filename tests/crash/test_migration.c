/* Regions that the first release wrote are migrated while the power is cut before every change and
 * every sync, and migrated again: at the end each is what it was, byte for byte, whatever reached
 * the disk. Besides: the seed's scenario, damage, a full disk, another version. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/support_shadow.h"
#include "../core/support_simcrash.h"
#include "core/bytes.h"
#include "core/limits.h"
#include "core/store.h"
#include "tests/support_main.h"

#define GOLDEN SOURCE_ROOT "/tests/golden/format-1.tar.gz"

static const char *const names[] = {"main", "seed", "packed", "empty"};
#define NAMES (sizeof names / sizeof names[0])

struct world {
    struct simdisk *disk;
    struct rng rng;
    struct observation truth[NAMES];
    uint64_t states, points, rolled; /* of those, migrated before they were opened */
    unsigned depth;                  /* power cuts during what follows a power cut */
    uint64_t every;                  /* only one of so many moments is tried */
};

/* ---- The golden folder ---- */

static void need(int result)
{
    ck_assert_int_eq(result, 0);
}

/* One file of the archive, through tar, so that no folder is needed. */
static void load_file(struct io *io, const char *path)
{
    char command[512];
    uint8_t *bytes = malloc(8 * MIB);
    struct io_file *file;
    ck_assert_ptr_nonnull(bytes);
    snprintf(command, sizeof command, "tar -xzOf %s data/%s", GOLDEN, path);
    FILE *pipe = popen(command, "re");
    ck_assert_ptr_nonnull(pipe);
    size_t size = fread(bytes, 1, 8 * MIB, pipe);
    ck_assert_int_eq(pclose(pipe), 0);
    struct iovec vector = {bytes, size};
    need(io->ops->open(io, path, IO_CREATE, &file));
    if (size > 0)
        need(io->ops->write(io, file, &vector, 1, 0));
    need(io->ops->sync(io, file));
    io->ops->close(io, file);
    free(bytes);
}

static struct simdisk *golden_disk(void)
{
    static const char *const files[] = {
        "meta",         "data",        "journal-0000000000000002", "journal-0000000000000003",
        "checkpoint-0", "checkpoint-1"};
    struct simdisk *disk = simdisk_new(1);
    struct io *io = simdisk_io(disk);
    char path[128];
    load_file(io, "store");
    load_file(io, "lock");
    need(io->ops->make_directory(io, "regions"));
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(path, sizeof path, "regions/%s", names[i]);
        need(io->ops->make_directory(io, path));
        for (size_t j = 0; j < sizeof files / sizeof files[0]; j++) {
            snprintf(path, sizeof path, "regions/%s/%s", names[i], files[j]);
            load_file(io, path);
        }
        snprintf(path, sizeof path, "regions/%s", names[i]);
        need(io->ops->sync_directory(io, path));
    }
    need(io->ops->sync_directory(io, "regions"));
    need(io->ops->sync_directory(io, "."));
    return disk;
}

/* ---- Opening ---- */

static struct region *open_region(struct store *store, const char *name,
                                  struct region_report *report)
{
    struct err err = {0};
    struct region *region;
    int code = store_open_region(store, name, NULL, &region, report, &err);
    ck_assert_msg(code == 0, "%s: %s", name, err.text);
    return region;
}

static struct store *open_store(struct simdisk *disk, bool read_only)
{
    struct err err = {0};
    struct store *store;
    int code = store_open(simdisk_io(disk), read_only, &store, &err);
    ck_assert_msg(code == 0, "%s", err.text);
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

static int check_state(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct world *world = context;
    bool again = world->depth == 0 && rng_chance(&world->rng, 2);
    struct store *store = open_store(crashed, false);
    if (again) {
        world->depth++;
        simdisk_set_hook(crashed, cut_here, world);
    }
    for (size_t i = 0; i < NAMES; i++) {
        struct region_report report = {0};
        struct observation seen = {0};
        struct region *region = open_region(store, names[i], &report);
        const char *wrong = observation_take(&seen, region);
        if (wrong != NULL || !same(&seen, &world->truth[i])) {
            simcrash_print(how, stderr);
            ck_abort_msg("%s: %s", names[i], wrong != NULL ? wrong : "is not what it was");
        }
        world->rolled += report.migrated_from != 0;
        observation_release(&seen);
        region_close(region);
    }
    if (again) {
        simdisk_set_hook(crashed, NULL, NULL);
        world->depth--;
    }
    store_close(store);
    ck_assert_uint_eq(simdisk_open_files(crashed), 0);
    ck_assert_uint_eq(simdisk_breaches(crashed), 0);
    return 0;
}

static void cut_here(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    static const struct simcrash_plan plans[] = {
        {.exhaustive_max = 4, .sample = 4, .random_subsets = 4, .tears = 2},
        {.exhaustive_max = 2, .sample = 1, .random_subsets = 1, .tears = 1},
    };
    struct world *world = context;
    (void)path;
    bool is_sync = (SIM_BIT(op) & SIM_SYNCS) != 0;
    if (!is_sync && (SIM_BIT(op) & SIM_CHANGES) == 0)
        return;
    if (rng_below(&world->rng, is_sync ? world->every : 4 * world->every) != 0)
        return;
    world->points++;
    simcrash_enumerate(disk, &plans[world->depth], &world->rng, check_state, world, &world->states);
}

/* What the regions are, from a disk that was not disturbed. */
static void learn(struct world *world)
{
    struct simdisk *disk = simdisk_crash_none(world->disk);
    struct store *store = open_store(disk, false);
    for (size_t i = 0; i < NAMES; i++) {
        struct region_report report = {0};
        struct region *region = open_region(store, names[i], &report);
        ck_assert_uint_eq(report.migrated_from, 1);
        ck_assert_ptr_null(observation_take(&world->truth[i], region));
        region_close(region);
    }
    store_close(store);
    simdisk_free(disk);
}

START_TEST(test_power_cuts)
{
    bool is_long = getenv("MREGION_CRASH_LONG") != NULL;
    struct world world = {
        .disk = golden_disk(), .rng = {(uint64_t)_i + 1}, .every = is_long ? 1 : 16};
    learn(&world);
    simdisk_set_hook(world.disk, cut_here, &world);
    struct store *store = open_store(world.disk, false);
    for (size_t i = 0; i < NAMES; i++)
        region_close(open_region(store, names[i], NULL));
    simdisk_set_hook(world.disk, NULL, NULL);
    store_close(store);
    ck_assert_uint_gt(world.rolled, 0);
    printf("migration: %llu power cuts, %llu states checked\n", (unsigned long long)world.points,
           (unsigned long long)world.states);
    for (size_t i = 0; i < NAMES; i++)
        observation_release(&world.truth[i]);
    simdisk_free(world.disk);
}
END_TEST

/* ---- What the regions are ---- */

/* The scenario of the Motoko library's migration test: a region of 1000 bytes, three of its blocks
 * freed. */
START_TEST(test_the_seed)
{
    static const struct extent expected[] = {{100, 35}, {200, 50}, {300, 70}};
    struct extent blocks[4];
    struct region_info info;
    struct err err = {0};
    size_t count = 0;
    struct simdisk *disk = golden_disk();
    struct store *store = open_store(disk, false);
    struct region *region = open_region(store, "seed", NULL);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.format, REGION_FORMAT);
    ck_assert_uint_eq(info.migrated_from, 1);
    ck_assert_uint_eq(info.size, 1000);
    ck_assert_uint_eq(info.allocated, 845);
    ck_assert_uint_eq(info.deallocated, 155);
    ck_assert_uint_eq(info.pages, 1);
    need(region_free_blocks(region, 0, 1000, blocks, 4, &count, &err));
    ck_assert_uint_eq(count, 3);
    ck_assert_mem_eq(blocks, expected, sizeof expected);
    region_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

START_TEST(test_looking_changes_nothing)
{
    struct migrate_plan plan = {0};
    struct err err = {0};
    struct region *region;
    struct simdisk *disk = golden_disk();
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS);
    struct store *store = open_store(disk, true);
    need(store_look_region(store, "main", &plan, &err));
    ck_assert_uint_eq(plan.from, 1);
    ck_assert_uint_gt(plan.records, 0);
    ck_assert_uint_gt(plan.read_bytes, 0);
    ck_assert_uint_gt(plan.space_needed, 2 * JOURNAL_SEGMENT);
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err),
                     ERR_INVALID_ARGUMENT);
    store_close(store);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), changes);
    simdisk_free(disk);
}
END_TEST

START_TEST(test_refused_by_the_setting)
{
    static const struct store_migration refuse = {.is_refused = true};
    struct err err = {0};
    struct region *region;
    struct simdisk *disk = golden_disk();
    struct store *store = open_store(disk, false);
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES);
    store_set_migration(store, &refuse);
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err),
                     ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "setting migrate"));
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* The disk is asked first, and the region stays what it was. */
START_TEST(test_a_full_disk)
{
    struct err err = {0};
    struct region *region;
    struct simdisk *disk = golden_disk();
    struct store *store = open_store(disk, false);
    simdisk_set_capacity(disk, simdisk_used(disk) + MIB);
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(err.text, "make space"));
    simdisk_set_capacity(disk, UINT64_MAX);
    region_close(open_region(store, "main", NULL));
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* Every call of the disk fails once: the region is as good as before. */
START_TEST(test_the_nth_call_fails)
{
    struct world world = {.disk = golden_disk()};
    uint64_t failures = 0;
    learn(&world);
    for (uint64_t nth = 1;; nth += 1 + nth / 16) {
        struct err err = {0};
        struct region *region = NULL;
        struct simdisk *disk = simdisk_crash_none(world.disk);
        struct store *store = open_store(disk, false);
        simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_ALL,
                                                       .pattern = "regions/main*",
                                                       .nth = nth,
                                                       .error = nth % 2 == 0 ? EIO : ENOSPC});
        int code = store_open_region(store, "main", NULL, &region, NULL, &err);
        simdisk_set_fault(disk, (struct simdisk_fault){0});
        failures += code != 0;
        if (code != 0) {
            ck_assert_msg(err.text[0] != '\0', "a failure without a sentence");
            region = open_region(store, "main", NULL);
        }
        struct observation seen = {0};
        ck_assert_ptr_null(observation_take(&seen, region));
        ck_assert(same(&seen, &world.truth[0]));
        observation_release(&seen);
        region_close(region);
        store_close(store);
        simdisk_free(disk);
        if (code == 0)
            break;
    }
    ck_assert_uint_gt(failures, 20);
    for (size_t i = 0; i < NAMES; i++)
        observation_release(&world.truth[i]);
    simdisk_free(world.disk);
}
END_TEST

/* Damage in the old files is named, and nothing is migrated over it. */
START_TEST(test_damage_is_named)
{
    static const struct {
        const char *name;
        uint64_t offset;
    } cases[] = {{"journal-0000000000000002", 40 * DISK_BLOCK + 60}, {"meta", 60}};
    char path[128];
    uint8_t byte;
    struct iovec vector = {&byte, 1};
    struct io_file *file;
    struct err err = {0};
    struct region *region;
    struct simdisk *disk = golden_disk();
    struct io *io = simdisk_io(disk);
    snprintf(path, sizeof path, "regions/main/%s", cases[_i].name);
    need(io->ops->open(io, path, 0, &file));
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, cases[_i].offset), 1);
    byte ^= 1;
    need(io->ops->write(io, file, &vector, 1, cases[_i].offset));
    io->ops->close(io, file);
    struct store *store = open_store(disk, false);
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, cases[_i].name) != NULL, "%s", err.text);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

static size_t read_file(struct io *io, const char *path, uint8_t *bytes, size_t size)
{
    struct io_file *file;
    need(io->ops->open(io, path, IO_READ_ONLY, &file));
    ssize_t got = io->ops->read(io, file, bytes, size, 0);
    io->ops->close(io, file);
    ck_assert_int_gt(got, 0);
    return (size_t)got;
}

static void replace_file(struct io *io, const char *path, uint8_t *bytes, size_t size)
{
    struct iovec vector = {bytes, size};
    struct io_file *file;
    need(io->ops->remove(io, path));
    need(io->ops->open(io, path, IO_CREATE, &file));
    need(io->ops->write(io, file, &vector, 1, 0));
    io->ops->close(io, file);
}

/* Somebody puts the meta file of a backup in the place of the new one: that is refused, and is no
 * reason to take the rest for what an attempt left. */
START_TEST(test_an_old_meta_among_new_files)
{
    const char *path = "regions/main/meta";
    uint8_t old[4096], new[4096];
    struct world world = {.disk = golden_disk()};
    struct simdisk *disk = world.disk;
    struct io *io = simdisk_io(disk);
    struct observation seen = {0};
    struct region *region;
    struct err err = {0};
    learn(&world);
    size_t old_size = read_file(io, path, old, sizeof old);
    struct store *store = open_store(disk, false);
    region_close(open_region(store, "main", NULL));
    size_t new_size = read_file(io, path, new, sizeof new);
    replace_file(io, path, old, old_size);
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), ERR_CORRUPT);
    replace_file(io, path, new, new_size);
    region = open_region(store, "main", NULL);
    ck_assert_ptr_null(observation_take(&seen, region));
    ck_assert(same(&seen, &world.truth[0]));
    observation_release(&seen);
    region_close(region);
    store_close(store);
    for (size_t i = 0; i < NAMES; i++)
        observation_release(&world.truth[i]);
    simdisk_free(disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migration");
    TCase *tcase = tcase_create("migration");
    tcase_add_loop_test(tcase, test_power_cuts, 0, getenv("MREGION_CRASH_LONG") != NULL ? 2 : 1);
    tcase_add_test(tcase, test_the_seed);
    tcase_add_test(tcase, test_looking_changes_nothing);
    tcase_add_test(tcase, test_refused_by_the_setting);
    tcase_add_test(tcase, test_a_full_disk);
    tcase_add_test(tcase, test_the_nth_call_fails);
    tcase_add_loop_test(tcase, test_damage_is_named, 0, 2);
    tcase_add_test(tcase, test_an_old_meta_among_new_files);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
