/* Damaged pages: who meets one is told, and everybody else goes on. */
#include "core/batch.h"
#include "core/region.h"

#include <check.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "core/sums.h"
#include "support_upload.h"
#include "tests/support_main.h"

/* Another byte at this address, on the disk and in its cache. */
static void damage(uint64_t address)
{
    struct io_file *file;
    uint8_t byte;
    ck_assert_int_eq(io->ops->open(io, "r/data", 0, &file), 0);
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, address), 1);
    byte ^= 0x10;
    struct iovec vector = {&byte, 1};
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, address), 0);
    io->ops->close(io, file);
}

static void expect_damaged(uint64_t address, uint64_t size)
{
    static uint8_t buffer[100000];
    uint64_t damaged, after;
    ck_assert_int_eq(region_load_begin(region, (struct extent){address, size}, &after, &err), 0);
    ck_assert_uint_eq(after, 0);
    ck_assert_int_eq(region_read(region, address, buffer, size, &damaged, &err), ERR_CORRUPT);
}

static uint32_t sum_in_file(uint64_t page)
{
    struct io_file *file;
    uint8_t bytes[4];
    ck_assert_int_eq(io->ops->open(io, "r/sums", IO_READ_ONLY, &file), 0);
    ck_assert_int_eq(io->ops->read(io, file, bytes, 4, DISK_BLOCK + 4 * page), 4);
    io->ops->close(io, file);
    return get_u32(bytes);
}

struct move {
    struct extent block;
    uint64_t new_size, address;
};

static int stage_move(struct region *of, void *context, struct err *why)
{
    struct move *move = context;
    return region_resize(of, move->block, move->new_size, &move->address, why);
}

static int move_block(uint64_t address, uint64_t size, uint64_t new_size)
{
    struct move move = {{address, size}, new_size, 0};
    return drive_until(region, stage_move, &move, &err);
}

/* Also where a block at the same place moved before. */
START_TEST(a_block_is_verified_each_time_it_moves)
{
    uint64_t a = drive_add(region, small, 3000);
    drive_add(region, small, 3000);
    drive_settle(region);
    ck_assert_int_eq(move_block(a, 3000, 9000), 0);
    drive_settle(region);
    ck_assert_uint_eq(drive_add(region, small, 3000), a);
    drive_settle(region);
    damage(a + 10);
    ck_assert_int_eq(move_block(a, 3000, 9000), ERR_CORRUPT);
    drive_settle(region);
    ck_assert_ptr_null(region_failure(region));
    expect_damaged(a, 3000);
}
END_TEST

/* The same with one that is verified and then not moved after all. */
START_TEST(a_block_is_verified_again_when_it_did_not_move)
{
    uint64_t a = drive_add(region, small, 3000), to;
    drive_add(region, small, 3000);
    drive_settle(region);
    int code = REGION_WAIT;
    while (code == REGION_WAIT) {
        ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
        code = region_resize(region, (struct extent){a, 3000}, 9000, &to, &err);
        region_atomic_end(region, false);
        drive_settle(region);
    }
    ck_assert_int_eq(code, 0);
    damage(a + 10);
    ck_assert_int_eq(move_block(a, 3000, 9000), ERR_CORRUPT);
    drive_settle(region);
    ck_assert_ptr_null(region_failure(region));
}
END_TEST

/* Who was to move it has gone before it was verified; then it was removed, and an upload writes
 * there: what is in these pages means nothing. */
START_TEST(a_block_that_is_gone_is_not_damaged)
{
    uint64_t size = 100000, to = 0;
    uint64_t a = drive_add(region, big, size);
    drive_add(region, small, 10);
    drive_settle(region);
    ck_assert_int_eq(region_resize(region, (struct extent){a, size}, 2 * size, &to, &err),
                     REGION_WAIT);
    drive_deallocate(region, a, size);
    while (drive_step(region, LANE_COMMIT))
        ;
    struct region_upload *upload = drive_begin(size);
    drive_append(upload, big + 1, size);
    ck_assert(drive_step(region, LANE_UPLOAD));
    drive_settle(region);
    ck_assert_uint_eq(fixture_info().damaged_pages, 0);
    ck_assert_uint_eq(drive_commit(upload), a);
    /* It may move from there. */
    ck_assert_int_eq(move_block(a, size, 2 * size), 0);
    drive_settle(region);
}
END_TEST

/* A block is put over another, or next to one, in a page that is damaged, and is to move in the
 * same batch: that is refused, and nobody else is harmed. */
START_TEST(a_damaged_page_that_is_written_to_is_verified)
{
    uint64_t size = _i == 2 ? 100000 : 500, to = 0;
    uint64_t a = drive_add(region, small, 3000), c = drive_add(region, small, 400);
    uint64_t b = drive_add(region, big, size), d = drive_add(region, big, 10000);
    drive_settle(region);
    if (_i == 1)
        drive_deallocate(region, b, size);
    drive_settle(region);
    damage(a + 10);
    int code = REGION_WAIT;
    while (code == REGION_WAIT) {
        ck_assert_int_eq(region_atomic_begin(region, size, &err), 0);
        if (_i == 1)
            code = region_add(region, big, size, &b, &err);
        else
            code = region_store(region, b, big + 1, size, &err);
        if (code == 0)
            code = region_resize(region, (struct extent){b, size}, 2 * size, &to, &err);
        region_atomic_end(region, code == 0);
        drive_settle(region);
    }
    ck_assert_int_eq(code, ERR_CORRUPT);
    ck_assert_ptr_null(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), 13400 + (_i == 1 ? 0 : size));
    expect_damaged(c, 400);
    drive_expect(region, round_up(d, DATA_PAGE), big + round_up(d, DATA_PAGE) - d, 1000);
}
END_TEST

/* Bytes that are put into a damaged page make nobody believe the others, whether the page is in
 * place by then or not. */
START_TEST(a_damaged_page_stays_so)
{
    uint64_t a = drive_add(region, small, 3000), whole;
    whole = drive_add(region, small, 1000);
    drive_settle(region);
    fixture_set_durability(_i < 2 ? DURABILITY_SYNC : DURABILITY_INTERVAL);
    damage(a + 10);
    for (int i = 0; i < 3; i++) {
        drive_store(region, a + 2000, big + i, 100);
        drive_settle(region);
    }
    region_hurry(region);
    drive_settle(region);
    expect_damaged(a, 3000);
    expect_damaged(whole, 1000);
    uint64_t pages[2];
    ck_assert_uint_eq(region_damages(region, pages, 2), 1);
    ck_assert_uint_eq(pages[0], 0);
    if (_i % 2 == 1) {
        fixture_power_cut();
        region = fixture_open(false, NULL);
        ck_assert_uint_eq(region_damages(region, pages, 2), 1);
        expect_damaged(a, 3000);
    }
    /* Written whole it is well again. */
    drive_store(region, 0, big, 4000);
    drive_add(region, big + 4000, 96);
    drive_settle(region);
    region_hurry(region);
    drive_settle(region);
    expect_damaged(a, 3000);
    drive_store(region, 0, big + 7, DATA_PAGE);
    drive_expect(region, 0, big + 7, DATA_PAGE);
    ck_assert_uint_eq(region_damages(region, pages, 2), 0);
}
END_TEST

/* The first ones are told, and the others are no less damaged for it. */
START_TEST(more_damaged_pages_than_a_commit_tells)
{
    enum { PAGES = 2 * BATCH_DAMAGES };
    uint64_t known[PAGES], a = drive_add(region, big, PAGES * DATA_PAGE);
    drive_settle(region);
    for (uint64_t i = 0; i < PAGES; i++) {
        damage(a + i * DATA_PAGE + 10);
        drive_store(region, a + i * DATA_PAGE + 100, small, 10);
    }
    drive_settle(region);
    ck_assert_uint_eq(region_damages(region, known, PAGES), BATCH_DAMAGES);
    for (uint64_t i = 0; i < PAGES; i++)
        expect_damaged(a + i * DATA_PAGE, 10);
}
END_TEST

/* What cannot be copied is told to who asked for just that, and to nobody else. */
START_TEST(who_is_told_of_a_damaged_block)
{
    uint64_t to, a = drive_add(region, small, 3000);
    drive_add(region, big, 2 * DATA_PAGE);
    drive_settle(region);
    damage(a + 10);
    for (int other = 0; other < 2; other++) {
        ck_assert_int_eq(region_resize(region, (struct extent){a, 3000}, 90000, &to, &err),
                         REGION_WAIT);
        drive_settle(region);
        /* Another block of that page, or a part of this one, has to wait for its own answer. */
        struct extent part = {a + (other == 0 ? 100u : 0u), 1000};
        ck_assert_int_eq(region_resize(region, part, 90000, &to, &err), REGION_WAIT);
        ck_assert_int_eq(region_resize(region, (struct extent){a, 3000}, 90000, &to, &err),
                         REGION_WAIT);
        drive_settle(region);
        ck_assert_int_eq(region_resize(region, part, 90000, &to, &err), ERR_CORRUPT);
    }
}
END_TEST

/* Damage that comes between verifying and copying: nothing is moved, and nothing is believed. */
START_TEST(what_rots_before_it_is_copied)
{
    uint64_t a = drive_add(region, small, 3000), c = drive_add(region, small, 1096);
    struct move move = {{a, 3000}, 9000, 0};
    drive_settle(region);
    ck_assert_int_eq(stage_move(region, &move, &err), REGION_WAIT);
    drive_settle(region);
    if (_i == 1)
        drive_store(region, c, big, 10); /* the batch has the page in hand already */
    ck_assert_int_eq(stage_move(region, &move, &err), 0);
    if (_i == 3) /* the page is put together only when the block has left it */
        drive_store(region, c, big, 10);
    if (_i == 2) { /* others make the page anew, once the block has gone */
        drive_deallocate(region, c, 1096);
        ck_assert_uint_eq(drive_add(region, big, 3200), a);
    }
    damage(a + 10);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_int_eq(region_failure(region)->code, ERR_CORRUPT);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), DATA_PAGE);
}
END_TEST

/* ---- Pages that one batch uses more than once ---- */

/* Bytes go over a block, it moves, and its page is taken into use again. */
START_TEST(a_page_that_is_left_and_made_anew)
{
    uint64_t a = drive_add(region, small, 3000), c = drive_add(region, small, 1096);
    struct move move = {{a, 3000}, 9000, 0};
    drive_settle(region);
    ck_assert_int_eq(stage_move(region, &move, &err), REGION_WAIT);
    drive_settle(region);
    drive_store(region, a + 100, big, 10);
    ck_assert_int_eq(stage_move(region, &move, &err), 0);
    drive_deallocate(region, c, 1096);
    ck_assert_uint_eq(drive_add(region, big, 50), a);
    drive_settle(region);
    drive_expect(region, move.address, small, 100);
    drive_expect(region, move.address + 100, big, 10);
    drive_expect(region, move.address + 110, small + 110, 2890);
    drive_expect(region, a, big, 50);
}
END_TEST

/* Neighbors that one batch frees are taken into use by it, on a page of which a load, which waits
 * for the batch, has yet to read the other part. */
START_TEST(a_page_that_is_waited_for_is_not_made_anew)
{
    uint8_t buffer[6000];
    uint64_t after, damaged, a = drive_add(region, big, 6000), c = drive_add(region, small, 2192);
    struct region_info info;
    drive_settle(region);
    region_get_info(region, &info);
    info.options.fit = FIT_LARGEST;
    region_set_options(region, &info.options);
    drive_store(region, a, small, 10);
    ck_assert_int_eq(region_load_begin(region, (struct extent){a, 6000}, &after, &err), 0);
    ck_assert_uint_eq(after, region_ticket(region));
    drive_deallocate(region, a, 6000);
    drive_deallocate(region, c, 2192);
    ck_assert_uint_eq(drive_add(region, small, 500), 2 * DATA_PAGE - 500);
    while (region_applied_ticket(region) < after)
        ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_int_eq(region_read(region, a, buffer, 6000, &damaged, &err), 0);
    ck_assert_mem_eq(buffer, small, 10);
    ck_assert_mem_eq(buffer + 10, big + 10, 5990);
    drive_settle(region);
    drive_expect(region, 2 * DATA_PAGE - 500, small, 500);
}
END_TEST

#define HOLE 200000

/* What was in free pages, and whether it matches anything, is nobody's business. */
static uint64_t damaged_free_pages(void)
{
    uint64_t a = drive_add(region, big, HOLE);
    drive_add(region, small, 100);
    drive_settle(region);
    drive_deallocate(region, a, HOLE);
    drive_settle(region);
    for (uint64_t at = a; at + DATA_PAGE <= a + HOLE; at += DATA_PAGE)
        damage(at);
    return a;
}

START_TEST(a_load_of_what_was_only_allocated)
{
    static const uint8_t zeros[HOLE];
    uint64_t a = damaged_free_pages();
    fixture_set_durability((enum durability)_i);
    ck_assert_uint_eq(drive_allocate(region, HOLE), a);
    while (drive_step(region, LANE_COMMIT))
        continue;
    drive_expect(region, a, zeros, round_down(HOLE, DATA_PAGE));
    drive_expect(region, a, zeros, round_down(HOLE, DATA_PAGE));
}
END_TEST

/* In the commit that allocates it: what the pages have on the disk is of no block. */
START_TEST(what_was_only_allocated_moves)
{
    static const uint8_t zeros[HOLE];
    uint64_t size = _i == 0 ? HOLE : 6 * MIB, a = damaged_free_pages(), from, to = 0;
    int code = REGION_WAIT;
    while (code == REGION_WAIT) {
        ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
        code = region_allocate(region, size, &from, &err);
        if (code == 0)
            code = region_allocate(region, 2 * HOLE, &to, &err);
        if (code == 0)
            code = region_resize(region, (struct extent){from, size}, size + 1, &to, &err);
        region_atomic_end(region, code == 0);
        drive_settle(region);
    }
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert(_i > 0 || from == a);
    ck_assert_uint_ne(from, to);
    ck_assert_ptr_null(region_failure(region));
    drive_expect(region, to, zeros, HOLE - DATA_PAGE);
    drive_expect(region, to + size - HOLE, zeros, HOLE - DATA_PAGE);
}
END_TEST

/* Changes that were undone leave no trace in the pages of the batch. */
START_TEST(pages_of_what_was_undone)
{
    static const uint8_t zeros[HOLE];
    uint64_t b = drive_add(region, big, DATA_PAGE), a, taken;
    for (uint64_t i = 0; i < 30; i++)
        drive_add(region, big, DATA_PAGE);
    drive_settle(region);
    a = damaged_free_pages();
    uint32_t sum = sum_in_file(page_of(b));
    drive_store(region, b + 20 * DATA_PAGE, small, 10);
    ck_assert_int_eq(region_atomic_begin(region, 100000, &err), 0);
    ck_assert_int_eq(region_store(region, b, small, 10, &err), 0);
    ck_assert_int_eq(region_add(region, small, 4000, &taken, &err), 0);
    ck_assert_uint_eq(taken, a);
    if (_i == 1)
        ck_assert_int_eq(region_add(region, big, 70000, &taken, &err), 0);
    region_atomic_end(region, false);
    drive_store(region, b + 22 * DATA_PAGE, small, 10);
    ck_assert_uint_eq(drive_allocate(region, HOLE), a);
    drive_settle(region);
    ck_assert_uint_eq(sum_in_file(page_of(b)), sum);
    drive_expect(region, b, big, DATA_PAGE);
    drive_expect(region, a, zeros, round_down(HOLE, DATA_PAGE));
    drive_expect(region, b + 22 * DATA_PAGE, small, 10);
}
END_TEST

/* Each page that is put together has its image, whether an undone change had been there or not. */
START_TEST(images_of_pages_of_what_was_undone)
{
    uint64_t a = drive_add(region, big, 60 * DATA_PAGE), pages = 60;
    drive_settle(region);
    for (uint64_t i = 0; i < pages; i++) {
        ck_assert_int_eq(region_atomic_begin(region, 100, &err), 0);
        ck_assert_int_eq(region_store(region, a + i * DATA_PAGE, small, 10, &err), 0);
        region_atomic_end(region, false);
        if (_i == 1) { /* written whole it gives its image up, and gets another */
            drive_store(region, a + i * DATA_PAGE + 200, small, 10);
            drive_store(region, a + i * DATA_PAGE, big + i * DATA_PAGE, DATA_PAGE);
        }
        drive_store(region, a + i * DATA_PAGE + 100, small, 10);
    }
    drive_settle(region);
    for (uint64_t i = 0; i < pages; i++) {
        drive_expect(region, a + i * DATA_PAGE, big + i * DATA_PAGE, 100);
        drive_expect(region, a + i * DATA_PAGE + 100, small, 10);
    }
}
END_TEST

/* ---- Without checksums ---- */

static void set_checksum(enum checksum checksum)
{
    struct region_info info;
    region_get_info(region, &info);
    info.options.checksum = checksum;
    region_set_options(region, &info.options);
}

static void flush(void)
{
    region_hurry(region);
    drive_settle(region);
}

/* A page that was written without a checksum gets one when it is written whole, and not before: who
 * knows what its other bytes have become. */
START_TEST(a_page_is_unchecked_until_it_is_written_whole)
{
    uint64_t a = drive_add(region, small, 3000), b = drive_add(region, small, 3000);
    drive_settle(region);
    ck_assert_uint_ne(sum_in_file(0), SUM_UNVERIFIED);
    if (_i == 1)
        fixture_set_durability(DURABILITY_INTERVAL);
    set_checksum(CHECKSUM_OFF);
    drive_store(region, a, big, 10);
    drive_settle(region);
    set_checksum(CHECKSUM_ON);
    for (int i = 0; i < 3; i++) {
        drive_store(region, a + 100, big + i, 10);
        drive_settle(region);
    }
    flush();
    ck_assert_uint_eq(sum_in_file(0), SUM_UNVERIFIED);
    ck_assert_uint_ne(sum_in_file(1), SUM_UNVERIFIED);
    drive_expect(region, a, big, 10);
    drive_expect(region, a + 100, big + 2, 10);
    drive_store(region, 0, big, DATA_PAGE);
    flush();
    ck_assert_uint_ne(sum_in_file(0), SUM_UNVERIFIED);
    drive_expect(region, 0, big, DATA_PAGE);
    drive_expect(region, b + 2000, small + 2000, 1000);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_block_is_verified_each_time_it_moves, a_block_is_verified_again_when_it_did_not_move,
        more_damaged_pages_than_a_commit_tells, who_is_told_of_a_damaged_block,
        a_page_that_is_left_and_made_anew,      a_page_that_is_waited_for_is_not_made_anew,
        a_block_that_is_gone_is_not_damaged};
    Suite *suite = suite_create("region: verifying");
    TCase *tcase = fixture_tests("verifying", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, a_damaged_page_that_is_written_to_is_verified, 0, 3);
    tcase_add_loop_test(tcase, a_damaged_page_stays_so, 0, 4);
    tcase_add_loop_test(tcase, what_rots_before_it_is_copied, 0, 4);
    tcase_add_loop_test(tcase, what_was_only_allocated_moves, 0, 2);
    tcase_add_loop_test(tcase, a_load_of_what_was_only_allocated, 0, DURABILITIES);
    tcase_add_loop_test(tcase, images_of_pages_of_what_was_undone, 0, 2);
    tcase_add_loop_test(tcase, pages_of_what_was_undone, 0, 2);
    tcase_add_loop_test(tcase, a_page_is_unchecked_until_it_is_written_whole, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
