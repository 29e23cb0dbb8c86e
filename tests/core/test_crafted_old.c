/* Folders of format 1 whose checksums are right and whose contents are not: a migration refuses
 * them by name and leaves every file as it was, and looking at what it would do says the same. */
#include <check.h>
#include <stddef.h>
#include <string.h>

#include "core/format1_private.h"
#include "support_crafted.h"
#include "tests/support_main.h"

#define START (3 * FORMAT1_JOURNAL_PAYLOAD)
#define THIRD "journal-0000000000000003"
#define FOURTH "journal-0000000000000004"
#define CANNOT_BE "the record names what cannot be at offset 16384"
#define FIRST "the free blocks at offset 4096 are damaged"

static void alone(struct craft *c)
{
    c->checkpoints[1].file_length = 0;
}

/* Only one checkpoint is there, with these free blocks. */
#define BLOCKS(NAME, ...)                                                                          \
    static void NAME(struct craft *c)                                                              \
    {                                                                                              \
        struct craft_checkpoint *k = &c->checkpoints[0];                                           \
        const uint64_t blocks[][2] = __VA_ARGS__;                                                  \
        alone(c);                                                                                  \
        craft_no_chunks(k);                                                                        \
        for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)                              \
            craft_free(k, blocks[i][0], blocks[i][1]);                                             \
    }

BLOCKS(empty, {{100, 0}})
BLOCKS(overlapping, {{100, 50}, {149, 10}})
BLOCKS(descending, {{8192, 4096}, {100, 50}})
BLOCKS(past_size, {{32760, 9}})
BLOCKS(around_zero, {{UINT64_MAX - 9, 20}})
BLOCKS(of_all_numbers, {{8192, UINT64_MAX}})

#define ALONE(NAME, ...)                                                                           \
    static void NAME(struct craft *c)                                                              \
    {                                                                                              \
        struct craft_checkpoint *k = &c->checkpoints[0];                                           \
        alone(c);                                                                                  \
        __VA_ARGS__;                                                                               \
    }

ALONE(other_slot, k->sequence = 3)
ALONE(newer_checkpoint, k->version = 2)
ALONE(end_before_start, k->end = 0)
ALONE(end_unaligned, k->end++)
ALONE(size_past_limit, k->size = REGION_SIZE_MAX + 1)
ALONE(chunks_claimed, k->chunks = 1 * TIB)
ALONE(length_claimed, k->length = UINT64_MAX)
ALONE(count_claimed, k->chunk[0].count = UINT32_MAX)
ALONE(count_none, k->chunk[0].count = 0)
ALONE(index_wrong, k->chunk[0].index = 1)
ALONE(sequence_wrong, k->chunk[0].sequence = 4)
ALONE(last_sequence, craft_sequence(k, UINT64_MAX))
ALONE(far_sequence, craft_sequence(k, REGION_SIZE_MAX))
ALONE(nearly_far_sequence, craft_sequence(k, REGION_SIZE_MAX / 2 - 2))

#define EFFECT(NAME, ...)                                                                          \
    static void NAME(struct craft *c)                                                              \
    {                                                                                              \
        struct craft_record *r = craft_record(c);                                                  \
        __VA_ARGS__;                                                                               \
    }

EFFECT(kind_0, craft_effect(r, 0, 0, 10))
EFFECT(kind_5, craft_pages(r, 5, 0, 1, 1, 0))
EFFECT(kind_9, craft_token(r, 3, 1, 0, 0))
EFFECT(use_nothing, craft_effect(r, 1, 0, 0))
EFFECT(use_past_data, craft_effect(r, 1, 32768, 32769))
EFFECT(use_around_zero, craft_effect(r, 1, UINT64_MAX - 9, 20))
EFFECT(free_past_size, craft_effect(r, 2, 32768, 1))
EFFECT(put_past_size, craft_put(r, 32760, 9, 1))
EFFECT(put_of_more, craft_effect(r, 3, 0, 1 * TIB))
EFFECT(put_of_all_numbers, craft_effect(r, 3, 0, UINT64_MAX - 16))
EFFECT(too_many_pages, craft_effect(r, 4, REGION_SIZE_MAX / REGION_PAGE + 1, 0))
EFFECT(freed_again, craft_effect(r, 2, 100, 50); craft_effect(r, 2, 0, 200))
EFFECT(used_again, craft_effect(r, 1, 0, 8192))

static void no_third(struct craft *c)
{
    c->segments[0] = c->segments[1];
    c->segment_count = 1;
}

/* Replay begins in the midst of a segment that nothing was ever written to, and that is short. */
static void begins_in_a_bare_one(struct craft *c)
{
    for (size_t i = 0; i < 2; i++)
        c->checkpoints[i].start = c->checkpoints[i].end = START + 2 * FORMAT1_BLOCK;
    c->record_count = 0;
    c->segment_count = 1;
    c->segments[0].is_bare = 1;
    c->segments[0].length = 10 * FORMAT1_BLOCK;
}

static void far_segment(struct craft *c)
{
    craft_segment(c, FORMAT1_JOURNAL_END / FORMAT1_JOURNAL_PAYLOAD)->is_bare = 1;
}

/* Here format 1 goes on, and what a migration makes of it would be past the end. */
static void nearly_far_segment(struct craft *c)
{
    craft_segment(c, FORMAT1_JOURNAL_END / FORMAT1_JOURNAL_PAYLOAD - 1)->is_bare = 1;
}

static void name_with_escape(struct craft *c)
{
    memcpy(c->meta.name, "\033[2J", 5);
}

static void name_then_more(struct craft *c)
{
    c->meta.name[6] = 'x';
}

#define META CRAFT_FOLDER "/meta"
#define NO_VALID "no valid checkpoint"

static const struct crafted rules[] = {
    REFUSED(SET(meta.length, 151), META, "151 bytes"),
    REFUSED(SET(meta.length, 200), META, "200 bytes"),
    REFUSED(SET(meta.durability, 3), META, "durability"),
    REFUSED(SET(meta.fit, UINT32_MAX), META, "fit"),
    REFUSED(SET(meta.flush_interval, 0), META, "flush_interval"),
    REFUSED(SET(meta.max_size, REGION_SIZE_MAX + 1), META, "max_size"),
    REFUSED(SET(meta.journal_size, UINT64_MAX), META, "journal_size"),
    REFUSED(MADE(name_with_escape), META, "is not a region name"),
    REFUSED(MADE(name_then_more), META, "is not a region name"),
    REFUSED(SET(data_length, 32767), "/data", "32767 bytes where the region has 32768"),
    REFUSED(SET(data_length, 0), "/data", "0 bytes where the region has"),
    REFUSED(SET(segments[0].secret[0], 0), THIRD, "header at offset 0 is damaged"),
    REFUSED(SET(segments[0].version, 2), THIRD, "header at offset 0 is damaged"),
    REFUSED(SET(segments[0].seq, 4), THIRD, "header at offset 0 is damaged"),
    REFUSED(SET(segments[0].length, 8192), THIRD, "was cut"),
    REFUSED(SET(segments[1].length, 8192), FOURTH, "was cut"),
    REFUSED(SET(segments[1].floor, UINT64_MAX), "does not reach back", ""),
    REFUSED(MADE(no_third), THIRD, "the segment is missing"),
    REFUSED(MADE(far_segment), "/journal-", "no journal gets so far"),
    REFUSED(MADE(nearly_far_segment), "/journal-", "no journal gets so far"),
    REFUSED(SET(records[1].lsn, 0), THIRD, "durable is damaged"),
    REFUSED(SET(records[1].synced, UINT64_MAX), THIRD, "durable is damaged"),
    REFUSED(SET(records[1].length, UINT64_MAX), THIRD, "durable is damaged"),
    REFUSED(SET(records[2].length, 1 * TIB), "journal-0000000000000005", "is missing"),
    REFUSED(SET(records[2].effects, UINT32_MAX), THIRD, "offset 12288"),
    REFUSED(SET(checkpoints[0].end, START + 1 * TIB), THIRD, "durable is damaged"),
    REFUSED(MADE(kind_0), THIRD, CANNOT_BE),
    REFUSED(MADE(kind_5), THIRD, CANNOT_BE),
    REFUSED(MADE(kind_9), THIRD, CANNOT_BE),
    REFUSED(MADE(use_nothing), THIRD, CANNOT_BE),
    REFUSED(MADE(use_past_data), "/data", "where the region has 65537"),
    REFUSED(MADE(use_around_zero), THIRD, CANNOT_BE),
    REFUSED(MADE(free_past_size), THIRD, CANNOT_BE),
    REFUSED(MADE(put_past_size), THIRD, CANNOT_BE),
    REFUSED(MADE(put_of_more), THIRD, CANNOT_BE),
    REFUSED(MADE(put_of_all_numbers), THIRD, CANNOT_BE),
    REFUSED(MADE(too_many_pages), THIRD, CANNOT_BE),
    REFUSED(MADE(empty), NO_VALID, FIRST),
    REFUSED(MADE(overlapping), NO_VALID, FIRST),
    REFUSED(MADE(descending), NO_VALID, FIRST),
    REFUSED(MADE(past_size), NO_VALID, FIRST),
    REFUSED(MADE(around_zero), NO_VALID, FIRST),
    REFUSED(MADE(of_all_numbers), NO_VALID, FIRST),
    REFUSED(MADE(other_slot), NO_VALID, "checkpoint-0"),
    REFUSED(MADE(newer_checkpoint), NO_VALID, "checkpoint-0"),
    REFUSED(MADE(end_before_start), NO_VALID, "checkpoint-0"),
    REFUSED(MADE(end_unaligned), NO_VALID, "checkpoint-0"),
    REFUSED(MADE(size_past_limit), NO_VALID, "checkpoint-0"),
    REFUSED(MADE(chunks_claimed), NO_VALID, "are damaged"),
    REFUSED(MADE(length_claimed), NO_VALID, "are damaged"),
    REFUSED(MADE(count_claimed), NO_VALID, FIRST),
    REFUSED(MADE(count_none), NO_VALID, FIRST),
    REFUSED(MADE(index_wrong), NO_VALID, FIRST),
    REFUSED(MADE(sequence_wrong), NO_VALID, FIRST),
    REFUSED(MADE(last_sequence), "/checkpoint-1", "so many"),
    REFUSED(MADE(far_sequence), "/checkpoint-0", "so many"),
    REFUSED(MADE(nearly_far_sequence), "/checkpoint-0", "so many"),
    READ(MADE(alone), 0, 0),
    READ(MADE(begins_in_a_bare_one), 0, 0),
    READ(MADE(freed_again), 0, 0),
    READ(MADE(used_again), 0, 0),
    READ(SET(records[2].secret[0], 0), 0, 0),
    READ(SET(records[2].is_torn, 1), 0, 0),
    READ(SET(segments[1].is_bare, 1), 0, 0),
    READ(SET(checkpoints[0].pages, REGION_SIZE_MAX / REGION_PAGE), 0, 0),
};

START_TEST(row)
{
    static struct craft c;
    struct verdict verdict;
    craft_init(&c, 1);
    crafted_change(&c, &rules[_i]);
    crafted_judge(&c, rules[_i].text, &verdict);
    crafted_expect(&verdict, &rules[_i]);
    craft_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crafted folders of format 1");
    TCase *tests = tcase_create("rules");
    tcase_add_loop_test(tests, row, 0, sizeof rules / sizeof rules[0]);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
