/* Group commit: what is gathered, what waits for what, and what a load sees meanwhile. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/region_private.h"
#include "support_fixture.h"
#include "tests/support_main.h"

START_TEST(changes_gather_while_a_batch_commits)
{
    uint64_t a = drive_add(region, small, 10);
    uint64_t ticket = region_ticket(region);
    struct region_job *job = region_next_job(region, LANE_COMMIT, 1);
    ck_assert_ptr_nonnull(job);
    uint64_t b = drive_add(region, small + 10, 10);
    drive_add(region, small + 20, 10);
    ck_assert_uint_eq(region_ticket(region), ticket + 1);
    ck_assert_ptr_null(region_next_job(region, LANE_COMMIT, 1));
    ck_assert_uint_lt(region_done_ticket(region), ticket);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(region_done_ticket(region), ticket);
    ck_assert_uint_eq(region_applied_ticket(region), ticket);
    drive_expect(region, a, small, 10);
    drive_expect(region, b, small + 10, 10);
    ck_assert_uint_eq(region_done_ticket(region), ticket + 1);
}
END_TEST

/* A batch is done as soon as it is durable, while the worker has yet to put it in place. */
START_TEST(a_batch_is_done_before_it_is_in_place)
{
    uint64_t after, a = drive_add(region, small, 10), ticket = region_ticket(region);
    struct region_job *job = region_next_job(region, LANE_COMMIT, 1);
    ck_assert_ptr_nonnull(job);
    uint64_t applied = region_applied_ticket(region);
    ck_assert(region_job_begin(job));
    ck_assert_uint_lt(region_done_ticket(region), ticket);
    uint64_t writes = simdisk_calls(disk, SIM_CHANGES);
    region_job_durable(region, job);
    ck_assert_uint_eq(region_done_ticket(region), ticket);
    ck_assert_uint_eq(region_applied_ticket(region), applied);
    ck_assert_int_eq(region_load_begin(region, (struct extent){a, 10}, &after, &err), 0);
    ck_assert_uint_eq(after, ticket);
    /* The next one gathers, and has to wait. */
    uint64_t b = drive_add(region, small + 10, 10);
    ck_assert_uint_gt(region_ticket(region), ticket);
    ck_assert_ptr_null(region_next_job(region, LANE_COMMIT, 1));
    ck_assert(!region_idle(region));
    struct simdisk *left = simdisk_crash_none(disk);
    region_job_run(job);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES) - writes, 2); /* data, sums */
    region_job_done(region, job);
    ck_assert_uint_eq(region_applied_ticket(region), ticket);
    drive_expect(region, a, small, 10);
    drive_expect(region, b, small + 10, 10);
    /* Where the power went in between it is there, too. */
    struct region *again;
    struct region_report report;
    ck_assert_int_eq(region_open(simdisk_io(left), "r", NULL, false, &again, &report, &err), 0);
    drive_expect(again, a, small, 10);
    region_close(again);
    simdisk_free(left);
}
END_TEST

/* One aligned write and one sync for a small change. */
START_TEST(a_small_commit_is_one_write_and_one_sync)
{
    drive_add(region, small, 64);
    drive_settle(region);
    uint64_t syncs = simdisk_calls(disk, SIM_SYNCS), writes = simdisk_calls(disk, SIM_CHANGES);
    drive_add(region, small, 64);
    drive_step(region, LANE_COMMIT);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_SYNCS) - syncs, 1);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES) - writes, 3); /* journal, data, sums */
}
END_TEST

/* A load sees the bytes as they were when it was asked for, though they are overwritten in the very
 * next change, before anything was committed. */
START_TEST(a_load_is_not_overtaken)
{
    for (unsigned durability = 0; durability < DURABILITIES; durability++) {
        uint8_t buffer[100];
        uint64_t after = 0, ticket, damaged;
        fixture_set_durability((enum durability)durability);
        uint64_t address = drive_add(region, small, 100);
        struct extent block = {address, 100};
        ck_assert_int_eq(region_load_begin(region, block, &after, &err), 0);
        ck_assert_uint_eq(after, region_ticket(region));
        drive_store(region, address, big, 100);
        ticket = region_ticket(region);
        ck_assert_uint_gt(ticket, after);
        while (region_applied_ticket(region) < after)
            ck_assert(drive_step(region, LANE_COMMIT));
        ck_assert_uint_lt(region_applied_ticket(region), ticket);
        ck_assert_int_eq(region_read(region, address, buffer, 100, &damaged, &err), 0);
        ck_assert_mem_eq(buffer, small, 100);
        drive_expect(region, address, big, 100);
    }
}
END_TEST

/* The same where the bytes were written to the journal but not put in place yet. */
START_TEST(a_load_of_pending_bytes_is_not_overtaken)
{
    uint8_t buffer[100];
    uint64_t after = 0, damaged;
    fixture_set_durability(DURABILITY_INTERVAL);
    uint64_t address = drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_uint_lt(region_applied_ticket(region), region_ticket(region));
    struct extent block = {address, 100};
    ck_assert_int_eq(region_load_begin(region, block, &after, &err), 0);
    ck_assert_uint_eq(after, region_ticket(region));
    drive_store(region, address, big, 100);
    while (region_applied_ticket(region) < after)
        ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_int_eq(region_read(region, address, buffer, 100, &damaged, &err), 0);
    ck_assert_mem_eq(buffer, small, 100);
    drive_expect(region, address, big, 100);
}
END_TEST

/* A neighbor of bytes that are pending waits for the job that puts them in place, though that job
 * holds its own batch back. */
START_TEST(a_load_beside_what_is_flushed_first)
{
    uint64_t a = drive_add(region, small, 100), b = drive_add(region, big, 100), after = 0, large;
    while (region_add(region, big, 100000, &large, &err) == REGION_WAIT)
        drive_settle(region);
    drive_deallocate(region, large, 100000);
    drive_settle(region);
    fixture_set_durability(DURABILITY_NONE);
    drive_store(region, a, small + 7, 10);
    uint64_t pending = region_ticket(region);
    drive_settle(region);
    large = drive_add(region, big, 100000);
    struct region_job *job = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    ck_assert_int_eq(region_load_begin(region, (struct extent){b, 100}, &after, &err), 0);
    ck_assert_uint_eq(after, pending);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(region_applied_ticket(region), pending);
    drive_expect(region, b, big, 100);
    drive_expect(region, large, big, 100000);
}
END_TEST

/* What is being read is not written over straight, whatever the durability. */
START_TEST(a_pin_holds_a_large_blob_back)
{
    struct region_pin pin;
    uint8_t *buffer = malloc(100000);
    uint64_t after = 0, damaged, a = drive_add(region, big, 100000);
    drive_add(region, small, 100);
    drive_settle(region);
    fixture_set_durability((enum durability)_i);
    ck_assert_int_eq(region_load_begin(region, (struct extent){a, 100000}, &after, &err), 0);
    ck_assert_uint_eq(after, 0);
    region_pin(region, &pin, (struct extent){a, 100000});
    drive_deallocate(region, a, 100000);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert(!pin.is_in_the_way);
    ck_assert_uint_eq(drive_add(region, big + 9, 100000), a);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert(pin.is_in_the_way);
    ck_assert_int_eq(region_read(region, a, buffer, 100000, &damaged, &err), 0);
    ck_assert_mem_eq(buffer, big, 100000);
    region_unpin(region, &pin);
    drive_settle(region);
    drive_expect(region, a, big + 9, 100000);
    free(buffer);
}
END_TEST

/* Nor is it by what was pending before a batch that cannot wait. */
START_TEST(a_pin_on_pending_bytes_holds_a_commit_back)
{
    struct region_pin pin;
    uint64_t a = drive_add(region, small, 100), b = drive_add(region, big, 100), large;
    drive_add(region, big, DATA_PAGE); /* keeps them apart */
    while (region_add(region, big, 100000, &large, &err) == REGION_WAIT)
        drive_settle(region);
    drive_deallocate(region, large, 100000);
    drive_settle(region);
    fixture_set_durability(_i == 0 ? DURABILITY_INTERVAL : DURABILITY_NONE);
    drive_store(region, a, small + 7, 10);
    uint64_t pending = region_ticket(region);
    drive_settle(region);
    region_pin(region, &pin, (struct extent){b, 100});
    large = drive_add(region, big, 100000);
    drive_settle(region);
    ck_assert_uint_eq(region_done_ticket(region), pending);
    ck_assert_uint_lt(region_applied_ticket(region), pending);
    region_unpin(region, &pin);
    drive_settle(region);
    ck_assert_uint_gt(region_done_ticket(region), pending);
    drive_expect(region, large, big, 100000);
}
END_TEST

/* More pages of zeros than a batch keeps by page: what is put over them next builds on zeros, and
 * not on what the disk had there. */
START_TEST(a_store_into_many_zeros)
{
    uint64_t size = 6 * MIB, a = drive_allocate(region, size);
    for (uint64_t at = 0; at < size; at += MIB)
        drive_store(region, a + at, big, MIB);
    uint64_t behind = drive_add(region, small, 100);
    drive_settle(region);
    drive_deallocate(region, a, size);
    drive_settle(region);
    fixture_set_durability(DURABILITY_INTERVAL);
    ck_assert_uint_eq(drive_allocate(region, size), a);
    while (drive_step(region, LANE_COMMIT))
        continue;
    drive_store(region, a + MIB + 10, small, 10);
    while (drive_step(region, LANE_COMMIT))
        continue;
    drive_expect(region, a + MIB + 10, small, 10);
    drive_expect(region, behind, small, 100);
}
END_TEST

/* The same where puts cut them into runs that are short enough each, but not together. */
START_TEST(a_store_into_zeros_that_are_cut)
{
    static const uint8_t zeros[DATA_PAGE];
    uint64_t size = 2500 * DATA_PAGE, a = drive_add(region, big, 3 * MIB);
    drive_add(region, small, 100);
    drive_settle(region);
    drive_deallocate(region, a, 3 * MIB);
    drive_allocate(region, 3 * MIB);
    fixture_set_durability(DURABILITY_INTERVAL);
    uint64_t b = drive_allocate(region, size);
    for (uint64_t page = 1000; page < 2500; page += 1000)
        drive_store(region, b + page * DATA_PAGE, small, 10);
    while (drive_step(region, LANE_COMMIT))
        continue;
    drive_store(region, b + 2400 * DATA_PAGE + 10, small, 10);
    while (drive_step(region, LANE_COMMIT))
        continue;
    drive_expect(region, b + 2400 * DATA_PAGE + 10, small, 10);
    drive_expect(region, b + 1000 * DATA_PAGE, small, 10);
    drive_expect(region, b + 999 * DATA_PAGE, zeros, DATA_PAGE);
    drive_expect(region, b + 2399 * DATA_PAGE, zeros, DATA_PAGE);
}
END_TEST

/* A large blob that begins and ends with a page where it was and where it goes. */
START_TEST(whole_pages_move)
{
    uint64_t size = 40 * DATA_PAGE, a = drive_add(region, big, size);
    drive_add(region, small, DATA_PAGE);
    drive_settle(region);
    uint64_t b = drive_resize(region, a, size, size + DATA_PAGE);
    ck_assert_uint_eq(b, size + DATA_PAGE);
    drive_expect(region, b, big, size);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, b, big, size);
}
END_TEST

/* A few bytes go over a large blob whose pages were written straight: in the same batch, in the
 * next, while both are pending and when nothing is. */
START_TEST(a_store_into_a_large_blob)
{
    fixture_set_durability((enum durability)(_i / 2));
    uint64_t a = drive_add(region, small, 100), b;
    while (region_add(region, big, 100000, &b, &err) == REGION_WAIT)
        drive_step(region, LANE_BACKGROUND);
    if (_i % 2 == 1)
        while (drive_step(region, LANE_COMMIT))
            continue;
    drive_store(region, b + 50000, small, 10);
    while (drive_step(region, LANE_COMMIT))
        continue;
    drive_store(region, b + 50005, small + 100, 10);
    drive_expect(region, b + 50000, small, 5);
    drive_expect(region, b + 50005, small + 100, 10);
    drive_expect(region, b + 50015, big + 50015, 49985);
    drive_expect(region, b, big, 50000);
    drive_expect(region, a, small, 100);
    region_hurry(region);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, b, big, 50000);
    drive_expect(region, b + 50005, small + 100, 10);
    drive_expect(region, b + 50015, big + 50015, 49985);
}
END_TEST

static void set_checksum(enum checksum checksum)
{
    struct region_info info;
    region_get_info(region, &info);
    info.options.checksum = checksum;
    region_set_options(region, &info.options);
}

/* A worker that reads a block again and again while the commit job puts its neighbor in place. */
struct reader {
    struct extent block;
    const uint8_t *bytes;
    unsigned reads;
    bool is_inside;
};

static void read_on(void *context, struct simdisk *on, enum simdisk_op op, const char *path)
{
    struct reader *reader = context;
    uint8_t buffer[100];
    uint64_t damaged;
    (void)on, (void)op, (void)path;
    if (reader->is_inside)
        return;
    reader->is_inside = true;
    reader->reads++;
    int code =
        region_read(region, reader->block.address, buffer, reader->block.size, &damaged, &err);
    ck_assert_msg(code == 0, "before %s of %s: %s", simdisk_op_name(op), path, err.text);
    ck_assert_mem_eq(buffer, reader->bytes, reader->block.size);
    reader->is_inside = false;
}

/* A load that begins while there are no checksums may end while there are. It waits for batches
 * that were made while there were. */
START_TEST(checksums_come_and_go_during_a_load)
{
    uint64_t a = drive_add(region, small, 100), b = drive_add(region, big, 100), after = 0;
    struct reader reader = {.block = {b, 100}, .bytes = big};
    bool has_checksums = _i % 2 == 0, is_pending = _i >= 2;
    drive_settle(region);
    fixture_set_durability(is_pending ? DURABILITY_INTERVAL : DURABILITY_SYNC);
    set_checksum(has_checksums ? CHECKSUM_ON : CHECKSUM_OFF);
    drive_store(region, a, small + 7, 10);
    if (is_pending) {
        drive_settle(region);
        set_checksum(CHECKSUM_OFF);
        region_hurry(region);
    }
    struct region_job *job = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    set_checksum(CHECKSUM_OFF);
    ck_assert_int_eq(region_load_begin(region, reader.block, &after, &err), 0);
    ck_assert_uint_eq(after, has_checksums ? region_ticket(region) : 0);
    set_checksum(CHECKSUM_ON);
    if (after == 0)
        simdisk_set_hook(disk, read_on, &reader);
    region_job_run(job);
    simdisk_set_hook(disk, NULL, NULL);
    region_job_done(region, job);
    ck_assert_uint_eq(region_applied_ticket(region), region_ticket(region));
    ck_assert(has_checksums || reader.reads >= 3);
    drive_expect(region, b, big, 100);
    drive_expect(region, a, small + 7, 10);
}
END_TEST

START_TEST(a_pin_holds_the_commit_back)
{
    struct region_pin pin, other;
    uint64_t address = drive_add(region, small, 100);
    uint64_t elsewhere = drive_add(region, big, 2 * DATA_PAGE);
    uint64_t beyond = elsewhere + 2 * DATA_PAGE - 1;
    drive_settle(region);
    region_pin(region, &pin, (struct extent){address + 99, 1});
    region_pin(region, &other, (struct extent){elsewhere + DATA_PAGE, 1});
    drive_store(region, beyond, small, 1);
    drive_settle(region);
    ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
    drive_store(region, address, big, 1); /* another byte of the same page */
    drive_settle(region);
    ck_assert_uint_lt(region_done_ticket(region), region_ticket(region));
    region_unpin(region, &pin);
    drive_settle(region);
    ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
    region_unpin(region, &other);
}
END_TEST

/* A large blob goes straight to its place: never into space whose freeing is not durable. */
START_TEST(a_large_blob_waits_for_the_free_below_it)
{
    uint64_t a = drive_add(region, big, 1 << 20);
    drive_add(region, small, 1);
    drive_settle(region);
    drive_deallocate(region, a, 1 << 20);
    uint64_t ticket = region_ticket(region);
    ck_assert_uint_eq(drive_add(region, big + 5, 1 << 20), a);
    ck_assert_uint_gt(region_ticket(region), ticket);
    drive_expect(region, a, big + 5, 1 << 20);
}
END_TEST

static int stage_growth(struct region *of, void *context, struct err *why)
{
    const struct extent *block = context; /* and a byte more than that */
    uint64_t to;
    return region_resize(of, (struct extent){block->address, 1500}, block->size + 1, &to, why);
}

/* However free the bytes behind a block are. */
START_TEST(nothing_grows_past_its_limit)
{
    struct region_info info;
    uint64_t a = drive_add(region, small, 1000);
    region_get_info(region, &info);
    info.options.max_size = 3000;
    region_set_options(region, &info.options);
    ck_assert_uint_eq(drive_add(region, small, 1500), a + 1000);
    for (uint64_t limit = 2000; limit <= 3000; limit += 1000) {
        struct extent most = {a + 1000, limit};
        ck_assert_int_eq(drive_until(region, stage_growth, &most, &err), ERR_NO_SPACE);
        ck_assert_ptr_nonnull(strstr(err.text, "max_size 3000"));
    }
    ck_assert_uint_eq(drive_resize(region, a + 1000, 1500, 2000), a + 1000);
}
END_TEST

/* Also while a batch gathers and another one is under way, which are not given up. */
START_TEST(a_region_at_rest_keeps_no_batches)
{
    uint64_t a = drive_add(region, small, 4000);
    struct region_job *job = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    uint64_t b = drive_add(region, big, 60000);
    region_rest(region);
    region_job_run(job);
    region_job_done(region, job);
    drive_settle(region);
    ck_assert_uint_gt(region->spare_count, 0);
    region_rest(region);
    ck_assert_uint_eq(region->spare_count, 0);
    uint64_t c = drive_add(region, small + 10, 10);
    drive_settle(region);
    drive_expect(region, a, small, 4000);
    drive_expect(region, b, big, 60000);
    drive_expect(region, c, small + 10, 10);
}
END_TEST

/* Each page that is changed in part has an image in memory until the commit is done. */
START_TEST(so_many_pages_in_one_commit)
{
    uint64_t a = drive_allocate(region, (BATCH_IMAGES + 100) * DATA_PAGE), stores = 0;
    drive_settle(region);
    while (region_store(region, a + stores * DATA_PAGE, "x", 1, &err) == 0)
        ck_assert_uint_lt(++stores, BATCH_IMAGES + 1);
    ck_assert_uint_ge(stores, BATCH_IMAGES - 2);
    uint64_t ticket = region_ticket(region);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_uint_eq(region_done_ticket(region), ticket);
    drive_store(region, a + stores * DATA_PAGE, "x", 1);
}
END_TEST

/* Each segment that is not synced holds a file open: with durability none, too, there is an end. */
START_TEST(much_unsynced_journal_is_synced)
{
    struct region_info info;
    uint64_t a = drive_allocate(region, sizeof big), syncs;
    region_get_info(region, &info);
    info.options.journal_size = 256 * MIB;
    info.options.durability = DURABILITY_NONE;
    info.options.checksum = CHECKSUM_OFF;
    region_set_options(region, &info.options);
    drive_settle(region);
    syncs = simdisk_calls(disk, SIM_BIT(SIM_SYNC));
    for (uint64_t i = 0; i < 2 * 64 * MIB / sizeof big; i++) {
        drive_store(region, a, big, sizeof big);
        while (drive_step(region, LANE_COMMIT))
            continue;
    }
    ck_assert_uint_gt(simdisk_calls(disk, SIM_BIT(SIM_SYNC)), syncs);
    ck_assert_uint_le(simdisk_open_files(disk), 64 * MIB / JOURNAL_SEGMENT + 16);
    drive_expect(region, a, big, sizeof big);
}
END_TEST

START_TEST(one_large_change_passes_alone)
{
    size_t size = BATCH_BYTES + BATCH_BYTES / 2;
    uint8_t *bytes = malloc(size);
    drive_pattern(bytes, size, 9);
    uint64_t address = drive_allocate(region, size);
    drive_store(region, address, bytes, size);
    drive_store(region, address, bytes, size);
    drive_expect(region, address, bytes, size);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, address, bytes, size);
    free(bytes);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {changes_gather_while_a_batch_commits,
                                  a_batch_is_done_before_it_is_in_place,
                                  a_small_commit_is_one_write_and_one_sync,
                                  a_load_is_not_overtaken,
                                  a_load_of_pending_bytes_is_not_overtaken,
                                  a_pin_holds_the_commit_back,
                                  a_large_blob_waits_for_the_free_below_it,
                                  one_large_change_passes_alone,
                                  a_load_beside_what_is_flushed_first,
                                  a_store_into_many_zeros,
                                  a_store_into_zeros_that_are_cut,
                                  whole_pages_move,
                                  nothing_grows_past_its_limit,
                                  a_region_at_rest_keeps_no_batches,
                                  so_many_pages_in_one_commit,
                                  much_unsynced_journal_is_synced};
    Suite *suite = suite_create("region: commits");
    TCase *tcase = fixture_tests("commits", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, a_store_into_a_large_blob, 0, 6);
    tcase_add_loop_test(tcase, a_pin_holds_a_large_blob_back, 0, DURABILITIES);
    tcase_add_loop_test(tcase, a_pin_on_pending_bytes_holds_a_commit_back, 0, 2);
    tcase_add_loop_test(tcase, checksums_come_and_go_during_a_load, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
