/* Loads without waiting: what they cost in reads, and that they go on after a change. */
#include <check.h>
#include <string.h>

#include "core/pagecache.h"
#include "core/region.h"
#include "support_fixture.h"
#include "support_simtree.h"
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

static struct pagecache_hold holds[64];

/* How many reads it took to hold a block. */
static uint64_t hold(uint64_t address, uint64_t size)
{
    uint64_t after, before = reads();
    struct extent block = {address, size};
    ck_assert_int_eq(region_load_begin(region, block, &after, &err), 0);
    ck_assert_uint_eq(after, 0);
    ck_assert_int_eq(region_hold_now(region, block, holds), REGION_HELD);
    return reads() - before;
}

static void let_go(uint64_t address, uint64_t size)
{
    region_let_go(holds, region_hold_count((struct extent){address, size}));
}

static bool is_held_as(uint64_t address, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        size_t at = (size_t)(address % DATA_PAGE) + i;
        if (holds[at / DATA_PAGE].bytes[at % DATA_PAGE] != bytes[i])
            return false;
    }
    return true;
}

/* Data in one call, sums in another; neither is needed again. */
START_TEST(held_pages_are_read_once)
{
    uint64_t a = drive_add(region, big, BLOB);
    drive_settle(region);
    ck_assert_uint_eq(hold(a + 5, BLOB - 10), 2);
    ck_assert(is_held_as(a + 5, big + 5, BLOB - 10));
    let_go(a + 5, BLOB - 10);
    ck_assert_uint_eq(hold(a, BLOB), 0);
    ck_assert(is_held_as(a, big, BLOB));
    let_go(a, BLOB);
    ck_assert_uint_eq(load(a, big, BLOB), 0);
    drive_store(region, a + 3 * DATA_PAGE, small, 10);
    drive_settle(region);
    memcpy(big + 3 * DATA_PAGE, small, 10);
    ck_assert_uint_eq(hold(a, BLOB), 1);
    ck_assert(is_held_as(a, big, BLOB));
    let_go(a, BLOB);
}
END_TEST

/* The block is changed, freed and taken by another: what is held is what was there. */
static void assert_counts(uint64_t hits, uint64_t misses)
{
    struct region_info info;
    region_get_info_now(region, &info);
    ck_assert_uint_eq(info.cache_hits, hits);
    ck_assert_uint_eq(info.cache_misses, misses);
}

/* Each page that a load looks for counts once, whichever way it goes. */
START_TEST(hits_and_misses_are_counted)
{
    uint64_t a = drive_add(region, big, BLOB), pages = BLOB / DATA_PAGE;
    drive_settle(region);
    assert_counts(0, 0);
    load(a + 1, big + 1, 10);
    assert_counts(0, 1);
    load(a + 20, big + 20, 10);
    assert_counts(1, 1);
    load(a, big, BLOB);
    assert_counts(2, pages);
    hold(a, BLOB);
    let_go(a, BLOB);
    assert_counts(2 + pages, pages);
    drive_store(region, a, small, 10);
    drive_settle(region);
    hold(a, 2 * DATA_PAGE);
    let_go(a, 2 * DATA_PAGE);
    assert_counts(3 + pages, pages + 1);
}
END_TEST

START_TEST(held_pages_stay_as_they_were)
{
    static uint8_t old[BLOB];
    uint64_t a = drive_add(region, big, BLOB);
    drive_settle(region);
    memcpy(old, big, BLOB);
    hold(a, BLOB);
    drive_store(region, a + 100, big + 7, BLOB / 2);
    drive_settle(region);
    ck_assert(is_held_as(a, old, BLOB));
    drive_deallocate(region, a, BLOB);
    drive_settle(region);
    ck_assert_uint_eq(drive_add(region, big + 9, BLOB), a);
    drive_settle(region);
    ck_assert_uint_gt(load(a, big + 9, BLOB), 0);
    ck_assert(is_held_as(a, old, BLOB));
    set_page_cache(0);
    ck_assert(is_held_as(a, old, BLOB));
    drive_close(region);
    region = NULL;
    ck_assert(is_held_as(a, old, BLOB));
    let_go(a, BLOB);
}
END_TEST

START_TEST(what_cannot_be_held)
{
    struct extent block = {drive_add(region, big, BLOB), BLOB};
    drive_settle(region);
    set_page_cache(0);
    ck_assert_int_eq(region_hold_now(region, block, holds), REGION_HELD_NOT);
    set_page_cache(31 * (uint64_t)DATA_PAGE);
    ck_assert_int_eq(region_hold_now(region, block, holds), REGION_HELD_NOT);
    set_page_cache(34 * (uint64_t)DATA_PAGE);
    hold(block.address, BLOB);
    struct extent page = {drive_add(region, small, DATA_PAGE), DATA_PAGE};
    struct pagecache_hold one, two;
    drive_settle(region);
    ck_assert_int_eq(region_hold_now(region, page, &one), REGION_HELD);
    ck_assert_int_eq(region_hold_now(region, page, &two), REGION_HELD_BY_OTHERS);
    region_let_go(&one, 1);
    let_go(block.address, BLOB);
    simdisk_set_cold_reads(disk, 100);
    set_page_cache(1 * MIB);
    drive_store(region, block.address + 5 * DATA_PAGE, small, 1);
    drive_settle(region);
    ck_assert_int_eq(region_hold_now(region, block, holds), REGION_HELD_NOT);
    simdisk_set_cold_reads(disk, 0);
    big[5 * DATA_PAGE] = small[0];
    hold(block.address, BLOB);
    ck_assert(is_held_as(block.address, big, BLOB));
    let_go(block.address, BLOB);
}
END_TEST

/* Damage is never held, and left to a worker to tell. */
START_TEST(a_damaged_page_is_not_held)
{
    struct extent block = {drive_add(region, big, BLOB), BLOB};
    drive_settle(region);
    struct node *data = simtree_child(simtree_find(simdisk_tree(disk), "r"), "data");
    const uint8_t byte = (uint8_t)~big[7 * DATA_PAGE + 3];
    simtree_write(simdisk_tree(disk), data, block.address + 7 * DATA_PAGE + 3, &byte, 1);
    simtree_sync(simdisk_tree(disk), data);
    ck_assert_int_eq(region_hold_now(region, block, holds), REGION_HELD_NOT);
    struct extent before = {block.address, 7 * (uint64_t)DATA_PAGE};
    ck_assert_int_eq(region_hold_now(region, before, holds), REGION_HELD);
    region_let_go(holds, 7);
    ck_assert_int_eq(region_hold_now(region, block, holds), REGION_HELD_NOT);
}
END_TEST

/* Of a large blob nothing is kept before it is asked for again, though there is room. */
START_TEST(large_blobs_are_kept_when_they_come_again)
{
    static struct pagecache_hold many[512];
    struct extent block = {drive_add(region, big, sizeof big), sizeof big};
    struct extent part = {block.address, 128 * KIB};
    uint64_t before = 0;
    drive_settle(region);
    for (unsigned i = 0; i < 3; i++) {
        before = reads();
        ck_assert_int_eq(region_hold_now(region, part, many), REGION_HELD);
        region_let_go(many, region_hold_count(part));
        ck_assert(i < 2 ? reads() > before : reads() == before);
    }
}
END_TEST

/* Loads that come once do not push out what others ask for, but may in the end be kept. */
START_TEST(what_passes_through_is_seldom_kept)
{
    uint64_t hot = drive_add(region, small, DATA_PAGE), blobs[40];
    for (size_t i = 0; i < 40; i++)
        blobs[i] = drive_add(region, big + i, BLOB);
    drive_settle(region);
    set_page_cache(64 * (uint64_t)DATA_PAGE);
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < 40; i++) {
            hold(blobs[i], BLOB);
            ck_assert(is_held_as(blobs[i], big + i, BLOB));
            let_go(blobs[i], BLOB);
            load(hot, small, 10);
        }
    ck_assert_uint_eq(load(hot, small, 10), 0);
    unsigned kept = 0;
    for (size_t i = 0; i < 40; i++)
        kept += load(blobs[i], big + i, 1) == 0;
    ck_assert_uint_gt(kept, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {pages_are_read_together,
                                  what_is_cached_is_not_read,
                                  sums_in_memory_follow_changes,
                                  whole_pages_do_not_flood_the_cache,
                                  without_a_cache,
                                  held_pages_are_read_once,
                                  hits_and_misses_are_counted,
                                  held_pages_stay_as_they_were,
                                  what_cannot_be_held,
                                  a_damaged_page_is_not_held,
                                  large_blobs_are_kept_when_they_come_again,
                                  what_passes_through_is_seldom_kept};
    Suite *suite = suite_create("region: loads");
    suite_add_tcase(suite, fixture_tests("loads", tests, sizeof tests / sizeof tests[0]));
    return suite_main(suite);
}
