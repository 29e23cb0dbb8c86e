#include <check.h>
#include <stdlib.h>

#include "core/extentlist.h"
#include "tests/support_main.h"

static void insert(struct extentlist *list, uint64_t address, uint64_t size)
{
    ck_assert_int_eq(extentlist_reserve(list), 0);
    extentlist_insert(list, (struct extent){address, size});
}

START_TEST(test_it_is_ascending_whatever_the_order)
{
    struct extentlist list = {0};
    for (uint64_t i = 0; i < 100; i++)
        insert(&list, i * 37 % 100 * 10, 10 - i % 3);
    ck_assert_uint_eq(list.count, 100);
    uint64_t bytes = 0;
    for (size_t i = 0; i < list.count; i++) {
        ck_assert_uint_eq(list.items[i].address, i * 10);
        bytes += list.items[i].size;
    }
    ck_assert_uint_eq(list.bytes, bytes);
    while (list.count > 0)
        extentlist_remove(&list, list.items[list.count * 7 % 10 % list.count]);
    ck_assert_uint_eq(list.bytes, 0);
    extentlist_release(&list);
}
END_TEST

START_TEST(test_finding)
{
    struct extentlist list = {0};
    ck_assert_uint_eq(extentlist_seek(&list, 0), 0);
    ck_assert(!extentlist_overlaps(&list, (struct extent){0, UINT64_MAX}));
    insert(&list, 100, 10);
    insert(&list, 110, 10); /* they touch, and stay two */
    insert(&list, 200, 1);
    ck_assert_uint_eq(extentlist_seek(&list, 0), 0);
    ck_assert_uint_eq(extentlist_seek(&list, 109), 0);
    ck_assert_uint_eq(extentlist_seek(&list, 110), 1);
    ck_assert_uint_eq(extentlist_seek(&list, 120), 2);
    ck_assert_uint_eq(extentlist_seek(&list, 201), 3);
    ck_assert(extentlist_overlaps(&list, (struct extent){0, 101}));
    ck_assert(!extentlist_overlaps(&list, (struct extent){0, 100}));
    ck_assert(extentlist_overlaps(&list, (struct extent){119, 1}));
    ck_assert(!extentlist_overlaps(&list, (struct extent){120, 80}));
    ck_assert(!extentlist_overlaps(&list, (struct extent){105, 0}));
    extentlist_remove(&list, (struct extent){110, 10});
    ck_assert(!extentlist_overlaps(&list, (struct extent){110, 90}));
    extentlist_release(&list);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("extentlist");
    TCase *tcase = tcase_create("extentlist");
    tcase_add_test(tcase, test_it_is_ascending_whatever_the_order);
    tcase_add_test(tcase, test_finding);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
