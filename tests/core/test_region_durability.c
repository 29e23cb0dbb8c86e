/* When changes of each durability are synced, and what a power cut leaves of them. */
#include "core/bytes.h"
#include "core/limits.h"
#include "core/region.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "support_fixture.h"
#include "tests/support_main.h"

START_TEST(interval_waits_for_the_deadline)
{
    uint64_t a;
    fixture_set_durability(DURABILITY_INTERVAL);
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    uint64_t syncs = simdisk_calls(disk, SIM_BIT(SIM_SYNC));
    a = drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_SYNC)), syncs);
    ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
    ck_assert(!region_idle(region));
    ck_assert_uint_eq(region_deadline_ms(region), drive_now_ms + 100);
    drive_now_ms += 100;
    drive_settle(region);
    ck_assert(region_idle(region));
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_SYNC)), syncs + 1);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, a, small, 100);
}
END_TEST

/* Nor for the disk to take the record. Who wants durability again gets it at once, and a write that
 * waits for the disk from the next segment on. */
START_TEST(only_sync_writes_past_the_page_cache)
{
    drive_add(region, small, 100);
    drive_settle(region);
    drive_checkpoint(region);
    drive_close(region);
    for (unsigned i = 0; i < DURABILITIES; i++) {
        enum durability durability = (enum durability)i;
        region = fixture_open(false, NULL);
        fixture_set_durability(durability);
        uint64_t before = simdisk_aligned_writes(disk);
        drive_add(region, small, 100);
        ck_assert(drive_step(region, LANE_COMMIT));
        ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
        bool is_past = simdisk_aligned_writes(disk) > before;
        ck_assert(is_past == (durability == DURABILITY_SYNC));
        fixture_set_durability(is_past ? DURABILITY_NONE : DURABILITY_SYNC);
        before = simdisk_aligned_writes(disk);
        uint64_t syncs = simdisk_calls(disk, SIM_BIT(SIM_SYNC));
        uint64_t a = drive_add(region, big, 100);
        drive_settle(region);
        ck_assert((simdisk_aligned_writes(disk) > before) == is_past);
        ck_assert((simdisk_calls(disk, SIM_BIT(SIM_SYNC)) == syncs) == is_past);
        if (!is_past)
            fixture_power_cut();
        else
            drive_close(region);
        region = fixture_open(false, NULL);
        drive_expect(region, a, big, 100);
        drive_close(region);
    }
    region = fixture_open(false, NULL);
}
END_TEST

/* However many changes follow, the first one waits no longer than the interval. */
START_TEST(interval_begins_with_the_first_change)
{
    fixture_set_durability(DURABILITY_INTERVAL);
    uint64_t begin_ms = drive_now_ms, syncs = simdisk_calls(disk, SIM_BIT(SIM_SYNC));
    for (unsigned i = 0; i < 10; i++) {
        drive_add(region, small, 100);
        drive_settle(region);
        ck_assert_uint_eq(region_deadline_ms(region), begin_ms + 100);
        drive_now_ms += 9;
    }
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_SYNC)), syncs);
    drive_now_ms = begin_ms + 100;
    drive_settle(region);
    ck_assert(region_idle(region));
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_SYNC)), syncs + 1);
}
END_TEST

/* A flush that waits for a read to end is nothing to be woken for again and again. */
START_TEST(a_pin_puts_the_deadline_off)
{
    struct region_pin pin;
    uint64_t after, a = drive_add(region, small, 100);
    drive_settle(region);
    fixture_set_durability(DURABILITY_INTERVAL);
    ck_assert_int_eq(region_load_begin(region, (struct extent){a, 100}, &after, &err), 0);
    region_pin(region, &pin, (struct extent){a, 100});
    drive_store(region, a, big, 10);
    drive_settle(region);
    drive_now_ms += 1000;
    drive_settle(region);
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    ck_assert(!region_idle(region));
    region_unpin(region, &pin);
    ck_assert_uint_le(region_deadline_ms(region), drive_now_ms);
    drive_settle(region);
    ck_assert(region_idle(region));
    drive_expect(region, a, big, 10);
}
END_TEST

/* However long the interval is: what is held back takes memory, and time of every load. */
START_TEST(interval_holds_only_so_many_back)
{
    uint64_t a = drive_add(region, big, 10000);
    drive_settle(region);
    fixture_set_durability(DURABILITY_INTERVAL);
    uint64_t ticket = region_applied_ticket(region);
    for (unsigned i = 0; i <= 3 * BATCHES_PENDING; i++) {
        drive_store(region, a + i % 10000, small, 1);
        while (drive_step(region, LANE_COMMIT))
            continue;
        ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
        ck_assert_uint_le(region_done_ticket(region) - region_applied_ticket(region),
                          BATCHES_PENDING);
    }
    ck_assert_uint_gt(region_applied_ticket(region), ticket + 2 * BATCHES_PENDING);
}
END_TEST

START_TEST(interval_may_lose_its_last)
{
    struct region_report report;
    uint64_t a = drive_add(region, small, 100);
    drive_settle(region);
    fixture_set_durability(DURABILITY_INTERVAL);
    drive_store(region, a, big, 100);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, &report);
    drive_expect(region, a, small, 100);
    ck_assert_uint_eq(report.records, 1);
}
END_TEST

START_TEST(none_syncs_only_for_a_checkpoint)
{
    fixture_set_durability(DURABILITY_NONE);
    uint64_t syncs = simdisk_calls(disk, SIM_BIT(SIM_SYNC));
    uint64_t a = drive_add(region, small, 100);
    uint64_t b = drive_add(region, big, 100000);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_SYNC)), syncs);
    ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
    drive_checkpoint(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, a, small, 100);
    drive_expect(region, b, big, 100000);
}
END_TEST

/* Any part of what was never synced is on the disk: what was there at the last checkpoint and was
 * not touched since is whole, and the region opens, at some moment of the past. */
START_TEST(none_survives_a_power_cut)
{
    struct rng rng = {.state = (uint64_t)_i + 1};
    uint64_t old[8], fresh[32];
    fixture_set_durability(DURABILITY_NONE);
    for (int i = 0; i < 8; i++)
        old[i] = drive_add(region, big + i, 3000 + 20000 * (uint64_t)i);
    drive_checkpoint(region);
    for (int i = 0; i < 32; i++)
        fresh[i] = drive_add(region, small, 100 * (uint64_t)i + 1);
    for (int i = 0; i < 100; i++) {
        uint64_t n = rng_below(&rng, 32), size = 100 * n + 1;
        drive_deallocate(region, fresh[n], size);
        if (rng_chance(&rng, 30))
            drive_step(region, LANE_COMMIT);
        drive_deallocate(region, drive_add(region, big, 70000), 70000);
        fresh[n] = drive_add(region, big, size);
    }
    while (drive_step(region, LANE_COMMIT))
        continue;
    for (int i = 0; i < 20; i++) {
        struct simdisk *crashed = simdisk_crash_random(disk, &rng);
        struct region *opened = NULL;
        int code = region_open(simdisk_io(crashed), "r", NULL, false, &opened, NULL, &err);
        ck_assert_msg(code == 0, "%s", err.text);
        for (int k = 0; k < 8; k++)
            drive_expect(opened, old[k], big + k, 3000 + 20000 * (uint64_t)k);
        drive_close(opened);
        simdisk_free(crashed);
    }
}
END_TEST

/* The disk after a power cut that took all that was not synced, but for one kind of files. */
static struct region *open_crashed(struct simdisk **ret_crashed, const char *kept_prefix)
{
    struct region *opened = NULL;
    size_t count = simdisk_pending(disk);
    const struct pending *const *pending = simdisk_pending_list(disk);
    bool *kept = calloc(count + 1, sizeof *kept);
    ck_assert_ptr_nonnull(kept);
    for (size_t i = 0; i < count; i++)
        kept[i] = strncmp(pending[i]->node->name, kept_prefix, strlen(kept_prefix)) == 0;
    *ret_crashed = simdisk_crash(disk, kept, (struct tear){0}, 1);
    free(kept);
    int code = region_open(simdisk_io(*ret_crashed), "r", NULL, false, &opened, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return opened;
}

/* The power goes when all bytes of blobs are on the disk, and the journal only as far as it was
 * synced: what was durable is whole, whether it was freed and its space used again, or overwritten.
 */
START_TEST(none_leaves_what_was_durable_alone)
{
    uint64_t a = drive_add(region, big, 3000), b = drive_add(region, big + 1, 2000), c;
    drive_checkpoint(region);
    fixture_set_durability(DURABILITY_NONE);
    switch (_i) {
    case 0: /* in two batches */
        drive_deallocate(region, a, 3000);
        while (drive_step(region, LANE_COMMIT))
            continue;
        ck_assert_uint_eq(drive_add(region, small, 3000), a);
        break;
    case 1: /* in one */
        drive_deallocate(region, a, 3000);
        ck_assert_uint_eq(drive_add(region, small, 3000), a);
        break;
    case 2:
        drive_store(region, b + 100, small, 900);
        break;
    case 3:
        ck_assert_uint_eq(drive_replace(region, b, 2000, small, 1500), b);
        break;
    case 4: /* behind one that is held back */
        drive_store(region, a, small, 10);
        while (drive_step(region, LANE_COMMIT))
            continue;
        drive_add(region, small, 50);
        drive_add(region, big, 100000);
        break;
    }
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
    struct simdisk *crashed;
    struct region *opened = open_crashed(&crashed, "data");
    /* In the last case the large blob made all before it durable. */
    drive_expect(opened, a, _i == 4 ? small : big, 10);
    drive_expect(opened, a + 10, big + 10, 2990);
    drive_expect(opened, b, big + 1, 2000);
    drive_close(opened);
    simdisk_free(crashed);
    /* Who is still running reads the new bytes, and after a flush so does everybody else. */
    if (_i == 2)
        drive_expect(region, b + 100, small, 900);
    region_hurry(region);
    drive_settle(region);
    ck_assert(region_idle(region));
    c = drive_add(region, small, 77);
    drive_expect(region, c, small, 77);
}
END_TEST

/* The other way round: the journal is on the disk, and of the bytes only what was synced. */
START_TEST(none_moves_what_was_durable)
{
    struct simdisk *crashed;
    uint64_t a = drive_add(region, big, 100000);
    drive_add(region, small, 10);
    drive_checkpoint(region);
    fixture_set_durability(DURABILITY_NONE);
    uint64_t b = drive_resize(region, a, 100000, 100001);
    ck_assert_uint_ne(a, b);
    while (drive_step(region, LANE_COMMIT))
        continue;
    struct region *opened = open_crashed(&crashed, "journal");
    drive_expect(opened, b, big, 100000);
    drive_close(opened);
    simdisk_free(crashed);
}
END_TEST

/* What is flushed is whole: a large blob that somebody is in a hurry for, too. */
START_TEST(none_flushes_the_bytes_of_a_large_blob)
{
    fixture_set_durability(DURABILITY_NONE);
    uint64_t a = drive_add(region, big, 100000);
    region_hurry(region);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert(region_is_flushed(region));
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, a, big, 100000);
}
END_TEST

/* Also one that was written before anybody was. */
START_TEST(none_flushes_the_bytes_of_what_is_pending)
{
    fixture_set_durability(DURABILITY_NONE);
    uint64_t a = drive_add(region, big, 100000);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert(!region_is_flushed(region));
    region_hurry(region);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert(region_is_flushed(region));
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, a, big, 100000);
}
END_TEST

/* The journal is on the disk, and of the bytes only what was synced: the old blob or the new one.
 */
START_TEST(none_replaces_by_a_large_blob)
{
    struct simdisk *crashed;
    uint64_t a = drive_add(region, big, 3000);
    drive_checkpoint(region);
    fixture_set_durability(DURABILITY_NONE);
    uint64_t b = drive_replace(region, a, 3000, big + 5, 100000);
    while (drive_step(region, LANE_COMMIT))
        continue;
    struct region *opened = open_crashed(&crashed, "journal");
    drive_expect(opened, b, big + 5, 100000);
    drive_close(opened);
    simdisk_free(crashed);
}
END_TEST

/* So it is with changes that are made all or nothing. */
START_TEST(none_makes_all_or_nothing)
{
    struct simdisk *crashed;
    uint64_t a = drive_add(region, big, 3000), b;
    drive_add(region, small, 10);
    while (region_add(region, big, 1 << 19, &b, &err) == REGION_WAIT)
        drive_settle(region);
    drive_deallocate(region, b, 1 << 19);
    drive_checkpoint(region);
    fixture_set_durability(DURABILITY_NONE);
    ck_assert_int_eq(region_atomic_begin(region, 200000, &err), 0);
    ck_assert_int_eq(region_add(region, big + 5, 100000, &b, &err), 0);
    ck_assert_int_eq(region_store(region, a, &b, sizeof b, &err), 0);
    region_atomic_end(region, true);
    while (drive_step(region, LANE_COMMIT))
        continue;
    struct region *opened = open_crashed(&crashed, "journal");
    drive_expect(opened, a, (const uint8_t *)&b, sizeof b);
    drive_expect(opened, b, big + 5, 100000);
    drive_close(opened);
    simdisk_free(crashed);
}
END_TEST

/* Who only reads has bytes and sums from the journal, on the loop and on a worker. */
/* Every page in use matches its sum, piece by piece; the buffer may be NULL. */
static void expect_all_verified(uint8_t *buffer)
{
    struct region_look look;
    uint64_t address = 0, end, pages = 0;
    while ((end = region_piece_end(region, address)) > address) {
        region_look_at_piece(region, address, buffer, &look);
        ck_assert_uint_eq(look.verified, look.pages);
        ck_assert_uint_eq(look.damaged, 0);
        pages += look.pages;
        address = end;
    }
    ck_assert_uint_eq(pages, (region_size(region) + DATA_PAGE - 1) / DATA_PAGE);
}

START_TEST(a_read_only_opening_has_what_is_in_the_journal)
{
    static uint8_t buffer[100000];
    static _Alignas(DISK_BLOCK) uint8_t piece[SCRUB_PIECE];
    struct region_report report;
    uint64_t after, damaged, a = drive_add(region, big, 100000), b = drive_allocate(region, 50000);
    drive_settle(region);
    drive_store(region, a + 10000, small, 3000);
    drive_store(region, b + 10000, small, 100);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(true, &report);
    ck_assert_uint_eq(report.records, 2);
    ck_assert_uint_eq(report.damaged, 0);
    memcpy(big + 10000, small, 3000);
    for (uint64_t size = 5000; size <= 100000; size += 95000) {
        ck_assert_int_eq(region_load_begin(region, (struct extent){a, size}, &after, &err), 0);
        memset(buffer, 0, sizeof buffer);
        ck_assert_uint_eq(region_read_now(region, a, buffer, size), size);
        ck_assert_mem_eq(buffer, big, size);
        memset(buffer, 0, sizeof buffer);
        ck_assert_int_eq(region_read(region, a, buffer, size, &damaged, &err), 0);
        ck_assert_mem_eq(buffer, big, size);
    }
    ck_assert_uint_eq(region_read_now(region, b, buffer, 50000), 50000);
    ck_assert_mem_eq(buffer + 10000, small, 100);
    ck_assert_int_eq(region_read(region, b, buffer, 50000, &damaged, &err), 0);
    ck_assert_mem_eq(buffer + 10000, small, 100);
    expect_all_verified(piece);
    expect_all_verified(NULL);
    region_close(region);
    region = fixture_open(false, NULL);
}
END_TEST

/* Every commit makes a new batch where a load waits to read what is overwritten: what is queued is
 * bounded all the same. */
START_TEST(what_is_queued_is_bounded)
{
    struct region_info info;
    uint64_t after, stores = 0, address = drive_allocate(region, sizeof big);
    drive_settle(region);
    region_get_info(region, &info);
    info.options.journal_size = 64 * MIB;
    region_set_options(region, &info.options);
    for (int code = 0; code == 0; stores++) {
        ck_assert_uint_lt(stores, 100);
        while ((code = region_store(region, address, big, sizeof big, &err)) == REGION_WAIT)
            if (!drive_step(region, LANE_BACKGROUND))
                break;
        struct extent block = {address, sizeof big};
        ck_assert_int_eq(region_load_begin(region, block, &after, &err), 0);
    }
    ck_assert_uint_ge(stores, 2 * BATCH_BYTES / sizeof big);
    ck_assert_uint_le(stores, 2 * BATCH_BYTES / sizeof big + 2);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_int_eq(region_store(region, address, big, 100, &err), 0);
}
END_TEST

START_TEST(a_change_of_durability_flushes)
{
    fixture_set_durability(DURABILITY_INTERVAL);
    uint64_t a = drive_add(region, small, 100);
    drive_settle(region);
    fixture_set_durability(DURABILITY_NONE);
    drive_store(region, a, big, 50);
    drive_settle(region);
    fixture_set_durability(DURABILITY_SYNC);
    drive_store(region, a, small + 9, 10);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, a, small + 9, 10);
    drive_expect(region, a + 10, big + 10, 40);
    drive_expect(region, a + 50, small + 50, 50);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_read_only_opening_has_what_is_in_the_journal,
                                  interval_holds_only_so_many_back,
                                  interval_waits_for_the_deadline,
                                  only_sync_writes_past_the_page_cache,
                                  interval_begins_with_the_first_change,
                                  what_is_queued_is_bounded,
                                  a_pin_puts_the_deadline_off,
                                  interval_may_lose_its_last,
                                  none_syncs_only_for_a_checkpoint,
                                  none_moves_what_was_durable,
                                  a_change_of_durability_flushes,
                                  none_flushes_the_bytes_of_a_large_blob,
                                  none_flushes_the_bytes_of_what_is_pending,
                                  none_replaces_by_a_large_blob,
                                  none_makes_all_or_nothing};
    Suite *suite = suite_create("region: durability");
    TCase *tcase = fixture_tests("durability", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, none_survives_a_power_cut, 0, 10);
    tcase_add_loop_test(tcase, none_leaves_what_was_durable_alone, 0, 5);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
