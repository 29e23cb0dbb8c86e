#include <check.h>
#include <stdlib.h>

#include "daemon/budget.h"
#include "tests/support_main.h"

#define MESSAGE ((uint64_t)1000000)
#define LIMIT ((uint64_t)4000000)

static struct budget budget;
/* Only compared, so anything with an address will do. */
static char room[4];
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

static struct buffer taken(size_t memory)
{
    ck_assert(budget_take(&budget, CONN(0), memory));
    struct buffer buffer = {malloc(memory), memory, memory};
    ck_assert_ptr_nonnull(buffer.base);
    return buffer;
}

static void keep(size_t memory)
{
    struct buffer buffer = taken(memory);
    budget_keep(&budget, &buffer);
    ck_assert_ptr_null(buffer.base);
}

START_TEST(kept_buffers_are_taken_again)
{
    struct buffer buffer, a = taken(500000), b = taken(450000), c = taken(500000);
    uint8_t *bases[] = {a.base, b.base, c.base};
    budget_keep(&budget, &a);
    budget_keep(&budget, &b);
    budget_keep(&budget, &c);
    ck_assert_uint_eq(budget.used, 0);
    ck_assert(!budget_take_kept(&budget, CONN(0), 500001, 0, &buffer));
    ck_assert(!budget_take_kept(&budget, CONN(0), 300000, 0, &buffer)); /* too much memory for it */
    /* of two alike that which came last */
    ck_assert(budget_take_kept(&budget, CONN(0), 460000, 100000, &buffer));
    ck_assert_ptr_eq(buffer.base, bases[2]);
    ck_assert_uint_eq(buffer.capacity, 460000);
    ck_assert_uint_eq(budget.used, 400000);
    budget_add(&budget, 100000); /* which the caller had counted */
    budget_keep(&budget, &buffer);
    ck_assert(budget_take_kept(&budget, CONN(0), 440000, 0, &buffer));
    ck_assert_ptr_eq(buffer.base, bases[1]);
    budget_keep(&budget, &buffer);
    budget_release_kept(&budget);
    ck_assert_uint_eq(budget.kept_size, 0);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(kept_buffers_make_room)
{
    struct buffer buffer;
    for (int i = 0; i < 5; i++)
        keep(MESSAGE);
    ck_assert_uint_eq(budget.kept_size, LIMIT);
    struct buffer others[4];
    for (int i = 0; i < 4; i++)
        others[i] = taken(MESSAGE - 1);
    ck_assert_uint_le(budget.used + budget.kept_size, LIMIT);
    for (int i = 0; i < 4; i++)
        budget_keep(&budget, &others[i]);
    ck_assert_uint_eq(budget.kept_count, 4);
    ck_assert(budget_take(&budget, CONN(0), LIMIT - MESSAGE));
    ck_assert_uint_le(budget.used + budget.kept_size, LIMIT);
    ck_assert_uint_eq(budget.kept_count, 1);
    /* who waits is first, and it stays for them */
    budget.waiting = (struct conn *)(void *)&room[1];
    ck_assert(!budget_take_kept(&budget, CONN(0), MESSAGE - 1, 0, &buffer));
    ck_assert_uint_eq(budget.kept_size, MESSAGE - 1);
    budget.waiting = NULL;
    ck_assert(budget_take_kept(&budget, CONN(0), MESSAGE - 1, 0, &buffer));
    budget_keep(&budget, &buffer);
    budget_release_kept(&budget);
}
END_TEST

/* What is not asked for, and a limit that is lowered, takes the room from those that are kept too.
 */
START_TEST(kept_buffers_are_within_the_limit_always)
{
    for (int i = 0; i < 5; i++)
        keep(MESSAGE);
    ck_assert_uint_eq(budget.kept_size, LIMIT);
    budget_add(&budget, MESSAGE + 1);
    ck_assert_uint_eq(budget.kept_count, 2);
    for (int i = 0; i < 10; i++)
        ck_assert(budget_take(&budget, CONN(0), 1000));
    ck_assert_uint_le(budget.used + budget.kept_size, LIMIT);
    budget_set_limits(&budget, 2 * MESSAGE, MESSAGE);
    ck_assert_uint_le(budget.used + budget.kept_size, 2 * MESSAGE);
    budget_release_kept(&budget);
    ck_assert_uint_eq(budget.kept_size, 0);
}
END_TEST

START_TEST(only_so_many_buffers_are_kept)
{
    struct buffer buffers[BUFFERS_KEPT + 1];
    for (int i = 0; i < BUFFERS_KEPT + 1; i++)
        buffers[i] = taken(1000);
    for (int i = 0; i < BUFFERS_KEPT + 1; i++)
        budget_keep(&budget, &buffers[i]);
    ck_assert_uint_eq(budget.kept_count, BUFFERS_KEPT);
    ck_assert_uint_eq(budget.used, 0);
    budget_release_kept(&budget);
}
END_TEST

/* Those that were not needed for a while are given up, and no others. */
START_TEST(kept_buffers_age)
{
    struct buffer buffer, others[3];
    for (int i = 0; i < 3; i++)
        others[i] = taken(500000);
    for (int i = 0; i < 3; i++)
        budget_keep(&budget, &others[i]);
    budget_age_kept(&budget); /* they have just come */
    ck_assert_uint_eq(budget.kept_count, 3);
    ck_assert(budget_take_kept(&budget, CONN(0), 500000, 0, &buffer));
    budget_keep(&budget, &buffer);
    budget_age_kept(&budget);
    ck_assert_uint_eq(budget.kept_count, 1);
    budget_age_kept(&budget);
    ck_assert_uint_eq(budget.kept_count, 0);
    ck_assert_uint_eq(budget.kept_size, 0);
}
END_TEST

static struct budget part;

/* A part has a limit and an overdraft of its own, and counts for the whole. */
START_TEST(a_part_of_it)
{
    budget_set_limits(&budget, 1024 * MESSAGE, MESSAGE / 2);
    budget_init_part(&part, &budget);
    ck_assert_uint_eq(part.limit, 64 * MESSAGE);
    ck_assert_uint_lt(BUDGET_PART_MIN, part.limit);
    ck_assert(budget_take(&part, CONN(0), part.limit));
    ck_assert(budget_take(&part, CONN(1), MESSAGE)); /* the overdraft */
    ck_assert(!budget_take(&part, CONN(2), MESSAGE));
    ck_assert_uint_eq(budget.used, part.limit + MESSAGE);
    part.waiting = (struct conn *)(void *)&room[2];
    ck_assert(budget_take(&budget, CONN(3), MESSAGE)); /* does not wait for that */
    part.waiting = NULL;
    budget_pass_on(&part, MESSAGE); /* CONN(1)'s is whole */
    ck_assert(budget_take(&part, CONN(2), MESSAGE));
    ck_assert_uint_eq(part.used, part.limit + MESSAGE);
    ck_assert_uint_eq(budget.used, part.limit + 3 * MESSAGE);
    budget_give(&part, part.used);
    budget_give_passed(&budget, MESSAGE);
    budget_give(&budget, MESSAGE);
    ck_assert_uint_eq(part.used, 0);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

/* Where the whole is full there is no room in the part either. */
START_TEST(a_part_of_what_is_full)
{
    budget_init_part(&part, &budget);
    budget_add(&budget, LIMIT);
    ck_assert(budget_take(&part, CONN(0), MESSAGE));
    ck_assert_ptr_eq(part.overdrawn, CONN(0));
    ck_assert(!budget_fits(&part, CONN(1), 3 * MESSAGE));
    budget_give(&part, MESSAGE);
    budget_give(&budget, LIMIT);
    ck_assert(budget_take(&part, CONN(1), MESSAGE));
    ck_assert_ptr_null(part.overdrawn);
}
END_TEST

/* Small ones are asked for once there are as many again as the part may have; large ones that have
 * overdrawn it do not count. */
/* Who has the overdraft of the part does not have it anew for each message that is passed on. */
START_TEST(one_message_after_the_other)
{
    int count = 0;
    budget_set_limits(&budget, 4 * MESSAGE, MESSAGE);
    budget_init_part(&part, &budget);
    for (; count < 100 && budget_take(&part, CONN(0), MESSAGE); count++)
        budget_pass_on(&part, MESSAGE);
    ck_assert_int_eq(count, 5);
    ck_assert(!budget_fits(&part, CONN(1), MESSAGE));
    budget_give_passed(&budget, MESSAGE);
    ck_assert(budget_take(&part, CONN(1), MESSAGE)); /* the overdraft, as long as it is his */
    ck_assert(!budget_take(&part, CONN(2), MESSAGE));
    budget_pass_on(&part, MESSAGE);
    ck_assert(!budget_take(&part, CONN(2), MESSAGE));
    budget_give_passed(&budget, 5 * MESSAGE);
}
END_TEST

START_TEST(small_ones_get_tight)
{
    budget_set_limits(&budget, 1024 * MESSAGE, 64 * MESSAGE);
    budget_init_part(&part, &budget);
    ck_assert(budget_take(&part, CONN(0), part.limit));
    ck_assert(budget_take(&part, CONN(0), part.limit));
    ck_assert_uint_eq(part.used, 2 * part.limit);
    ck_assert(!budget_is_tight(&part));
    while (part.used < 3 * part.limit) {
        ck_assert(!budget_is_tight(&part));
        ck_assert(budget_take(&part, CONN(1), BUDGET_SMALL / 2));
    }
    ck_assert(budget_is_tight(&part));
    ck_assert(!budget_take(&part, CONN(1), BUDGET_SMALL / 2));
    part.is_passing = true;
    ck_assert(budget_take(&part, CONN(1), BUDGET_SMALL / 2));
    part.is_passing = false;
    ck_assert(!budget_is_tight(&budget));
    budget_give(&part, BUDGET_SMALL / 2);
    budget_give(&part, BUDGET_SMALL / 2);
    ck_assert(!budget_is_tight(&part));
}
END_TEST

/* What was executed is kept in the part, within twice its limit, what is used of the whole too. */
START_TEST(kept_buffers_are_of_the_part)
{
    struct buffer buffer, others[3];
    budget_set_limits(&budget, 1024 * MESSAGE, MESSAGE);
    budget_init_part(&part, &budget);
    for (int i = 0; i < 3; i++) {
        ck_assert(budget_take(&part, CONN(0), MESSAGE));
        budget_pass_on(&part, MESSAGE);
        others[i] = (struct buffer){malloc(MESSAGE), MESSAGE, MESSAGE};
        ck_assert_ptr_nonnull(others[i].base);
    }
    budget_add(&budget, 2 * part.limit - 2 * MESSAGE);
    for (int i = 0; i < 3; i++)
        budget_keep(&part, &others[i]);
    ck_assert_uint_eq(part.kept_size, 2 * MESSAGE);
    ck_assert_uint_eq(part.used, 0);
    ck_assert_uint_eq(budget.used, 2 * part.limit - 2 * MESSAGE);

    ck_assert(budget_take_kept(&part, CONN(0), MESSAGE, 4096, &buffer));
    budget_add(&part, 4096); /* which the caller had counted */
    ck_assert_uint_eq(part.used, MESSAGE);
    ck_assert_uint_eq(part.kept_size, MESSAGE);
    budget_pass_on(&part, MESSAGE);
    budget_keep(&part, &buffer);
    ck_assert_uint_eq(part.kept_size, 2 * MESSAGE);

    /* others take the room in the whole, and in the part */
    budget_add(&budget, MESSAGE);
    ck_assert_uint_eq(part.kept_size, MESSAGE);
    ck_assert(budget_take(&part, CONN(1), MESSAGE));
    ck_assert_uint_eq(part.kept_size, 0);
}
END_TEST

/* Where the whole is little it is the limit, also when it becomes little. */
START_TEST(kept_buffers_are_within_the_whole)
{
    budget_set_limits(&budget, 8 * MESSAGE, MESSAGE);
    budget_init_part(&part, &budget);
    ck_assert_uint_eq(part.limit, budget.limit);
    for (int i = 0; i < 8; i++) {
        struct buffer buffer = {malloc(MESSAGE), MESSAGE, MESSAGE};
        ck_assert_ptr_nonnull(buffer.base);
        budget_add(&budget, MESSAGE);
        budget_keep(&part, &buffer);
    }
    ck_assert_uint_eq(part.kept_size, 8 * MESSAGE);
    budget_add(&budget, 1);
    ck_assert_uint_eq(part.kept_size, 7 * MESSAGE);
    budget_set_limits(&budget, 4 * MESSAGE, MESSAGE);
    budget_set_part_limits(&part);
    ck_assert_uint_eq(part.kept_size, 3 * MESSAGE);
    budget_release_kept(&part);
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
    tcase_add_test(tcase, kept_buffers_are_taken_again);
    tcase_add_test(tcase, kept_buffers_make_room);
    tcase_add_test(tcase, kept_buffers_are_within_the_limit_always);
    tcase_add_test(tcase, only_so_many_buffers_are_kept);
    tcase_add_test(tcase, kept_buffers_age);
    tcase_add_test(tcase, a_part_of_it);
    tcase_add_test(tcase, a_part_of_what_is_full);
    tcase_add_test(tcase, one_message_after_the_other);
    tcase_add_test(tcase, small_ones_get_tight);
    tcase_add_test(tcase, kept_buffers_are_of_the_part);
    tcase_add_test(tcase, kept_buffers_are_within_the_whole);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
