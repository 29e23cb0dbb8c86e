/* Loads without waiting: what they cost in reads, and that they go on after a change. */
#include <check.h>
#include <string.h>

#include "core/region.h"
#include "support_fixture.h"
#include "tests/support_main.h"

#define BLOB (64 * KIB)

static uint64_t reads(void)
{
    return simdisk_calls(disk, SIM_BIT(SIM_READ_NOW));
}

/* How many reads a load took that did not have to wait. */
static uint64_t load(uint64_t address, const uint8_t *bytes, size_t size)
{
    static uint8_t buffer[2 * BLOB];
    uint64_t after, before = reads();
    ck_assert_int_eq(region_load_begin(region, (struct extent){address, size}, &after, &err), 0);
    ck_assert_uint_eq(after, 0);
    ck_assert_uint_eq(region_read_now(region, address, buffer, size), size);
    ck_assert_mem_eq(buffer, bytes, size);
    return reads() - before;
}

static void set_page_cache(uint64_t bytes)
{
    struct region_info info;
    region_get_info(region, &info);
    info.options.page_cache = bytes;
    region_set_options(region, &info.options);
}

/* Adjoining pages in one call, and their sums in another, which is not needed again. */
START_TEST(pages_are_read_together)
{
    uint64_t a = drive_add(region, big, BLOB), b = drive_add(region, big + 1, BLOB);
    drive_settle(region);
    ck_assert_uint_eq(a % DATA_PAGE, 0);
    ck_assert_uint_eq(b % DATA_PAGE, 0);
    ck_assert_uint_eq(load(a, big, BLOB), 2);
    ck_assert_uint_eq(load(b, big + 1, BLOB), 1);
    ck_assert_uint_eq(load(a, big, BLOB), 0);
    ck_assert_uint_eq(load(b + 5, big + 6, 100), 0);
}
END_TEST

/* Between cached pages only those are read that are missing. */
START_TEST(what_is_cached_is_not_read)
{
    uint64_t a = drive_add(region, big, BLOB);
    drive_settle(region);
    load(a, big, BLOB);
    drive_store(region, a + 3 * DATA_PAGE + 7, small, 10);
    drive_store(region, a + 9 * DATA_PAGE, small, 10);
    memcpy(big + 3 * DATA_PAGE + 7, small, 10);
    memcpy(big + 9 * DATA_PAGE, small, 10);
    drive_settle(region);
    ck_assert_uint_eq(load(a, big, BLOB), 2);
}
END_TEST

/* The sums in memory follow every kind of change: nothing has to be read from them again, and
 * nothing is left to a worker. */
START_TEST(sums_in_memory_follow_changes)
{
    uint64_t a = drive_add(region, big, BLOB), b = drive_allocate(region, BLOB);
    static const uint8_t zeros[BLOB];
    drive_settle(region);
    load(a, big, BLOB);
    load(b, zeros, BLOB);
    drive_store(region, a, big + 100, BLOB);
    drive_settle(region);
    ck_assert_uint_eq(load(a, big + 100, BLOB), 1);
    drive_store(region, b + 10, small, 50);
    drive_settle(region);
    ck_assert_uint_eq(load(b + 10, small, 50), 1);
    drive_deallocate(region, b, BLOB);
    drive_settle(region);
    ck_assert_uint_eq(drive_add(region, big + 200, BLOB), b);
    drive_settle(region);
    ck_assert_uint_eq(load(b, big + 200, BLOB), 1);
}
END_TEST

/* Once the cache is full, whole pages seldom push others out; parts of pages do. */
START_TEST(whole_pages_do_not_flood_the_cache)
{
    uint64_t a = drive_add(region, big, BLOB), b = drive_add(region, big + 1, BLOB);
    drive_settle(region);
    set_page_cache(16 * (uint64_t)DATA_PAGE);
    load(a, big, BLOB);
    load(b, big + 1, BLOB);
    unsigned missing = 0;
    for (uint64_t page = 0; page < BLOB; page += DATA_PAGE)
        missing += load(a + page, big + page, DATA_PAGE) > 0;
    ck_assert_uint_gt(missing, 0);
    ck_assert_uint_le(missing, 4);
}
END_TEST

START_TEST(without_a_cache)
{
    set_page_cache(0);
    uint64_t a = drive_add(region, big, BLOB);
    drive_settle(region);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_uint_eq(load(a, big, BLOB), 2);
    ck_assert_uint_eq(load(a + 1, big + 1, BLOB - 2), 6);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {pages_are_read_together, what_is_cached_is_not_read,
                                  sums_in_memory_follow_changes, whole_pages_do_not_flood_the_cache,
                                  without_a_cache};
    Suite *suite = suite_create("region: loads");
    suite_add_tcase(suite, fixture_tests("loads", tests, sizeof tests / sizeof tests[0]));
    return suite_main(suite);
}
