#include <check.h>

#include "daemon/budget.h"
#include "tests/support_main.h"

#define MESSAGE ((uint64_t)1000000)
#define LIMIT ((uint64_t)4000000)

static struct budget budget;
/* Only compared, so anything with an address will do. */
static char room[3];
#define CONN(number) ((const struct conn *)(const void *)&room[number])

static void setup(void)
{
    budget_init(&budget, LIMIT, MESSAGE);
}

START_TEST(takes_up_to_the_limit)
{
    for (int i = 0; i < 4; i++)
        ck_assert(budget_take(&budget, CONN(0), MESSAGE));
    ck_assert_uint_eq(budget.used, LIMIT);
    ck_assert_ptr_null(budget.overdrawn);
    budget_give(&budget, LIMIT);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(one_at_a_time_may_overdraw)
{
    budget_add(&budget, LIMIT);
    ck_assert(budget_take(&budget, CONN(0), MESSAGE));
    ck_assert(!budget_take(&budget, CONN(1), MESSAGE));
    ck_assert_uint_eq(budget.used, LIMIT + MESSAGE);
    /* the one that has begun can go on, so it can end */
    ck_assert(budget_take(&budget, CONN(0), MESSAGE));
    ck_assert(!budget_take(&budget, CONN(0), MESSAGE)); /* but not for ever */
    budget_give(&budget, 2 * MESSAGE);
    ck_assert(budget_take(&budget, CONN(1), MESSAGE));
    ck_assert(!budget_take(&budget, CONN(0), MESSAGE));
}
END_TEST

START_TEST(the_overdraft_ends_with_its_holder)
{
    budget_add(&budget, LIMIT);
    ck_assert(budget_take(&budget, CONN(0), MESSAGE));
    ck_assert(!budget_fits(&budget, CONN(1), MESSAGE));
    budget_forget(&budget, CONN(1)); /* not the holder */
    ck_assert(!budget_fits(&budget, CONN(1), MESSAGE));
    budget_forget(&budget, CONN(0));
    ck_assert(budget_fits(&budget, CONN(1), MESSAGE));
}
END_TEST

START_TEST(small_ones_alone_do_not_block_all)
{
    for (uint64_t i = 0; i < 2 * LIMIT; i += BUDGET_SMALL / 2)
        budget_add(&budget, BUDGET_SMALL / 2);
    uint64_t small = budget.used;
    ck_assert(budget_take(&budget, CONN(0), MESSAGE));
    ck_assert(!budget_take(&budget, CONN(1), MESSAGE));
    budget_add(&budget, BUDGET_SMALL / 2); /* somebody else's, who will wait too */
    ck_assert(budget_take(&budget, CONN(0), MESSAGE));
    ck_assert(!budget_take(&budget, CONN(0), MESSAGE));
    ck_assert(!budget_fits(&budget, CONN(1), MESSAGE));
    budget_give(&budget, 2 * MESSAGE); /* its message is done */
    ck_assert_uint_eq(budget.used, small + BUDGET_SMALL / 2);
    ck_assert(budget_take(&budget, CONN(1), MESSAGE));
    ck_assert(!budget_take(&budget, CONN(0), MESSAGE));
}
END_TEST

START_TEST(small_ones_come_and_go_beside_an_overdraft)
{
    budget_add(&budget, LIMIT);
    ck_assert(budget_take(&budget, CONN(0), 2 * MESSAGE));
    for (int i = 0; i < 1000; i++) {
        budget_add(&budget, BUDGET_SMALL / 2);
        ck_assert(!budget_fits(&budget, CONN(1), MESSAGE));
        budget_give(&budget, BUDGET_SMALL / 2);
        ck_assert(!budget_fits(&budget, CONN(1), MESSAGE));
    }
    ck_assert_uint_eq(budget.used, LIMIT + 2 * MESSAGE);
}
END_TEST

START_TEST(nobody_overtakes_those_who_wait)
{
    budget.waiting = (struct conn *)(void *)&room[0];
    ck_assert(!budget_take(&budget, CONN(1), MESSAGE));
    ck_assert(budget_take(&budget, CONN(1), BUDGET_SMALL - 1)); /* small ones are only counted */
    ck_assert_uint_eq(budget.used, BUDGET_SMALL - 1);
    budget.is_granting = true;
    ck_assert(budget_take(&budget, CONN(0), MESSAGE));
}
END_TEST

START_TEST(limits_may_change)
{
    ck_assert(budget_take(&budget, CONN(0), LIMIT));
    budget_set_limits(&budget, LIMIT / 2, MESSAGE / 10);
    ck_assert(!budget_take(&budget, CONN(1), MESSAGE));
    budget_give(&budget, LIMIT);
    ck_assert(budget_take(&budget, CONN(1), MESSAGE));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("budget");
    TCase *tcase = tcase_create("budget");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, takes_up_to_the_limit);
    tcase_add_test(tcase, one_at_a_time_may_overdraw);
    tcase_add_test(tcase, the_overdraft_ends_with_its_holder);
    tcase_add_test(tcase, small_ones_alone_do_not_block_all);
    tcase_add_test(tcase, small_ones_come_and_go_beside_an_overdraft);
    tcase_add_test(tcase, nobody_overtakes_those_who_wait);
    tcase_add_test(tcase, limits_may_change);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
