/* Regions whose disk fails, is full, or gives back other bytes than it was given. */
#include "core/region_private.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support_fixture.h"
#include "tests/support_main.h"

/* ---- Failure ---- */

START_TEST(a_failed_sync_makes_it_read_only)
{
    uint64_t a = drive_add(region, small, 100), after;
    drive_settle(region);
    uint64_t done = region_done_ticket(region);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_SYNC), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    uint64_t b = drive_add(region, big, 5000);
    struct region_job *job = region_next_job(region, LANE_COMMIT, 1);
    drive_deallocate(region, a, 100);
    region_job_run(job);
    region_job_done(region, job);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, "r/journal-"));
    ck_assert_uint_eq(region_done_ticket(region), done);
    ck_assert_uint_eq(fixture_allocated(), 100);
    ck_assert_uint_eq(region_size(region), 100);
    drive_expect(region, a, small, 100);
    ck_assert_int_ne(region_load_begin(region, (struct extent){b, 5000}, &after, &err), 0);
    ck_assert_int_eq(region_deallocate(region, (struct extent){a, 100}, &err), ERR_READ_ONLY);
    ck_assert_ptr_null(region_next_job(region, LANE_BACKGROUND, 1));
    ck_assert(region_idle(region));
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, a, small, 100);
}
END_TEST

/* A write that needs space where all was reserved, as on a file system that copies on write: the
 * answer is not the refusal of a full disk, after which nothing has happened. */
START_TEST(no_space_for_a_commit_is_no_refusal)
{
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_WRITE), .pattern = "r/data", .nth = 1, .error = ENOSPC});
    drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_int_eq(region_failure(region)->code, ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, "No space left"));
    /* And here it has happened. */
    region_close(region);
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), 100);
}
END_TEST

START_TEST(lost_bytes_are_not_shown)
{
    uint64_t after, a = drive_add(region, small, 100);
    uint64_t b = drive_add(region, big, 2 * DATA_PAGE);
    drive_settle(region);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = SIM_BIT(SIM_WRITE), .pattern = "r/data", .nth = 1, .error = EIO});
    drive_store(region, a + 50, big, 10);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_int_eq(region_load_begin(region, (struct extent){a, 100}, &after, &err),
                     ERR_IO_ERROR);
    /* Nobody knows whether the page still has the sum that it should. */
    ck_assert_int_eq(region_load_begin(region, (struct extent){a, 1}, &after, &err), ERR_IO_ERROR);
    drive_expect(region, b + DATA_PAGE, big + DATA_PAGE, DATA_PAGE);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, a + 50, big, 10); /* its record was durable */
}
END_TEST

START_TEST(lost_bytes_are_not_shown_without_checksums)
{
    struct region_info info;
    uint64_t after, a = drive_add(region, small, 100);
    region_get_info(region, &info);
    info.options.checksum = CHECKSUM_OFF;
    region_set_options(region, &info.options);
    drive_settle(region);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = SIM_BIT(SIM_WRITE), .pattern = "r/data", .nth = 1, .error = EIO});
    drive_store(region, a + 50, big, 10);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_int_eq(region_load_begin(region, (struct extent){a, 100}, &after, &err),
                     ERR_IO_ERROR);
    drive_expect(region, a, small, 50);
}
END_TEST

/* One takes what the next one frees. */
START_TEST(batches_are_taken_back_the_youngest_first)
{
    fixture_set_durability(DURABILITY_INTERVAL);
    uint64_t a = drive_add(region, small, 100);
    while (drive_step(region, LANE_COMMIT))
        continue;
    drive_deallocate(region, a, 100);
    while (drive_step(region, LANE_COMMIT))
        continue;
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_SYNC), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    region_hurry(region);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), 0);
    ck_assert_uint_eq(region_size(region), 0);
}
END_TEST

/* A large blob begins where the batch before it frees, and makes the region longer. That batch
 * becomes durable and its own does not. */
START_TEST(a_batch_of_its_own_gives_its_size_back)
{
    uint64_t a = drive_add(region, big, 100000), b;
    drive_settle(region);
    uint64_t size = region->data_size - a; /* fits nowhere else */
    ck_assert_uint_le(size, sizeof big);
    drive_deallocate(region, a, 100000);
    ck_assert_int_eq(region_add(region, big, size, &b, &err), 0);
    ck_assert_uint_eq(b, a);
    ck_assert_ptr_nonnull(region->queue.first);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_uint_eq(fixture_allocated(), size);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_SYNC), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), 0);
    ck_assert_uint_eq(region_size(region), a + 100000);
}
END_TEST

/* More blocks than are noted in one go. */
START_TEST(a_range_of_many_blocks_is_taken_back)
{
    enum { COUNT = 1000 };
    struct extent used[COUNT + 1];
    uint64_t freed;
    size_t count;
    uint64_t a = drive_allocate(region, 20 * COUNT);
    for (uint64_t i = 0; i < COUNT; i++)
        drive_deallocate(region, a + 20 * i, 10);
    drive_settle(region);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_SYNC), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    ck_assert_int_eq(region_deallocate_range(region, 0, region_size(region), &freed, &err), 0);
    ck_assert_uint_eq(freed, 10 * COUNT);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_int_eq(
        region_allocated_blocks(region, 0, region_size(region), used, COUNT + 1, &count, &err), 0);
    ck_assert_uint_eq(count, COUNT);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(used[i].address, a + 20 * i + 10);
        ck_assert_uint_eq(used[i].size, 10);
    }
}
END_TEST

/* A write-back that failed is told to the commit that syncs first, and the checkpoint that is under
 * way may not miss it. */
START_TEST(a_failed_sync_is_told_to_both_lanes)
{
    uint64_t ticket;
    drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    drive_add(region, big, 100000);
    struct region_job *commit = region_next_job(region, LANE_COMMIT, 1);
    struct region_job *checkpoint = region_next_job(region, LANE_BACKGROUND, 1);
    ck_assert_ptr_nonnull(commit);
    ck_assert_ptr_nonnull(checkpoint);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = SIM_BIT(SIM_SYNC), .pattern = "r/data", .nth = 1, .error = EIO});
    region_job_run(commit);
    region_job_run(checkpoint);
    ck_assert_int_eq(commit->code, ERR_IO_ERROR);
    ck_assert_int_eq(checkpoint->code, ERR_IO_ERROR);
    region_job_done(region, checkpoint);
    region_job_done(region, commit);
    ck_assert_ptr_nonnull(region_failure(region));
}
END_TEST

static void expect_refusals(void)
{
    uint64_t ret;
    ck_assert_int_eq(region_allocate(region, 1, &ret, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_atomic_begin(region, 10, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_request_checkpoint(region, &ret, &err), ERR_READ_ONLY);
    ck_assert_ptr_nonnull(strstr(err.text, "Input/output error"));
    ck_assert_int_eq(region_request_scrub(region, &ret, &err), ERR_READ_ONLY);
    ck_assert_ptr_nonnull(strstr(err.text, "Input/output error"));
    for (enum region_lane lane = LANE_COMMIT; lane < LANES; lane++) {
        ck_assert_ptr_null(region_next_job(region, lane, drive_now_ms + 1000000000));
        ck_assert_uint_eq(region_lane_deadline_ms(region, lane), UINT64_MAX);
    }
}

/* What was acknowledged stays, though it cannot be put in place: its bytes are not to be had until
 * a restart, and what came behind it is taken back. */
START_TEST(a_durable_batch_is_kept_by_a_region_that_fails)
{
    for (unsigned told = 0; told < 2; told++) {
        uint64_t after, a = drive_add(region, small, 100), freed = drive_add(region, small, 60);
        drive_settle(region);
        uint64_t b = drive_add(region, big, 5000);
        drive_deallocate(region, freed, 60);
        uint64_t ticket = region_ticket(region), allocated = fixture_allocated();
        struct region_job *commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
        ck_assert_ptr_nonnull(commit);
        drive_add(region, big, 7);
        ck_assert(region_job_begin(commit));
        if (told)
            region_job_durable(region, commit);
        simdisk_set_fault(
            disk, (struct simdisk_fault){
                      .ops = SIM_BIT(SIM_WRITE), .pattern = "r/data", .nth = 1, .error = EIO});
        region_job_run(commit);
        ck_assert_int_eq(commit->code, ERR_IO_ERROR);
        region_job_done(region, commit);
        ck_assert_ptr_nonnull(region_failure(region));
        ck_assert_uint_eq(region_done_ticket(region), ticket);
        ck_assert_uint_lt(region_applied_ticket(region), ticket);
        ck_assert_ptr_null(region_check(region));
        ck_assert_uint_eq(fixture_allocated(), allocated);
        ck_assert_int_eq(region_load_begin(region, (struct extent){b, 5000}, &after, &err),
                         ERR_IO_ERROR);
        simdisk_set_fault(disk, (struct simdisk_fault){0});
        region_close(region);
        region = fixture_open(false, NULL);
        ck_assert_uint_eq(fixture_allocated(), allocated);
        drive_expect(region, a, small, 100);
        drive_expect(region, b, big, 5000);
    }
}
END_TEST

/* The same of those that waited for a flush. */
START_TEST(durable_pending_batches_are_kept_by_a_region_that_fails)
{
    fixture_set_durability(DURABILITY_INTERVAL);
    uint64_t a = drive_add(region, small, 100);
    ck_assert(drive_step(region, LANE_COMMIT));
    uint64_t ticket = region_ticket(region), allocated = fixture_allocated();
    ck_assert_uint_eq(region_done_ticket(region), ticket);
    ck_assert_uint_lt(region_applied_ticket(region), ticket);
    region_hurry(region);
    struct region_job *flush = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_nonnull(flush);
    ck_assert(!region_job_begin(flush));
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = SIM_BIT(SIM_WRITE), .pattern = "r/data", .nth = 1, .error = EIO});
    region_job_run(flush);
    region_job_done(region, flush);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_ptr_null(region_check(region));
    ck_assert_uint_eq(fixture_allocated(), allocated);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    region_close(region);
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), allocated);
    drive_expect(region, a, small, 100);
}
END_TEST

/* A commit is under way when the background fails: it is waited for, and nothing else begins. What
 * it made durable a restart has. */
START_TEST(a_commit_ends_while_the_region_fails)
{
    struct region_info info;
    uint64_t ticket, hole = drive_add(region, small, 50), a = drive_add(region, small, 100);
    drive_deallocate(region, hole, 50);
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    struct region_job *job = region_next_job(region, LANE_BACKGROUND, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    uint64_t b = drive_add(region, big, 5000);
    struct region_job *commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_nonnull(commit);
    drive_add(region, big, 7);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_WRITE), .pattern = "r/checkpoint-*", .nth = 1, .error = EIO});
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    ck_assert(!region_idle(region));
    ck_assert_ptr_null(region_failure(region)); /* not yet */
    region_get_info(region, &info);
    ck_assert(info.read_only);
    expect_refusals();
    region_job_run(commit);
    region_job_done(region, commit);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert(region_idle(region));
    ck_assert(region_is_flushed(region));
    expect_refusals();
    drive_expect(region, a, small, 100);
    region_close(region);
    region = fixture_open(false, NULL);
    drive_expect(region, a, small, 100);
    drive_expect(region, b, big, 5000);
    ck_assert_uint_eq(fixture_allocated(), 5100);
}
END_TEST

/* The background's job ends when the region has failed: what it says is not told any more. */
START_TEST(a_reservation_fails_when_the_region_has_failed)
{
    uint64_t address, a = drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &address, &err), REGION_WAIT);
    struct region_job *job = region_next_job(region, LANE_BACKGROUND, drive_now_ms);
    drive_store(region, a, big, 10);
    struct region_job *commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
    simdisk_set_fault(
        disk, (struct simdisk_fault){.ops = SIM_SYNCS, .nth = 1, .error = EIO, .forever = true});
    region_job_run(commit);
    region_job_done(region, commit);
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, "r/journal-"));
    region_job_run(job);
    ck_assert_int_eq(job->code, ERR_IO_ERROR);
    region_job_done(region, job);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, "r/journal-"));
    drive_expect(region, a + 10, small + 10, 90);
}
END_TEST

/* Somebody cuts the files of a region: what was there is not taken for zeros. */
START_TEST(files_that_are_cut)
{
    const char *path = _i == 0 ? "r/data" : "r/sums";
    uint64_t damaged, a = drive_add(region, big, 5 * DATA_PAGE);
    struct io_file *file;
    drive_settle(region);
    ck_assert_int_eq(io->ops->open(io, path, 0, &file), 0);
    ck_assert_int_eq(io->ops->truncate(io, file, DISK_BLOCK + 2), 0);
    io->ops->close(io, file);
    static uint8_t buffer[5 * DATA_PAGE];
    ck_assert_uint_lt(region_read_now(region, a, buffer, sizeof buffer), sizeof buffer);
    ck_assert_int_eq(region_read(region, a, buffer, sizeof buffer, &damaged, &err), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_ptr_nonnull(strstr(err.text, "ends"));
    drive_store(region, a + DATA_PAGE + 10, small, 10);
    drive_settle(region);
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, path));
}
END_TEST

/* Both lanes fail: the first reason is the one that is told. */
START_TEST(a_commit_fails_while_the_region_fails)
{
    uint64_t ticket, hole = drive_add(region, small, 50), a = drive_add(region, small, 100);
    drive_deallocate(region, hole, 50);
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    struct region_job *job = region_next_job(region, LANE_BACKGROUND, drive_now_ms);
    drive_store(region, a, big, 10);
    struct region_job *commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
    simdisk_set_fault(
        disk,
        (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE), .nth = 1, .error = EIO, .forever = true});
    region_job_run(job);
    region_job_done(region, job);
    region_job_run(commit);
    region_job_done(region, commit);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, "r/checkpoint-"));
    expect_refusals();
    region_close(region);
    region = fixture_open(false, NULL);
    drive_expect(region, a + 10, small + 10, 90); /* of the rest nobody was told anything */
}
END_TEST

/* ---- A full disk ---- */

static int store_settled(uint64_t address)
{
    int code;
    while ((code = region_store(region, address, big, 1000, &err)) == REGION_WAIT)
        drive_settle(region);
    drive_settle(region);
    return code;
}

/* Not even a checkpoint can be written. */
START_TEST(a_full_journal_still_frees)
{
    uint64_t stores = 0, a = drive_add(region, big, 100000);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk));
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE),
                                                   .pattern = "r/checkpoint-*",
                                                   .nth = 1,
                                                   .error = ENOSPC,
                                                   .forever = true});
    while (store_settled(a) == 0)
        ck_assert_uint_lt(stores++, 100000);
    ck_assert_int_eq(err.code, ERR_NO_SPACE);
    for (uint64_t i = 0; i < 50; i++) {
        drive_deallocate(region, a + i * 1000, 1000);
        drive_settle(region);
    }
    ck_assert_uint_eq(fixture_allocated(), 50000);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    simdisk_set_capacity(disk, 0);
}
END_TEST

START_TEST(a_full_disk_refuses_and_still_frees)
{
    uint64_t blobs = 0, address = 0;
    simdisk_set_capacity(disk, simdisk_used(disk) + 4 * MIB);
    for (;;) {
        int code = region_add(region, big, 100000, &address, &err);
        if (code == REGION_WAIT) {
            drive_settle(region);
            continue;
        }
        if (code != 0)
            break;
        blobs++;
    }
    ck_assert_int_eq(err.code, ERR_NO_SPACE);
    drive_settle(region);
    ck_assert_ptr_null(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), blobs * 100000);
    ck_assert_uint_ge(blobs, 20);
    /* Every one can be removed, and many more times than one segment has blocks. */
    for (int round = 0; round < 2000; round++) {
        drive_deallocate(region, 0, 100000);
        drive_settle(region);
        ck_assert_uint_eq(drive_allocate(region, 100000), 0);
        drive_settle(region);
    }
    drive_expect(region, 200000, big, 100000);
    for (uint64_t i = 0; i < blobs; i++)
        drive_deallocate(region, i * 100000, 100000);
    drive_settle(region);
    ck_assert_ptr_null(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), 0);
}
END_TEST

/* Nor does it keep any of the space that it was refused for want of. */
START_TEST(a_refusal_keeps_no_space)
{
    uint64_t address;
    drive_add(region, small, 100);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk) + 32 * MIB);
    uint64_t used = simdisk_used(disk);
    for (int round = 0; round < 3; round++) {
        int code;
        while ((code = region_allocate(region, 16 * GIB, &address, &err)) == REGION_WAIT)
            drive_settle(region);
        ck_assert_int_eq(code, ERR_NO_SPACE);
        drive_settle(region);
    }
    ck_assert_uint_le(simdisk_used(disk), used + 2 * JOURNAL_SEGMENT);
    address = drive_allocate(region, 20 * MIB);
    drive_settle(region);
    drive_store(region, address + 20 * MIB - 10, big, 10);
    drive_expect(region, address + 20 * MIB - 10, big, 10);
}
END_TEST

START_TEST(a_full_disk_can_be_opened)
{
    uint64_t a = drive_add(region, small, 100);
    drive_settle(region);
    fixture_power_cut();
    simdisk_set_capacity(disk, simdisk_used(disk));
    region = fixture_open(false, NULL);
    drive_expect(region, a, small, 100);
    drive_deallocate(region, a, 100);
    drive_settle(region);
    ck_assert_uint_eq(fixture_allocated(), 0);
}
END_TEST

/* More free blocks than the slots have room for, and no way to get more: the old checkpoint stands,
 * and who asked is told. */
START_TEST(a_checkpoint_without_room_is_told)
{
    struct region_info info;
    uint64_t first, second;
    for (int i = 0; i < 300000; i++)
        drive_allocate(region, 2);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk));
    for (uint64_t i = 0; i < 150000; i++)
        drive_deallocate(region, 4 * i, 2);
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &first, &err), 0);
    ck_assert_ptr_null(region_checkpoint_failure(region, first));
    drive_step(region, LANE_BACKGROUND);
    ck_assert_int_eq(region_request_checkpoint(region, &second, &err), 0);
    drive_settle(region);
    ck_assert_uint_lt(region_checkpoint_ticket(region), first);
    ck_assert_int_eq(region_checkpoint_failure(region, first)->code, ERR_NO_SPACE);
    ck_assert_ptr_nonnull(region_checkpoint_failure(region, second));
    ck_assert_ptr_null(region_checkpoint_failure(region, second + 1)); /* not tried yet */
    ck_assert_ptr_null(region_failure(region));
    ck_assert(region_idle(region));
    drive_deallocate(region, 2, 2);
    drive_settle(region);
    simdisk_set_capacity(disk, 0);
    drive_checkpoint(region);
    ck_assert_ptr_null(region_checkpoint_failure(region, second + 1));
    region_get_info(region, &info);
    uint64_t blocks = info.free_blocks;
    fixture_power_cut();
    region = fixture_open(false, NULL);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.free_blocks, blocks);
}
END_TEST

/* ---- Damage ---- */

static void flip(const char *path, uint64_t offset)
{
    struct io_file *file;
    uint8_t byte;
    ck_assert_int_eq(io->ops->open(io, path, 0, &file), 0);
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, offset), 1);
    byte ^= 0x10;
    struct iovec vector = {&byte, 1};
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, offset), 0);
    io->ops->close(io, file);
}

static void expect_corrupt(const char *word)
{
    struct region *opened = NULL;
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES);
    ck_assert_int_eq(region_open(io, "r", NULL, false, &opened, NULL, &err), ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, word) != NULL, "%s", err.text);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
}

/* Closes the region and names the file that its journal begins in. */
static const char *journal_file(void)
{
    static char name[64];
    struct region_info info;
    region_get_info(region, &info);
    snprintf(name, sizeof name, "r/journal-%016llx", 2ull); /* the first open began at 2 */
    drive_close(region);
    region = NULL;
    return name;
}

START_TEST(a_damaged_record_is_named)
{
    for (int i = 0; i < 3; i++) {
        drive_add(region, small, 100);
        drive_settle(region);
    }
    const char *name = journal_file();
    flip(name, 4096 + 4096 + 60);
    expect_corrupt("journal-0000000000000002");
    expect_corrupt("offset 8192");
    flip(name, 4096 + 4096 + 60);
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), 300);
}
END_TEST

/* It is the last record, and only the checkpoint says that it was durable. */
START_TEST(a_damaged_record_that_a_checkpoint_counts_on_is_named)
{
    uint64_t ticket;
    drive_add(region, small, 100);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    drive_settle(region);
    ck_assert_uint_ge(region_checkpoint_ticket(region), ticket);
    const char *name = journal_file();
    flip(name, 4096 + 60);
    expect_corrupt("offset 4096");
    flip(name, 4096 + 60);
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), 100);
}
END_TEST

START_TEST(a_damaged_segment_is_named)
{
    drive_add(region, small, 100);
    drive_settle(region);
    const char *name = journal_file();
    flip(name, 20);
    expect_corrupt("header at offset 0");
    flip(name, 20);
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), 100);
}
END_TEST

/* The checkpoint knows of none of its bytes, and the journal of some. */
START_TEST(a_data_file_shorter_than_the_journal_says)
{
    struct io_file *file;
    drive_add(region, small, 100);
    drive_close(region);
    region = NULL;
    ck_assert_int_eq(io->ops->open(io, "r/data", 0, &file), 0);
    ck_assert_int_eq(io->ops->truncate(io, file, 0), 0);
    io->ops->close(io, file);
    expect_corrupt("r/data has 0 bytes where the region has 100");
}
END_TEST

static void count_data(void *context, struct simdisk *on, enum simdisk_op op, const char *path)
{
    unsigned *reads = context;
    (void)on;
    *reads += op == SIM_READ && strcmp(path, "r/data") == 0;
}

/* How long an opening takes depends on the journal, and not on what it names. */
START_TEST(an_opening_does_not_read_large_blobs)
{
    struct region_report report;
    unsigned reads = 0;
    uint64_t a = 0;
    for (int i = 0; i < 40; i++)
        a = drive_add(region, big, sizeof big);
    drive_allocate(region, 100 * MIB);
    uint64_t b = drive_add(region, small, 100);
    drive_settle(region);
    fixture_power_cut();
    simdisk_set_hook(disk, count_data, &reads);
    region = fixture_open(false, &report);
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_ge(report.records, 1);
    ck_assert_uint_le(reads, 10);
    drive_expect(region, a, big, sizeof big);
    drive_expect(region, b, small, 100);
}
END_TEST

/* A power cut may leave any length of a file that was being extended. */
START_TEST(a_data_file_that_ends_within_a_page)
{
    struct io_file *file;
    uint64_t length, address;
    drive_add(region, small, 100);
    drive_close(region);
    ck_assert_int_eq(io->ops->open(io, "r/data", 0, &file), 0);
    ck_assert_int_eq(io->ops->size(io, file, &length), 0);
    ck_assert_int_eq(io->ops->truncate(io, file, length + 1000), 0);
    io->ops->close(io, file);
    region = fixture_open(true, NULL);
    drive_expect(region, 0, small, 100);
    region_close(region);
    region = fixture_open(false, NULL);
    address = drive_allocate(region, length + 600 - 100);
    drive_settle(region);
    ck_assert_uint_eq(address, 100);
    drive_store(region, length + 550, small, 50);
    drive_settle(region);
    ck_assert_ptr_null(region_failure(region));
    drive_expect(region, length + 550, small, 50);
    fixture_power_cut();
    region = fixture_open(true, NULL);
    drive_expect(region, length + 550, small, 50);
    region_close(region);
    region = fixture_open(false, NULL);
    drive_expect(region, length + 550, small, 50);
}
END_TEST

START_TEST(a_torn_tail_is_cut)
{
    struct region_report report;
    for (int i = 0; i < 3; i++) {
        drive_add(region, small, 100);
        drive_settle(region);
    }
    flip(journal_file(), 4096 + 2 * 4096 + 60);
    region = fixture_open(false, &report);
    ck_assert_uint_eq(report.cut_bytes, 4096);
    ck_assert_uint_eq(report.records, 2);
    ck_assert_uint_eq(fixture_allocated(), 200);
    drive_close(region);
    region = fixture_open(false, &report);
    ck_assert_uint_eq(report.cut_bytes, 0);
    ck_assert_uint_eq(fixture_allocated(), 200);
}
END_TEST

START_TEST(a_damaged_checkpoint_is_named)
{
    drive_add(region, small, 100);
    drive_checkpoint(region);
    drive_checkpoint(region);
    drive_close(region);
    region = fixture_open(false, NULL);
    drive_close(region);
    region = NULL;
    flip("r/checkpoint-a", 70);
    flip("r/checkpoint-b", 70);
    expect_corrupt("r/checkpoint-");
}
END_TEST

/* The older checkpoint does where the journal still reaches back to it, and only there. */
START_TEST(an_older_checkpoint_takes_over)
{
    struct region_report report;
    drive_add(region, small, 100);
    drive_settle(region);
    drive_checkpoint(region); /* 3; the older is 2, of the opening */
    drive_add(region, small, 100);
    drive_settle(region);
    drive_close(region);
    flip("r/checkpoint-b", 70);
    region = fixture_open(false, &report);
    ck_assert_uint_eq(report.checkpoint_sequence, 2);
    ck_assert_uint_eq(report.records, 2);
    ck_assert_uint_eq(fixture_allocated(), 200);
    drive_close(region); /* now 3 again, and the segments before it are gone */
    region = NULL;
    flip("r/checkpoint-b", 70);
    expect_corrupt("r/checkpoint-b");
}
END_TEST

/* A checkpoint while the region works makes the older one useless, too. */
START_TEST(an_older_checkpoint_does_not_take_over_without_its_journal)
{
    uint64_t a = drive_allocate(region, MIB);
    for (int i = 0; i < 10; i++) {
        drive_store(region, a, big + i, MIB);
        drive_settle(region);
    }
    drive_checkpoint(region);
    drive_settle(region);
    drive_close(region);
    region = NULL;
    flip("r/checkpoint-b", 70);
    expect_corrupt("r/checkpoint-b");
}
END_TEST

START_TEST(a_damaged_meta_is_named)
{
    drive_close(region);
    region = NULL;
    flip("r/meta", 60);
    expect_corrupt("r/meta");
    flip("r/meta", 60);
    region = fixture_open(false, NULL);
}
END_TEST

START_TEST(a_newer_format_is_refused)
{
    struct region *opened = NULL;
    drive_close(region);
    region = NULL;
    flip("r/meta", 8);
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES);
    ck_assert_int_eq(region_open(io, "r", NULL, false, &opened, NULL, &err), ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "newer"));
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
    flip("r/meta", 8);
    region = fixture_open(false, NULL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_failed_sync_makes_it_read_only,
                                  no_space_for_a_commit_is_no_refusal,
                                  lost_bytes_are_not_shown,
                                  lost_bytes_are_not_shown_without_checksums,
                                  batches_are_taken_back_the_youngest_first,
                                  a_batch_of_its_own_gives_its_size_back,
                                  a_range_of_many_blocks_is_taken_back,
                                  a_failed_sync_is_told_to_both_lanes,
                                  a_full_journal_still_frees,
                                  a_durable_batch_is_kept_by_a_region_that_fails,
                                  durable_pending_batches_are_kept_by_a_region_that_fails,
                                  a_commit_ends_while_the_region_fails,
                                  a_commit_fails_while_the_region_fails,
                                  a_full_disk_refuses_and_still_frees,
                                  a_refusal_keeps_no_space,
                                  a_full_disk_can_be_opened,
                                  a_checkpoint_without_room_is_told,
                                  a_damaged_record_is_named,
                                  a_damaged_record_that_a_checkpoint_counts_on_is_named,
                                  a_damaged_segment_is_named,
                                  a_data_file_shorter_than_the_journal_says,
                                  an_opening_does_not_read_large_blobs,
                                  a_data_file_that_ends_within_a_page,
                                  a_torn_tail_is_cut,
                                  a_damaged_checkpoint_is_named,
                                  an_older_checkpoint_takes_over,
                                  an_older_checkpoint_does_not_take_over_without_its_journal,
                                  a_damaged_meta_is_named,
                                  a_newer_format_is_refused};
    Suite *suite = suite_create("region: failures");
    TCase *tcase = fixture_tests("failures", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, files_that_are_cut, 0, 2);
    tcase_add_test(tcase, a_reservation_fails_when_the_region_has_failed);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
