/* Tokens: a change that is asked for again is done once. */
#include "core/region.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "support_fixture.h"
#include "support_token.h"
#include "tests/support_main.h"

static uint64_t ticket;

static void set_window(uint64_t window)
{
    struct region_info info;
    region_get_info(region, &info);
    info.options.token_window = window;
    region_set_options(region, &info.options);
}

static uint64_t count(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info.tokens;
}

START_TEST(a_retry_waits_for_the_first)
{
    ck_assert_int_eq(token_find(region, 1, 9, &ticket), 0);
    uint64_t first = token_add(region, 1, 9, small, 100);
    ck_assert_int_eq(token_find(region, 1, 9, &ticket), REGION_FOUND);
    ck_assert_uint_eq(ticket, first);
    ck_assert_uint_lt(region_done_ticket(region), ticket);
    drive_settle(region);
    ck_assert_int_eq(token_find(region, 1, 9, &ticket), REGION_FOUND);
    ck_assert_uint_ge(region_done_ticket(region), ticket);
    ck_assert_uint_eq(fixture_allocated(), 100);
    ck_assert_uint_eq(count(), 1);
}
END_TEST

START_TEST(another_change_needs_another_token)
{
    token_add(region, 1, 9, small, 100);
    ck_assert_int_eq(token_find_as(region, 1, 1000, &err), ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "main"));
    ck_assert_int_eq(token_find_as(region, 2, 1000, &err), 0);
}
END_TEST

START_TEST(an_answer_that_is_too_large)
{
    ck_assert_int_eq(region_token_expect(region, TOKEN_ANSWER_MAX, &err), 0);
    ck_assert_int_eq(region_token_expect(region, TOKEN_ANSWER_MAX + 1, &err), ERR_TOO_LARGE);
    drive_add(region, small, 10); /* nothing is expected any more */
    drive_settle(region);
}
END_TEST

/* In the journal alone, in a checkpoint alone, and in both. */
START_TEST(a_power_cut)
{
    static const struct {
        bool is_checkpointed, goes_on;
    } ways[] = {{false, false}, {true, false}, {true, true}};
    for (uint64_t i = 0; i < 50; i++)
        token_add(region, i, i == 7 ? 100000 : 1 + i, small, 10);
    drive_settle(region);
    if (ways[_i].is_checkpointed)
        drive_checkpoint(region);
    for (uint64_t i = 50; ways[_i].goes_on && i < 60; i++)
        token_add(region, i, 1 + i, small, 10);
    drive_settle(region);
    struct region_report report;
    for (int again = 0; again < 2; again++) {
        fixture_power_cut();
        region = fixture_open(false, &report);
        if (again == 0)
            ck_assert_int_eq(report.records > 0, !ways[_i].is_checkpointed || ways[_i].goes_on);
        ck_assert_uint_eq(count(), ways[_i].goes_on ? 60 : 50);
        for (uint64_t i = 0; i < count(); i++) {
            ck_assert_int_eq(token_find(region, i, i == 7 ? 100000 : 1 + i, &ticket), REGION_FOUND);
            ck_assert_uint_eq(ticket, 0);
        }
        ck_assert_int_eq(token_find(region, 60, 1, &ticket), 0);
    }
    token_add(region, 60, 3, small, 1);
    drive_settle(region);
    ck_assert_int_eq(token_find(region, 60, 3, &ticket), REGION_FOUND);
}
END_TEST

/* Slices of it are told before and after tokens come, and tokens go. */
START_TEST(a_checkpoint_while_tokens_come_and_go)
{
    uint64_t next = 0, wanted, size = 500;
    set_window(3000);
    for (; next < 3000; next++)
        token_add(region, next, size, small, 1);
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &wanted, &err), 0);
    while (region_checkpoint_ticket(region) < wanted) {
        drive_step(region, LANE_BACKGROUND);
        for (int i = 0; i < 150; i++)
            token_add(region, next++, size, small, 1);
        drive_step(region, LANE_COMMIT);
    }
    ck_assert_uint_gt(next, 4500); /* some were forgotten before they were told */
    for (int again = 0; again < 2; again++) {
        drive_settle(region);
        fixture_power_cut();
        region = fixture_open(false, NULL);
        for (uint64_t i = next - 3000; i < next; i++)
            ck_assert_int_eq(token_find(region, i, size, &ticket), REGION_FOUND);
    }
}
END_TEST

START_TEST(a_change_of_nothing_is_remembered_too)
{
    struct region_info before, after;
    region_get_info(region, &before);
    uint64_t first = token_add(region, 1, 9, small, 0);
    ck_assert_uint_gt(first, region_done_ticket(region));
    drive_settle(region);
    region_get_info(region, &after);
    ck_assert_uint_eq(after.commits, before.commits + 1);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_int_eq(token_find(region, 1, 9, &ticket), REGION_FOUND);
    ck_assert_uint_eq(fixture_allocated(), 0);
}
END_TEST

/* A large blob that goes straight into space that the gathering batch freed: it must not be in that
 * batch, and its token neither. */
START_TEST(the_token_is_in_the_record_of_its_change)
{
    uint64_t large = drive_add(region, big, 1 << 20);
    drive_settle(region);
    drive_deallocate(region, large, 1 << 20);
    uint64_t freed = region_ticket(region);
    ck_assert_uint_gt(token_add(region, 1, 5000, big, 1 << 20), freed);
    ck_assert_int_eq(token_find(region, 1, 5000, &ticket), REGION_FOUND);
    ck_assert(drive_step(region, LANE_COMMIT)); /* the first one only */
    ck_assert_uint_eq(region_done_ticket(region), freed);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_int_eq(token_find(region, 1, 5000, &ticket), 0);
    ck_assert_uint_eq(fixture_allocated(), 0);
    token_add(region, 1, 5000, big, 1 << 20);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_int_eq(token_find(region, 1, 5000, &ticket), REGION_FOUND);
    drive_expect(region, large, big, 1 << 20);
}
END_TEST

START_TEST(a_failure_takes_tokens_back)
{
    token_add(region, 1, 9, small, 100);
    drive_settle(region);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_SYNC), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    token_add(region, 2, 9, small, 100);
    struct region_job *job = region_next_job(region, LANE_COMMIT, 1);
    token_add(region, 3, 3000, small, 100);
    region_job_run(job);
    region_job_done(region, job);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_int_eq(token_find(region, 1, 9, &ticket), REGION_FOUND);
    ck_assert_int_eq(token_find(region, 2, 9, &ticket), 0);
    ck_assert_int_eq(token_find(region, 3, 3000, &ticket), 0);
    ck_assert_int_eq(token_try_add(region, 2, 9, small, 100, &err), ERR_READ_ONLY);
    ck_assert_uint_eq(count(), 1);
}
END_TEST

/* However small the window: who asks again before the first is done is not taken for another. */
START_TEST(a_window_smaller_than_what_is_under_way)
{
    set_window(2);
    for (uint64_t i = 0; i < 10; i++)
        token_add(region, i, 9, small, 100);
    ck_assert_int_eq(token_find(region, 0, 9, &ticket), REGION_FOUND);
    drive_settle(region);
    token_add(region, 10, 9, small, 100);
    ck_assert_int_eq(token_find(region, 7, 9, &ticket), 0);
    ck_assert_int_eq(token_find(region, 8, 9, &ticket), REGION_FOUND);
    ck_assert_int_eq(token_find(region, 9, 9, &ticket), REGION_FOUND);
    ck_assert_uint_eq(count(), 3);
}
END_TEST

START_TEST(a_window_that_is_another_after_a_restart)
{
    struct region_options options;
    struct region_info info;
    for (uint64_t i = 0; i < 100; i++)
        token_add(region, i, 9, small, 10);
    drive_settle(region);
    region_get_info(region, &info);
    options = info.options;
    options.token_window = 30;
    drive_close(region);
    ck_assert_int_eq(region_open(io, "r", &options, false, &region, NULL, &err), 0);
    ck_assert_uint_eq(count(), 30);
    ck_assert_int_eq(token_find(region, 69, 9, &ticket), 0);
    ck_assert_int_eq(token_find(region, 70, 9, &ticket), REGION_FOUND);
    options.token_window = 1000;
    drive_close(region);
    ck_assert_int_eq(region_open(io, "r", &options, false, &region, NULL, &err), 0);
    ck_assert_uint_eq(count(), 30);
    token_add(region, 100, 9, small, 10);
    drive_settle(region);
    ck_assert_uint_eq(count(), 31);
    set_window(5);
    ck_assert_uint_eq(count(), 5);
    ck_assert_int_eq(token_find(region, 96, 9, &ticket), REGION_FOUND);
}
END_TEST

START_TEST(answers_that_are_no_longer_kept)
{
    enum { SIZE = 1 << 20, COUNT = TOKEN_RESULTS_MAX / SIZE + 3 };
    for (uint64_t i = 0; i < COUNT; i++) {
        token_add(region, i, SIZE, small, 10);
        drive_settle(region);
    }
    token_add(region, 1000, 1, small, 10);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(token_find_as(region, 0, 99, &err), ERR_NOT_ALLOCATED);
        ck_assert_int_eq(token_find_as(region, 0, 98, &err), ERR_INVALID_ARGUMENT);
        ck_assert_int_eq(token_find(region, COUNT - 1, SIZE, &ticket), REGION_FOUND);
        drive_checkpoint(region);
        fixture_power_cut();
        region = fixture_open(false, NULL);
    }
    ck_assert_uint_eq(count(), COUNT + 1);
}
END_TEST

/* ---- A full disk ---- */

static int deallocate_with_token(uint64_t number, struct extent block, size_t size)
{
    struct token_id id = token_id(number);
    for (;;) {
        int code = region_token_expect(region, size, &err);
        if (code == 0)
            code = region_deallocate(region, block, &err);
        if (code == 0)
            region_token_keep(region, id.bytes, 99, big, size);
        if (code != REGION_WAIT)
            return code;
        drive_settle(region);
    }
}

/* What is staged always fits into a checkpoint: there is no room for more answers than that. */
START_TEST(a_full_disk_refuses_large_answers)
{
    enum { SIZE = 300000 };
    uint64_t kept = 0, address = drive_allocate(region, 1 << 20);
    int code;
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk));
    while ((code = deallocate_with_token(kept, (struct extent){address + kept, 1}, SIZE)) == 0)
        kept++;
    ck_assert_int_eq(code, ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(err.text, "token"));
    ck_assert_uint_ge(kept, 1);
    ck_assert_uint_le(kept, 3);
    ck_assert_int_eq(deallocate_with_token(100, (struct extent){address + 100, 1}, 20), 0);
    ck_assert_int_eq(region_token_expect(region, 0, &err), 0);
    drive_deallocate(region, address + 200, 1);
    drive_checkpoint(region);
    drive_close(region);
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(count(), kept + 1);
    /* Somebody makes space. */
    simdisk_set_capacity(disk, 0);
    ck_assert_int_eq(deallocate_with_token(kept, (struct extent){address + kept, 1}, SIZE), 0);
}
END_TEST

/* Calls a change with a token until there is an answer, which there must be soon. */
static int answer_soon(int (*change)(void), uint64_t number, size_t size)
{
    struct token_id id = token_id(number);
    for (int i = 0; i < 20; i++) {
        int code = region_token_expect(region, size, &err);
        if (code == 0)
            code = change();
        if (code == 0)
            region_token_keep(region, id.bytes, 99, big, size);
        if (code != REGION_WAIT)
            return code;
        drive_settle(region);
    }
    ck_abort_msg("told to wait again and again");
    return REGION_WAIT;
}

static uint64_t block; /* of 1 MiB */

static int store_a_byte(void)
{
    return region_store(region, block, "x", 1, &err);
}

/* Fills what checkpoints have room for with tokens. */
static void fill_checkpoints(void)
{
    static const size_t sizes[] = {300000, 30000, 3000, 300, 20};
    uint64_t number = 1000;
    block = drive_allocate(region, 1 << 20);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        while (answer_soon(store_a_byte, number, sizes[i]) == 0)
            number++;
    ck_assert_int_eq(err.code, ERR_NO_SPACE);
}

static int resize_it(void)
{
    uint64_t address;
    return region_resize(region, (struct extent){block, 1 << 20}, (1 << 20) + 10, &address, &err);
}

static int replace_it(void)
{
    uint64_t address;
    return region_replace(region, (struct extent){block, 1000}, big, 100000, &address, &err);
}

static int replace_it_with_less(void)
{
    uint64_t address;
    return region_replace(region, (struct extent){block, 1 << 20}, big, 100000, &address, &err);
}

static int free_a_part(void)
{
    uint64_t freed;
    return region_deallocate_range(region, block + 100, block + 200, &freed, &err);
}

static int free_nothing(void)
{
    return region_deallocate(region, (struct extent){block, 0}, &err);
}

static int free_no_range(void)
{
    uint64_t freed;
    return region_deallocate_range(region, block, block, &freed, &err);
}

static int in_one(int (*one)(void), int (*other)(void))
{
    int code = region_atomic_begin(region, 0, &err);
    if (code != 0)
        return code;
    code = one();
    if (code == 0)
        code = other();
    region_atomic_end(region, code == 0);
    return code;
}

static int free_a_byte(void)
{
    return region_deallocate(region, (struct extent){block + 300, 1}, &err);
}

static int free_all_or_nothing(void)
{
    return in_one(free_a_part, free_a_byte);
}

static int change_all_or_nothing(void)
{
    return in_one(free_a_byte, store_a_byte);
}

static int resize_all_or_nothing(void)
{
    return in_one(resize_it, free_a_byte);
}

/* What only frees is done, and everything else is refused; whichever way it goes it ends. */
START_TEST(a_full_disk_has_an_answer)
{
    static const struct {
        int (*change)(void);
        int code;
    } all[] = {
        {resize_it, ERR_NO_SPACE},
        {replace_it, ERR_NO_SPACE},
        {replace_it_with_less, ERR_NO_SPACE},
        {free_nothing, 0},
        {free_no_range, 0},
        {change_all_or_nothing, ERR_NO_SPACE},
        {resize_all_or_nothing, ERR_NO_SPACE},
        {free_all_or_nothing, 0},
        {free_a_part, 0}, /* which is free */
    };
    fill_checkpoints();
    for (uint64_t i = 0; i < sizeof all / sizeof all[0]; i++)
        ck_assert_msg(answer_soon(all[i].change, i, 20) == all[i].code, "change %llu",
                      (unsigned long long)i);
    ck_assert_int_eq(region_token_expect(region, 0, &err), 0);
    ck_assert_uint_eq(fixture_allocated(), (1 << 20) - 101);
}
END_TEST

static uint64_t next_byte;

static int free_one(void)
{
    return region_deallocate(region, (struct extent){block + next_byte, 1}, &err);
}

/* Of more tokens than a checkpoint can hold none could be taken, the journal would fill up, and
 * nothing could be freed: rather, frees have no tokens any more. */
START_TEST(a_full_disk_never_refuses_frees)
{
    int code = 0;
    fill_checkpoints();
    for (uint64_t i = 0; code == 0; i++) {
        ck_assert_uint_lt(i, 100000);
        code = answer_soon(free_one, 100000 + i, 20);
        drive_settle(region);
        next_byte += code == 0 ? 2 : 0;
    }
    ck_assert_int_eq(code, ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(err.text, "without a token"));
    ck_assert_uint_gt(next_byte, 2 * 1000);
    ck_assert_int_eq(region_token_expect(region, 0, &err), 0);
    for (uint64_t i = 0; i < 5000; i++, next_byte += 2) {
        drive_deallocate(region, block + next_byte, 2);
        drive_settle(region);
    }
    drive_checkpoint(region);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_retry_waits_for_the_first,
                                  another_change_needs_another_token,
                                  an_answer_that_is_too_large,
                                  a_checkpoint_while_tokens_come_and_go,
                                  a_change_of_nothing_is_remembered_too,
                                  the_token_is_in_the_record_of_its_change,
                                  a_failure_takes_tokens_back,
                                  a_window_smaller_than_what_is_under_way,
                                  a_window_that_is_another_after_a_restart,
                                  answers_that_are_no_longer_kept,
                                  a_full_disk_refuses_large_answers,
                                  a_full_disk_has_an_answer,
                                  a_full_disk_never_refuses_frees};
    Suite *suite = suite_create("region: tokens");
    TCase *tcase = fixture_tests("tokens", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, a_power_cut, 0, 3);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
