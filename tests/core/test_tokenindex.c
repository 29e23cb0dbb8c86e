/* The index of tokens, against a plain list: also where many hashes stand in each other's way, and
 * where memory for a larger table is not to be had. */
#include "core/tokenindex.h"

#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

#include "support_random.h"
#include "tests/support_main.h"

static bool is_short; /* of memory */

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    static __typeof__(calloc) *next;
    if (next == NULL)
        next = (__typeof__(calloc) *)dlsym(RTLD_NEXT, "calloc");
    return is_short ? NULL : next(count, size);
}

#define MOST 5000

static struct tokenindex tokenindex;
static uint64_t hashes[MOST]; /* by sequence */
static uint64_t first, next;  /* those that are in it */

static void set_up(void)
{
    tokenindex = (struct tokenindex){0};
    first = next = 0;
    is_short = false;
}

static void tear_down(void)
{
    tokenindex_release(&tokenindex);
}

static void add(uint64_t hash)
{
    ck_assert_int_eq(tokenindex_reserve(&tokenindex), 0);
    hashes[next] = hash;
    tokenindex_add(&tokenindex, hash, next);
    next++;
}

static void remove_first(void)
{
    tokenindex_remove(&tokenindex, hashes[first], first);
    first++;
}

static void remove_last(void)
{
    next--;
    tokenindex_remove(&tokenindex, hashes[next], next);
}

/* How often a sequence is found under a hash. */
static unsigned found(uint64_t hash, uint64_t sequence)
{
    struct tokenindex_probe probe = tokenindex_probe(&tokenindex, hash);
    unsigned count = 0;
    uint32_t low;
    while (tokenindex_next(&probe, &low))
        count += low == (uint32_t)sequence;
    return count;
}

static void expect_all(void)
{
    ck_assert_uint_eq(tokenindex_count(&tokenindex), next - first);
    for (uint64_t i = 0; i < next; i++)
        ck_assert_uint_eq(found(hashes[i], i), i >= first);
}

START_TEST(nothing_is_found_in_an_empty_one)
{
    ck_assert_uint_eq(found(7, 0), 0);
    ck_assert_int_eq(tokenindex_reserve(&tokenindex), 0);
    ck_assert_uint_eq(found(7, 0), 0);
    ck_assert_uint_eq(tokenindex_count(&tokenindex), 0);
}
END_TEST

/* Of few tables, few homes in each, and the tag that no slot has. */
static uint64_t some_hash(struct rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0:
        return rng_below(rng, 4) << 56;
    case 1:
        return rng_below(rng, 3) << 56 | rng_below(rng, 2) << 20 | rng_below(rng, 4);
    case 2:
        return UINT32_MAX - rng_below(rng, 3);
    default:
        return rng_next(rng);
    }
}

START_TEST(random_use)
{
    struct rng rng = {(uint64_t)_i + 1};
    for (int step = 0; step < 3000 && next < MOST; step++) {
        unsigned adds = step / 500 % 2 == 0 ? 70 : 40;
        if (first == next || rng_chance(&rng, adds))
            add(some_hash(&rng));
        else if (rng_chance(&rng, 70))
            remove_first();
        else
            remove_last();
        if (step % 50 == 0)
            expect_all();
    }
    expect_all();
}
END_TEST

/* All in one table, which cannot grow: nothing is lost, and no further one is promised a place. */
START_TEST(without_memory)
{
    is_short = true;
    ck_assert_int_eq(tokenindex_reserve(&tokenindex), -ENOMEM);
    is_short = false;
    add(0);
    is_short = true;
    while (tokenindex_reserve(&tokenindex) == 0)
        add(next % 3);
    ck_assert_uint_gt(next, 4);
    expect_all();
    ck_assert_int_eq(tokenindex_reserve(&tokenindex), -ENOMEM);
    remove_first();
    add(1); /* the place of the other one */
    ck_assert_int_eq(tokenindex_reserve(&tokenindex), -ENOMEM);
    is_short = false;
    for (int i = 0; i < 100; i++)
        add((uint64_t)i << 16);
    expect_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenindex");
    TCase *tcase = tcase_create("tokenindex");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, nothing_is_found_in_an_empty_one);
    tcase_add_loop_test(tcase, random_use, 0, 6);
    tcase_add_test(tcase, without_memory);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
