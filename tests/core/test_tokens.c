/* The table of tokens: what is remembered, for how long, and what is left of it. */
#include "core/tokens.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support_random.h"
#include "tests/support_main.h"

static const uint8_t key[16] = "sixteen bytes ok";
static struct tokens tokens;
static uint8_t answer[TOKEN_ANSWER_MAX];

static void set_up(void)
{
    tokens_init(&tokens, key, 100);
    for (size_t i = 0; i < sizeof answer; i++)
        answer[i] = (uint8_t)(i * 7 + i / 251);
}

static void expect_sound(void)
{
    const char *wrong = tokens_check(&tokens);
    ck_assert_msg(wrong == NULL, "%s", wrong);
}

static void tear_down(void)
{
    expect_sound();
    tokens_release(&tokens);
}

static struct token token_of(uint64_t number, uint32_t size)
{
    struct token token = {.sequence = number,
                          .fingerprint = number * 3,
                          .result_size = size,
                          .result = answer + number % 100};
    memcpy(token.id, &number, sizeof number);
    return token;
}

static void add(uint64_t number, uint32_t size, uint64_t ticket)
{
    struct token token = token_of(number, size);
    ck_assert_int_eq(tokens_reserve(&tokens, size), 0);
    tokens_add(&tokens, &token, ticket);
}

static bool knows(uint64_t number)
{
    struct token token = token_of(number, 0);
    const struct token_entry *entry = tokens_find(&tokens, token.id);
    if (entry != NULL)
        ck_assert_uint_eq(entry->fingerprint, token.fingerprint);
    return entry != NULL;
}

static void expect_answer(uint64_t number, uint32_t size)
{
    struct token token = token_of(number, size);
    const struct token_entry *entry = tokens_find(&tokens, token.id);
    ck_assert_ptr_nonnull(entry);
    ck_assert_uint_eq(entry->result_size, size);
    ck_assert_int_eq(memcmp(token_entry_result(entry), token.result, size), 0);
}

START_TEST(answers_of_every_size)
{
    static const uint32_t sizes[] = {0,    1,       TOKEN_INLINE,          TOKEN_INLINE + 1,
                                     4096, 1 << 20, TOKEN_ANSWER_MAX - 100};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        add(i, sizes[i], 1);
        bytes += TOKEN_CHECKPOINT_BYTES + sizes[i];
    }
    for (uint64_t i = 0; i < COUNT; i++)
        expect_answer(i, sizes[i]);
    ck_assert(!knows(COUNT));
    ck_assert_uint_eq(tokens.bytes, bytes);
}
END_TEST

START_TEST(the_window_counts_what_is_done)
{
    tokens.window = 3;
    for (uint64_t i = 0; i < 10; i++)
        add(i, 8, i + 1);
    tokens_settle(&tokens, 0);
    ck_assert_uint_eq(tokens_count(&tokens), 10);
    tokens_settle(&tokens, 5); /* 0 to 4 are done: 2, 3, 4 stay */
    ck_assert(!knows(1));
    ck_assert(knows(2));
    tokens_settle(&tokens, 10);
    ck_assert_uint_eq(tokens_count(&tokens), 3);
    ck_assert(knows(7));
    ck_assert(!knows(6));
}
END_TEST

/* Also over several calls, where there are many more than it is to be. */
START_TEST(the_window_changes)
{
    tokens.window = 20000;
    for (uint64_t i = 0; i < 20000; i++)
        add(i, 8, 1);
    tokens.window = 5000;
    for (int i = 0; i < 10; i++)
        tokens_settle(&tokens, 1);
    ck_assert_uint_eq(tokens_count(&tokens), 5000);
    ck_assert(knows(15000));
    ck_assert(!knows(14999));
    tokens.window = 6000;
    for (uint64_t i = 20000; i < 23000; i++)
        add(i, 8, 1);
    tokens_settle(&tokens, 1);
    ck_assert_uint_eq(tokens_count(&tokens), 6000);
    ck_assert(knows(17000));
    tokens.window = 0;
    for (int i = 0; i < 10; i++)
        tokens_settle(&tokens, 1);
    ck_assert_uint_eq(tokens_count(&tokens), 0);
    ck_assert_uint_eq(tokens.bytes, 0);
    ck_assert_uint_le(tokens.segment_count, 1);
}
END_TEST

START_TEST(what_is_taken_back_pushed_nothing_out)
{
    tokens.window = 3;
    for (uint64_t i = 0; i < 3; i++)
        add(i, 1000, 1);
    tokens_settle(&tokens, 1);
    for (uint64_t i = 3; i < 9; i++)
        add(i, 1000, 2);
    tokens_settle(&tokens, 1);
    tokens_take_back(&tokens, 3);
    ck_assert_uint_eq(tokens.next, 3);
    for (uint64_t i = 0; i < 3; i++)
        expect_answer(i, 1000);
    ck_assert(!knows(3));
    add(3, 5, 3);
    expect_answer(3, 5);
    tokens_take_back(&tokens, 0);
    ck_assert_uint_eq(tokens_count(&tokens), 0);
}
END_TEST

START_TEST(the_oldest_large_answers_are_dropped)
{
    enum { SIZE = 1 << 20, FIT = TOKEN_RESULTS_MAX / SIZE };
    for (uint64_t i = 0; i < FIT + 2; i++)
        add(i, i == 1 ? 8 : SIZE, i + 1);
    tokens_settle(&tokens, 0); /* not yet: they are not done */
    expect_answer(0, SIZE);
    tokens_settle(&tokens, FIT + 2);
    ck_assert(knows(0));
    struct token token;
    tokens_get(&tokens, 0, &token);
    ck_assert_uint_eq(token.result_size, TOKEN_RESULT_DROPPED);
    ck_assert_ptr_null(token.result);
    expect_answer(1, 8);
    expect_answer(2, SIZE);
    ck_assert_uint_le(tokens.result_bytes, TOKEN_RESULTS_MAX);
}
END_TEST

START_TEST(an_id_used_again_is_the_newer_one)
{
    struct token token = token_of(7, 4);
    add(7, 3, 1);
    token.fingerprint = 1;
    ck_assert_int_eq(tokens_reserve(&tokens, 4), 0);
    tokens_add(&tokens, &token, 1);
    ck_assert_uint_eq(tokens_find(&tokens, token.id)->fingerprint, 1);
    tokens.window = 1;
    tokens_settle(&tokens, 1);
    ck_assert_uint_eq(tokens_find(&tokens, token.id)->fingerprint, 1);
}
END_TEST

/* Wherever growing tables put the two of them. */
START_TEST(ids_used_again_in_tables_that_grow)
{
    enum { IDS = 20000 };
    tokens.window = 2 * IDS;
    for (uint64_t i = 0; i < 2 * (uint64_t)IDS; i++) {
        struct token token = token_of(i, 4);
        uint64_t id = i / 2;
        memcpy(token.id, &id, sizeof id);
        token.fingerprint = i;
        ck_assert_int_eq(tokens_reserve(&tokens, 4), 0);
        tokens_add(&tokens, &token, 1);
    }
    for (uint64_t i = 0; i < IDS; i++) {
        struct token token = token_of(i, 4);
        ck_assert_uint_eq(tokens_find(&tokens, token.id)->fingerprint, 2 * i + 1);
    }
}
END_TEST

static uint64_t mixed(uint64_t x)
{
    for (int i = 0; i < 2; i++)
        x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
    return x ^ x >> 32;
}

/* Ids that the index cannot tell apart. */
START_TEST(two_ids_with_one_hash)
{
    struct token one = token_of(0, 3), other = token_of(1, 5);
    uint64_t words[2] = {0}, secret[2];
    memcpy(secret, key, sizeof secret);
    memcpy(words, &one.id, sizeof words);
    uint64_t hash = mixed(mixed(words[0] ^ secret[0]) ^ words[1] ^ secret[1]);
    words[1] ^= mixed(words[0] ^ secret[0]) ^ mixed(77 ^ secret[0]);
    words[0] = 77;
    memcpy(other.id, words, sizeof other.id);
    add(0, 3, 1);
    ck_assert_ptr_null(tokens_find(&tokens, other.id));
    ck_assert_int_eq(tokens_reserve(&tokens, 5), 0);
    tokens_add(&tokens, &other, 1);
    struct tokenindex_probe probe = tokenindex_probe(&tokens.index, hash);
    uint32_t low;
    ck_assert(tokenindex_next(&probe, &low) && tokenindex_next(&probe, &low));
    ck_assert_uint_eq(tokens_find(&tokens, one.id)->fingerprint, one.fingerprint);
    ck_assert_uint_eq(tokens_find(&tokens, other.id)->fingerprint, other.fingerprint);
}
END_TEST

/* Against a plain list. */
START_TEST(random_use)
{
    enum { MOST = 20000 };
    static uint32_t sizes[MOST];
    struct rng rng = {(uint64_t)_i + 1};
    uint64_t first = 0, done = 0, next = 0;
    tokens.window = rng_between(&rng, 1, 3000);
    for (int step = 0; step < 30000 && next < MOST; step++) {
        if (rng_chance(&rng, 90)) {
            sizes[next] = (uint32_t)rng_below(&rng, 60);
            add(next, sizes[next], next + 1);
            next++;
        } else if (rng_chance(&rng, 50)) {
            next = rng_between(&rng, done, next);
            tokens_take_back(&tokens, next);
        } else {
            done = rng_between(&rng, done, next);
            tokens_settle(&tokens, done);
            first = done > tokens.window + first ? done - tokens.window : first;
        }
        ck_assert_uint_eq(tokens.first, first);
        ck_assert_uint_eq(tokens.next, next);
        uint64_t one = rng_below(&rng, next + 2);
        if (one >= first && one < next)
            expect_answer(one, sizes[one]);
        else
            ck_assert(!knows(one));
    }
    expect_sound();
}
END_TEST

/* ---- From the disk ---- */

static int load(uint64_t number)
{
    struct token token = token_of(number, 30);
    return tokens_load(&tokens, &token);
}

START_TEST(a_checkpoint_with_a_gap)
{
    for (uint64_t i = 5; i < 8; i++)
        ck_assert_int_eq(load(i), 0);
    ck_assert_int_eq(load(20), 0);
    ck_assert_int_eq(load(21), 0);
    ck_assert(!knows(7)); /* it was forgotten before 20 was told */
    expect_answer(21, 30);
    ck_assert_int_eq(load(21), -EINVAL);
    ck_assert_int_eq(tokens_load_end(&tokens, 21), -EINVAL);
    ck_assert_int_eq(tokens_load_end(&tokens, 22), 0);
    ck_assert_uint_eq(tokens_count(&tokens), 2);
    ck_assert_int_eq(tokens_load_end(&tokens, 30), 0);
    ck_assert_uint_eq(tokens_count(&tokens), 0);
    ck_assert_uint_eq(tokens.next, 30);
}
END_TEST

START_TEST(a_journal_goes_on)
{
    ck_assert_int_eq(load(5), 0);
    ck_assert_int_eq(load(6), 0);
    struct token token = token_of(6, 30);
    ck_assert_int_eq(tokens_replay(&tokens, &token), 0); /* known */
    token = token_of(7, 9);
    ck_assert_int_eq(tokens_replay(&tokens, &token), 0);
    ck_assert_int_eq(tokens_replay(&tokens, &token), 0);
    expect_answer(7, 9);
    ck_assert_uint_eq(tokens.next, 8);
    token = token_of(4, 9); /* forgotten before */
    ck_assert_int_eq(tokens_replay(&tokens, &token), 0);
    ck_assert(!knows(4));
    token = token_of(9, 9); /* one is missing */
    ck_assert_int_eq(tokens_replay(&tokens, &token), -EINVAL);
    token = token_of(6, 30);
    token.id[0]++; /* another one with its number */
    ck_assert_int_eq(tokens_replay(&tokens, &token), -EINVAL);
    token = token_of(6, 30);
    token.fingerprint++; /* the same one for another change */
    ck_assert_int_eq(tokens_replay(&tokens, &token), -EINVAL);
    ck_assert_uint_eq(tokens.next, 8);
    token = token_of(UINT64_MAX, 1);
    ck_assert_int_eq(tokens_replay(&tokens, &token), -EINVAL);
    ck_assert_int_eq(tokens_load(&tokens, &token), -EINVAL);
    ck_assert_int_eq(tokens_load_end(&tokens, UINT64_MAX), -EINVAL);
    /* Behind the last sequence there is none. */
    ck_assert_int_eq(tokens_load_end(&tokens, (uint64_t)1 << 62), 0);
    token = token_of((uint64_t)1 << 62, 1);
    ck_assert_int_eq(tokens_replay(&tokens, &token), -EINVAL);
    ck_assert_uint_eq(tokens_count(&tokens), 0);
}
END_TEST

START_TEST(what_is_found_fits_the_window)
{
    tokens.window = 10;
    for (uint64_t i = 0; i < 3000; i++)
        ck_assert_int_eq(load(i), 0);
    ck_assert_uint_eq(tokens_count(&tokens), 10);
    expect_answer(2990, 30);
    ck_assert_uint_le(tokens.segment_count, 2);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {answers_of_every_size,
                                  the_window_counts_what_is_done,
                                  the_window_changes,
                                  what_is_taken_back_pushed_nothing_out,
                                  the_oldest_large_answers_are_dropped,
                                  an_id_used_again_is_the_newer_one,
                                  ids_used_again_in_tables_that_grow,
                                  two_ids_with_one_hash,
                                  a_checkpoint_with_a_gap,
                                  a_journal_goes_on,
                                  what_is_found_fits_the_window};
    Suite *suite = suite_create("tokens");
    TCase *tcase = tcase_create("tokens");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test(tcase, random_use, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
