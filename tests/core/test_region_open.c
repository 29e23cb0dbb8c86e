/* Creating and opening: options that are changed, folders that are refused. */
#include <check.h>
#include <stddef.h>
#include <string.h>

#include "core/region.h"
#include "support_fixture.h"
#include "support_golden.h"
#include "tests/support_main.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void close_region(void)
{
    drive_close(region);
    region = NULL;
}

static int open_with(const struct region_options *options, bool read_only)
{
    return region_open(io, "r", options, read_only, &region, NULL, &err);
}

/* Whatever differs, alone, is taken over and kept. */
START_TEST(every_option_is_kept)
{
    static const struct {
        size_t offset;
        uint64_t value;
    } changes[] = {
        {offsetof(struct region_options, flush_interval_ms), 77},
        {offsetof(struct region_options, max_size), 1 << 20},
        {offsetof(struct region_options, journal_size), JOURNAL_SIZE_MIN + 1},
        {offsetof(struct region_options, token_window), 7},
        {offsetof(struct region_options, discard), 4096},
        {offsetof(struct region_options, scrub_interval_ms), 3600000},
        {offsetof(struct region_options, scrub_rate), 5 * MIB},
        {offsetof(struct region_options, page_cache), 3 * MIB},
    };
    struct region_info info;
    struct region_options options;
    region_get_info(region, &info);
    options = info.options;
    for (size_t i = 0; i < COUNT(changes) + 3; i++) {
        if (i < COUNT(changes))
            memcpy((uint8_t *)&options + changes[i].offset, &changes[i].value, sizeof(uint64_t));
        if (i == COUNT(changes))
            options.durability = DURABILITY_INTERVAL;
        if (i == COUNT(changes) + 1)
            options.fit = FIT_LARGEST;
        if (i == COUNT(changes) + 2)
            options.checksum = CHECKSUM_OFF;
        close_region();
        ck_assert_int_eq(open_with(&options, false), 0);
        close_region();
        region = fixture_open(false, NULL);
        region_get_info(region, &info);
        for (size_t j = 0; j <= i && j < COUNT(changes); j++) {
            uint64_t kept;
            memcpy(&kept, (uint8_t *)&info.options + changes[j].offset, sizeof kept);
            ck_assert_msg(kept == changes[j].value, "change %zu", j);
        }
        ck_assert_int_eq(info.options.durability, options.durability);
        ck_assert_int_eq(info.options.fit, options.fit);
        ck_assert_int_eq(info.options.checksum, options.checksum);
    }
}
END_TEST

START_TEST(the_same_options_write_nothing)
{
    struct region_info info;
    region_get_info(region, &info);
    struct region_options options = info.options;
    close_region();
    uint64_t renames = simdisk_calls(disk, SIM_BIT(SIM_RENAME));
    ck_assert_int_eq(open_with(NULL, false), 0);
    close_region();
    renames = simdisk_calls(disk, SIM_BIT(SIM_RENAME)) - renames;
    uint64_t before = simdisk_calls(disk, SIM_BIT(SIM_RENAME));
    ck_assert_int_eq(open_with(&options, false), 0);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_RENAME)), before + renames);
}
END_TEST

START_TEST(read_only_has_options_for_now)
{
    struct region_info info;
    struct region_options options = region_options_default();
    options.max_size = 12345;
    close_region();
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES);
    ck_assert_int_eq(open_with(&options, true), 0);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.options.max_size, 12345);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
    region_close(region);
    region = fixture_open(false, NULL);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.options.max_size, 0);
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
    struct region_options options = region_options_default();
    options.token_window = 0;
    close_region();
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES);
    ck_assert_int_eq(open_with(&options, false), ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "token_window"));
    ck_assert_int_eq(region_create(io, "other", "other", 8, &options, &err), ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
    region = fixture_open(false, NULL);
}
END_TEST

START_TEST(names_and_folders_are_refused)
{
    struct region_options options = region_options_default();
    uint64_t writes = simdisk_calls(disk, SIM_BIT(SIM_WRITE));
    ck_assert_int_eq(region_create(io, "other", "a/b", 8, &options, &err), ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "'a/b' is not a region name"));
    ck_assert_int_eq(region_create(io, "r", "main", 8, &options, &err), ERR_EXISTS);
    ck_assert_str_eq(err.text, "r exists already");
    ck_assert_int_eq(region_create(io, "none/r", "main", 8, &options, &err), ERR_IO_ERROR);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_WRITE)), writes);
    drive_add(region, small, 100);
}
END_TEST

START_TEST(an_older_format_must_be_migrated)
{
    struct region *opened = NULL;
    struct simdisk *golden = golden_disk_of(GOLDEN_SEED);
    uint32_t before = golden_fingerprint(golden);
    ck_assert_int_eq(
        region_open(simdisk_io(golden), "regions/seed", NULL, false, &opened, NULL, &err),
        ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "format version 1 instead of 2: it must be migrated"));
    ck_assert_ptr_null(opened);
    ck_assert_uint_eq(golden_fingerprint(golden), before);
    simdisk_free(golden);
}
END_TEST

/* ---- Read-only ---- */

/* Opened so, it is idle and flushed at any time, and refuses every kind of change. */
START_TEST(read_only_is_idle_and_refuses)
{
    uint64_t address = drive_add(region, small, 100), ret;
    struct extent block = {address, 100};
    close_region();
    region = fixture_open(true, NULL);
    ck_assert(region_idle(region));
    ck_assert(region_is_flushed(region));
    ck_assert_ptr_null(region_failure(region));
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    for (enum region_lane lane = LANE_COMMIT; lane < LANES; lane++)
        ck_assert_ptr_null(region_next_job(region, lane, drive_now_ms + 1000000000));
    ck_assert_int_eq(region_allocate(region, 1, &ret, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_deallocate(region, block, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_resize(region, block, 50, &ret, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_store(region, address, big, 1, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_replace(region, block, big, 50, &ret, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_deallocate_range(region, 0, 1, &ret, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_clear(region, 0, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_clear(region, 101, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_grow(region, 1, &ret, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_atomic_begin(region, 10, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_request_checkpoint(region, &ret, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_request_scrub(region, &ret, &err), ERR_READ_ONLY);
    drive_expect(region, address, small, 100);
    ck_assert_ptr_null(region_check(region));
    region_close(region);
    region = fixture_open(false, NULL);
    drive_expect(region, address, small, 100);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {every_option_is_kept,          the_same_options_write_nothing,
                                  read_only_has_options_for_now, options_out_of_range_are_refused,
                                  names_and_folders_are_refused, an_older_format_must_be_migrated,
                                  read_only_is_idle_and_refuses};
    Suite *suite = suite_create("region: opening");
    suite_add_tcase(suite, fixture_tests("opening", tests, COUNT(tests)));
    return suite_main(suite);
}
