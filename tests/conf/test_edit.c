/* conf/edit: distances between words. */
#include <stdint.h>
#include <string.h>

#include "conf/edit.h"
#include "tests/conf/support_run.h"

static size_t distance(const char *a, const char *b)
{
    size_t there = edit_distance(a, strlen(a), b, strlen(b));

    ck_assert_uint_eq(edit_distance(b, strlen(b), a, strlen(a)), there);
    return there;
}

START_TEST(distances)
{
    ck_assert_uint_eq(distance("", ""), 0);
    ck_assert_uint_eq(distance("", "abc"), 3);
    ck_assert_uint_eq(distance("sync", "sync"), 0);
    ck_assert_uint_eq(distance("sync", "synk"), 1);
    ck_assert_uint_eq(distance("sync", "snyc"), 1);
    ck_assert_uint_eq(distance("sync", "syn"), 1);
    ck_assert_uint_eq(distance("sync", "asyncs"), 2);
    ck_assert_uint_eq(distance("durabilty", "durability"), 1);
    ck_assert_uint_eq(distance("kitten", "sitting"), 3);
    ck_assert_uint_eq(distance("abcd", "wxyz"), 4);
    ck_assert_uint_eq(distance("ba", "abc"), 2);
}
END_TEST

START_TEST(words_too_long)
{
    char word[33];

    memset(word, 'a', sizeof word);
    ck_assert_uint_eq(edit_distance(word, 32, word, 32), 0);
    ck_assert_uint_eq(edit_distance(word, 32, "", 0), 32);
    ck_assert_uint_eq(edit_distance(word, 33, word, 32), SIZE_MAX);
    ck_assert_uint_eq(edit_distance("a", 1, word, 33), SIZE_MAX);
}
END_TEST

START_TEST(slips)
{
    ck_assert(edit_is_slip(1, 3));
    ck_assert(!edit_is_slip(2, 3));
    ck_assert(edit_is_slip(2, 4));
    ck_assert(!edit_is_slip(3, 5));
    ck_assert(edit_is_slip(3, 10));
    ck_assert(!edit_is_slip(4, 20));
    ck_assert(!edit_is_slip(SIZE_MAX, 20));
}
END_TEST

RUN_SUITE("conf/edit", distances, words_too_long, slips)
