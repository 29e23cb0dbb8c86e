#include "core/pagecache.h"

#include <check.h>
#include <string.h>

#include "support_random.h"
#include "tests/support_main.h"

#define LIMIT 32 /* pages */
#define SPACE 200

static struct pagecache cache;
static uint8_t bytes[DATA_PAGE];

static void set_up(void)
{
    pagecache_init(&cache);
    pagecache_set_limit(&cache, LIMIT * DATA_PAGE);
}

static void tear_down(void)
{
    pagecache_release(&cache);
}

/* Different pages, and different versions of one, have different bytes. */
static const uint8_t *bytes_of_page(uint64_t page, uint8_t version)
{
    memset(bytes, (int)(page % 251), sizeof bytes);
    bytes[0] = version;
    return bytes;
}

static void insert(uint64_t page, uint8_t version)
{
    pagecache_insert(&cache, page, bytes_of_page(page, version));
}

static bool has(uint64_t page, uint8_t version)
{
    const uint8_t *found = pagecache_find(&cache, page);
    if (found == NULL)
        return false;
    ck_assert_mem_eq(found, bytes_of_page(page, version), DATA_PAGE);
    return true;
}

static void drop(uint64_t first, uint64_t count)
{
    pagecache_drop(&cache, (struct page_run){first, count});
}

START_TEST(an_empty_one_has_nothing)
{
    ck_assert_ptr_null(pagecache_find(&cache, 0));
    ck_assert_ptr_null(pagecache_edit(&cache, 0));
    ck_assert(!pagecache_is_full(&cache));
    drop(0, UINT64_MAX / DATA_PAGE);
}
END_TEST

START_TEST(what_is_inserted_is_found_until_it_is_dropped)
{
    for (uint64_t page = 0; page < LIMIT; page++)
        insert(page * 1000, 1);
    for (uint64_t page = 0; page < LIMIT; page++)
        ck_assert(has(page * 1000, 1));
    drop(1000, 2);
    ck_assert(!has(1000, 1));
    ck_assert(has(2000, 1));
    drop(0, 1000 * LIMIT / 2); /* more pages than there are slots */
    for (uint64_t page = 0; page < LIMIT; page++)
        ck_assert(has(page * 1000, 1) == (page >= LIMIT / 2));
}
END_TEST

START_TEST(edited_in_place)
{
    insert(7, 1);
    pagecache_edit(&cache, 7)[0] = 2;
    ck_assert(has(7, 2));
}
END_TEST

START_TEST(what_was_asked_for_stays)
{
    for (uint64_t page = 0; page < LIMIT; page++)
        insert(page, 1);
    ck_assert(pagecache_is_full(&cache));
    for (uint64_t page = 0; page < LIMIT; page += 2)
        ck_assert(has(page, 1));
    for (uint64_t page = 0; page < LIMIT / 2; page++)
        insert(1000 + page, 1);
    for (uint64_t page = 0; page < LIMIT; page++)
        ck_assert(has(page, 1) == (page % 2 == 0));
}
END_TEST

/* It is the same until it is kept, so that pages which turn out bad push out one at most. */
START_TEST(a_spare_is_nothing_until_it_is_kept)
{
    for (uint64_t page = 0; page < LIMIT; page++)
        insert(page, 1);
    uint8_t *spare = pagecache_spare(&cache);
    ck_assert_ptr_nonnull(spare);
    memset(spare, 99, DATA_PAGE);
    for (int i = 0; i < 3 * LIMIT; i++)
        ck_assert_ptr_eq(pagecache_spare(&cache), spare);
    drop(0, 1);
    drop(0, 3 * LIMIT); /* that is all, the slot of the spare is not among them */
    for (uint64_t page = 0; page < LIMIT; page++) {
        ck_assert(!has(page, 1));
        insert(page, 2);
    }
    size_t found = 0;
    for (uint64_t page = 0; page < LIMIT; page++)
        found += has(page, 2);
    ck_assert_uint_eq(found, LIMIT);
    memcpy(pagecache_spare(&cache), bytes_of_page(500, 3), DATA_PAGE);
    pagecache_keep(&cache, 500);
    ck_assert(has(500, 3));
    ck_assert_ptr_nonnull(pagecache_spare(&cache));
    pagecache_set_limit(&cache, 0); /* with it */
    ck_assert_ptr_null(pagecache_spare(&cache));
}
END_TEST

START_TEST(never_more_than_the_limit)
{
    for (uint64_t page = 0; page < 10 * LIMIT; page++)
        insert(page, 1);
    size_t found = 0;
    for (uint64_t page = 0; page < 10 * LIMIT; page++)
        found += has(page, 1);
    ck_assert_uint_eq(found, LIMIT);
    ck_assert_uint_le(pagecache_memory(&cache), 2 * LIMIT * DATA_PAGE);
}
END_TEST

START_TEST(a_limit_below_what_is_there_forgets_all)
{
    for (uint64_t page = 0; page < LIMIT; page++)
        insert(page, 1);
    pagecache_set_limit(&cache, 0);
    for (uint64_t page = 0; page < LIMIT; page++)
        ck_assert(!has(page, 1));
    insert(1, 1);
    ck_assert(!has(1, 1));
    ck_assert_uint_eq(pagecache_memory(&cache), 0);
    pagecache_set_limit(&cache, LIMIT * DATA_PAGE);
    insert(1, 1);
    ck_assert(has(1, 1));
}
END_TEST

/* Against a table of what was inserted last: what is found is that, and what was dropped is gone.
 */
START_TEST(random_use)
{
    uint8_t versions[SPACE] = {0};
    struct rng rng = {(uint64_t)_i};
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t page = rng_below(&rng, SPACE);
        uint64_t count = 1 + rng_below(&rng, rng_below(&rng, 10) == 0 ? SPACE : 4);
        if (rng_below(&rng, 4) == 0) {
            drop(page, count);
            for (uint64_t i = page; i < SPACE && i < page + count; i++)
                versions[i] = 0;
        } else if (versions[page] == 0 || pagecache_find(&cache, page) == NULL) {
            versions[page] = (uint8_t)(1 + rng_below(&rng, 255));
            insert(page, versions[page]);
            ck_assert(has(page, versions[page]));
        } else {
            ck_assert(has(page, versions[page]));
        }
        ck_assert(versions[page] != 0 || pagecache_find(&cache, page) == NULL);
    }
}
END_TEST

static bool hold(uint64_t page, struct pagecache_hold *ret_hold)
{
    return pagecache_hold(&cache, page, ret_hold);
}

static void fill(void)
{
    for (uint64_t page = 0; page < LIMIT; page++)
        insert(page, 1);
}

/* Neither what pushes others out nor a new version of the page gets to the bytes. */
START_TEST(what_is_held_stays_as_it_is)
{
    struct pagecache_hold first, again, other;
    fill();
    ck_assert(!hold(LIMIT, &first));
    ck_assert(hold(5, &first) && hold(5, &again) && hold(6, &other));
    ck_assert_ptr_eq(first.bytes, again.bytes);
    for (uint64_t page = 1000; page < 1000 + 5 * LIMIT; page++)
        insert(page, 1);
    ck_assert(has(5, 1) && has(6, 1));
    drop(5, 2);
    ck_assert(!has(5, 1) && !has(6, 1));
    insert(5, 2);
    for (uint64_t page = 2000; page < 2000 + 5 * LIMIT; page++)
        insert(page, 1);
    ck_assert_mem_eq(first.bytes, bytes_of_page(5, 1), DATA_PAGE);
    pagecache_let_go(&first);
    for (uint64_t page = 3000; page < 3000 + 5 * LIMIT; page++)
        insert(page, 1);
    ck_assert_mem_eq(again.bytes, bytes_of_page(5, 1), DATA_PAGE);
    ck_assert_mem_eq(other.bytes, bytes_of_page(6, 1), DATA_PAGE);
    pagecache_let_go(&again);
    pagecache_let_go(&other);
    ck_assert_uint_eq(cache.held, 0);
    for (uint64_t page = 4000; page < 4000 + 5 * LIMIT; page++)
        insert(page, 1);
    ck_assert_uint_eq(cache.used, LIMIT); /* no slot was lost */
}
END_TEST

START_TEST(half_of_it_may_be_held)
{
    struct pagecache_hold holds[LIMIT], one;
    fill();
    for (size_t i = 0; i < LIMIT / 2; i++) {
        ck_assert(pagecache_may_hold(&cache, LIMIT / 2 - i));
        ck_assert(!pagecache_may_hold(&cache, LIMIT / 2 - i + 1));
        ck_assert(hold(i, &holds[i]));
        ck_assert(hold(i, &one)); /* the same page once more is no other */
        pagecache_let_go(&one);
    }
    ck_assert(!pagecache_may_hold(&cache, 1));
    for (size_t i = 0; i < LIMIT / 2; i++)
        pagecache_let_go(&holds[i]);
    ck_assert(pagecache_may_hold(&cache, LIMIT / 2));
}
END_TEST

START_TEST(all_of_it_held)
{
    struct pagecache_hold holds[LIMIT], spare;
    fill();
    for (size_t i = 0; i < LIMIT; i++)
        ck_assert(hold(i, &holds[i]));
    ck_assert(!pagecache_hold_spare(&cache, &spare));
    ck_assert_ptr_null(pagecache_spare(&cache));
    insert(1000, 1);
    ck_assert(!has(1000, 1));
    pagecache_let_go(&holds[7]);
    insert(1000, 1);
    ck_assert(has(1000, 1) && !has(7, 1));
    for (size_t i = 0; i < LIMIT; i++)
        if (i != 7)
            pagecache_let_go(&holds[i]);
}
END_TEST

/* It is free for others as soon as it is let go, the last one first. */
START_TEST(a_held_spare)
{
    struct pagecache_hold spares[LIMIT], again;
    for (size_t i = 0; i < LIMIT; i++) {
        ck_assert(pagecache_hold_spare(&cache, &spares[i]));
        memcpy(spares[i].bytes, bytes_of_page(i, 1), DATA_PAGE);
    }
    ck_assert(!pagecache_hold_spare(&cache, &again));
    for (size_t i = 0; i < LIMIT; i++)
        ck_assert(!has(i, 1));
    for (size_t i = 0; i < LIMIT / 2; i++)
        pagecache_keep_held(&cache, i, &spares[i]);
    for (size_t i = 0; i < LIMIT; i++)
        pagecache_let_go(&spares[i]);
    for (size_t i = 0; i < LIMIT / 2; i++)
        ck_assert(has(i, 1));
    ck_assert(pagecache_hold_spare(&cache, &again));
    ck_assert_ptr_eq(again.bytes, spares[LIMIT - 1].bytes);
    pagecache_let_go(&again);
    for (size_t i = LIMIT / 2; i < LIMIT; i++)
        insert(i, 1);
    for (size_t i = 0; i < LIMIT; i++)
        ck_assert(has(i, 1)); /* none had to go */
}
END_TEST

/* Held bytes outlive the cache, or what it has when its limit is lowered. */
START_TEST(held_when_all_is_forgotten)
{
    struct pagecache_hold holds[3], fresh;
    fill();
    for (uint64_t i = 0; i < 3; i++)
        ck_assert(hold(10 * i, &holds[i]));
    pagecache_set_limit(&cache, (LIMIT - 1) * DATA_PAGE);
    ck_assert(!has(0, 1));
    ck_assert(pagecache_may_hold(&cache, (LIMIT - 1) / 2));
    insert(0, 2);
    pagecache_let_go(&holds[1]);
    ck_assert(hold(0, &fresh));
    pagecache_release(&cache);
    ck_assert_uint_eq(pagecache_memory(&cache), 0);
    ck_assert_mem_eq(holds[0].bytes, bytes_of_page(0, 1), DATA_PAGE);
    ck_assert_mem_eq(holds[2].bytes, bytes_of_page(20, 1), DATA_PAGE);
    ck_assert_mem_eq(fresh.bytes, bytes_of_page(0, 2), DATA_PAGE);
    pagecache_let_go(&holds[2]);
    pagecache_let_go(&fresh);
    pagecache_let_go(&holds[0]);
}
END_TEST

/* Once it was full, room is what is left of three quarters of it. */
START_TEST(room)
{
    ck_assert(pagecache_has_room(&cache, LIMIT));
    ck_assert(!pagecache_has_room(&cache, LIMIT + 1));
    fill();
    ck_assert(!pagecache_has_room(&cache, 1));
    drop(0, LIMIT / 4);
    ck_assert(!pagecache_has_room(&cache, 1));
    drop(0, LIMIT / 2);
    ck_assert(pagecache_has_room(&cache, LIMIT / 4));
    ck_assert(!pagecache_has_room(&cache, LIMIT / 4 + 1));
}
END_TEST

/* Against copies of what was held: it is that until it is let go. */
START_TEST(random_holds)
{
    static uint8_t copies[LIMIT / 2][DATA_PAGE];
    struct pagecache_hold holds[LIMIT / 2] = {0};
    struct rng rng = {(uint64_t)_i};
    for (unsigned step = 0; step < 20000; step++) {
        uint64_t page = rng_below(&rng, 2 * (uint64_t)LIMIT);
        size_t i = rng_below(&rng, LIMIT / 2);
        if (rng_below(&rng, 4) == 0) {
            drop(page, 1 + rng_below(&rng, 4));
        } else if (rng_below(&rng, 2000) == 0) {
            pagecache_set_limit(&cache, (LIMIT / 2 + rng_below(&rng, LIMIT / 2)) * DATA_PAGE);
        } else if (pagecache_find(&cache, page) == NULL) {
            insert(page, (uint8_t)rng_below(&rng, 256));
        }
        if (holds[i].chunk != NULL) {
            ck_assert_mem_eq(holds[i].bytes, copies[i], DATA_PAGE);
            pagecache_let_go(&holds[i]);
            holds[i].chunk = NULL;
        } else if (pagecache_may_hold(&cache, 1) && hold(page, &holds[i])) {
            memcpy(copies[i], holds[i].bytes, DATA_PAGE);
        }
        ck_assert_uint_le(cache.slot_count, cache.limit);
    }
    for (size_t i = 0; i < LIMIT / 2; i++)
        if (holds[i].chunk != NULL)
            pagecache_let_go(&holds[i]);
    ck_assert_uint_eq(cache.held, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pagecache");
    TCase *tests = tcase_create("pagecache");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, an_empty_one_has_nothing);
    tcase_add_test(tests, what_is_inserted_is_found_until_it_is_dropped);
    tcase_add_test(tests, edited_in_place);
    tcase_add_test(tests, what_was_asked_for_stays);
    tcase_add_test(tests, a_spare_is_nothing_until_it_is_kept);
    tcase_add_test(tests, never_more_than_the_limit);
    tcase_add_test(tests, a_limit_below_what_is_there_forgets_all);
    tcase_add_loop_test(tests, random_use, 0, 4);
    tcase_add_test(tests, what_is_held_stays_as_it_is);
    tcase_add_test(tests, half_of_it_may_be_held);
    tcase_add_test(tests, all_of_it_held);
    tcase_add_test(tests, a_held_spare);
    tcase_add_test(tests, held_when_all_is_forgotten);
    tcase_add_test(tests, room);
    tcase_add_loop_test(tests, random_holds, 0, 4);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
