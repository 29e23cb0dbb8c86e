/* The proof of a region's invariants, which the other tests rely on: it finds every lie. */
#include <check.h>
#include <string.h>

#include "core/region_private.h"
#include "support_upload.h"
#include "tests/support_main.h"

static void expect_wrong(const char *words)
{
    const char *wrong = region_check(region);
    ck_assert_msg(wrong != NULL && strstr(wrong, words) != NULL, "'%s' in place of '%s'",
                  wrong == NULL ? "nothing" : wrong, words);
}

/* Sets a number wrong, expects the sentence, and sets it right. */
#define LIE(place, value, words)                                                                   \
    do {                                                                                           \
        uint64_t right = (place);                                                                  \
        (place) = (value);                                                                         \
        expect_wrong(words);                                                                       \
        (place) = right;                                                                           \
        ck_assert_ptr_null(region_check(region));                                                  \
    } while (0)

START_TEST(sizes_and_positions)
{
    drive_add(region, small, 100);
    drive_deallocate(region, 50, 50);
    drive_settle(region);
    ck_assert_ptr_null(region_check(region));
    LIE(region->space.tree.bytes, 49, "the counter of bytes");
    LIE(region->space.size, 99, "a free block ends past the region's size");
    LIE(region->data_size, 99, "the data file is shorter");
    LIE(region->applied_ticket, region->done_ticket + 1, "tickets are out of order");
    LIE(region->done_ticket, region->newest_ticket + 1, "tickets are out of order");
    LIE(region->journal.synced, region->written + 1, "journal positions are out of order");
    LIE(region->written, region->journal.next + 1, "journal positions are out of order");
}
END_TEST

START_TEST(what_is_reserved_is_nobody_elses)
{
    struct region_upload *first = drive_begin(100), *second = drive_begin(50);
    drive_settle(region);
    ck_assert_uint_eq(region->reserved.count, 2);
    struct extent *last = &region->reserved.items[1];
    LIE(region->reserved.bytes, 149, "reserved bytes are not counted");
    LIE(last->address, 99, "reserved extents overlap");
    LIE(last->size, 51, "lies past the region's size");
    ck_assert_int_eq(maxtree_add(&region->space.tree, *last), 0);
    expect_wrong("reserved space may be taken once more");
    ck_assert_int_eq(maxtree_remove(&region->space.tree, *last), 0);
    ck_assert_ptr_null(region_check(region));
    region_upload_abort(region, first);
    region_upload_abort(region, second);
}
END_TEST

START_TEST(holes_are_free)
{
    drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_int_eq(maxtree_add(&region->discard.holes, (struct extent){10, 5}), 0);
    expect_wrong("a byte in use has no disk space");
    ck_assert_int_eq(maxtree_remove(&region->discard.holes, (struct extent){10, 5}), 0);
    ck_assert_ptr_null(region_check(region));
}
END_TEST

START_TEST(tokens_are_counted)
{
    static const uint8_t secret[16] = "sixteen bytes ok";
    struct tokens *tokens = &region->tokens;
    uint8_t answer[200] = {0};
    for (uint64_t i = 0; i < 3; i++) {
        struct token token = {
            .fingerprint = i, .result_size = i == 0 ? 3 : sizeof answer, .result = answer};
        memcpy(token.id, secret, sizeof token.id);
        token.id[0] = (uint8_t)i;
        ck_assert_int_eq(tokens_reserve(tokens, token.result_size), 0);
        tokens_add(tokens, &token, 0);
    }
    tokens_settle(tokens, 0);
    ck_assert_ptr_null(region_check(region));
    LIE(tokens->done, tokens->next + 1, "sequences of tokens");
    LIE(tokens->first, tokens->done + 1, "sequences of tokens");
    LIE(tokens->bytes, 1, "bytes of tokens");
    LIE(tokens->result_bytes, 1, "bytes of tokens");
    ck_assert_ptr_ne(tokens->oldest, tokens->newest);
    struct token_result *oldest = tokens->oldest;
    tokens->oldest = tokens->newest; /* one is not in the list */
    expect_wrong("bytes of tokens");
    tokens->oldest = oldest;
    struct tokenindex tokenindex = tokens->index;
    tokens->index = (struct tokenindex){0};
    expect_wrong("not in the index");
    tokens->index = tokenindex;
    ck_assert_int_eq(tokenindex_reserve(&tokens->index), 0);
    tokenindex_add(&tokens->index, 7, tokens->next);
    expect_wrong("that is forgotten");
    tokenindex_remove(&tokens->index, 7, tokens->next);
    ck_assert_ptr_null(region_check(region));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {sizes_and_positions, what_is_reserved_is_nobody_elses,
                                  holes_are_free, tokens_are_counted};
    Suite *suite = suite_create("region: proof");
    suite_add_tcase(suite, fixture_tests("proof", tests, sizeof tests / sizeof tests[0]));
    return suite_main(suite);
}
