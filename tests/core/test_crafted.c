/* One folder for every rule of FORMAT.md that breaks this rule alone, with checksums that are
 * right: refused by name with all files untouched, or read as the page says. Whoever opens it, to
 * read or to change it, hears the same. */
#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/journal.h"
#include "core/tokens.h"
#include "support_crafted.h"
#include "tests/support_main.h"

#define START (3 * JOURNAL_PAYLOAD)
#define META CRAFT_FOLDER "/meta"
#define SUMS CRAFT_FOLDER "/sums"
#define DATA CRAFT_FOLDER "/data"
#define THIRD "journal-0000000000000003"
#define FOURTH "journal-0000000000000004"
#define CANNOT_BE "the record names what cannot be at offset 16384"

/* ---- meta ---- */

static void name_then_more(struct craft *c)
{
    c->meta.name[6] = 'x';
}

static void name_with_slash(struct craft *c)
{
    c->meta.name[2] = '/';
}

static void name_with_escape(struct craft *c)
{
    memcpy(c->meta.name, "\033[2J", 5);
}

static void name_of_nothing(struct craft *c)
{
    c->meta.name[0] = 0;
}

static void name_of_all(struct craft *c)
{
    memset(c->meta.name, 'n', sizeof c->meta.name);
}

static const struct crafted meta_rules[] = {
    REFUSED(SET(meta.zeros, 1), META, "zeros"),
    REFUSED(MADE(name_then_more), META, "is not a region name"),
    REFUSED(MADE(name_with_slash), META, "is not a region name"),
    REFUSED(MADE(name_with_escape), META, "is not a region name"),
    REFUSED(MADE(name_of_nothing), META, "is not a region name"),
    OPENED(MADE(name_of_all)),
    REFUSED(SET(meta.version, 0), META, "which never was"),
    NEWER(SET(meta.version, 3), META, "use a newer mregiond"),
    NEWER(SET(meta.version, UINT32_MAX), META, "use a newer mregiond"),
    REFUSED(SET(meta.length, 0), META, "not the meta file"),
    REFUSED(SET(meta.length, 11), META, "not the meta file"),
    REFUSED(SET(meta.length, 199), META, "199 bytes"),
    REFUSED(SET(meta.length, 201), META, "201 bytes"),
    REFUSED(SET(meta.length, 4097), META, "4097 bytes"),
    REFUSED(SET(meta.length, REGION_SIZE_MAX), META, "bytes"),
    REFUSED(SET(meta.durability, 3), META, "durability"),
    REFUSED(SET(meta.durability, UINT32_MAX), META, "durability"),
    REFUSED(SET(meta.fit, 3), META, "fit"),
    REFUSED(SET(meta.checksum, 2), META, "checksum"),
    REFUSED(SET(meta.flush_interval, 0), META, "flush_interval"),
    REFUSED(SET(meta.flush_interval, FLUSH_INTERVAL_MAX_MS + 1), META, "flush_interval"),
    REFUSED(SET(meta.max_size, REGION_SIZE_MAX + 1), META, "max_size"),
    REFUSED(SET(meta.journal_size, JOURNAL_SIZE_MIN - 1), META, "journal_size"),
    REFUSED(SET(meta.journal_size, JOURNAL_SIZE_MAX + 1), META, "journal_size"),
    REFUSED(SET(meta.token_window, 0), META, "token_window"),
    REFUSED(SET(meta.token_window, TOKEN_WINDOW_MAX + 1), META, "token_window"),
    REFUSED(SET(meta.discard, REGION_SIZE_MAX + 1), META, "discard"),
    REFUSED(SET(meta.scrub_interval, SCRUB_INTERVAL_MAX_MS + 1), META, "scrub_interval"),
    REFUSED(SET(meta.scrub_rate, UINT64_MAX), META, "scrub_rate"),
    REFUSED(SET(meta.page_cache, 1 * TIB + 1), META, "page_cache"),
    /* The ends of the ranges. */
    OPENED(SET(meta.durability, 1)),
    OPENED(SET(meta.durability, 2)),
    OPENED(SET(meta.fit, 2)),
    OPENED(SET(meta.checksum, 1)),
    OPENED(SET(meta.flush_interval, 1)),
    OPENED(SET(meta.flush_interval, FLUSH_INTERVAL_MAX_MS)),
    OPENED(SET(meta.max_size, 0)),
    OPENED(SET(meta.max_size, 1)),
    OPENED(SET(meta.max_size, REGION_SIZE_MAX)),
    OPENED(SET(meta.journal_size, JOURNAL_SIZE_MIN)),
    OPENED(SET(meta.journal_size, JOURNAL_SIZE_MAX)),
    OPENED(SET(meta.token_window, 1)),
    OPENED(SET(meta.token_window, TOKEN_WINDOW_MAX)),
    OPENED(SET(meta.discard, 0)),
    OPENED(SET(meta.discard, 1)),
    OPENED(SET(meta.discard, REGION_SIZE_MAX)),
    OPENED(SET(meta.scrub_interval, SCRUB_INTERVAL_MAX_MS)),
    OPENED(SET(meta.scrub_rate, REGION_SIZE_MAX)),
    OPENED(SET(meta.page_cache, 0)),
    OPENED(SET(meta.page_cache, 1 * TIB)),
    OPENED(SET(meta.id, 0)),
    OPENED(SET(meta.id, UINT64_MAX)),
};

/* ---- sums, data ---- */

static void sums_for_more(struct craft *c)
{
    c->data_length = 4 * MIB + DATA_PAGE;
    c->sums.length = 3 * DISK_BLOCK;
}

/* A part of a page at the end of data, for which there is no sum: a power cut left it. */
static void part_of_a_page(struct craft *c)
{
    c->data_length = 4 * MIB + 1;
}

static const struct crafted file_rules[] = {
    OPENED(MADE(part_of_a_page)),
    REFUSED(SET(sums.version, 1), SUMS, "header at offset 0"),
    REFUSED(SET(sums.version, 3), SUMS, "header at offset 0"),
    REFUSED(SET(sums.secret[0], 0), SUMS, "header at offset 0"),
    REFUSED(SET(sums.zeros, 1), SUMS, "header at offset 0"),
    REFUSED(SET(sums.length, 1), SUMS, "header at offset 0"),
    REFUSED(SET(sums.length, DISK_BLOCK), SUMS, "4096 bytes instead of 8192"),
    REFUSED(SET(sums.length, 2 * DISK_BLOCK - 1), SUMS, "8191 bytes instead of 8192"),
    FAILED(SET(sums.length, 0), "cannot open", SUMS),
    OPENED(SET(sums.length, 64 * KIB)),
    OPENED(SET(sums.length, 1 * TIB)),
    OPENED(SET(data_length, 32 * KIB)),
    OPENED(SET(data_length, 32 * KIB + 1)),
    OPENED(SET(data_length, 4 * MIB)),
    OPENED(MADE(sums_for_more)),
    REFUSED(SET(data_length, 32 * KIB - 1), DATA, "28672 bytes where the region has 32768"),
    REFUSED(SET(data_length, 0), DATA, "0 bytes where the region has"),
    REFUSED(SET(data_length, 4 * MIB + DATA_PAGE), SUMS, "8192 bytes instead of 12288"),
    REFUSED(SET(data_length, 1 * TIB), SUMS, "bytes instead of"),
    REFUSED(SET(data_length, REGION_SIZE_MAX), SUMS, "bytes instead of"),
};

/* ---- Segments ---- */

/* One record lies across the border between the segments 3 and 4. */
static void across(struct craft *c)
{
    for (size_t i = 0; i < 2; i++)
        c->checkpoints[i].start = c->checkpoints[i].end = START + JOURNAL_PAYLOAD - DISK_BLOCK;
    c->record_count = 0;
    struct craft_record *record = craft_record(c);
    record->place = record->lsn = record->synced = c->checkpoints[0].start;
    craft_put(record, 0, 10000, 0x33);
    craft_pages(record, 5, 0, 3, 3, 0x12345678);
}

static void across_nothing(struct craft *c)
{
    across(c);
    c->segment_count = 1;
}

static void across_bare(struct craft *c)
{
    across(c);
    c->segments[1].is_bare = 1;
}

static void across_stranger(struct craft *c)
{
    across(c);
    c->segments[1].secret[0] ^= 1;
}

static void across_cut(struct craft *c)
{
    across(c);
    c->segments[1].length = 2 * DISK_BLOCK;
}

/* Replay begins in the midst of a segment that nothing was ever written to, and that is short. */
static void begins_in_a_bare_one(struct craft *c)
{
    for (size_t i = 0; i < 2; i++)
        c->checkpoints[i].start = c->checkpoints[i].end = START + 2 * DISK_BLOCK;
    c->record_count = 0;
    c->segment_count = 1;
    c->segments[0].is_bare = 1;
    c->segments[0].length = 10 * DISK_BLOCK;
}

/* The older checkpoint begins in a segment that may be gone. */
static void newest_is_damaged(struct craft *c)
{
    c->checkpoints[0].chunk[0].index = 9;
    c->checkpoints[1].start = c->checkpoints[1].end = START - JOURNAL_PAYLOAD;
    c->segments[0].floor = START;
}

static void no_third(struct craft *c)
{
    c->segments[0] = c->segments[1];
    c->segment_count = 1;
}

static void no_segments(struct craft *c)
{
    c->segment_count = 0;
}

static void gap(struct craft *c)
{
    c->segments[1].name = c->segments[1].seq = 5;
}

static void only_third(struct craft *c)
{
    c->segment_count = 1;
}

static void fifth_of_another(struct craft *c)
{
    craft_segment(c, 5)->secret[3] ^= 1;
}

/* As an older recycling leaves it: the same bytes are in two places, and one names neither. */
static void third_twice(struct craft *c)
{
    craft_segment(c, 5)->seq = 3;
}

#define FAR (REGION_SIZE_MAX / 2 / JOURNAL_PAYLOAD)

static void far_segment(struct craft *c)
{
    craft_segment(c, FAR)->is_bare = 1;
}

static void nearly_far_segment(struct craft *c)
{
    craft_segment(c, FAR - 10)->is_bare = 1;
}

/* All that the journal had is before the checkpoints. */
static void far_checkpoint(struct craft *c)
{
    for (size_t i = 0; i < 2; i++)
        c->checkpoints[i].start = c->checkpoints[i].end = FAR * JOURNAL_PAYLOAD;
}

static const struct crafted segment_rules[] = {
    REFUSED(SET(segments[0].secret[0], 0), THIRD, "header at offset 0 is damaged"),
    REFUSED(SET(segments[0].version, 1), THIRD, "header at offset 0 is damaged"),
    REFUSED(SET(segments[0].version, 3), THIRD, "header at offset 0 is damaged"),
    REFUSED(SET(segments[0].seq, 4), THIRD, "header at offset 0 is damaged"),
    REFUSED(SET(segments[0].seq, UINT64_MAX), THIRD, "header at offset 0 is damaged"),
    REFUSED(SET(segments[0].is_bare, 1), THIRD, "header at offset 0 is damaged"),
    OPENED(SET(segments[1].secret[0], 0)), /* never used */
    OPENED(SET(segments[1].version, 1)),
    OPENED(SET(segments[1].is_bare, 1)),
    OPENED(SET(segments[1].seq, 5)), /* a recycling that did not get to its renaming */
    OPENED(SET(segments[1].seq, UINT64_MAX)),
    OPENED(SET(segments[0].zeros, 1)),
    OPENED(SET(segments[0].floor, 0)),
    OPENED(SET(segments[0].floor, START + JOURNAL_PAYLOAD - 1)),
    REFUSED(SET(segments[0].floor, START + JOURNAL_PAYLOAD), "/checkpoint-a begins at offset",
            "16760832"),
    REFUSED(SET(segments[1].floor, START + 2 * JOURNAL_PAYLOAD), "/checkpoint-a begins at offset",
            "of it is gone"),
    REFUSED(SET(segments[1].floor, UINT64_MAX), "/checkpoint-a begins at offset", "of it is gone"),
    REFUSED(SET(segments[0].length, 2 * DISK_BLOCK), THIRD, "was cut: it has 8192 bytes"),
    REFUSED(SET(segments[0].length, 4 * DISK_BLOCK), THIRD, "was cut"),
    REFUSED(SET(segments[0].length, JOURNAL_SEGMENT - 1), THIRD, "was cut"),
    REFUSED(SET(segments[1].length, DISK_BLOCK), FOURTH, "was cut"),
    REFUSED(SET(segments[1].length, JOURNAL_SEGMENT - 1), FOURTH, "was cut"),
    OPENED(SET(segments[0].length, JOURNAL_SEGMENT + 1)),
    OPENED(SET(segments[1].length, JOURNAL_SEGMENT + 1 * TIB)),
    OPENED(SET(segments[1].length, 0)),
    OPENED(SET(segments[1].length, DISK_BLOCK - 1)),
    REFUSED(MADE(no_third), THIRD, "the segment is missing"),
    REFUSED(MADE(no_segments), THIRD, "the segment is missing"),
    REFUSED(MADE(gap), FOURTH, "the segment is missing"),
    OPENED(MADE(only_third)),
    OPENED(MADE(fifth_of_another)),
    OPENED(MADE(third_twice)),
    REFUSED(MADE(far_segment), "/journal-", "no journal gets so far"),
    OPENED(MADE(nearly_far_segment)),
    REFUSED(MADE(far_checkpoint), "/journal-", "no journal gets so far"),
    READ(MADE(across), 1, 2),
    REFUSED(MADE(across_nothing), FOURTH, "the segment is missing"),
    REFUSED(MADE(across_bare), FOURTH, "header at offset 0 is damaged"),
    REFUSED(MADE(across_stranger), FOURTH, "header at offset 0 is damaged"),
    REFUSED(MADE(across_cut), FOURTH, "was cut"),
    READ(MADE(begins_in_a_bare_one), 0, 0),
    REFUSED(MADE(newest_is_damaged), "is damaged", "does not reach back to the older"),
};

/* ---- Records ---- */

#define DURABLE "a record that was durable is damaged at offset 8192"
#define GOES_ON "journal-0000000000000005: the segment is missing, and the journal goes on"

/* The last one is followed by one that says it was durable. */
static void synced_by_the_next(struct craft *c)
{
    c->records[1].lsn += DISK_BLOCK;
    c->records[2].synced = c->records[1].place + 1;
}

static void synced_before(struct craft *c)
{
    c->records[1].lsn += DISK_BLOCK;
    c->records[2].synced = c->records[1].place;
}

/* The journal's end is where the lsn has no room for more. */
static void far_away(struct craft *c)
{
    c->checkpoints[0].start = c->checkpoints[0].end =
        REGION_SIZE_MAX - REGION_SIZE_MAX % DISK_BLOCK;
    c->checkpoints[1].file_length = 0;
}

static const struct crafted record_rules[] = {
    /* In the middle, with one behind it that says so. */
    REFUSED(SET(records[1].lsn, 0), THIRD, DURABLE),
    REFUSED(SET(records[1].lsn, START), THIRD, DURABLE),
    REFUSED(SET(records[1].lsn, UINT64_MAX), THIRD, DURABLE),
    REFUSED(SET(records[1].synced, START + DISK_BLOCK + 1), THIRD, DURABLE),
    REFUSED(SET(records[1].synced, UINT64_MAX), THIRD, DURABLE),
    REFUSED(SET(records[1].secret[0], 0), THIRD, DURABLE),
    REFUSED(SET(records[1].is_torn, 1), THIRD, DURABLE),
    REFUSED(SET(records[1].length, 47), THIRD, DURABLE),
    REFUSED(SET(records[1].length, 0), THIRD, DURABLE),
    REFUSED(SET(records[1].length, REGION_SIZE_MAX + 1), THIRD, DURABLE),
    REFUSED(SET(records[1].length, UINT64_MAX), THIRD, DURABLE),
    REFUSED(SET(records[1].length, UINT64_MAX - 4095), THIRD, DURABLE),
    REFUSED(MADE(synced_by_the_next), THIRD, DURABLE),
    /* At the end it is a torn tail, and so are those behind it that nobody called durable. */
    READ(SET(records[2].lsn, 0), 2, 0),
    READ(SET(records[2].synced, UINT64_MAX), 2, 0),
    READ(SET(records[2].secret[0], 0), 2, 0),
    READ(SET(records[2].length, 0), 2, 0),
    READ(SET(records[2].length, UINT64_MAX), 2, 0),
    CUT(SET(records[2].is_torn, 1), 2, DISK_BLOCK),
    CUT(MADE(synced_before), 1, 2 * DISK_BLOCK),
    /* A length that no journal has. */
    REFUSED(SET(records[2].length, REGION_SIZE_MAX), GOES_ON, ""),
    REFUSED(SET(records[2].length, 1 * TIB), GOES_ON, ""),
    REFUSED(SET(records[1].length, 1 * TIB), GOES_ON, ""),
    OPENED(SET(records[2].zeros, 1)),
    REFUSED(SET(records[2].effects, 0), THIRD, "offset 12288"),
    REFUSED(SET(records[2].effects, 3), THIRD, "offset 12288"),
    REFUSED(SET(records[2].effects, 5), THIRD, "offset 12288"),
    REFUSED(SET(records[2].effects, UINT32_MAX), THIRD, "offset 12288"),
    REFUSED(SET(records[2].length, 48), THIRD, "offset 12288"),
    REFUSED(SET(records[2].length, 64), THIRD, "offset 12288"),
    REFUSED(SET(records[2].length, 200), THIRD, "offset 12288"),
    REFUSED(SET(checkpoints[0].end, START + 4 * DISK_BLOCK), THIRD, "durable is damaged"),
    REFUSED(SET(checkpoints[1].end, START + 4 * DISK_BLOCK), THIRD, "durable is damaged"),
    REFUSED(SET(checkpoints[0].end, 1 * TIB), THIRD, "durable is damaged"),
    REFUSED(MADE(far_away), "the segment is missing", "replay begins"),
};

/* ---- Effects ---- */

/* The record that the cases below add an effect to. */
#define EFFECT(NAME, ...)                                                                          \
    static void NAME(struct craft *c)                                                              \
    {                                                                                              \
        struct craft_record *r = craft_record(c);                                                  \
        __VA_ARGS__;                                                                               \
    }

EFFECT(nothing, (void)r)
EFFECT(kind_0, craft_effect(r, 0, 0, 10))
EFFECT(kind_10, craft_effect(r, 10, 0, 10))
EFFECT(kind_255, craft_effect(r, 255, 0, 10))
EFFECT(use_nothing, craft_effect(r, 1, 0, 0))
EFFECT(free_nothing, craft_effect(r, 2, 0, 0))
EFFECT(put_nothing, craft_put(r, 0, 0, 0))
EFFECT(use_up_to_the_end, craft_effect(r, 1, 0, 64 * KIB); craft_effect(r, 8, 8, 8))
EFFECT(use_past_data, craft_effect(r, 1, 32768, 32769))
EFFECT(use_far_past_data, craft_effect(r, 1, REGION_SIZE_MAX - 1, 1))
EFFECT(use_past_everything, craft_effect(r, 1, REGION_SIZE_MAX, 1))
EFFECT(use_all_numbers, craft_effect(r, 1, 0, UINT64_MAX))
EFFECT(use_around_zero, craft_effect(r, 1, UINT64_MAX - 9, 20))
EFFECT(free_past_size, craft_effect(r, 2, 32768, 1))
EFFECT(free_partly_past_size, craft_effect(r, 2, 32767, 2))
EFFECT(free_around_zero, craft_effect(r, 2, UINT64_MAX - 9, 20))
EFFECT(put_past_size, craft_put(r, 32760, 9, 1); craft_pages(r, 5, 7, 2, 2, 1))
EFFECT(put_far_away, craft_put(r, REGION_SIZE_MAX, 1, 1))
EFFECT(put_of_more, craft_effect(r, 3, 0, 1 * TIB))
EFFECT(put_of_one_more, craft_effect(r, 3, 0, 1))
EFFECT(put_around_zero, craft_effect(r, 3, UINT64_MAX - 9, 20))
EFFECT(put_of_all_numbers, craft_effect(r, 3, 0, UINT64_MAX - 16))
EFFECT(too_many_pages, craft_effect(r, 4, REGION_SIZE_MAX / REGION_PAGE + 1, 0))
EFFECT(all_pages, craft_effect(r, 4, UINT64_MAX, 0))
EFFECT(most_pages, craft_effect(r, 4, REGION_SIZE_MAX / REGION_PAGE, 0))
EFFECT(fewer_pages, craft_effect(r, 4, 0, 0))
EFFECT(changed_none, craft_pages(r, 5, 0, 0, 0, 0))
EFFECT(changed_untold, craft_pages(r, 5, 0, 2, 1, 0))
EFFECT(changed_all, craft_pages(r, 5, 0, UINT32_MAX, 1, 0))
EFFECT(changed_past_data, craft_pages(r, 5, 15, 2, 2, 0))
EFFECT(fresh_far_away, craft_pages(r, 6, UINT64_MAX, 1, 1, 0))
EFFECT(direct_past_limit, craft_pages(r, 7, REGION_SIZE_MAX / DATA_PAGE, 1, 1, 0))
EFFECT(direct_past_data, craft_pages(r, 7, 16, 1, 1, 0))
EFFECT(descending, craft_pages(r, 5, 3, 1, 1, 0); craft_pages(r, 6, 2, 1, 1, 0))
EFFECT(twice, craft_pages(r, 5, 3, 1, 1, 0); craft_pages(r, 5, 3, 1, 1, 0))
EFFECT(overlapping, craft_pages(r, 5, 3, 2, 2, 0); craft_effect(r, 8, 4, 1))
EFFECT(zero_none, craft_effect(r, 8, 0, 0))
EFFECT(zero_all, craft_effect(r, 8, 0, UINT64_MAX))
EFFECT(zero_most, craft_effect(r, 8, 0, REGION_SIZE_MAX / DATA_PAGE))
EFFECT(zero_around_zero, craft_effect(r, 8, UINT64_MAX, 2))
EFFECT(zero_past_data, craft_effect(r, 8, 16, 1))
EFFECT(token_skips, craft_token(r, 4, 1, 0, 0))
EFFECT(token_far, craft_token(r, UINT64_MAX, 1, 0, 0))
EFFECT(token_of_another, craft_token(r, 1, 99, 0, 0))
EFFECT(token_untold, craft_token(r, 3, 1, 10, 9))
EFFECT(token_of_all, craft_token(r, 3, 1, UINT32_MAX, 0))
EFFECT(token_too_long, craft_token(r, 3, 1, TOKEN_ANSWER_MAX + 1, TOKEN_ANSWER_MAX + 1))
EFFECT(token_longest, craft_token(r, 3, 1, TOKEN_ANSWER_MAX, TOKEN_ANSWER_MAX))
EFFECT(token_known, craft_token(r, 0, 10, 3, 3); craft_token(r, 2, 12, 5, 5))
EFFECT(used_again, craft_effect(r, 1, 0, 8192); craft_effect(r, 1, 40, 10))
EFFECT(freed_again, craft_effect(r, 2, 100, 50); craft_effect(r, 2, 0, 200))
EFFECT(freed_and_used, craft_effect(r, 2, 0, 32768); craft_effect(r, 1, 0, 32768))
/* Bytes without a sum are no secret: the page does not match. */
EFFECT(put_without_page, craft_put(r, 4096, 100, 1))
EFFECT(put_in_a_free_page, craft_effect(r, 2, 4096, 4096); craft_put(r, 4096, 100, 1))
EFFECT(wrong_sum, craft_put(r, 4096, 100, 1); craft_pages(r, 5, 1, 1, 1, 77))
EFFECT(unverified, craft_put(r, 4096, 100, 1); craft_pages(r, 5, 1, 1, 1, UINT32_MAX))

static const struct crafted effect_rules[] = {
    READ(MADE(nothing), 4, 0),
    REFUSED(MADE(kind_0), THIRD, CANNOT_BE),
    REFUSED(MADE(kind_10), THIRD, CANNOT_BE),
    REFUSED(MADE(kind_255), THIRD, CANNOT_BE),
    REFUSED(MADE(use_nothing), THIRD, CANNOT_BE),
    REFUSED(MADE(free_nothing), THIRD, CANNOT_BE),
    REFUSED(MADE(put_nothing), THIRD, CANNOT_BE),
    READ(MADE(use_up_to_the_end), 4, 0),
    REFUSED(MADE(use_past_data), DATA, "65536 bytes where the region has 65537"),
    REFUSED(MADE(use_far_past_data), DATA, "where the region has 4611686018427387904"),
    REFUSED(MADE(use_past_everything), THIRD, CANNOT_BE),
    REFUSED(MADE(use_all_numbers), THIRD, CANNOT_BE),
    REFUSED(MADE(use_around_zero), THIRD, CANNOT_BE),
    REFUSED(MADE(free_past_size), THIRD, CANNOT_BE),
    REFUSED(MADE(free_partly_past_size), THIRD, CANNOT_BE),
    REFUSED(MADE(free_around_zero), THIRD, CANNOT_BE),
    REFUSED(MADE(put_past_size), THIRD, CANNOT_BE),
    REFUSED(MADE(put_far_away), THIRD, CANNOT_BE),
    REFUSED(MADE(put_of_more), THIRD, CANNOT_BE),
    REFUSED(MADE(put_of_one_more), THIRD, CANNOT_BE),
    REFUSED(MADE(put_around_zero), THIRD, CANNOT_BE),
    REFUSED(MADE(put_of_all_numbers), THIRD, CANNOT_BE),
    REFUSED(MADE(too_many_pages), THIRD, CANNOT_BE),
    REFUSED(MADE(all_pages), THIRD, CANNOT_BE),
    READ(MADE(most_pages), 4, 0),
    READ(MADE(fewer_pages), 4, 0),
    REFUSED(MADE(changed_none), THIRD, CANNOT_BE),
    REFUSED(MADE(changed_untold), THIRD, CANNOT_BE),
    REFUSED(MADE(changed_all), THIRD, CANNOT_BE),
    REFUSED(MADE(changed_past_data), THIRD, CANNOT_BE),
    REFUSED(MADE(fresh_far_away), THIRD, CANNOT_BE),
    REFUSED(MADE(direct_past_limit), THIRD, CANNOT_BE),
    REFUSED(MADE(direct_past_data), THIRD, CANNOT_BE),
    REFUSED(MADE(descending), THIRD, CANNOT_BE),
    REFUSED(MADE(twice), THIRD, CANNOT_BE),
    REFUSED(MADE(overlapping), THIRD, CANNOT_BE),
    REFUSED(MADE(zero_none), THIRD, CANNOT_BE),
    REFUSED(MADE(zero_all), THIRD, CANNOT_BE),
    REFUSED(MADE(zero_most), THIRD, CANNOT_BE),
    REFUSED(MADE(zero_around_zero), THIRD, CANNOT_BE),
    REFUSED(MADE(zero_past_data), THIRD, CANNOT_BE),
    REFUSED(MADE(token_skips), THIRD, CANNOT_BE),
    REFUSED(MADE(token_far), THIRD, CANNOT_BE),
    REFUSED(MADE(token_of_another), THIRD, CANNOT_BE),
    REFUSED(MADE(token_untold), THIRD, CANNOT_BE),
    REFUSED(MADE(token_of_all), THIRD, CANNOT_BE),
    REFUSED(MADE(token_too_long), THIRD, CANNOT_BE),
    READ(MADE(token_longest), 4, 0),
    READ(MADE(token_known), 4, 0),
    READ(MADE(used_again), 4, 0),
    READ(MADE(freed_again), 4, 0),
    READ(MADE(freed_and_used), 4, 0),
    READ(MADE(put_without_page), 4, 1),
    READ(MADE(put_in_a_free_page), 4, 0),
    READ(MADE(wrong_sum), 4, 1),
    READ(MADE(unverified), 4, 0),
};

int main(void)
{
    Suite *suite = suite_create("crafted");
    suite_add_tcase(suite, crafted_well());
    suite_add_tcase(suite, CRAFTED_CASE("meta", meta_rules));
    suite_add_tcase(suite, CRAFTED_CASE("data and sums", file_rules));
    suite_add_tcase(suite, CRAFTED_CASE("segments", segment_rules));
    suite_add_tcase(suite, CRAFTED_CASE("records", record_rules));
    suite_add_tcase(suite, CRAFTED_CASE("effects", effect_rules));
    return suite_main(suite);
}
