/* Blobs that come in pieces: what others see of them meanwhile, and what is left of those that come
 * to nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "support_upload.h"
#include "tests/support_main.h"

/* ---- What others see ---- */

static void expect_free(struct extent block)
{
    bool answer = true;
    uint64_t after;
    ck_assert_int_eq(region_is_allocated(region, block, &answer, &err), 0);
    ck_assert(!answer);
    ck_assert_int_eq(region_is_freed(region, block, &answer, &err), 0);
    ck_assert(answer);
    ck_assert_int_eq(region_load_begin(region, block, &after, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_deallocate(region, block, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_store(region, block.address, big, block.size, &err), ERR_NOT_ALLOCATED);
}

START_TEST(test_what_is_reserved_is_free)
{
    struct extent blocks[4];
    size_t count;
    uint64_t first = drive_add(region, small, 4096), hole = drive_add(region, big, SIZE + 5000);
    uint64_t last = drive_add(region, small, 4096);
    drive_deallocate(region, hole, SIZE + 5000);
    drive_settle(region);
    struct region_info before = fixture_info();
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 10000);
    expect_free((struct extent){hole, SIZE});
    expect_free((struct extent){hole + 10, 1});
    expect_free((struct extent){hole, SIZE + 5000});
    bool answer;
    ck_assert_int_eq(region_is_freed(region, (struct extent){hole, 0}, &answer, &err), 0);
    ck_assert(!answer);
    ck_assert_int_eq(region_is_freed(region, (struct extent){first, 4097}, &answer, &err),
                     ERR_PARTLY_FREE);
    struct region_info info = fixture_info();
    ck_assert_uint_eq(info.size, before.size);
    ck_assert_uint_eq(info.allocated, before.allocated);
    ck_assert_uint_eq(info.deallocated, before.deallocated);
    ck_assert_uint_eq(info.free_blocks, before.free_blocks);
    ck_assert_uint_eq(info.largest_free, 5000);
    ck_assert_uint_eq(info.uploads, 1);
    ck_assert_uint_eq(info.reserved, SIZE);
    ck_assert_int_eq(region_free_blocks(region, 0, info.size, blocks, 4, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(blocks[0].address, hole);
    ck_assert_uint_eq(blocks[0].size, SIZE + 5000);
    ck_assert_int_eq(region_free_blocks(region, hole + 1, hole + 9, blocks, 4, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(blocks[0].size, 8);
    ck_assert_int_eq(region_allocated_blocks(region, 0, info.size, blocks, 4, &count, &err), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(extent_end(blocks[0]), hole);
    ck_assert_uint_eq(blocks[1].address, last);
    fixture_check();
    drive_expect(region, drive_commit(upload), big, SIZE);
    info = fixture_info();
    ck_assert_uint_eq(info.allocated, before.allocated + SIZE);
    ck_assert_uint_eq(info.uploads + info.reserved, 0);
}
END_TEST

START_TEST(test_nobody_else_is_given_it)
{
    uint64_t hole = drive_add(region, big, SIZE), wall = drive_add(region, small, 10);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = drive_begin(SIZE);
    ck_assert_uint_gt(drive_add(region, small, 4096), wall);
    /* Nor what lies behind a block, when that is to grow. */
    uint64_t block = drive_add(region, small, 100);
    struct region_upload *behind = drive_begin(SIZE);
    ck_assert_uint_ne(drive_resize(region, block, 100, 200), block);
    ck_assert_uint_ne(drive_replace(region, wall, 10, big, 5000), wall);
    drive_append_all(behind, big, SIZE, SIZE);
    drive_append_all(upload, big + 1, SIZE, SIZE);
    ck_assert_uint_eq(drive_commit(upload), hole);
    drive_expect(region, hole, big + 1, SIZE);
    drive_expect(region, drive_commit(behind), big, SIZE);
    fixture_check();
}
END_TEST

START_TEST(test_clearing_leaves_it_alone)
{
    uint64_t freed, hole = drive_add(region, big, SIZE);
    drive_add(region, small, 4000);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = drive_begin(SIZE);
    drive_append(upload, big, 10000);
    ck_assert_int_eq(region_deallocate_range(region, 10, hole + SIZE + 1, &freed, &err), 0);
    ck_assert_uint_eq(freed, 1);
    ck_assert_int_eq(region_deallocate_range(region, hole + 5, hole + 500, &freed, &err), 0);
    ck_assert_uint_eq(freed, 0);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    ck_assert_uint_eq(fixture_info().allocated, 0);
    fixture_check();
    drive_append(upload, big + 10000, SIZE - 10000);
    /* In the batch that clears, too. */
    uint64_t other = drive_add(region, small, 4000);
    drive_settle(region);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    ck_assert_uint_eq(drive_commit(upload), hole);
    ck_assert_uint_eq(fixture_info().allocated, SIZE);
    fixture_reopen();
    drive_expect(region, hole, big, SIZE);
    expect_free((struct extent){other, 10});
}
END_TEST

/* A change that is taken back takes nothing of it along. */
START_TEST(test_all_or_nothing_beside_it)
{
    uint64_t address;
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 5000);
    drive_settle(region);
    ck_assert_int_eq(region_atomic_begin(region, 10000, &err), 0);
    ck_assert_int_eq(region_add(region, small, 4096, &address, &err), 0);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    region_atomic_end(region, false);
    fixture_check();
    expect_free((struct extent){0, SIZE});
    drive_expect(region, drive_commit(upload), big, SIZE);
}
END_TEST

START_TEST(test_a_scrub_leaves_it_out)
{
    struct region_scrub scrub;
    uint64_t ticket, hole = drive_add(region, big, SIZE);
    drive_add(region, small, 4096);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 5000);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert_int_eq(region_request_scrub(region, &ticket, &err), 0);
        while (drive_step(region, LANE_SCRUB))
            continue;
        ck_assert_uint_ge(region_scrub_ticket(region), ticket);
        region_get_last_scrub(region, &scrub);
        ck_assert_uint_eq(scrub.damaged, 0);
        ck_assert_uint_eq(scrub.verified, pass == 0 ? 2 : 22);
        if (pass == 0)
            drive_commit(upload);
    }
}
END_TEST

/* ---- Aborting ---- */

START_TEST(test_aborted_its_space_is_there_again)
{
    uint64_t hole = drive_add(region, big, SIZE);
    drive_add(region, small, 10);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE - 5, 5000);
    region_upload_abort(region, upload);
    ck_assert_uint_eq(fixture_info().uploads + fixture_info().reserved, 0);
    ck_assert_uint_eq(fixture_info().largest_free, SIZE);
    fixture_check();
    ck_assert_uint_eq(drive_add(region, big + 1, SIZE), hole);
    fixture_reopen();
    drive_expect(region, hole, big + 1, SIZE);
}
END_TEST

START_TEST(test_aborted_while_a_job_has_it)
{
    struct region_upload *upload = drive_begin(SIZE);
    drive_settle(region);
    drive_append(upload, big, SIZE);
    struct region_job *job = region_next_job(region, LANE_UPLOAD, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    ck_assert(region_upload_is_writing(upload));
    region_upload_abort(region, upload);
    ck_assert_uint_eq(fixture_info().uploads, 0);
    /* It still writes there. */
    ck_assert_uint_ge(drive_add(region, small, 4096), SIZE);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(fixture_info().reserved, 0);
    ck_assert_uint_eq(drive_add(region, small, 4096), 0);
    fixture_check();
}
END_TEST

/* What the journal knows of the region's size is what the region says. */
START_TEST(test_a_region_that_grew_stays_so)
{
    drive_add(region, small, 100);
    struct region_upload *upload = drive_begin(SIZE);
    uint64_t size = region_size(region);
    ck_assert_uint_eq(size, 100 + SIZE);
    drive_append_all(upload, big, SIZE, 5000);
    region_upload_abort(region, upload);
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    fixture_reopen();
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_uint_eq(fixture_info().allocated, 0);
}
END_TEST

START_TEST(test_its_space_goes_back_to_the_file_system)
{
    struct region_options options = fixture_info().options;
    options.discard = 4 * DATA_PAGE;
    region_set_options(region, &options);
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 5000);
    drive_now_ms += 10 * DISCARD_DELAY_MS;
    drive_settle(region);
    ck_assert_uint_eq(fixture_info().discarded_bytes, 0);
    region_upload_abort(region, upload);
    for (int i = 0; i < 3; i++) {
        drive_now_ms += 10 * DISCARD_DELAY_MS;
        drive_settle(region);
    }
    ck_assert_uint_ge(fixture_info().discarded_bytes, SIZE - 2 * DATA_PAGE);
    /* And is had again. */
    drive_expect(region, drive_upload(big, SIZE, 5000), big, SIZE);
    fixture_check();
}
END_TEST

/* ---- Crashes ---- */

START_TEST(test_a_crash_leaves_nothing_behind)
{
    uint64_t hole = drive_add(region, big, SIZE), wall = drive_add(region, small, 4096);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = drive_begin(SIZE), *last = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 5000);
    drive_append_all(last, big, SIZE - 1, 5000);
    uint64_t behind = drive_add(region, small, 4096), size = region_size(region);
    if (_i > 0)
        drive_checkpoint(region);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_uint_eq(fixture_allocated(), 2 * 4096);
    drive_expect(region, wall, small, 4096);
    drive_expect(region, behind, small, 4096);
    ck_assert_uint_eq(drive_add(region, big, SIZE), hole);
    fixture_check();
}
END_TEST

/* Checkpoints that are told between its beginning and its end. */
START_TEST(test_checkpoints_meanwhile)
{
    uint64_t at[40];
    for (unsigned i = 0; i < 40; i++)
        at[i] = drive_add(region, big, 5000);
    for (unsigned i = 0; i < 40; i += 2)
        drive_deallocate(region, at[i], 5000);
    struct region_upload *uploads[12];
    for (unsigned i = 0; i < 12; i++) {
        uploads[i] = drive_begin(i % 3 == 0 ? SIZE : 5000);
        drive_append_all(uploads[i], big, i % 3 == 0 ? SIZE : 5000, 4000);
    }
    drive_checkpoint(region);
    uint64_t one = drive_commit(uploads[0]), two = drive_commit(uploads[1]);
    drive_checkpoint(region);
    region_upload_abort(region, uploads[2]);
    drive_checkpoint(region);
    struct region_info before = fixture_info();
    fixture_power_cut();
    region = fixture_open(false, NULL);
    struct region_info after = fixture_info();
    ck_assert_uint_eq(after.allocated, before.allocated);
    ck_assert_uint_eq(after.deallocated, before.deallocated);
    ck_assert_uint_eq(after.free_blocks, before.free_blocks);
    drive_expect(region, one, big, SIZE);
    drive_expect(region, two, big, 5000);
    fixture_check();
}
END_TEST

/* A record that tells its sums may be the first in a journal whose checkpoint had the old bytes. */
START_TEST(test_old_records_of_its_pages_are_not_put)
{
    uint64_t hole = drive_add(region, big + 5, SIZE);
    drive_add(region, small, 10);
    drive_settle(region);
    for (uint64_t i = 0; i < 20; i++)
        drive_store(region, hole + i * DATA_PAGE, small, 3000);
    drive_settle(region);
    drive_deallocate(region, hole, SIZE);
    uint64_t address = drive_upload(big, SIZE, 7000);
    ck_assert_uint_eq(address, hole);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, hole, big, SIZE);
}
END_TEST

/* ---- Failures ---- */

static void fail_next(enum simdisk_op op, const char *pattern, int error)
{
    simdisk_set_fault(disk, (struct simdisk_fault){
                                .ops = SIM_BIT(op), .pattern = pattern, .nth = 1, .error = error});
}

START_TEST(test_a_failed_write_fails_the_upload_alone)
{
    uint64_t ticket, address;
    struct region_upload *upload = drive_begin(SIZE), *other = drive_begin(SIZE);
    drive_settle(region);
    uint64_t last = drive_append(upload, big, 10000);
    fail_next(SIM_WRITE, "r/data", EIO);
    ck_assert(drive_step(region, LANE_UPLOAD));
    ck_assert_ptr_null(region_failure(region));
    ck_assert_ptr_nonnull(region_upload_failure(upload));
    ck_assert_int_eq(region_upload_failure(upload)->code, ERR_IO_ERROR);
    ck_assert_uint_eq(region_upload_written(upload), last);
    ck_assert_int_eq(region_upload_append(region, upload, big, 1, &ticket, &err), ERR_IO_ERROR);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), ERR_IO_ERROR);
    region_upload_abort(region, upload);
    drive_append_all(other, big, SIZE, 5000);
    drive_expect(region, drive_commit(other), big, SIZE);
    fixture_check();
}
END_TEST

START_TEST(test_a_failed_region_fails_uploads)
{
    uint64_t address;
    struct region_upload *upload = drive_begin(SIZE), *other = drive_begin(SIZE);
    drive_settle(region);
    drive_append(upload, big, SIZE);
    drive_append(other, big, 100);
    struct region_job *job = region_next_job(region, LANE_UPLOAD, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    bool is_first = region_upload_is_writing(upload);
    struct region_upload *writing = is_first ? upload : other, *idle = is_first ? other : upload;
    drive_add(region, small, 100);
    fail_next(SIM_SYNC, "r/journal-*", EIO);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_ptr_nonnull(region_upload_failure(upload));
    /* The job still has the bytes of the one. */
    ck_assert_uint_eq(region_upload_written(writing), 0);
    ck_assert_uint_eq(region_upload_written(idle), 1);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(region_upload_written(writing), 1);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), ERR_READ_ONLY);
    ck_assert_ptr_null(region_next_job(region, LANE_UPLOAD, drive_now_ms));
    ck_assert_uint_eq(fixture_info().reserved, 0);
    fixture_check();
    region_upload_abort(region, upload);
    region_close(region);
    region = fixture_open(false, NULL);
    ck_assert_uint_le(fixture_allocated(), 100); /* what was not synced may be there */
}
END_TEST

/* A checkpoint fails while a commit is under way: that still comes to its end. */
START_TEST(test_a_failing_region_fails_uploads)
{
    uint64_t ticket;
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, 10000, 5000);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    struct region_job *job = region_next_job(region, LANE_BACKGROUND, drive_now_ms);
    drive_add(region, small, 100);
    struct region_job *commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert(job != NULL && commit != NULL);
    fail_next(SIM_WRITE, "r/checkpoint-*", EIO);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_ptr_nonnull(region_upload_failure(upload));
    ck_assert_int_eq(region_upload_append(region, upload, big, 1, &ticket, &err), ERR_IO_ERROR);
    ck_assert_uint_eq(fixture_info().reserved, SIZE);
    region_job_run(commit);
    region_job_done(region, commit);
    ck_assert_uint_eq(fixture_info().reserved, 0);
    fixture_check();
    region_upload_abort(region, upload);
}
END_TEST

START_TEST(test_a_failed_commit_is_taken_back)
{
    uint64_t address;
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 5000);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), 0);
    fail_next(SIM_SYNC, "r/data", EIO);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), 0);
    fixture_check();
    region_close(region);
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), 0);
}
END_TEST

START_TEST(test_a_failed_sync_on_the_way_fails_the_region)
{
    if (UPLOAD_CHUNK > sizeof big)
        return; /* only with small limits */
    struct region_upload *upload = drive_begin(2 * UPLOAD_CHUNK);
    drive_settle(region);
    drive_append(upload, big, 2 * UPLOAD_CHUNK);
    fail_next(SIM_SYNC, "r/data", EIO);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_uint_eq(region_upload_written(upload), 1);
    region_close(region);
    region = fixture_open(false, NULL);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {
        test_what_is_reserved_is_free,
        test_nobody_else_is_given_it,
        test_clearing_leaves_it_alone,
        test_all_or_nothing_beside_it,
        test_a_scrub_leaves_it_out,
        test_aborted_its_space_is_there_again,
        test_aborted_while_a_job_has_it,
        test_a_region_that_grew_stays_so,
        test_its_space_goes_back_to_the_file_system,
        test_checkpoints_meanwhile,
        test_old_records_of_its_pages_are_not_put,
        test_a_failed_write_fails_the_upload_alone,
        test_a_failed_region_fails_uploads,
        test_a_failing_region_fails_uploads,
        test_a_failed_commit_is_taken_back,
        test_a_failed_sync_on_the_way_fails_the_region,
    };
    Suite *suite = suite_create("space of uploads");
    TCase *tcase = fixture_tests("space", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, test_a_crash_leaves_nothing_behind, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
