/* Changes and questions: blobs, blocks, ranges, and what is refused. */
#include "core/region.h"

#include <check.h>
#include <string.h>

#include "support_fixture.h"
#include "tests/support_main.h"

START_TEST(a_new_region_is_empty)
{
    struct region_info info;
    region_get_info(region, &info);
    ck_assert_uint_eq(info.id, 7);
    ck_assert_str_eq(info.name, "main");
    ck_assert_uint_eq(info.format, 2);
    ck_assert_uint_eq(info.size + info.pages + info.free_blocks + info.allocated, 0);
    ck_assert(!info.read_only);
    ck_assert(region_idle(region));
}
END_TEST

START_TEST(blobs_of_many_sizes_come_back)
{
    static const uint64_t sizes[] = {
        1, 64, 4095, 4096, LARGE_BLOB - 1, LARGE_BLOB, LARGE_BLOB + 1, 1000001, sizeof big};
    uint64_t addresses[9];
    for (unsigned i = 0; i < 9; i++)
        addresses[i] = drive_add(region, big, sizes[i]);
    for (unsigned i = 0; i < 9; i++)
        drive_expect(region, addresses[i], big, sizes[i]);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    for (unsigned i = 0; i < 9; i++)
        drive_expect(region, addresses[i], big, sizes[i]);
}
END_TEST

START_TEST(a_size_of_nothing_stores_nothing)
{
    uint64_t address = drive_add(region, small, 100);
    ck_assert_uint_eq(drive_allocate(region, 0), region_size(region));
    ck_assert_uint_eq(drive_add(region, NULL, 0), region_size(region));
    drive_deallocate(region, address, 0);
    drive_store(region, address, NULL, 0);
    drive_expect(region, address, "", 0);
    ck_assert_uint_eq(fixture_allocated(), 100);
    ck_assert_uint_eq(drive_replace(region, address, 100, NULL, 0), region_size(region));
    ck_assert_uint_eq(fixture_allocated(), 0);
    ck_assert_uint_eq(region_size(region), 100);
}
END_TEST

START_TEST(a_block_of_nothing_becomes_a_new_one)
{
    uint64_t first = drive_add(region, small, 100);
    uint64_t second = drive_replace(region, first + 50, 0, big, 200);
    ck_assert_uint_eq(second, first + 100);
    uint64_t third = drive_resize(region, first + 50, 0, 300);
    ck_assert_uint_eq(third, second + 200);
    ck_assert_uint_eq(fixture_allocated(), 600);
    drive_expect(region, first, small, 100);
    drive_expect(region, second, big, 200);
    static const uint8_t zeros[300];
    drive_expect(region, third, zeros, 300);
}
END_TEST

START_TEST(freed_space_is_used_again_and_merged)
{
    uint64_t a = drive_add(region, small, 100), b = drive_add(region, small, 200);
    uint64_t c = drive_add(region, small, 300);
    struct region_info info;
    drive_deallocate(region, a, 100);
    drive_deallocate(region, b, 200);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.free_blocks, 1);
    ck_assert_uint_eq(info.largest_free, 300);
    ck_assert_uint_eq(drive_add(region, small, 250), a);
    drive_expect(region, c, small, 300);
    ck_assert_uint_eq(region_size(region), 600);
}
END_TEST

START_TEST(store_overwrites)
{
    uint64_t address = drive_add(region, small, 1000);
    drive_store(region, address + 100, big, 500);
    drive_expect(region, address, small, 100);
    drive_expect(region, address + 100, big, 500);
    drive_expect(region, address + 600, small + 600, 400);
    uint64_t large = drive_add(region, big, 1 << 20);
    drive_store(region, large, big + 7, 1 << 20);
    drive_expect(region, large, big + 7, 1 << 20);
}
END_TEST

START_TEST(replace_finds_a_place)
{
    uint64_t a = drive_add(region, small, 1000), guard = drive_add(region, small, 1);
    ck_assert_uint_eq(drive_replace(region, a, 1000, big, 400), a); /* smaller: in place */
    drive_expect(region, a, big, 400);
    ck_assert_uint_eq(drive_replace(region, a, 400, big + 9, 1000), a); /* grows into the hole */
    drive_expect(region, a, big + 9, 1000);
    uint64_t b = drive_replace(region, a, 1000, big, 3000); /* goes elsewhere */
    ck_assert_uint_ne(a, b);
    drive_expect(region, b, big, 3000);
    uint64_t c = drive_replace(region, b, 3000, big + 1, 200000);
    drive_expect(region, c, big + 1, 200000);
    uint64_t d = drive_replace(region, c, 200000, big + 2, 200000); /* large: never over itself */
    ck_assert_uint_ne(c, d);
    drive_expect(region, d, big + 2, 200000);
    drive_expect(region, guard, small, 1);
    ck_assert_uint_eq(fixture_allocated(), 200001);
}
END_TEST

START_TEST(resize_keeps_what_fits)
{
    uint64_t a = drive_add(region, small, 1000), guard = drive_add(region, small, 1);
    ck_assert_uint_eq(drive_resize(region, a, 1000, 300), a);
    ck_assert_uint_eq(drive_resize(region, a, 300, 900), a);
    drive_expect(region, a, small, 300);
    uint64_t b = drive_resize(region, a, 900, 5000);
    ck_assert_uint_ne(a, b);
    drive_expect(region, b, small, 300);
    drive_expect(region, guard, small, 1);
    uint64_t c = drive_add(region, big, 1500000);
    drive_add(region, small, sizeof small); /* no hole holds it: right behind */
    uint64_t d = drive_resize(region, c, 1500000, 2000000);
    ck_assert_uint_ne(c, d);
    drive_expect(region, d, big, 1500000);
    ck_assert_uint_eq(drive_resize(region, d, 2000000, 0), region_size(region));
    ck_assert_uint_eq(fixture_allocated(), 5000 + 1 + sizeof small);
}
END_TEST

START_TEST(a_block_at_the_end_grows_in_place)
{
    uint64_t a = drive_add(region, small, 1000);
    ck_assert_uint_eq(drive_resize(region, a, 1000, 4000000), a);
    ck_assert_uint_eq(region_size(region), 4000000);
    drive_expect(region, a, small, 1000);
}
END_TEST

START_TEST(ranges_and_clear)
{
    uint64_t freed = 0;
    for (int i = 0; i < 10; i++)
        drive_add(region, small, 100);
    drive_deallocate(region, 200, 100);
    ck_assert_int_eq(region_deallocate_range(region, 150, 450, &freed, &err), 0);
    ck_assert_uint_eq(freed, 200);
    ck_assert_int_eq(region_deallocate_range(region, 150, 450, &freed, &err), 0);
    ck_assert_uint_eq(freed, 0);
    ck_assert_uint_eq(fixture_allocated(), 700);
    ck_assert_int_eq(region_clear(region, 120, &err), 0);
    ck_assert_uint_eq(fixture_allocated(), 120);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    ck_assert_uint_eq(fixture_allocated(), 0);
    ck_assert_uint_eq(region_size(region), 1000);
    ck_assert_int_eq(region_clear(region, 1001, &err), ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_deallocate_range(region, 5, 4, &freed, &err), ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_deallocate_range(region, 5, 1001, &freed, &err), ERR_OUT_OF_BOUNDS);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), 0);
    ck_assert_uint_eq(region_size(region), 1000);
}
END_TEST

static int grow_100(struct region *r, void *before, struct err *e)
{
    return region_grow(r, 100, before, e);
}

START_TEST(grow_adds_pages)
{
    struct region_info info;
    uint64_t before = 99;
    drive_add(region, small, 1);
    ck_assert_int_eq(drive_until(region, grow_100, &before, &err), 0);
    ck_assert_uint_eq(before, 1);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.pages, 101);
    ck_assert_uint_eq(info.capacity, 101 * REGION_PAGE);
    ck_assert_uint_eq(info.size, 1);
}
END_TEST

START_TEST(what_is_wrong_is_refused_and_changes_nothing)
{
    uint64_t address;
    drive_add(region, small, 100);
    drive_deallocate(region, 40, 20);
    drive_settle(region);
    ck_assert_int_eq(region_deallocate(region, (struct extent){90, 11}, &err), ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_deallocate(region, (struct extent){UINT64_MAX, 2}, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_deallocate(region, (struct extent){40, 20}, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_deallocate(region, (struct extent){30, 11}, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_store(region, 59, small, 2, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_store(region, 99, small, 2, &err), ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_resize(region, (struct extent){0, 41}, 5, &address, &err),
                     ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_replace(region, (struct extent){0, 101}, small, 5, &address, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_load_begin(region, (struct extent){39, 2}, &address, &err),
                     ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_load_begin(region, (struct extent){101, 0}, &address, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_allocate(region, UINT64_MAX, &address, &err), ERR_NO_SPACE);
    ck_assert(region_idle(region));
    ck_assert_uint_eq(fixture_allocated(), 80);
    ck_assert_uint_eq(region_size(region), 100);
}
END_TEST

START_TEST(questions)
{
    struct extent blocks[8];
    size_t count;
    bool answer;
    drive_add(region, small, 100);
    drive_deallocate(region, 40, 20);
    ck_assert_int_eq(region_is_allocated(region, (struct extent){0, 40}, &answer, &err), 0);
    ck_assert(answer);
    ck_assert_int_eq(region_is_allocated(region, (struct extent){0, 41}, &answer, &err), 0);
    ck_assert(!answer);
    ck_assert_int_eq(region_is_freed(region, (struct extent){40, 20}, &answer, &err), 0);
    ck_assert(answer);
    ck_assert_int_eq(region_is_freed(region, (struct extent){0, 40}, &answer, &err), 0);
    ck_assert(!answer);
    ck_assert_int_eq(region_is_freed(region, (struct extent){39, 2}, &answer, &err),
                     ERR_PARTLY_FREE);
    ck_assert_int_eq(region_is_freed(region, (struct extent){99, 2}, &answer, &err),
                     ERR_OUT_OF_BOUNDS);
    /* Of nothing all is in use, and nothing is free. */
    ck_assert_int_eq(region_is_allocated(region, (struct extent){50, 0}, &answer, &err), 0);
    ck_assert(answer);
    ck_assert_int_eq(region_is_freed(region, (struct extent){50, 0}, &answer, &err), 0);
    ck_assert(!answer);
    ck_assert_int_eq(region_allocated_blocks(region, 10, 90, blocks, 8, &count, &err), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(blocks[1].address, 60);
    ck_assert_uint_eq(blocks[1].size, 30);
    ck_assert_int_eq(region_free_blocks(region, 50, 100, blocks, 8, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(blocks[0].address, 50);
    ck_assert_int_eq(region_free_blocks(region, 50, 101, blocks, 8, &count, &err),
                     ERR_OUT_OF_BOUNDS);
}
END_TEST

static int resize_to_100001(struct region *r, void *address, struct err *e)
{
    return region_resize(r, (struct extent){99999, 1}, 100001, address, e);
}

static uint64_t changes(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info.changes;
}

/* As soon as it is staged, of whichever kind, and also where nothing else shows. */
START_TEST(each_change_counts_when_it_is_seen)
{
    uint64_t address = drive_add(region, small, 1000), at = changes(), freed;
    int code;
    ck_assert_uint_gt(at, 0);
#define COUNTS(change)                                                                             \
    do {                                                                                           \
        while ((code = (change)) == REGION_WAIT)                                                   \
            drive_settle(region);                                                                  \
        ck_assert_int_eq(code, 0);                                                                 \
        ck_assert_uint_eq(changes(), ++at);                                                        \
    } while (0)
    COUNTS(region_store(region, address, small, 10, &err));
    COUNTS(region_store(region, address, big, LARGE_BLOB / 128, &err));
    COUNTS(region_replace(region, (struct extent){address, 10}, small, 10, &address, &err));
    COUNTS(region_resize(region, (struct extent){address, 10}, 20, &address, &err));
    COUNTS(region_allocate(region, 5, &address, &err));
    COUNTS(region_deallocate(region, (struct extent){address, 5}, &err));
    COUNTS(region_add(region, big, LARGE_BLOB, &address, &err));
    COUNTS(region_deallocate_range(region, address, address + LARGE_BLOB, &freed, &err));
    COUNTS(region_grow(region, 1, &freed, &err));
    COUNTS(region_clear(region, 0, &err));
#undef COUNTS
    drive_settle(region);
    uint64_t ticket;
    bool is_allocated;
    ck_assert_int_eq(region_is_allocated(region, (struct extent){0, 1}, &is_allocated, &err), 0);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    drive_settle(region);
    ck_assert_uint_eq(changes(), at);
}
END_TEST

START_TEST(max_size_is_a_limit)
{
    struct region_info info;
    uint64_t address;
    region_get_info(region, &info);
    info.options.max_size = 100000;
    region_set_options(region, &info.options);
    drive_add(region, big, 10000);
    ck_assert_int_eq(region_grow(region, 1, &address, &err), ERR_NO_SPACE); /* one is the limit */
    ck_assert_str_eq(err.text,
                     "region main has 1 page, and 1 more would pass its limit, 100000 bytes");
    drive_add(region, big + 10000, 89999);
    ck_assert_int_eq(region_add(region, small, 2, &address, &err), ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(err.text, "100000"));
    ck_assert_uint_eq(drive_add(region, small, 1), 99999);
    ck_assert_int_eq(region_grow(region, 10, &address, &err), ERR_NO_SPACE);
    ck_assert_int_eq(region_grow(region, UINT64_MAX, &address, &err), ERR_NO_SPACE);
    ck_assert_int_eq(drive_until(region, resize_to_100001, &address, &err), ERR_NO_SPACE);
    /* Lowered below what the region has: nothing grows, holes are used, blocks shrink. */
    drive_settle(region);
    info.options.max_size = 50000;
    region_set_options(region, &info.options);
    ck_assert_int_eq(region_allocate(region, 1, &address, &err), ERR_NO_SPACE);
    ck_assert_int_eq(drive_until(region, resize_to_100001, &address, &err), ERR_NO_SPACE);
    ck_assert_int_eq(region_grow(region, 1, &address, &err), ERR_NO_SPACE);
    ck_assert_uint_eq(drive_resize(region, 0, 99999, 100), 0);
    ck_assert_uint_eq(drive_add(region, small, 1000), 100);
    drive_expect(region, 0, big, 100);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_new_region_is_empty,
                                  blobs_of_many_sizes_come_back,
                                  a_size_of_nothing_stores_nothing,
                                  a_block_of_nothing_becomes_a_new_one,
                                  freed_space_is_used_again_and_merged,
                                  store_overwrites,
                                  replace_finds_a_place,
                                  resize_keeps_what_fits,
                                  a_block_at_the_end_grows_in_place,
                                  ranges_and_clear,
                                  grow_adds_pages,
                                  what_is_wrong_is_refused_and_changes_nothing,
                                  questions,
                                  each_change_counts_when_it_is_seen,
                                  max_size_is_a_limit};
    Suite *suite = suite_create("region: changes");
    TCase *tcase = fixture_tests("changes", tests, sizeof tests / sizeof tests[0]);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
