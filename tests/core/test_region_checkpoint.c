/* Checkpoints, the journal they shorten, and regions that are opened again. */
#include "core/limits.h"
#include "core/region.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "support_fixture.h"
#include "tests/support_main.h"

/* ---- Checkpoints ---- */

START_TEST(a_checkpoint_shortens_the_replay)
{
    struct region_report report;
    struct region_info info;
    for (int i = 0; i < 50; i++) {
        drive_add(region, small, 100);
        drive_settle(region);
    }
    drive_checkpoint(region);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.journal_bytes, 0);
    ck_assert_uint_eq(info.checkpoints, 1);
    drive_deallocate(region, 0, 100);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, &report);
    ck_assert_uint_eq(report.records, 1);
    ck_assert_uint_eq(report.free_blocks, 1);
    ck_assert_uint_eq(fixture_allocated(), 4900);
}
END_TEST

/* Changes between its slices, before and behind the cursor. */
START_TEST(a_checkpoint_does_not_stop_the_region)
{
    struct extent blocks[64] = {{0, 0}};
    enum { COUNT = 3 * CHECKPOINT_SLICE };
    uint64_t ticket, size = 0;
    for (int i = 0; i < 2 * COUNT; i++)
        drive_allocate(region, 10);
    for (int i = 0; i < COUNT; i++)
        drive_deallocate(region, (uint64_t)i * 20, 10);
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    ck_assert(!region_is_checkpointing(region));
    for (int i = 0; region_checkpoint_ticket(region) < ticket; i++) {
        drive_step(region, LANE_BACKGROUND);
        ck_assert(region_is_checkpointing(region) == (region_checkpoint_ticket(region) < ticket));
        if (i < 8) {
            drive_deallocate(region, (uint64_t)i * 40 + 10, 10);
            drive_deallocate(region, (uint64_t)(2 * COUNT - i) * 10 - 10, 10 * (i % 2 == 0));
            drive_add(region, small, 10);
            drive_add(region, small, 1000);
        }
        drive_step(region, LANE_COMMIT);
        size = region_size(region);
    }
    size_t before, after;
    ck_assert_int_eq(region_free_blocks(region, 0, size, blocks, 64, &before, &err), 0);
    struct extent kept[64];
    memcpy(kept, blocks, sizeof kept);
    uint64_t used = fixture_allocated();
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), used);
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_int_eq(region_free_blocks(region, 0, size, blocks, 64, &after, &err), 0);
    ck_assert_uint_eq(before, after);
    ck_assert_mem_eq(kept, blocks, sizeof kept);
}
END_TEST

/* One that is under way may have told what was free before the caller's change. */
START_TEST(who_asks_during_one_gets_the_next)
{
    struct region_report report;
    struct region_info info;
    uint64_t first, second;
    drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &first, &err), 0);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    drive_add(region, small, 100);
    ck_assert_int_eq(region_request_checkpoint(region, &second, &err), 0);
    ck_assert_uint_gt(second, first);
    while (region_checkpoint_ticket(region) < second) {
        bool is_busy = drive_step(region, LANE_COMMIT);
        is_busy |= drive_step(region, LANE_BACKGROUND);
        ck_assert_msg(is_busy, "the second one does not come");
    }
    region_get_info(region, &info);
    ck_assert_uint_eq(info.checkpoints, 2);
    fixture_power_cut();
    region = fixture_open(false, &report);
    ck_assert_uint_eq(report.records, 0);
    ck_assert_uint_eq(fixture_allocated(), 200);
}
END_TEST

/* Much more journal than its size: checkpoints come by themselves and segments are used again. */
START_TEST(the_journal_is_bounded)
{
    struct region_info info;
    uint64_t address = drive_allocate(region, 1 << 20);
    for (int i = 0; i < 100; i++) {
        drive_store(region, address, big + i, 1 << 20);
        drive_settle(region);
    }
    region_get_info(region, &info);
    ck_assert_uint_ge(info.checkpoints, 3);
    ck_assert_uint_le(info.journal_bytes, 3 * JOURNAL_SIZE_MIN);
    ck_assert_uint_le(simdisk_used(disk), 64 << 20);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, address, big + 99, 1 << 20);
}
END_TEST

/* ---- Opening ---- */

START_TEST(read_only_sees_all_and_changes_nothing)
{
    uint64_t a = drive_add(region, small, 100), b = drive_add(region, big, 200000);
    drive_settle(region);
    drive_store(region, a, big, 50);
    drive_settle(region);
    fixture_power_cut();
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), address;
    region = fixture_open(true, NULL);
    drive_expect(region, a, big, 50);
    drive_expect(region, a + 50, small + 50, 50);
    drive_expect(region, b, big, 200000);
    ck_assert_int_eq(region_add(region, small, 1, &address, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_request_checkpoint(region, &address, &err), ERR_READ_ONLY);
    ck_assert_ptr_null(region_next_job(region, LANE_COMMIT, 0));
    region_close(region);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), changes);
    region = fixture_open(false, NULL);
    drive_expect(region, a, big, 50);
}
END_TEST

START_TEST(options_are_kept)
{
    struct region_options options = region_options_default();
    struct region_info info;
    options.fit = FIT_LARGEST;
    options.max_size = 1 << 20;
    drive_close(region);
    ck_assert_int_eq(region_open(io, "r", &options, false, &region, NULL, &err), 0);
    drive_close(region);
    region = fixture_open(false, NULL);
    region_get_info(region, &info);
    ck_assert_int_eq(info.options.fit, FIT_LARGEST);
    ck_assert_uint_eq(info.options.max_size, 1 << 20);
    ck_assert_str_eq(info.name, "main");
}
END_TEST

static int stage_store(struct region *of, void *context, struct err *why)
{
    return region_store(of, *(const uint64_t *)context, big, sizeof big / 3, why);
}

/* Nobody has asked for it: once it failed it is tried again when there is more journal to be
 * gained, and not before. */
START_TEST(one_that_fails_is_tried_again)
{
    struct region_info info;
    uint64_t address = drive_allocate(region, sizeof big), writes = 0;
    drive_settle(region);
    region_get_info(region, &info);
    uint64_t before = info.checkpoints;
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE),
                                                   .pattern = "r/checkpoint-*",
                                                   .nth = 1,
                                                   .error = ENOSPC});
    for (; info.checkpoints == before; writes++) {
        ck_assert_uint_lt(writes, 30);
        ck_assert_int_eq(drive_until(region, stage_store, &address, &err), 0);
        drive_settle(region);
        region_get_info(region, &info);
        if (simdisk_faults_hit(disk) == 0)
            before = info.checkpoints;
    }
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    ck_assert_uint_ge(writes, (JOURNAL_SIZE_MIN + JOURNAL_SEGMENT) / (sizeof big / 3));
}
END_TEST

/* Who waits for journal space has one taken again, as soon as it may be of use: the answer is the
 * reason of the last one that failed, or that it is done. */
START_TEST(one_that_fails_is_told_to_who_waits_for_it)
{
    uint64_t address = drive_allocate(region, sizeof big), stores = 0;
    int code = 0;
    drive_settle(region);
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE),
                                                   .pattern = "r/checkpoint-*",
                                                   .nth = 1,
                                                   .error = ENOSPC,
                                                   .forever = true});
    while (code == 0) {
        ck_assert_uint_lt(stores++, 100);
        code = drive_until(region, stage_store, &address, &err);
        drive_settle(region);
    }
    ck_assert_int_eq(code, ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(err.text, "no checkpoint can be taken"));
    /* On the way to the longest journal there may be, more than one attempt was made. */
    ck_assert_uint_gt(simdisk_faults_hit(disk), 1);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    drive_checkpoint(region);
    ck_assert_int_eq(drive_until(region, stage_store, &address, &err), 0);
}
END_TEST

/* So much is staged at once that another attempt may be of use. */
START_TEST(one_that_failed_is_pressed_for_again)
{
    uint64_t address = drive_allocate(region, sizeof big), stores = 0;
    int code = 0;
    drive_settle(region);
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE),
                                                   .pattern = "r/checkpoint-*",
                                                   .nth = 1,
                                                   .error = ENOSPC,
                                                   .forever = true});
    for (; code == 0 || code == REGION_WAIT; stores++) {
        ck_assert_uint_lt(stores, 200);
        code = stage_store(region, &address, &err);
        if (code == REGION_WAIT)
            drive_settle(region);
    }
    ck_assert_int_eq(code, ERR_NO_SPACE);
    ck_assert_uint_gt(simdisk_faults_hit(disk), 1);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    drive_checkpoint(region);
    ck_assert_int_eq(drive_until(region, stage_store, &address, &err), 0);
}
END_TEST

/* The journal has outgrown what is kept of it. */
START_TEST(segments_that_cannot_be_removed)
{
    uint64_t address = drive_allocate(region, sizeof big), ticket;
    drive_settle(region);
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE),
                                                   .pattern = "r/checkpoint-*",
                                                   .nth = 1,
                                                   .error = ENOSPC,
                                                   .forever = true});
    while (drive_until(region, stage_store, &address, &err) == 0)
        drive_settle(region);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_REMOVE), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    drive_settle(region);
    ck_assert_uint_ge(region_checkpoint_ticket(region), ticket);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, "cannot remove r/journal-"));
    region_close(region);
    region = fixture_open(false, NULL);
    drive_expect(region, address, big, sizeof big / 3);
}
END_TEST

static unsigned write_backs;

static void count_write_back(struct io *of, struct io_file *file)
{
    (void)of, (void)file;
    write_backs++;
}

/* What is put in the data file, and what a checkpoint has to tell, goes to the disk bit by bit. */
START_TEST(writes_do_not_pile_up)
{
    enum { ROUNDS = 3 * WRITE_BACK >> 20, HOLES = 8 * CHECKPOINT_SLICE };
    const struct io_ops *ops = io->ops;
    struct io_ops counting = *ops;
    counting.write_back = count_write_back;
    write_backs = 0;
    uint64_t address = drive_allocate(region, 1 << 20);
    drive_settle(region);
    io->ops = &counting;
    for (int i = 0; i < ROUNDS; i++) {
        drive_store(region, address, big, 1 << 20);
        drive_settle(region);
    }
    ck_assert_uint_eq(write_backs, 2 * 3); /* of the data and of its sums */
    address = drive_allocate(region, 20 * HOLES);
    for (uint64_t i = 0; i < HOLES; i++)
        drive_deallocate(region, address + 20 * i, 10);
    drive_settle(region);
    write_backs = 0;
    drive_checkpoint(region);
    ck_assert_uint_eq(write_backs, 1);
    io->ops = ops;
}
END_TEST

/* While as much is written as can be there is always something to write back: a checkpoint has its
 * turns all the same, and does not wait until the journal is full and nothing can be written. */
START_TEST(a_checkpoint_takes_turns_with_what_is_written_back)
{
    uint64_t ticket, address = drive_allocate(region, 1 << 20);
    const struct io_ops *ops = io->ops;
    struct io_ops counting = *ops;
    counting.write_back = count_write_back;
    drive_settle(region);
    write_backs = 0;
    io->ops = &counting;
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    while (region_checkpoint_ticket(region) < ticket) {
        for (uint64_t i = 0; i < WRITE_BACK >> 20; i++) {
            (void)region_store(region, address, big, 1 << 20, &err);
            drive_step(region, LANE_COMMIT);
        }
        ck_assert(drive_step(region, LANE_BACKGROUND));
    }
    ck_assert_uint_ge(write_backs, 2 * 2); /* of the data and of its sums */
    ck_assert_uint_le(write_backs, 2 * 3);
    io->ops = ops;
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_checkpoint_shortens_the_replay,
                                  a_checkpoint_does_not_stop_the_region,
                                  who_asks_during_one_gets_the_next,
                                  the_journal_is_bounded,
                                  read_only_sees_all_and_changes_nothing,
                                  options_are_kept,
                                  one_that_fails_is_tried_again,
                                  one_that_fails_is_told_to_who_waits_for_it,
                                  one_that_failed_is_pressed_for_again,
                                  segments_that_cannot_be_removed,
                                  writes_do_not_pile_up,
                                  a_checkpoint_takes_turns_with_what_is_written_back};
    Suite *suite = suite_create("region: checkpoints");
    TCase *tcase = fixture_tests("checkpoints", tests, sizeof tests / sizeof tests[0]);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
