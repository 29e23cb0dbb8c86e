/* Many small blobs in one commit: in fresh space their pages are written once, before the record.
 */
#include "core/region.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "support_fixture.h"
#include "tests/support_main.h"

#define BLOBS 96
#define SIZE_MOST 6000

struct blob {
    uint64_t address;
    const uint8_t *bytes;
    uint64_t size;
};

static struct blob blobs[BLOBS];

/* What a commit does, a letter a call: D, J and S for a write to data, journal and sums; d, j and s
 * for a sync. */
static char calls[64];

static void note_call(void *context, struct simdisk *on, enum simdisk_op op, const char *path)
{
    size_t length = strlen(calls);
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    (void)context, (void)on;
    if (op != SIM_WRITE && op != SIM_SYNC)
        return;
    ck_assert_uint_lt(length + 1, sizeof calls);
    char letter = *name == 'd' ? 'D' : *name == 'j' ? 'J' : 'S';
    calls[length] = (char)(op == SIM_SYNC ? letter - 'A' + 'a' : letter);
}

/* Commits what gathers, in one job. */
static const char *commit(void)
{
    uint64_t ticket = region_ticket(region);
    memset(calls, 0, sizeof calls);
    simdisk_set_hook(disk, note_call, NULL);
    ck_assert(drive_step(region, LANE_COMMIT));
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_eq(region_done_ticket(region), ticket);
    return calls;
}

/* Reserves space, so that nothing is waited for later. */
static void make_room(void)
{
    uint64_t a = drive_add(region, small, 100), room = drive_allocate(region, MIB);
    drive_settle(region);
    drive_deallocate(region, room, MIB);
    drive_settle(region);
    drive_expect(region, a, small, 100);
}

static void add(size_t from, size_t to, uint64_t size)
{
    for (size_t i = from; i < to; i++) {
        blobs[i] = (struct blob){.bytes = big + i * 5000 + size, .size = size};
        ck_assert_int_eq(region_add(region, blobs[i].bytes, size, &blobs[i].address, &err), 0);
    }
}

static void expect(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        drive_expect(region, blobs[i].address, blobs[i].bytes, blobs[i].size);
}

/* All of it is as it should be, now and after a power cut, and nothing is damaged. */
static void expect_for_good(size_t from, size_t to)
{
    struct region_report report;
    expect(from, to);
    ck_assert_ptr_null(region_check(region));
    fixture_power_cut();
    region = fixture_open(false, &report);
    ck_assert_uint_eq(report.cut_bytes + report.damaged, 0);
    expect(from, to);
    ck_assert_ptr_null(region_check(region));
}

/* One write of their pages, one of a small record; what is ragged goes with the record. */
START_TEST(pages_are_written_before_the_record)
{
    make_room();
    add(0, BLOBS, 5000);
    ck_assert_str_eq(commit(), "DdJjSSD");
    expect_for_good(0, BLOBS);
}
END_TEST

START_TEST(few_bytes_keep_their_single_sync)
{
    make_room();
    add(0, 50, 5000);
    ck_assert_str_eq(commit(), "JjSSDD");
    expect_for_good(0, 50);
}
END_TEST

/* What follows in the last page of those before is no fresh page any more. */
START_TEST(a_page_is_gone_on_with)
{
    make_room();
    add(0, 60, SIZE_MOST);
    (void)commit();
    add(60, BLOBS, SIZE_MOST);
    (void)commit();
    expect_for_good(0, BLOBS);
}
END_TEST

/* A later change of the same batch finds these bytes in no record, and its own neither. */
START_TEST(later_changes_of_the_same_batch)
{
    uint8_t stored[5000], smaller[5000];
    make_room();
    add(0, BLOBS, 5000);
    memcpy(stored, blobs[50].bytes, sizeof stored);
    memcpy(stored + 1000, big + MIB, 3000);
    drive_store(region, blobs[50].address + 1000, big + MIB, 3000);
    blobs[50].bytes = stored;
    drive_deallocate(region, blobs[95].address + 2000, 3000); /* its pages are not written ahead */
    blobs[95].size = 2000;
    memcpy(smaller, big + 7, sizeof smaller);
    blobs[0].address = drive_replace(region, blobs[0].address, 5000, smaller, 4000);
    blobs[0].bytes = smaller;
    blobs[0].size = 4000;
    (void)commit();
    expect_for_good(0, BLOBS);
}
END_TEST

/* What the batch itself frees comes back if its record is torn: nothing is written over it. */
START_TEST(space_that_the_batch_freed_waits_for_the_record)
{
    make_room();
    add(0, BLOBS, 5000);
    (void)commit();
    drive_settle(region);
    for (size_t i = 1; i < BLOBS; i++)
        drive_deallocate(region, blobs[i].address, 5000);
    if (_i == 1)
        drive_settle(region);
    for (size_t i = 1; i < BLOBS; i++) {
        blobs[i].bytes = big + MIB + i * 5000;
        ck_assert_int_eq(region_add(region, blobs[i].bytes, 5000, &blobs[i].address, &err), 0);
    }
    const char *done = commit();
    ck_assert_str_eq(done, _i == 0 ? "JjSSDD" : "DdJjSSD");
    expect_for_good(0, BLOBS);
}
END_TEST

/* Holes that are shorter than a run go through the journal, those that are not do not. */
START_TEST(long_holes_among_short_ones)
{
    static const uint64_t sizes[2] = {3 * DATA_PAGE, 15 * DATA_PAGE};
    uint64_t at[10];
    make_room();
    for (size_t i = 0; i < 10; i++) {
        at[i] = drive_add(region, big, sizes[i % 2]);
        drive_add(region, small, 1000);
    }
    drive_settle(region);
    for (size_t i = 0; i < 10; i++)
        drive_deallocate(region, at[i], sizes[i % 2]);
    drive_settle(region);
    for (size_t i = 0; i < 10; i++)
        add(i, i + 1, sizes[i % 2]);
    (void)commit();
    ck_assert_ptr_eq(strchr(calls, 'd'), calls + 5); /* one write a run */
    ck_assert_ptr_eq(strchr(calls, 'J'), calls + 6);
    expect_for_good(0, 10);
}
END_TEST

/* Where records wait to be synced the pages do, too. */
START_TEST(nothing_is_written_ahead_of_what_waits)
{
    make_room();
    fixture_set_durability(_i == 0 ? DURABILITY_INTERVAL : DURABILITY_NONE);
    add(0, BLOBS, 5000);
    ck_assert_str_eq(commit(), "J");
    region_hurry(region);
    drive_settle(region);
    expect_for_good(0, BLOBS);
}
END_TEST

/* Sealed while records were synced at once, committed when they are not. */
START_TEST(durability_changes_behind_the_seal)
{
    make_room();
    add(0, 2, 100);
    struct region_job *job = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    add(2, BLOBS, 5000);
    ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
    region_atomic_end(region, true);
    uint64_t after;
    ck_assert_int_eq(
        region_load_begin(region, (struct extent){blobs[2].address, 100}, &after, &err), 0);
    drive_store(region, blobs[2].address, big + 77, 100); /* another batch: the load is older */
    fixture_set_durability(_i == 0 ? DURABILITY_INTERVAL : DURABILITY_NONE);
    region_job_run(job);
    region_job_done(region, job);
    (void)drive_step(region, LANE_COMMIT);
    drive_expect(region, blobs[2].address, big + 77, 100);
    region_hurry(region);
    drive_settle(region);
    expect_for_good(3, BLOBS);
    drive_expect(region, blobs[2].address, big + 77, 100);
}
END_TEST

START_TEST(without_checksums)
{
    struct region_info info;
    make_room();
    region_get_info(region, &info);
    info.options.checksum = CHECKSUM_OFF;
    region_set_options(region, &info.options);
    add(0, BLOBS, 5000);
    ck_assert_str_eq(commit(), "DdJjSSD");
    expect_for_good(0, BLOBS);
}
END_TEST

/* Of a commit that fails nothing is left, whatever it has written. */
START_TEST(a_call_fails)
{
    struct simdisk_fault fault = {.ops = SIM_BIT(_i % 2 == 0 ? SIM_WRITE : SIM_SYNC),
                                  .pattern = _i < 2 ? "r/data" : "r/journal-*",
                                  .nth = 1,
                                  .error = EIO};
    uint64_t after;
    make_room();
    add(0, 2, 300);
    drive_settle(region);
    uint64_t allocated = fixture_allocated();
    add(2, BLOBS, 5000);
    simdisk_set_fault(disk, fault);
    drive_settle(region);
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_int_ne(
        region_load_begin(region, (struct extent){blobs[9].address, 5000}, &after, &err), 0);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), allocated);
    expect(0, 2);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {pages_are_written_before_the_record,
                                  few_bytes_keep_their_single_sync,
                                  a_page_is_gone_on_with,
                                  later_changes_of_the_same_batch,
                                  long_holes_among_short_ones,
                                  without_checksums};
    Suite *suite = suite_create("region: written ahead");
    TCase *tcase = fixture_tests("ahead", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, space_that_the_batch_freed_waits_for_the_record, 0, 2);
    tcase_add_loop_test(tcase, nothing_is_written_ahead_of_what_waits, 0, 2);
    tcase_add_loop_test(tcase, durability_changes_behind_the_seal, 0, 2);
    tcase_add_loop_test(tcase, a_call_fails, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
