/* Random changes, loads and questions on the engine, against a naive model of a region. */
#include <check.h>
#include <stdlib.h>

#include "core/limits.h"
#include "support_scene.h"
#include "tests/support_main.h"

#define ROUNDS 8
#define CHANGES 250 /* per round */
#define BLOCKS_MAX 4096

struct setting {
    const char *name;
    enum durability durability;
    enum fit fit;
    struct change_weights weights;
    unsigned cold_percent;
};

static const struct setting settings[] = {
    {"small blobs", DURABILITY_SYNC, FIT_TIGHT, {100000, 9000, 0, 10}, 50},
    {"first fit", DURABILITY_SYNC, FIT_LOWEST, {200000, 70000, 2, 5}, 0},
    {"the largest block", DURABILITY_INTERVAL, FIT_LARGEST, {200000, 70000, 2, 5}, 100},
    {"large blobs", DURABILITY_SYNC, FIT_TIGHT, {3000000, 1200000, 50, 2}, 30},
    {"no syncs", DURABILITY_NONE, FIT_TIGHT, {300000, 150000, 10, 5}, 30},
};

#define SETTINGS (sizeof settings / sizeof settings[0])

static void expect(const struct setting *setting, uint64_t seed, const char *wrong)
{
    if (wrong != NULL)
        ck_abort_msg("%s, seed %llu: %s", setting->name, (unsigned long long)seed, wrong);
}

/* ---- Questions ---- */

/* Runs of bytes that are in use, or free, within [start, end). */
static size_t shadow_blocks(const struct shadow *shadow, uint64_t start, uint64_t end, bool used,
                            struct extent *blocks)
{
    size_t count = 0;
    uint64_t at = start;
    while (at < end) {
        uint64_t from = at;
        struct segment part;
        while (at < end && shadow_segments(shadow, (struct extent){at, 1}, &part, 1) == 1) {
            shadow_segments(shadow, (struct extent){at, end - at}, &part, 1);
            at += part.size;
        }
        if (used && at > from)
            blocks[count++] = (struct extent){from, at - from};
        from = at;
        bool more = shadow_segments(shadow, (struct extent){at, end - at}, &part, 1) == 1;
        at = more ? part.address : end;
        if (!used && at > from)
            blocks[count++] = (struct extent){from, at - from};
    }
    return count;
}

static const char *ask_about_block(const struct region *region, const struct shadow *shadow,
                                   struct extent block)
{
    struct err err = {0};
    bool answer = false;
    bool inside = block.address <= shadow->size && block.size <= shadow->size - block.address;
    bool used = inside && shadow_is_used(shadow, block);
    bool free_block = inside && shadow_is_free(shadow, block);
    int code = region_is_allocated(region, block, &answer, &err);
    if (code != (inside ? 0 : ERR_OUT_OF_BOUNDS) || (inside && answer != used))
        return "isAllocated is wrong";
    code = region_is_freed(region, block, &answer, &err);
    if (code != (!inside ? ERR_OUT_OF_BOUNDS : used || free_block ? 0 : ERR_PARTLY_FREE))
        return "isFreed answers with a wrong code";
    return code == 0 && answer != free_block ? "isFreed is wrong" : NULL;
}

static const char *ask_about_range(const struct region *region, const struct shadow *shadow,
                                   uint64_t start, uint64_t end, size_t limit)
{
    static struct extent expected[BLOCKS_MAX], got[BLOCKS_MAX];
    struct err err = {0};
    for (int used = 0; used < 2; used++) {
        size_t count = 0;
        int code = used ? region_allocated_blocks(region, start, end, got, limit, &count, &err)
                        : region_free_blocks(region, start, end, got, limit, &count, &err);
        if (start > end || end > shadow->size) {
            if (code != ERR_OUT_OF_BOUNDS)
                return "a wrong range is not refused";
            continue;
        }
        size_t wanted = shadow_blocks(shadow, start, end, used, expected);
        if (code != 0 || count != (wanted < limit ? wanted : limit))
            return "a wrong number of blocks in a range";
        for (size_t i = 0; i < count; i++)
            if (got[i].address != expected[i].address || got[i].size != expected[i].size)
                return "a wrong block in a range";
    }
    return NULL;
}

static const char *ask(struct scene *scene, struct rng *rng)
{
    const struct shadow *shadow = pump_state(scene->pump, pump_begun(scene->pump));
    const char *wrong = NULL;
    for (int i = 0; i < 20 && wrong == NULL; i++) {
        struct extent block = {rng_below(rng, shadow->size + 100), rng_between(rng, 1, 3000)};
        if (shadow->count > 0 && rng_chance(rng, 40)) {
            const struct segment *s = &shadow->segments[rng_below(rng, shadow->count)];
            block = (struct extent){s->address, s->size};
        }
        wrong = ask_about_block(scene->region, shadow, block);
        uint64_t start = rng_below(rng, shadow->size + 2);
        uint64_t end = rng_chance(rng, 20) ? shadow->size : rng_below(rng, shadow->size + 2);
        if (wrong == NULL)
            wrong = ask_about_range(scene->region, shadow, start, end,
                                    rng_chance(rng, 50) ? BLOCKS_MAX : rng_below(rng, 8));
    }
    return wrong;
}

/* ---- Runs ---- */

/* Of verified pages: none, some that push each other out, without and with sums, and all. */
static const uint64_t page_caches[] = {0, 5 * (uint64_t)DATA_PAGE, 16 * (uint64_t)DATA_PAGE,
                                       32 * MIB};

static void run(const struct setting *setting, uint64_t seed)
{
    struct scene scene;
    struct rng rng = {seed};
    struct pump_options pump = {
        .seed = seed,
        .weights = setting->weights,
        .load_percent = 30,
        .checkpoint_percent = 3,
        .reload_percent = setting->durability == DURABILITY_SYNC ? 0 : 5,
        .scrub_percent = 2,
        .upload_percent = 15,
        .backup_percent = 2,
    };
    struct region_options region = scene_region_options(setting->durability, setting->fit);
    region.page_cache = page_caches[seed % (sizeof page_caches / sizeof page_caches[0])];
    uint64_t uploads = 0, backups = 0;
    expect(setting, seed, scene_begin(&scene, seed, &region, &pump));
    if (seed % 2 == 0)
        simdisk_set_clones(scene.disk);
    for (unsigned round = 0; round < ROUNDS; round++) {
        simdisk_set_cold_reads(scene.disk, setting->cold_percent);
        for (unsigned part = 0; part < 5; part++) {
            expect(setting, seed, pump_run(scene.pump, CHANGES / 5));
            expect(setting, seed, scene_compare(&scene, pump_begun(scene.pump), false));
            expect(setting, seed, ask(&scene, &rng));
        }
        expect(setting, seed, pump_settle(scene.pump));
        expect(setting, seed, scene_compare(&scene, pump_begun(scene.pump), true));
        uploads += pump_uploads(scene.pump);
        backups += pump_backups(scene.pump);
        pump.seed = rng_next(&rng) >> 32;
        expect(setting, seed, scene_close(&scene));
        expect(setting, seed, scene_reopen(&scene, pump_begun(scene.pump), &pump));
    }
    ck_assert_uint_gt(uploads, 10);
    ck_assert_uint_gt(backups, 3);
    scene_end(&scene);
}

START_TEST(test_random_changes)
{
    const char *given = getenv("MREGION_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 1;
    uint64_t runs = getenv("MREGION_CRASH_LONG") != NULL ? 30 : 10;
    for (uint64_t i = 0; i < runs; i++)
        run(&settings[_i], seed + i);
}
END_TEST

/* What the region says of itself stands still while nothing is done to it. */
START_TEST(test_a_new_region_is_empty)
{
    struct scene scene;
    struct pump_options pump = {.seed = 1, .weights = {10000, 5000, 0, 0}};
    struct region_options region = scene_region_options(DURABILITY_SYNC, FIT_TIGHT);
    ck_assert_ptr_null(scene_begin(&scene, 1, &region, &pump));
    ck_assert(region_idle(scene.region));
    ck_assert_ptr_null(region_failure(scene.region));
    ck_assert_uint_eq(region_size(scene.region), 0);
    ck_assert_uint_eq(region_id(scene.region), 1);
    ck_assert_str_eq(region_name(scene.region), "main");
    ck_assert_ptr_null(region_next_job(scene.region, LANE_COMMIT, 0));
    ck_assert_ptr_null(scene_compare(&scene, 0, true));
    scene_end(&scene);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("oracle");
    TCase *tcase = tcase_create("oracle");
    tcase_add_loop_test(tcase, test_random_changes, 0, SETTINGS);
    tcase_add_test(tcase, test_a_new_region_is_empty);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
