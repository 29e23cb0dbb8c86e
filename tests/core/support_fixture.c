#include "support_fixture.h"

struct simdisk *disk;
struct io *io;
struct region *region;
struct err err;
uint8_t big[3 << 20], small[4096];

struct region *fixture_open(bool read_only, struct region_report *report)
{
    struct region *opened = NULL;
    int code = region_open(io, "r", NULL, read_only, &opened, report, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return opened;
}

void fixture_set_up(void)
{
    struct region_options options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    drive_pattern(big, sizeof big, 1);
    drive_pattern(small, sizeof small, 2);
    int code = region_create(io, "r", "main", 7, &options, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    region = fixture_open(false, NULL);
}

void fixture_tear_down(void)
{
    if (region != NULL)
        drive_close(region);
    region = NULL;
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

void fixture_power_cut(void)
{
    struct simdisk *crashed = simdisk_crash_none(disk);
    region_hurry(region);
    drive_settle(region);
    region_close(region);
    simdisk_free(disk);
    disk = crashed;
    io = simdisk_io(disk);
    region = NULL;
}

void fixture_set_durability(enum durability durability)
{
    struct region_info info;
    region_get_info(region, &info);
    info.options.durability = durability;
    region_set_options(region, &info.options);
}

uint64_t fixture_allocated(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info.allocated;
}

TCase *fixture_tests(const char *name, const TTest *const *tests, size_t count)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, fixture_set_up, fixture_tear_down);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    return tcase;
}
