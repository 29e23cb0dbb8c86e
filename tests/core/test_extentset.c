#include "core/extentset.h"

#include <check.h>

#include "support_model.h"
#include "tests/support_main.h"

static struct extentset set;

static void set_up(void)
{
    extentset_init(&set);
}

static void tear_down(void)
{
    extentset_release(&set);
}

static void add(uint64_t address, uint64_t size)
{
    ck_assert_int_eq(extentset_add(&set, (struct extent){address, size}), 0);
}

static bool overlaps(uint64_t address, uint64_t size)
{
    return extentset_overlaps(&set, (struct extent){address, size});
}

START_TEST(an_empty_set_has_nothing)
{
    struct extent gap;
    ck_assert(extentset_is_empty(&set));
    ck_assert(!overlaps(0, UINT64_MAX / 2));
    ck_assert(extentset_gap(&set, (struct extent){5, 10}, &gap));
    ck_assert_uint_eq(gap.address, 5);
    ck_assert_uint_eq(gap.size, 10);
    add(7, 0);
    ck_assert(extentset_is_empty(&set));
}
END_TEST

START_TEST(what_is_there_may_be_added_again)
{
    struct extent gap;
    add(10, 10);
    add(30, 10);
    add(5, 40); /* around both */
    add(12, 3);
    ck_assert_uint_eq(set.tree.blocks, 1);
    ck_assert_uint_eq(set.tree.bytes, 40);
    ck_assert(!overlaps(0, 5) && overlaps(4, 2) && overlaps(44, 1) && !overlaps(45, 5));
    ck_assert(!overlaps(20, 0));
    ck_assert(!extentset_gap(&set, (struct extent){5, 40}, &gap));
    ck_assert(extentset_gap(&set, (struct extent){20, 40}, &gap));
    ck_assert_uint_eq(gap.address, 45);
    ck_assert_uint_eq(gap.size, 15);
    extentset_clear(&set);
    ck_assert(extentset_is_empty(&set) && !overlaps(5, 40));
}
END_TEST

START_TEST(everything_is_everything)
{
    struct extent gap;
    set.everything = true;
    ck_assert(!extentset_is_empty(&set));
    ck_assert(overlaps(123, 1) && !overlaps(123, 0));
    ck_assert(!extentset_gap(&set, (struct extent){5, 10}, &gap));
    add(5, 10);
}
END_TEST

/* Against one bool per byte. */
START_TEST(random_extents)
{
    enum { SIZE = 2000 };
    struct model model;
    uint64_t state = (uint64_t)_i + 1;
    model_init(&model, SIZE);
    model_set(&model, (struct extent){0, SIZE}, false);
    for (int i = 0; i < 300; i++) {
        struct extent one = {random_in(&state, 0, SIZE - 60), random_in(&state, 1, 60)};
        struct extent other = {random_in(&state, 0, SIZE - 60), random_in(&state, 1, 60)};
        struct extent gap = {0, 0};
        bool has_none = model_all(&model, other, false), has_all = model_all(&model, other, true);
        ck_assert_int_eq(extentset_overlaps(&set, other), !has_none);
        ck_assert_int_eq(extentset_gap(&set, other, &gap), !has_all);
        if (!has_all) {
            ck_assert(model_all(&model, gap, false));
            struct extent before = {other.address, gap.address - other.address};
            ck_assert(before.size == 0 || model_all(&model, before, true));
            struct extent behind = {extent_end(gap), 1};
            ck_assert(extent_end(gap) == extent_end(other) || model_all(&model, behind, true));
        }
        if (i % 3 == 0) {
            add(one.address, one.size);
            model_set(&model, one, true);
        }
    }
    model_release(&model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("extentset");
    TCase *tests = tcase_create("extentset");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, an_empty_set_has_nothing);
    tcase_add_test(tests, what_is_there_may_be_added_again);
    tcase_add_test(tests, everything_is_everything);
    tcase_add_loop_test(tests, random_extents, 0, 20);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
