/* Changes that are made all or nothing. */
#include "core/maxtree_node.h"
#include "core/region_private.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "support_fixture.h"
#include "support_token.h"
#include "tests/support_main.h"

static struct region_info info_of(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info;
}

/* ---- What a region looks like ---- */

#define BLOCKS 1000

struct look {
    struct region_info info;
    struct extent free[BLOCKS];
    size_t count;
    uint64_t ticket;
    struct batch_mark batch; /* the gathering one */
};

static struct look look(void)
{
    struct look look = {.info = info_of(), .ticket = region_ticket(region)};
    const char *wrong = region_check(region);
    ck_assert_msg(wrong == NULL, "%s", wrong);
    ck_assert_int_eq(
        region_free_blocks(region, 0, look.info.size, look.free, BLOCKS, &look.count, &err), 0);
    if (region->gathering != NULL && !batch_is_empty(region->gathering))
        look.batch = batch_mark(region->gathering, &region->space);
    return look;
}

static void expect_same(const struct look *a, const struct look *b)
{
    ck_assert_uint_eq(a->info.size, b->info.size);
    ck_assert_uint_eq(a->info.pages, b->info.pages);
    ck_assert_uint_eq(a->info.allocated, b->info.allocated);
    ck_assert_uint_eq(a->info.largest_free, b->info.largest_free);
    ck_assert_uint_eq(a->info.tokens, b->info.tokens);
    ck_assert_uint_eq(a->ticket, b->ticket);
    ck_assert_uint_eq(a->batch.length, b->batch.length);
    ck_assert_uint_eq(a->batch.effects, b->batch.effects);
    ck_assert_uint_eq(a->batch.images, b->batch.images);
    ck_assert_uint_eq(a->batch.last_image, b->batch.last_image);
    ck_assert_uint_eq(a->batch.runs_room, b->batch.runs_room);
    ck_assert_uint_eq(a->batch.slots_room, b->batch.slots_room);
    ck_assert_uint_eq(a->batch.sums_room, b->batch.sums_room);
    ck_assert_int_eq(a->batch.moves, b->batch.moves);
    ck_assert_uint_eq(a->count, b->count);
    ck_assert_int_eq(memcmp(a->free, b->free, a->count * sizeof a->free[0]), 0);
}

/* ---- One batch with every kind of change ---- */

enum { KINDS = 13 };

/* Blobs that it begins with, and what is in them then. */
static uint64_t stored, replaced, resized, moved, freed, large;

static void add_blobs(void)
{
    stored = drive_add(region, small, 1000);
    replaced = drive_add(region, small + 1, 1000);
    resized = drive_add(region, small + 2, 3000);
    moved = drive_add(region, small + 3, 500);
    freed = drive_add(region, small, 2000);
    large = drive_add(region, big, 300000);
    drive_add(region, small, 10);
    drive_settle(region);
}

static uint64_t addresses[KINDS];

/* The first `count` of them. 0, REGION_WAIT or a code. */
static int stage(int count)
{
    uint64_t n, *to = addresses;
    for (int i = 0; i < count; i++) {
        int code = 0;
        switch (i) {
        case 0:
            code = region_store(region, stored + 100, big + 7, 500, &err);
            break;
        case 1:
            code =
                region_replace(region, (struct extent){replaced, 1000}, big + 9, 700, &to[i], &err);
            break;
        case 2:
            code = region_resize(region, (struct extent){resized, 3000}, 100, &to[i], &err);
            break;
        case 3:
            code = region_resize(region, (struct extent){moved, 500}, 6000, &to[i], &err);
            break;
        case 4:
            code = region_deallocate(region, (struct extent){freed, 2000}, &err);
            break;
        case 5:
            code = region_add(region, big + 11, 5000, &to[i], &err);
            break;
        case 6:
            code = region_add(region, big + 13, 200000, &to[i], &err);
            break;
        case 7:
            code = region_allocate(region, 12345, &to[i], &err);
            break;
        case 8:
            code = region_deallocate(region, (struct extent){large, 300000}, &err);
            break;
        case 9: /* straight into space that this batch frees: it may not */
            code = region_add(region, big + 17, 290000, &to[i], &err);
            break;
        case 10: /* what the batch itself has put there */
            code = region_resize(region, (struct extent){to[5], 5000}, 400000, &to[i], &err);
            break;
        case 11:
            code = region_deallocate_range(region, to[7], to[7] + 1000, &n, &err);
            break;
        case 12:
            code = region_grow(region, 3, &n, &err);
            break;
        }
        if (code != 0)
            return code;
    }
    return 0;
}

static uint64_t verified_pages(void)
{
    static _Alignas(DISK_BLOCK) uint8_t buffer[SCRUB_PIECE];
    struct region_look seen;
    region_look_at_piece(region, 0, buffer, &seen);
    return seen.verified;
}

/* The page behind the one that the batch had a put in. */
START_TEST(a_page_that_was_touched_and_is_not_after_all)
{
    uint64_t a = drive_add(region, big, 3 * DATA_PAGE);
    drive_settle(region);
    ck_assert_uint_eq(verified_pages(), 3);
    drive_store(region, a, small, 10);
    ck_assert_int_eq(region_atomic_begin(region, 100, &err), 0);
    ck_assert_int_eq(region_store(region, a + DATA_PAGE, small, 10, &err), 0);
    region_atomic_end(region, false);
    drive_settle(region);
    ck_assert_uint_eq(verified_pages(), 3);
    drive_expect(region, a + DATA_PAGE, big + DATA_PAGE, 2 * DATA_PAGE);
}
END_TEST

/* The record does not get to the disk, and so the blob is still the one it was. */
START_TEST(what_it_frees_is_not_written_straight_into)
{
    uint64_t b = 0, a = drive_add(region, big, 300000);
    drive_add(region, small, 10);
    drive_settle(region);
    ck_assert_int_eq(region_atomic_begin(region, 300000, &err), 0);
    ck_assert_int_eq(region_deallocate(region, (struct extent){a, 300000}, &err), 0);
    ck_assert_int_eq(region_add(region, big + 5, 300000, &b, &err), 0);
    region_atomic_end(region, true);
    ck_assert_uint_eq(a, b);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_WRITE), .pattern = "r/journal-*", .nth = 1, .error = ENOSPC});
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    region_close(region);
    region = fixture_open(false, NULL);
    drive_expect(region, a, big, 300000);
}
END_TEST

static void settle_until(int (*attempt)(void *context), void *context)
{
    for (int rounds = 0; attempt(context) == REGION_WAIT; rounds++) {
        ck_assert_int_lt(rounds, 1000);
        bool is_busy = drive_step(region, LANE_COMMIT);
        is_busy |= drive_step(region, LANE_BACKGROUND);
        ck_assert_msg(is_busy, "told to wait, but for nothing");
    }
}

static int attempt_all(void *context)
{
    int count = *(int *)context;
    int code = region_atomic_begin(region, 600000, &err);
    if (code == 0) {
        code = stage(count);
        region_atomic_end(region, code == 0);
    }
    ck_assert_msg(code == 0 || code == REGION_WAIT, "%s", err.text);
    return code;
}

static void expect_all(void)
{
    drive_expect(region, stored, small, 100);
    drive_expect(region, stored + 100, big + 7, 500);
    drive_expect(region, stored + 600, small + 600, 400);
    drive_expect(region, addresses[1], big + 9, 700);
    drive_expect(region, addresses[2], small + 2, 100);
    drive_expect(region, addresses[3], small + 3, 500);
    drive_expect(region, addresses[6], big + 13, 200000);
    drive_expect(region, addresses[9], big + 17, 290000);
    drive_expect(region, addresses[10], big + 11, 5000);
}

START_TEST(every_kind_of_change_in_one_record)
{
    int count = KINDS;
    add_blobs();
    settle_until(attempt_all, &count);
    drive_settle(region);
    struct look before = look();
    ck_assert_uint_le(addresses[9], large); /* into the space that it freed */
    expect_all();
    struct region_report report;
    fixture_power_cut();
    region = fixture_open(false, &report);
    struct look after = look();
    before.ticket = after.ticket;
    expect_same(&before, &after);
    expect_all();
}
END_TEST

/* The batch has nothing of what was undone: nobody who loads waits for it, and nothing that follows
 * takes heed of it. */
static void expect_untouched(void)
{
    uint64_t after;
    struct extent blocks[] = {{stored, 1000}, {replaced, 1000}, {freed, 2000}, {large, 300000}};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        if (region->gathering != NULL)
            ck_assert(!extentset_overlaps(&region->gathering->frees, blocks[i]));
        ck_assert_int_eq(region_load_begin(region, blocks[i], &after, &err), 0);
        ck_assert_uint_eq(after, 0);
    }
}

/* Of what is only in the batch nothing is read before the batch is done. */
static void expect_waiting(struct extent block)
{
    uint64_t after;
    if (region->gathering == NULL || batch_is_empty(region->gathering))
        return;
    ck_assert_int_eq(region_load_begin(region, block, &after, &err), 0);
    ck_assert_uint_eq(after, region->gathering->ticket);
}

/* Whatever comes before and behind it in the same batch stays, and what it did does not. */
START_TEST(undone_at_each_change)
{
    int count = _i + 1;
    add_blobs();
    uint64_t mover = drive_add(region, big + 3, 100000);
    drive_add(region, small, 10);
    drive_settle(region);
    struct extent left = {mover, 100000};
    mover = drive_resize(region, mover, 100000, 150000);
    uint64_t other = drive_add(region, small + 5, 3000);
    uint64_t fresh = drive_allocate(region, 40000);
    struct look before = look();
    bool is_waiting = false;
    int code;
    while ((code = region_atomic_begin(region, 600000, &err)) == 0) {
        code = stage(count);
        region_atomic_end(region, false);
        struct look after = look();
        expect_same(&before, &after);
        expect_untouched();
        if (code != REGION_WAIT)
            break;
        is_waiting = true;
        drive_step(region, LANE_BACKGROUND);
        drive_step(region, LANE_COMMIT);
        before = look();
    }
    ck_assert_int_eq(code, 0);
    if (!is_waiting)
        ck_assert(extentset_overlaps(&region->gathering->frees, left));
    expect_waiting((struct extent){mover + 50000, 5000});
    expect_waiting((struct extent){other, 3000});
    expect_waiting((struct extent){fresh + 20000, 10});
    uint64_t behind = drive_add(region, small + 9, 2500);
    drive_settle(region);
    struct look all = look();
    for (int again = 0; again < 2; again++) {
        drive_expect(region, stored, small, 1000);
        drive_expect(region, replaced, small + 1, 1000);
        drive_expect(region, resized, small + 2, 3000);
        drive_expect(region, moved, small + 3, 500);
        drive_expect(region, freed, small, 2000);
        drive_expect(region, large, big, 300000);
        drive_expect(region, mover, big + 3, 100000);
        drive_expect(region, other, small + 5, 3000);
        drive_expect(region, behind, small + 9, 2500);
        struct look now = look();
        now.ticket = all.ticket;
        expect_same(&all, &now);
        if (again == 0)
            fixture_power_cut();
        if (again == 0)
            region = fixture_open(false, NULL);
    }
}
END_TEST

/* ---- Sharing ---- */

START_TEST(many_share_a_commit)
{
    drive_add(region, small, 10);
    drive_settle(region);
    uint64_t commits = info_of().commits, address;
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(region_atomic_begin(region, 200, &err), 0);
        ck_assert_int_eq(region_add(region, small, 100, &address, &err), 0);
        ck_assert_int_eq(region_add(region, small, 100, &address, &err), 0);
        region_atomic_end(region, i % 4 != 3);
        drive_add(region, small, 1);
    }
    drive_settle(region);
    ck_assert_uint_eq(info_of().commits, commits + 1);
    ck_assert_uint_eq(fixture_allocated(), 10 + 20 + 15 * 200);
}
END_TEST

/* A load waits to read a blob as it is in the gathering batch: the change is not in that one. */
START_TEST(a_load_that_waits_for_the_batch)
{
    uint64_t address = drive_add(region, small, 1000), after;
    uint8_t bytes[1000];
    ck_assert_int_eq(region_load_begin(region, (struct extent){address, 1000}, &after, &err), 0);
    ck_assert_uint_gt(after, region_applied_ticket(region));
    ck_assert_int_eq(region_atomic_begin(region, 1000, &err), 0);
    ck_assert_int_eq(region_store(region, address, big, 1000, &err), 0);
    region_atomic_end(region, true);
    ck_assert_uint_gt(region_ticket(region), after);
    while (region_applied_ticket(region) < after)
        ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_uint_lt(region_applied_ticket(region), region_ticket(region));
    size_t got = region_read_now(region, address, bytes, 1000);
    if (got == 1000)
        ck_assert_mem_eq(bytes, small, 1000);
    drive_expect(region, address, big, 1000);
}
END_TEST

/* ---- Waiting ---- */

enum { MANY = 60, LARGE = 1 << 20 };
static uint64_t many[MANY];

static int attempt_many(void *context)
{
    int *rounds = context;
    int code = region_atomic_begin(region, MANY * (uint64_t)LARGE, &err);
    ++*rounds;
    if (code != 0)
        return code;
    for (int i = 0; i < MANY && code == 0; i++)
        code = region_add(region, big + i, i % 2 == 0 ? LARGE : 60000, &many[i], &err);
    region_atomic_end(region, code == 0);
    ck_assert_msg(code == 0 || code == REGION_WAIT, "%s", err.text);
    return code;
}

/* More than the data file has reserved, and more journal than there is. */
START_TEST(what_it_waits_for_is_there_when_it_is_tried_again)
{
    int rounds = 0;
    settle_until(attempt_many, &rounds);
    ck_assert_int_gt(rounds, 1);
    ck_assert_int_lt(rounds, 10);
    drive_settle(region);
    ck_assert_uint_eq(info_of().commits, 1);
    for (int i = 0; i < MANY; i++)
        drive_expect(region, many[i], big + i, i % 2 == 0 ? LARGE : 60000);
}
END_TEST

/* Memory is bounded: what would make a commit too large waits for what others have in it. */
START_TEST(large_ones_wait_for_what_others_have_staged)
{
    drive_add(region, small, 100);
    ck_assert_int_eq(region_atomic_begin(region, BATCH_BYTES, &err), REGION_WAIT);
    drive_settle(region);
    ck_assert_int_eq(region_atomic_begin(region, BATCH_BYTES, &err), 0);
    region_atomic_end(region, false);
}
END_TEST

static int attempt_moves(void *context)
{
    int *rounds = context;
    int code = region_atomic_begin(region, 0, &err);
    uint64_t to;
    ++*rounds;
    if (code != 0)
        return code;
    for (int i = 0; i < MANY && code == 0; i += 2)
        code = region_resize(region, (struct extent){many[i], 3000}, 9000, &to, &err);
    region_atomic_end(region, code == 0);
    ck_assert_msg(code == 0 || code == REGION_WAIT, "%s", err.text);
    return code;
}

/* Each block is verified before it is taken along, all of them before the first one moves. */
START_TEST(many_blocks_that_move)
{
    int rounds = 0;
    for (int i = 0; i < MANY; i++)
        many[i] = drive_add(region, big + i, 3000);
    drive_settle(region);
    settle_until(attempt_moves, &rounds);
    ck_assert_int_lt(rounds, 2 * MANY + 10);
    drive_settle(region);
    ck_assert_uint_eq(fixture_allocated(), MANY / 2 * 12000);
}
END_TEST

START_TEST(a_full_disk_refuses_and_undoes)
{
    uint64_t address = 0;
    drive_add(region, small, 100);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk) + MIB);
    struct look before = look();
    int code = REGION_WAIT;
    for (int rounds = 0; code == REGION_WAIT; rounds++) {
        ck_assert_int_lt(rounds, 100);
        code = region_atomic_begin(region, 3 << 20, &err);
        ck_assert_int_eq(code, 0);
        for (int i = 0; i < 10 && code == 0; i++)
            code = region_add(region, big, 300000, &address, &err);
        region_atomic_end(region, false);
        if (code == REGION_WAIT)
            drive_settle(region);
    }
    ck_assert_int_eq(code, ERR_NO_SPACE);
    struct look after = look();
    expect_same(&before, &after);
}
END_TEST

/* Attempts until there is an answer, which there must be soon. */
static int answer_soon(int (*attempt)(void *context), void *context)
{
    int code = REGION_WAIT;
    for (int rounds = 0; code == REGION_WAIT; rounds++) {
        ck_assert_msg(rounds < 50, "told to wait again and again");
        code = attempt(context);
        if (code == REGION_WAIT)
            drive_settle(region);
    }
    return code;
}

static int attempt_puts(void *context)
{
    const uint64_t *address = context;
    int code = region_atomic_begin(region, 40 << 20, &err);
    if (code != 0)
        return code;
    for (int i = 0; i < 20 && code == 0; i++) /* more than JOURNAL_OVERSHOOT allows others */
        code = region_store(region, *address, big, 2 << 20, &err);
    region_atomic_end(region, code == 0);
    return code;
}

/* No checkpoint can make room for it: each frees what was there before it and no more. */
START_TEST(more_than_the_journal_of_a_full_disk)
{
    uint64_t address = drive_add(region, big, 2 << 20);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk));
    struct look before = look();
    for (int again = 0; again < 3; again++) {
        ck_assert_int_eq(answer_soon(attempt_puts, &address), ERR_NO_SPACE);
        struct look after = look();
        expect_same(&before, &after);
        ck_assert_uint_le(after.info.checkpoints, 3);
        drive_expect(region, address, big, 2 << 20);
    }
    simdisk_set_capacity(disk, 0);
    ck_assert_int_eq(answer_soon(attempt_puts, &address), 0);
}
END_TEST

static int store_in_pages(uint64_t address, uint64_t pages)
{
    int code = region_atomic_begin(region, 1 << 20, &err);
    if (code != 0)
        return code;
    for (uint64_t i = 0; i < pages && code == 0; i++)
        code = region_store(region, address + i * DATA_PAGE, "x", 1, &err);
    region_atomic_end(region, false);
    return code;
}

static int attempt_to_replace_all(void *context)
{
    const uint64_t *blobs = context;
    uint64_t address;
    int code = region_atomic_begin(region, 3 * sizeof big, &err);
    if (code != 0)
        return code;
    for (int i = 0; i < 3 && code == 0; i++)
        code = region_deallocate(region, (struct extent){blobs[i], sizeof big}, &err);
    for (int i = 0; i < 3 && code == 0; i++)
        code = region_add(region, big, sizeof big, &address, &err);
    region_atomic_end(region, code == 0);
    return code;
}

/* All of it goes through the journal, which is found to be too short half way. */
START_TEST(more_journal_than_there_is_for_what_it_freed)
{
    uint64_t blobs[3];
    for (int i = 0; i < 3; i++)
        blobs[i] = drive_add(region, big, sizeof big);
    drive_add(region, small, 100);
    drive_settle(region);
    struct look before = look();
    ck_assert_int_eq(attempt_to_replace_all(blobs), REGION_WAIT);
    struct look after = look();
    expect_same(&before, &after);
    ck_assert_int_eq(answer_soon(attempt_to_replace_all, blobs), 0);
    drive_expect(region, blobs[0], big, sizeof big);
}
END_TEST

static int attempt_store(void *context)
{
    static uint8_t bytes[12 << 20];
    return region_store(region, *(const uint64_t *)context, bytes, sizeof bytes, &err);
}

static int attempt_long(void *context)
{
    const uint64_t *address = context;
    (void)region_store(region, *address, big, 100, &err); /* another's, in the same batch */
    int code = region_atomic_begin(region, 12 << 20, &err);
    if (code != 0)
        return code;
    for (int i = 0; i < 6 && code == 0; i++)
        code = region_store(region, *address, big, 2 << 20, &err);
    region_atomic_end(region, code == 0);
    return code;
}

/* A checkpoint is asked for where it is of use for what others have staged; and where nothing of it
 * is left in the batch. */
START_TEST(a_full_journal_beside_others)
{
    uint64_t address = drive_allocate(region, 12 << 20);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk));
    for (int again = 0; again < 3; again++) {
        ck_assert_int_eq(answer_soon(attempt_long, &address), ERR_NO_SPACE);
        drive_settle(region);
        ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
        region_atomic_end(region, false); /* leaves an empty batch */
        ck_assert_int_eq(answer_soon(attempt_store, &address), ERR_NO_SPACE);
    }
    simdisk_set_capacity(disk, 0);
    ck_assert_int_eq(answer_soon(attempt_long, &address), 0);
}
END_TEST

static int attempt_pages(void *context)
{
    return store_in_pages(*(const uint64_t *)context, ATOMIC_IMAGES - 1);
}

static int attempt_too_many(void *context)
{
    return store_in_pages(*(const uint64_t *)context, ATOMIC_IMAGES);
}

/* How much they may change does not depend on what others have in the same commit. */
START_TEST(as_many_pages_as_allowed_beside_others)
{
    uint64_t address = drive_allocate(region, (uint64_t)ATOMIC_IMAGES * DATA_PAGE);
    uint64_t other = drive_allocate(region, DATA_PAGE);
    drive_settle(region);
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            drive_store(region, other, small, 100);
        ck_assert_msg(answer_soon(attempt_pages, &address) == 0, "%s", err.text);
        ck_assert_int_eq(answer_soon(attempt_too_many, &address), ERR_TOO_LARGE);
        ck_assert_ptr_nonnull(strstr(err.text, "in several batches"));
        drive_settle(region);
    }
}
END_TEST

static int attempt_move(void *context)
{
    const uint64_t *address = context;
    uint64_t to;
    int code = region_atomic_begin(region, 0, &err);
    if (code != 0)
        return code;
    code = region_resize(region, (struct extent){*address, 3000}, 9000, &to, &err);
    region_atomic_end(region, code == 0);
    return code;
}

/* What an earlier one has put there itself is on the disk by now, and is verified like all else. */
START_TEST(a_damaged_block_that_moves)
{
    uint64_t address;
    struct io_file *file;
    struct iovec vector = {"damage", 6};
    ck_assert_int_eq(region_atomic_begin(region, 3000, &err), 0);
    ck_assert_int_eq(region_add(region, small, 3000, &address, &err), 0);
    region_atomic_end(region, true);
    drive_add(region, small, 10);
    drive_settle(region);
    ck_assert_int_eq(io->ops->open(io, "r/data", 0, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, address + 50), 0);
    io->ops->close(io, file);
    ck_assert_int_eq(answer_soon(attempt_move, &address), ERR_CORRUPT);
    ck_assert_ptr_null(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), 3010);
}
END_TEST

/* ---- Tokens ---- */

static void stage_with_token(uint64_t number, bool is_inside, bool keep)
{
    uint8_t answer[9];
    uint64_t address;
    drive_pattern(answer, sizeof answer, number);
    ck_assert_int_eq(region_token_expect(region, sizeof answer, &err), 0);
    ck_assert_int_eq(region_atomic_begin(region, 100, &err), 0);
    ck_assert_int_eq(region_add(region, small, 50, &address, &err), 0);
    ck_assert_int_eq(region_add(region, small, 50, &address, &err), 0);
    if (is_inside)
        region_token_keep(region, token_id(number).bytes, 99, answer, sizeof answer);
    region_atomic_end(region, keep);
    if (!is_inside && keep)
        region_token_keep(region, token_id(number).bytes, 99, answer, sizeof answer);
}

START_TEST(its_token)
{
    uint64_t ticket;
    stage_with_token(1, false, true);
    stage_with_token(2, true, false);
    stage_with_token(3, true, true);
    drive_settle(region);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(token_find(region, 1, 9, &ticket), REGION_FOUND);
        ck_assert_int_eq(token_find(region, 2, 9, &ticket), 0);
        ck_assert_int_eq(token_find(region, 3, 9, &ticket), REGION_FOUND);
        ck_assert_uint_eq(fixture_allocated(), 200);
        if (again == 0)
            fixture_power_cut();
        if (again == 0)
            region = fixture_open(false, NULL);
    }
}
END_TEST

START_TEST(no_changes_at_all)
{
    ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
    region_atomic_end(region, true);
    ck_assert_uint_eq(region_ticket(region), region_done_ticket(region));
    ck_assert_int_eq(region_token_expect(region, 1, &err), 0);
    ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
    region_atomic_end(region, true);
    region_token_keep(region, token_id(1).bytes, 99, "", 1);
    drive_settle(region);
    ck_assert_uint_eq(info_of().commits, 1);
    ck_assert_int_eq(token_find_as(region, 1, 99, &err), REGION_FOUND);
}
END_TEST

/* ---- Failure ---- */

START_TEST(a_region_that_fails)
{
    uint64_t address;
    drive_add(region, small, 100);
    drive_settle(region);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_SYNC), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    ck_assert_int_eq(region_atomic_begin(region, 200, &err), 0);
    ck_assert_int_eq(region_add(region, small, 100, &address, &err), 0);
    ck_assert_int_eq(region_grow(region, 5, &address, &err), 0);
    region_atomic_end(region, true);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), 100);
    ck_assert_int_eq(region_atomic_begin(region, 200, &err), ERR_READ_ONLY);
}
END_TEST

static void *no_memory(size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    return NULL;
}

/* What was freed cannot be made used again without memory. Then the region fails, and says of no
 * blob that it was never there. */
START_TEST(undone_without_memory)
{
    enum { COUNT = 3000, SIZE = 100 };
    uint64_t bytes, after, first = drive_add(region, big, (uint64_t)COUNT * SIZE);
    for (uint64_t i = 1; i < COUNT; i += 2)
        drive_deallocate(region, first + i * SIZE, SIZE);
    drive_settle(region);
    ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
    ck_assert_int_eq(
        region_deallocate_range(region, first + 200 * SIZE, first + 1200 * SIZE, &bytes, &err), 0);
    void *(*memory)(size_t, size_t) = maxtree_node_memory;
    maxtree_node_memory = no_memory;
    region_atomic_end(region, false);
    maxtree_node_memory = memory;
    ck_assert_ptr_nonnull(region_failure(region));
    for (uint64_t i = 0; i < COUNT; i += 2)
        ck_assert_int_ne(
            region_load_begin(region, (struct extent){first + i * SIZE, SIZE}, &after, &err),
            ERR_NOT_ALLOCATED);
    region_close(region);
    region = fixture_open(false, NULL);
    for (uint64_t i = 0; i < COUNT; i += 2)
        drive_expect(region, first + i * SIZE, big + i * SIZE, SIZE);
}
END_TEST

/* Nor can it where a commit fails that freed it: nobody is told that a blob was never there. */
START_TEST(taken_back_without_memory)
{
    enum { COUNT = 3000, SIZE = 100 };
    uint64_t bytes, after, first = drive_add(region, big, (uint64_t)COUNT * SIZE);
    for (uint64_t i = 1; i < COUNT; i += 2)
        drive_deallocate(region, first + i * SIZE, SIZE);
    drive_settle(region);
    ck_assert_int_eq(
        region_deallocate_range(region, first + 200 * SIZE, first + 1200 * SIZE, &bytes, &err), 0);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_SYNC), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    struct region_job *job = region_next_job(region, LANE_COMMIT, drive_now_ms);
    region_job_run(job);
    void *(*memory)(size_t, size_t) = maxtree_node_memory;
    maxtree_node_memory = no_memory;
    region_job_done(region, job);
    maxtree_node_memory = memory;
    ck_assert_ptr_nonnull(region_failure(region));
    for (uint64_t i = 0; i < COUNT; i += 2)
        ck_assert_int_eq(
            region_load_begin(region, (struct extent){first + i * SIZE, SIZE}, &after, &err),
            ERR_IO_ERROR);
}
END_TEST

/* The same outside of them: the next change waits until that batch is done. */
START_TEST(others_wait_where_it_is_not_known_what_is_touched)
{
    uint64_t address = drive_add(region, small, 1000);
    drive_settle(region);
    void *(*memory)(size_t, size_t) = maxtree_node_memory;
    maxtree_node_memory = no_memory;
    ck_assert_int_eq(region_store(region, address, big, 10, &err), 0);
    maxtree_node_memory = memory;
    ck_assert_int_eq(region_store(region, address + 10, big + 10, 10, &err), REGION_WAIT);
    drive_settle(region);
    ck_assert_int_eq(region_store(region, address + 10, big + 10, 10, &err), 0);
    drive_expect(region, address, big, 20);
}
END_TEST

/* Once it is not known what the batch touches, nothing more gets into it; undone, it is known. */
START_TEST(without_memory_for_what_it_touches)
{
    uint64_t address = drive_add(region, small, 1000);
    drive_settle(region);
    void *(*memory)(size_t, size_t) = maxtree_node_memory;
    ck_assert_int_eq(region_atomic_begin(region, 20, &err), 0);
    maxtree_node_memory = no_memory;
    ck_assert_int_eq(region_store(region, address, big, 10, &err), 0);
    maxtree_node_memory = memory;
    ck_assert_int_eq(region_store(region, address + 10, big, 10, &err), ERR_INTERNAL);
    region_atomic_end(region, false);
    ck_assert_ptr_null(region_failure(region));
    ck_assert_int_eq(region_store(region, address + 500, big, 10, &err), 0);
    drive_expect(region, address, small, 500);
    drive_expect(region, address + 500, big, 10);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {every_kind_of_change_in_one_record,
                                  many_share_a_commit,
                                  a_load_that_waits_for_the_batch,
                                  what_it_waits_for_is_there_when_it_is_tried_again,
                                  large_ones_wait_for_what_others_have_staged,
                                  many_blocks_that_move,
                                  a_full_disk_refuses_and_undoes,
                                  more_than_the_journal_of_a_full_disk,
                                  as_many_pages_as_allowed_beside_others,
                                  a_damaged_block_that_moves,
                                  its_token,
                                  a_page_that_was_touched_and_is_not_after_all,
                                  what_it_frees_is_not_written_straight_into,
                                  no_changes_at_all,
                                  a_region_that_fails,
                                  undone_without_memory,
                                  taken_back_without_memory,
                                  others_wait_where_it_is_not_known_what_is_touched,
                                  a_full_journal_beside_others,
                                  more_journal_than_there_is_for_what_it_freed,
                                  without_memory_for_what_it_touches};
    Suite *suite = suite_create("region: all or nothing");
    TCase *tcase = fixture_tests("atomic", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, undone_at_each_change, 0, KINDS);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
