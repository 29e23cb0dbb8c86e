/* Checkpoints whose checksums are right and whose contents are not. Each is the newest one of a
 * folder: the older one serves in its place, and where there is none the region is refused, and the
 * file and the place in it are named. */
#include <check.h>
#include <stddef.h>
#include <string.h>

#include "core/checkpoint.h"
#include "core/journal.h"
#include "support_crafted.h"
#include "tests/support_main.h"

#define START (3 * JOURNAL_PAYLOAD)
#define SLOT CRAFT_FOLDER "/checkpoint-a: "
#define HEADER SLOT "the header at offset 0 is not valid"
#define FIRST SLOT "the chunk at offset 4096 is damaged"  /* 32 + 2 * 16 bytes */
#define SECOND SLOT "the chunk at offset 4160 is damaged" /* 32 + 2 * 36 + 43 bytes */
#define BEHIND SLOT "the chunk at offset 4307 is damaged"

static struct craft_checkpoint *without_blocks(struct craft *c)
{
    struct craft_checkpoint *checkpoint = &c->checkpoints[0];
    craft_no_chunks(checkpoint);
    return checkpoint;
}

/* ---- Chunks ---- */

/* Of these free blocks, and of the tokens 0 and 1. */
#define BLOCKS(NAME, ...)                                                                          \
    static void NAME(struct craft *c)                                                              \
    {                                                                                              \
        struct craft_checkpoint *k = without_blocks(c);                                            \
        const uint64_t blocks[][2] = __VA_ARGS__;                                                  \
        for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)                              \
            craft_free(k, blocks[i][0], blocks[i][1]);                                             \
        craft_kept(k, 0, 10, 3, 3);                                                                \
        craft_kept(k, 1, 11, 40, 40);                                                              \
    }

BLOCKS(empty, {{100, 50}, {8192, 0}})
BLOCKS(overlapping, {{100, 50}, {149, 10}})
BLOCKS(the_same, {{100, 50}, {100, 50}})
BLOCKS(descending, {{8192, 4096}, {100, 50}})
BLOCKS(past_size, {{100, 50}, {32768 - 10, 11}})
BLOCKS(behind_size, {{100, 50}, {32768, 1}})
BLOCKS(at_the_limit, {{100, 50}, {REGION_SIZE_MAX, 1}})
BLOCKS(past_the_limit, {{100, 50}, {REGION_SIZE_MAX + 1, 1}})
BLOCKS(of_all_numbers, {{100, 50}, {8192, UINT64_MAX}})
BLOCKS(around_zero, {{100, 50}, {8192, UINT64_MAX - 8191}})
BLOCKS(at_all_numbers, {{100, 50}, {UINT64_MAX, 1}})
BLOCKS(around_zero_again, {{100, 50}, {UINT64_MAX - 9, 20}})
BLOCKS(touching, {{100, 50}, {150, 50}, {8192, 4096}})
BLOCKS(all_of_it, {{0, 32768}})

static void tokens_first(struct craft *c)
{
    struct craft_checkpoint *k = without_blocks(c);
    craft_kept(k, 0, 10, 3, 3);
    craft_kept(k, 1, 11, 40, 40);
    craft_free(k, 100, 50);
}

/* As many as a chunk may have, and one more. */
static void many_blocks(struct craft *c, uint32_t count)
{
    struct craft_checkpoint *k = without_blocks(c);
    k->token_sequence = 2;
    k->file_length = 256 * KIB;
    for (uint32_t i = 0; i < count; i++)
        craft_free(k, 3 * (uint64_t)i, 1);
}

static void full_chunk(struct craft *c)
{
    many_blocks(c, CHECKPOINT_SLICE);
}

static void chunk_too_full(struct craft *c)
{
    many_blocks(c, CHECKPOINT_SLICE + 1);
}

/* ---- Tokens ---- */

/* Of these sequences; `next` is the first one that is not told. */
static void tokens(struct craft *c, const uint64_t *sequences, size_t count, uint64_t next)
{
    struct craft_checkpoint *k = without_blocks(c);
    craft_free(k, 100, 50);
    craft_free(k, 8192, 4096);
    for (size_t i = 0; i < count; i++)
        craft_kept(k, sequences[i], (uint8_t)(10 + i), 3, 3);
    k->token_sequence = next;
}

#define TOKENS(NAME, next, ...)                                                                    \
    static void NAME(struct craft *c)                                                              \
    {                                                                                              \
        const uint64_t sequences[] = __VA_ARGS__;                                                  \
        tokens(c, sequences, sizeof sequences / sizeof sequences[0], next);                        \
    }

TOKENS(token_twice, 2, {0, 0})
TOKENS(token_descends, 2, {1, 0})
TOKENS(token_not_told, 2, {1, 2})
TOKENS(token_far, 2, {0, UINT64_MAX})
TOKENS(token_gap, 2, {1})

static void token_result(struct craft *c, uint32_t says, uint32_t told)
{
    struct craft_checkpoint *k = without_blocks(c);
    k->file_length = 4 * MIB;
    craft_free(k, 100, 50);
    craft_free(k, 8192, 4096);
    craft_kept(k, 0, 10, says, told);
    craft_kept(k, 1, 11, 0, 0);
}

static void token_longest(struct craft *c)
{
    struct craft_checkpoint *k = without_blocks(c);
    k->file_length = 4 * MIB;
    craft_free(k, 100, 50);
    craft_free(k, 8192, 4096);
    craft_kept(k, 0, 10, 0, 0);
    craft_chunk(k, 1);
    craft_kept(k, 1, 11, TOKEN_ANSWER_MAX, TOKEN_ANSWER_MAX);
}

static void token_too_long(struct craft *c)
{
    struct craft_checkpoint *k = without_blocks(c);
    k->file_length = 4 * MIB;
    craft_kept(k, 1, 11, TOKEN_ANSWER_MAX + 1, TOKEN_ANSWER_MAX + 1);
}

static void token_untold(struct craft *c)
{
    token_result(c, 40, 3);
}

static void token_overlong(struct craft *c)
{
    token_result(c, 3, 4);
}

static void token_of_all_bytes(struct craft *c)
{
    token_result(c, UINT32_MAX - 1, 3);
}

static void token_dropped(struct craft *c)
{
    token_result(c, UINT32_MAX, 0);
}

/* ---- Of which the older serves ---- */

static const struct crafted older_rules[] = {
    REFUSED(SET(checkpoints[0].version, 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].version, 3), HEADER, ""),
    REFUSED(SET(checkpoints[0].secret[0], 0), HEADER, ""),
    REFUSED(SET(checkpoints[0].sequence, 0), HEADER, ""),
    REFUSED(SET(checkpoints[0].sequence, 3), HEADER, ""),
    REFUSED(SET(checkpoints[0].start, START + DISK_BLOCK), HEADER, ""),
    REFUSED(SET(checkpoints[0].start, START - 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].end, START + 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].end, START - DISK_BLOCK), HEADER, ""),
    REFUSED(SET(checkpoints[0].end, 0), HEADER, ""),
    REFUSED(SET(checkpoints[0].end, REGION_SIZE_MAX + DISK_BLOCK), HEADER, ""),
    REFUSED(SET(checkpoints[0].end, UINT64_MAX - DISK_BLOCK + 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].size, REGION_SIZE_MAX + 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].size, UINT64_MAX), HEADER, ""),
    REFUSED(SET(checkpoints[0].pages, REGION_SIZE_MAX / REGION_PAGE + 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].pages, UINT64_MAX), HEADER, ""),
    REFUSED(SET(checkpoints[0].token_sequence, 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].token_sequence, REGION_SIZE_MAX + 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].tokens, 3), HEADER, ""),
    REFUSED(SET(checkpoints[0].tokens, UINT64_MAX), HEADER, ""),
    REFUSED(SET(checkpoints[0].file_length, 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].file_length, DISK_BLOCK - 1), HEADER, ""),
    REFUSED(SET(checkpoints[0].file_length, 0), "/checkpoint-a is missing", ""),
    REFUSED(SET(checkpoints[0].file_length, DISK_BLOCK), FIRST, ""),
    REFUSED(SET(checkpoints[0].file_length, DISK_BLOCK + 31), FIRST, ""),
    REFUSED(SET(checkpoints[0].file_length, DISK_BLOCK + 63), FIRST, ""),
    REFUSED(SET(checkpoints[0].file_length, DISK_BLOCK + 64), SECOND, ""),
    REFUSED(SET(checkpoints[0].file_length, DISK_BLOCK + 64 + 146), SECOND, ""),
    REFUSED(SET(checkpoints[0].size, 8192 + 4095), FIRST, ""),
    REFUSED(SET(checkpoints[0].size, 0), FIRST, ""),
    REFUSED(SET(checkpoints[0].blocks, 1), BEHIND, ""),
    REFUSED(SET(checkpoints[0].blocks, 3), BEHIND, ""),
    REFUSED(SET(checkpoints[0].blocks, UINT64_MAX), BEHIND, ""),
    REFUSED(SET(checkpoints[0].tokens, 1), BEHIND, ""),
    REFUSED(SET(checkpoints[0].tokens, 0), BEHIND, ""),
    REFUSED(SET(checkpoints[0].chunks, 0), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunks, 1), SECOND, ""),
    REFUSED(SET(checkpoints[0].chunks, 3), BEHIND, ""),
    REFUSED(SET(checkpoints[0].chunks, 1 * TIB), BEHIND, ""),
    REFUSED(SET(checkpoints[0].chunks, UINT64_MAX), BEHIND, ""),
    REFUSED(SET(checkpoints[0].length, 0), FIRST, ""),
    REFUSED(SET(checkpoints[0].length, 64), SECOND, ""),
    REFUSED(SET(checkpoints[0].length, 210), SECOND, ""),
    REFUSED(SET(checkpoints[0].length, 212), BEHIND, ""),
    REFUSED(SET(checkpoints[0].length, 1 * TIB), BEHIND, ""),
    REFUSED(SET(checkpoints[0].length, UINT64_MAX), BEHIND, ""),
    REFUSED(SET(checkpoints[0].chunk[0].sequence, 4), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].sequence, 1), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].index, 1), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[1].index, 0), SECOND, ""),
    REFUSED(SET(checkpoints[0].chunk[1].index, 2), SECOND, ""),
    REFUSED(SET(checkpoints[0].chunk[0].kind, 2), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].kind, UINT32_MAX), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].count, 0), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].count, 1), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].count, 3), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].count, UINT32_MAX), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].count, (1u << 28) + 2), FIRST, ""), /* times 16 is 32 */
    REFUSED(SET(checkpoints[0].chunk[0].length, 0), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].length, 16), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].length, 48), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[0].length, UINT32_MAX), FIRST, ""),
    REFUSED(SET(checkpoints[0].chunk[1].count, 0), SECOND, ""),
    REFUSED(SET(checkpoints[0].chunk[1].count, 1), SECOND, ""),
    REFUSED(SET(checkpoints[0].chunk[1].count, 3), SECOND, ""),
    REFUSED(SET(checkpoints[0].chunk[1].count, UINT32_MAX), SECOND, ""),
    REFUSED(SET(checkpoints[0].chunk[1].length, 114), SECOND, ""),
    REFUSED(SET(checkpoints[0].chunk[1].length, UINT32_MAX), SECOND, ""),
    REFUSED(MADE(empty), FIRST, ""),
    REFUSED(MADE(overlapping), FIRST, ""),
    REFUSED(MADE(the_same), FIRST, ""),
    REFUSED(MADE(descending), FIRST, ""),
    REFUSED(MADE(past_size), FIRST, ""),
    REFUSED(MADE(behind_size), FIRST, ""),
    REFUSED(MADE(at_the_limit), FIRST, ""),
    REFUSED(MADE(past_the_limit), FIRST, ""),
    REFUSED(MADE(of_all_numbers), FIRST, ""),
    REFUSED(MADE(around_zero), FIRST, ""),
    REFUSED(MADE(at_all_numbers), FIRST, ""),
    REFUSED(MADE(around_zero_again), FIRST, ""),
    REFUSED(MADE(chunk_too_full), FIRST, ""),
    REFUSED(MADE(tokens_first), SLOT "the chunk at offset 4243 is damaged", ""),
    REFUSED(MADE(token_twice), SECOND, ""),
    REFUSED(MADE(token_descends), SECOND, ""),
    REFUSED(MADE(token_not_told), SLOT, "is damaged"),
    REFUSED(MADE(token_far), SECOND, ""),
    REFUSED(MADE(token_untold), SECOND, ""),
    REFUSED(MADE(token_overlong), SECOND, ""),
    REFUSED(MADE(token_of_all_bytes), SECOND, ""),
    REFUSED(MADE(token_too_long), FIRST, ""),
};

START_TEST(the_older_one_serves)
{
    static struct craft c;
    struct verdict verdict;
    const struct crafted *row = &older_rules[_i];
    craft_init(&c, 2);
    crafted_change(&c, row);
    crafted_judge(&c, row->text, &verdict);
    ck_assert_msg(verdict.code == 0, "%s: %s", row->text, verdict.err.text);
    ck_assert_msg(verdict.report.checkpoint_sequence == 1, "%s: it was believed", row->text);
    ck_assert_uint_eq(verdict.report.records, 3);
    ck_assert_uint_eq(verdict.info.tokens, 3);
    ck_assert_uint_eq(verdict.damaged, 0);
    c.checkpoints[1].file_length = 0;
    crafted_judge(&c, row->text, &verdict);
    crafted_expect(&verdict, row);
    ck_assert_msg(strstr(verdict.err.text, "no valid checkpoint: ") != NULL, "%s",
                  verdict.err.text);
    craft_release(&c);
}
END_TEST

/* ---- Others ---- */

static void same_sequence(struct craft *c)
{
    craft_sequence(&c->checkpoints[1], 2);
    c->checkpoints[1].slot = 1;
}

static void starts_earlier(struct craft *c)
{
    c->checkpoints[0].start -= 4 * DISK_BLOCK;
}

static void starts_between(struct craft *c)
{
    c->checkpoints[0].start = c->checkpoints[0].end = START + 2 * DISK_BLOCK;
    c->checkpoints[0].token_sequence = 3;
    craft_kept(&c->checkpoints[0], 2, 12, 5, 5);
}

/* The older one begins later than the newer. */
static void starts_later(struct craft *c)
{
    c->checkpoints[1].start = c->checkpoints[1].end = START + 3 * DISK_BLOCK;
}

/* Sequences that are followed by none. */
static void last_sequence(struct craft *c)
{
    craft_sequence(&c->checkpoints[0], UINT64_MAX);
    c->checkpoints[1].file_length = 0;
}

static void far_sequence(struct craft *c)
{
    craft_sequence(&c->checkpoints[0], REGION_SIZE_MAX / 2 + 2);
    c->checkpoints[1].file_length = 0;
}

static void nearly_far_sequence(struct craft *c)
{
    craft_sequence(&c->checkpoints[0], REGION_SIZE_MAX / 2 - 10);
}

static void far_token_sequence(struct craft *c)
{
    for (size_t i = 0; i < 2; i++)
        c->checkpoints[i].token_sequence = REGION_SIZE_MAX / 2 + 1;
    c->record_count = 0;
}

static void nearly_far_token_sequence(struct craft *c)
{
    for (size_t i = 0; i < 2; i++)
        c->checkpoints[i].token_sequence = REGION_SIZE_MAX / 2 - 10;
    c->record_count = 0;
}

static const struct crafted other_rules[] = {
    REFUSED(MADE(last_sequence), "/checkpoint-b", "the header at offset 0 is not valid"),
    REFUSED(MADE(far_sequence), "/checkpoint-a", "so many"),
    OPENED(MADE(nearly_far_sequence)),
    REFUSED(MADE(far_token_sequence), "/checkpoint-a", "so many"),
    READ(MADE(nearly_far_token_sequence), 0, 0),
    OPENED(SET(checkpoints[0].zeros, 1)),
    OPENED(SET(checkpoints[1].sequence, 0)),
    OPENED(SET(checkpoints[1].file_length, 0)),
    OPENED(MADE(same_sequence)),
    OPENED(MADE(starts_later)),
    READ(MADE(starts_between), 1, 0),
    OPENED(MADE(touching)),
    OPENED(MADE(token_dropped)),
    OPENED(MADE(token_longest)),
    OPENED(MADE(token_gap)),
    OPENED(MADE(full_chunk)),
    OPENED(MADE(all_of_it)),
    OPENED(SET(checkpoints[0].pages, 0)),
    OPENED(SET(checkpoints[0].pages, REGION_SIZE_MAX / REGION_PAGE)),
    REFUSED(MADE(starts_earlier), "/checkpoint-a begins at offset",
            "the journal before offset 12570624 of it is gone"),
    REFUSED(SET(checkpoints[0].size, 1 * TIB), "/data", "65536 bytes where the region has"),
    REFUSED(SET(checkpoints[0].size, REGION_SIZE_MAX), "/data", "65536 bytes where the region"),
};

int main(void)
{
    Suite *suite = suite_create("crafted checkpoints");
    TCase *tests = tcase_create("older");
    tcase_add_loop_test(tests, the_older_one_serves, 0, sizeof older_rules / sizeof older_rules[0]);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, CRAFTED_CASE("others", other_rules));
    return suite_main(suite);
}
