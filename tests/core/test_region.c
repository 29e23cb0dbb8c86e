#include "core/region.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "support_region.h"

static struct simdisk *disk;
static struct io *io;
static struct region *region;
static struct err err;
static uint8_t big[3 << 20], small[4096];

static struct region *open_region(bool read_only, struct region_report *report)
{
    struct region *opened = NULL;
    int code = region_open(io, "r", NULL, read_only, &opened, report, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return opened;
}

static void set_up(void)
{
    struct region_options options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    drive_pattern(big, sizeof big, 1);
    drive_pattern(small, sizeof small, 2);
    int code = region_create(io, "r", "main", 7, &options, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    region = open_region(false, NULL);
}

static void tear_down(void)
{
    if (region != NULL)
        drive_close(region);
    region = NULL;
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

/* What a machine finds that lost its power now, with nothing unsynced on the disk. */
static void power_cut(void)
{
    struct simdisk *crashed = simdisk_crash_none(disk);
    region_hurry(region);
    drive_settle(region);
    region_close(region);
    simdisk_free(disk);
    disk = crashed;
    io = simdisk_io(disk);
    region = NULL;
}

static void set_durability(enum durability durability)
{
    struct region_info info;
    region_get_info(region, &info);
    info.options.durability = durability;
    region_set_options(region, &info.options);
}

static uint64_t allocated(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info.allocated;
}

/* ---- Changes ---- */

START_TEST(a_new_region_is_empty)
{
    struct region_info info;
    region_get_info(region, &info);
    ck_assert_uint_eq(info.id, 7);
    ck_assert_str_eq(info.name, "main");
    ck_assert_uint_eq(info.format, 1);
    ck_assert_uint_eq(info.size + info.pages + info.free_blocks + info.allocated, 0);
    ck_assert(!info.read_only);
    ck_assert(region_idle(region));
}
END_TEST

START_TEST(blobs_of_many_sizes_come_back)
{
    static const uint64_t sizes[] = {
        1, 64, 4095, 4096, LARGE_BLOB - 1, LARGE_BLOB, LARGE_BLOB + 1, 1000001, sizeof big};
    uint64_t addresses[9];
    for (unsigned i = 0; i < 9; i++)
        addresses[i] = drive_add(region, big, sizes[i]);
    for (unsigned i = 0; i < 9; i++)
        drive_expect(region, addresses[i], big, sizes[i]);
    drive_settle(region);
    power_cut();
    region = open_region(false, NULL);
    for (unsigned i = 0; i < 9; i++)
        drive_expect(region, addresses[i], big, sizes[i]);
}
END_TEST

START_TEST(a_size_of_nothing_stores_nothing)
{
    uint64_t address = drive_add(region, small, 100);
    ck_assert_uint_eq(drive_allocate(region, 0), region_size(region));
    ck_assert_uint_eq(drive_add(region, NULL, 0), region_size(region));
    drive_deallocate(region, address, 0);
    drive_store(region, address, NULL, 0);
    drive_expect(region, address, "", 0);
    ck_assert_uint_eq(allocated(), 100);
    ck_assert_uint_eq(drive_replace(region, address, 100, NULL, 0), region_size(region));
    ck_assert_uint_eq(allocated(), 0);
    ck_assert_uint_eq(region_size(region), 100);
}
END_TEST

START_TEST(freed_space_is_used_again_and_merged)
{
    uint64_t a = drive_add(region, small, 100), b = drive_add(region, small, 200);
    uint64_t c = drive_add(region, small, 300);
    struct region_info info;
    drive_deallocate(region, a, 100);
    drive_deallocate(region, b, 200);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.free_blocks, 1);
    ck_assert_uint_eq(info.largest_free, 300);
    ck_assert_uint_eq(drive_add(region, small, 250), a);
    drive_expect(region, c, small, 300);
    ck_assert_uint_eq(region_size(region), 600);
}
END_TEST

START_TEST(store_overwrites)
{
    uint64_t address = drive_add(region, small, 1000);
    drive_store(region, address + 100, big, 500);
    drive_expect(region, address, small, 100);
    drive_expect(region, address + 100, big, 500);
    drive_expect(region, address + 600, small + 600, 400);
    uint64_t large = drive_add(region, big, 1 << 20);
    drive_store(region, large, big + 7, 1 << 20);
    drive_expect(region, large, big + 7, 1 << 20);
}
END_TEST

START_TEST(replace_finds_a_place)
{
    uint64_t a = drive_add(region, small, 1000), guard = drive_add(region, small, 1);
    ck_assert_uint_eq(drive_replace(region, a, 1000, big, 400), a); /* smaller: in place */
    drive_expect(region, a, big, 400);
    ck_assert_uint_eq(drive_replace(region, a, 400, big + 9, 1000), a); /* grows into the hole */
    drive_expect(region, a, big + 9, 1000);
    uint64_t b = drive_replace(region, a, 1000, big, 3000); /* goes elsewhere */
    ck_assert_uint_ne(a, b);
    drive_expect(region, b, big, 3000);
    uint64_t c = drive_replace(region, b, 3000, big + 1, 200000);
    drive_expect(region, c, big + 1, 200000);
    uint64_t d = drive_replace(region, c, 200000, big + 2, 200000); /* large: never over itself */
    ck_assert_uint_ne(c, d);
    drive_expect(region, d, big + 2, 200000);
    drive_expect(region, guard, small, 1);
    ck_assert_uint_eq(allocated(), 200001);
}
END_TEST

START_TEST(resize_keeps_what_fits)
{
    uint64_t a = drive_add(region, small, 1000), guard = drive_add(region, small, 1);
    ck_assert_uint_eq(drive_resize(region, a, 1000, 300), a);
    ck_assert_uint_eq(drive_resize(region, a, 300, 900), a);
    drive_expect(region, a, small, 300);
    uint64_t b = drive_resize(region, a, 900, 5000);
    ck_assert_uint_ne(a, b);
    drive_expect(region, b, small, 300);
    drive_expect(region, guard, small, 1);
    uint64_t c = drive_add(region, big, 1500000);
    drive_add(region, small, sizeof small); /* no hole holds it: right behind */
    uint64_t d = drive_resize(region, c, 1500000, 2000000);
    ck_assert_uint_ne(c, d);
    drive_expect(region, d, big, 1500000);
    ck_assert_uint_eq(drive_resize(region, d, 2000000, 0), region_size(region));
    ck_assert_uint_eq(allocated(), 5000 + 1 + sizeof small);
}
END_TEST

START_TEST(a_block_at_the_end_grows_in_place)
{
    uint64_t a = drive_add(region, small, 1000);
    ck_assert_uint_eq(drive_resize(region, a, 1000, 4000000), a);
    ck_assert_uint_eq(region_size(region), 4000000);
    drive_expect(region, a, small, 1000);
}
END_TEST

START_TEST(ranges_and_clear)
{
    uint64_t freed = 0;
    for (int i = 0; i < 10; i++)
        drive_add(region, small, 100);
    drive_deallocate(region, 200, 100);
    ck_assert_int_eq(region_deallocate_range(region, 150, 450, &freed, &err), 0);
    ck_assert_uint_eq(freed, 200);
    ck_assert_int_eq(region_deallocate_range(region, 150, 450, &freed, &err), 0);
    ck_assert_uint_eq(freed, 0);
    ck_assert_uint_eq(allocated(), 700);
    ck_assert_int_eq(region_clear(region, 120, &err), 0);
    ck_assert_uint_eq(allocated(), 120);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    ck_assert_uint_eq(allocated(), 0);
    ck_assert_uint_eq(region_size(region), 1000);
    ck_assert_int_eq(region_clear(region, 1001, &err), ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_deallocate_range(region, 5, 4, &freed, &err), ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_deallocate_range(region, 5, 1001, &freed, &err), ERR_OUT_OF_BOUNDS);
    drive_settle(region);
    power_cut();
    region = open_region(false, NULL);
    ck_assert_uint_eq(allocated(), 0);
    ck_assert_uint_eq(region_size(region), 1000);
}
END_TEST

static int grow_100(struct region *r, void *before, struct err *e)
{
    return region_grow(r, 100, before, e);
}

START_TEST(grow_adds_pages)
{
    struct region_info info;
    uint64_t before = 99;
    drive_add(region, small, 1);
    ck_assert_int_eq(drive_until(region, grow_100, &before, &err), 0);
    ck_assert_uint_eq(before, 1);
    drive_settle(region);
    power_cut();
    region = open_region(false, NULL);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.pages, 101);
    ck_assert_uint_eq(info.capacity, 101 * REGION_PAGE);
    ck_assert_uint_eq(info.size, 1);
}
END_TEST

START_TEST(what_is_wrong_is_refused_and_changes_nothing)
{
    uint64_t address;
    drive_add(region, small, 100);
    drive_deallocate(region, 40, 20);
    drive_settle(region);
    ck_assert_int_eq(region_deallocate(region, (struct extent){90, 11}, &err), ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_deallocate(region, (struct extent){UINT64_MAX, 2}, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_deallocate(region, (struct extent){40, 20}, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_deallocate(region, (struct extent){30, 11}, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_store(region, 59, small, 2, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_store(region, 99, small, 2, &err), ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_resize(region, (struct extent){0, 41}, 5, &address, &err),
                     ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_replace(region, (struct extent){0, 101}, small, 5, &address, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_load_begin(region, (struct extent){39, 2}, &address, &err),
                     ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_load_begin(region, (struct extent){101, 0}, &address, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_allocate(region, UINT64_MAX, &address, &err), ERR_NO_SPACE);
    ck_assert(region_idle(region));
    ck_assert_uint_eq(allocated(), 80);
    ck_assert_uint_eq(region_size(region), 100);
}
END_TEST

START_TEST(questions)
{
    struct extent blocks[8];
    size_t count;
    bool answer;
    drive_add(region, small, 100);
    drive_deallocate(region, 40, 20);
    ck_assert_int_eq(region_is_allocated(region, (struct extent){0, 40}, &answer, &err), 0);
    ck_assert(answer);
    ck_assert_int_eq(region_is_allocated(region, (struct extent){0, 41}, &answer, &err), 0);
    ck_assert(!answer);
    ck_assert_int_eq(region_is_freed(region, (struct extent){40, 20}, &answer, &err), 0);
    ck_assert(answer);
    ck_assert_int_eq(region_is_freed(region, (struct extent){0, 40}, &answer, &err), 0);
    ck_assert(!answer);
    ck_assert_int_eq(region_is_freed(region, (struct extent){39, 2}, &answer, &err),
                     ERR_PARTLY_FREE);
    ck_assert_int_eq(region_is_freed(region, (struct extent){99, 2}, &answer, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_allocated_blocks(region, 10, 90, blocks, 8, &count, &err), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(blocks[1].address, 60);
    ck_assert_uint_eq(blocks[1].size, 30);
    ck_assert_int_eq(region_free_blocks(region, 50, 100, blocks, 8, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(blocks[0].address, 50);
    ck_assert_int_eq(region_free_blocks(region, 50, 101, blocks, 8, &count, &err),
                     ERR_OUT_OF_BOUNDS);
}
END_TEST

START_TEST(max_size_is_a_limit)
{
    struct region_info info;
    uint64_t address;
    region_get_info(region, &info);
    info.options.max_size = 100000;
    region_set_options(region, &info.options);
    drive_add(region, big, 99999);
    ck_assert_int_eq(region_add(region, small, 2, &address, &err), ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(err.text, "100000"));
    ck_assert_uint_eq(drive_add(region, small, 1), 99999);
    ck_assert_int_eq(region_grow(region, 10, &address, &err), ERR_NO_SPACE);
}
END_TEST

/* ---- Group commit ---- */

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

/* One aligned write and one sync for a small change. */
START_TEST(a_small_commit_is_one_write_and_one_sync)
{
    drive_add(region, small, 64);
    drive_settle(region);
    uint64_t syncs = simdisk_calls(disk, SIM_SYNCS), writes = simdisk_calls(disk, SIM_CHANGES);
    drive_add(region, small, 64);
    drive_step(region, LANE_COMMIT);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_SYNCS) - syncs, 1);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES) - writes, 2); /* journal, data */
}
END_TEST

/* A load sees the bytes as they were when it was asked for, though they are overwritten in the very
 * next change, before anything was committed. */
START_TEST(a_load_is_not_overtaken)
{
    for (unsigned durability = 0; durability < DURABILITIES; durability++) {
        uint8_t buffer[100];
        uint64_t after = 0, ticket;
        set_durability((enum durability)durability);
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
        ck_assert_int_eq(region_read(region, address, buffer, 100, &err), 0);
        ck_assert_mem_eq(buffer, small, 100);
        drive_expect(region, address, big, 100);
    }
}
END_TEST

/* The same where the bytes were written to the journal but not put in place yet. */
START_TEST(a_load_of_pending_bytes_is_not_overtaken)
{
    uint8_t buffer[100];
    uint64_t after = 0;
    set_durability(DURABILITY_INTERVAL);
    uint64_t address = drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_uint_lt(region_applied_ticket(region), region_ticket(region));
    struct extent block = {address, 100};
    ck_assert_int_eq(region_load_begin(region, block, &after, &err), 0);
    ck_assert_uint_eq(after, region_ticket(region));
    drive_store(region, address, big, 100);
    while (region_applied_ticket(region) < after)
        ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_int_eq(region_read(region, address, buffer, 100, &err), 0);
    ck_assert_mem_eq(buffer, small, 100);
    drive_expect(region, address, big, 100);
}
END_TEST

START_TEST(a_pin_holds_the_commit_back)
{
    struct region_pin pin, other;
    uint64_t address = drive_add(region, small, 100);
    uint64_t elsewhere = drive_add(region, small, 100);
    drive_settle(region);
    region_pin(region, &pin, (struct extent){address + 99, 1});
    region_pin(region, &other, (struct extent){elsewhere, 1});
    drive_store(region, address, big, 99);
    drive_settle(region);
    ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
    drive_store(region, address, big, 100);
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
    power_cut();
    region = open_region(false, NULL);
    drive_expect(region, address, bytes, size);
    free(bytes);
}
END_TEST

/* ---- Durability ---- */

START_TEST(interval_waits_for_the_deadline)
{
    uint64_t a;
    set_durability(DURABILITY_INTERVAL);
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
    power_cut();
    region = open_region(false, NULL);
    drive_expect(region, a, small, 100);
}
END_TEST

/* A flush that waits for a read to end is nothing to be woken for again and again. */
START_TEST(a_pin_puts_the_deadline_off)
{
    struct region_pin pin;
    uint64_t after, a = drive_add(region, small, 100);
    drive_settle(region);
    set_durability(DURABILITY_INTERVAL);
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

START_TEST(interval_may_lose_its_last)
{
    struct region_report report;
    uint64_t a = drive_add(region, small, 100);
    drive_settle(region);
    set_durability(DURABILITY_INTERVAL);
    drive_store(region, a, big, 100);
    drive_settle(region);
    power_cut();
    region = open_region(false, &report);
    drive_expect(region, a, small, 100);
    ck_assert_uint_eq(report.records, 1);
}
END_TEST

START_TEST(none_syncs_only_for_a_checkpoint)
{
    set_durability(DURABILITY_NONE);
    uint64_t syncs = simdisk_calls(disk, SIM_BIT(SIM_SYNC));
    uint64_t a = drive_add(region, small, 100);
    uint64_t b = drive_add(region, big, 100000);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_SYNC)), syncs);
    ck_assert_uint_eq(region_done_ticket(region), region_ticket(region));
    drive_checkpoint(region);
    power_cut();
    region = open_region(false, NULL);
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
    set_durability(DURABILITY_NONE);
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
    set_durability(DURABILITY_NONE);
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
    set_durability(DURABILITY_NONE);
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

START_TEST(a_change_of_durability_flushes)
{
    set_durability(DURABILITY_INTERVAL);
    uint64_t a = drive_add(region, small, 100);
    drive_settle(region);
    set_durability(DURABILITY_NONE);
    drive_store(region, a, big, 50);
    drive_settle(region);
    set_durability(DURABILITY_SYNC);
    drive_store(region, a, small + 9, 10);
    drive_settle(region);
    power_cut();
    region = open_region(false, NULL);
    drive_expect(region, a, small + 9, 10);
    drive_expect(region, a + 10, big + 10, 40);
    drive_expect(region, a + 50, small + 50, 50);
}
END_TEST

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
    power_cut();
    region = open_region(false, &report);
    ck_assert_uint_eq(report.records, 1);
    ck_assert_uint_eq(report.free_blocks, 1);
    ck_assert_uint_eq(allocated(), 4900);
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
    for (int i = 0; region_checkpoint_ticket(region) < ticket; i++) {
        drive_step(region, LANE_BACKGROUND);
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
    uint64_t used = allocated();
    drive_settle(region);
    power_cut();
    region = open_region(false, NULL);
    ck_assert_uint_eq(allocated(), used);
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_int_eq(region_free_blocks(region, 0, size, blocks, 64, &after, &err), 0);
    ck_assert_uint_eq(before, after);
    ck_assert_mem_eq(kept, blocks, sizeof kept);
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
    power_cut();
    region = open_region(false, NULL);
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
    power_cut();
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), address;
    region = open_region(true, NULL);
    drive_expect(region, a, big, 50);
    drive_expect(region, a + 50, small + 50, 50);
    drive_expect(region, b, big, 200000);
    ck_assert_int_eq(region_add(region, small, 1, &address, &err), ERR_READ_ONLY);
    ck_assert_int_eq(region_request_checkpoint(region, &address, &err), ERR_READ_ONLY);
    ck_assert_ptr_null(region_next_job(region, LANE_COMMIT, 0));
    region_close(region);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), changes);
    region = open_region(false, NULL);
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
    region = open_region(false, NULL);
    region_get_info(region, &info);
    ck_assert_int_eq(info.options.fit, FIT_LARGEST);
    ck_assert_uint_eq(info.options.max_size, 1 << 20);
    ck_assert_str_eq(info.name, "main");
}
END_TEST

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
    ck_assert_uint_eq(allocated(), 100);
    ck_assert_uint_eq(region_size(region), 100);
    drive_expect(region, a, small, 100);
    ck_assert_int_ne(region_load_begin(region, (struct extent){b, 5000}, &after, &err), 0);
    ck_assert_int_eq(region_deallocate(region, (struct extent){a, 100}, &err), ERR_READ_ONLY);
    ck_assert_ptr_null(region_next_job(region, LANE_BACKGROUND, 1));
    ck_assert(region_idle(region));
    power_cut();
    region = open_region(false, NULL);
    drive_expect(region, a, small, 100);
}
END_TEST

START_TEST(lost_bytes_are_not_shown)
{
    uint64_t after, a = drive_add(region, small, 100);
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
    power_cut();
    region = open_region(false, NULL);
    drive_expect(region, a + 50, big, 10); /* its record was durable */
}
END_TEST

/* ---- A full disk ---- */

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
    ck_assert_uint_eq(allocated(), blobs * 100000);
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
    ck_assert_uint_eq(allocated(), 0);
}
END_TEST

START_TEST(a_full_disk_can_be_opened)
{
    uint64_t a = drive_add(region, small, 100);
    drive_settle(region);
    power_cut();
    simdisk_set_capacity(disk, simdisk_used(disk));
    region = open_region(false, NULL);
    drive_expect(region, a, small, 100);
    drive_deallocate(region, a, 100);
    drive_settle(region);
    ck_assert_uint_eq(allocated(), 0);
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
    ck_assert_ptr_null(region_failure(region));
    ck_assert(region_idle(region));
    drive_deallocate(region, 2, 2);
    drive_settle(region);
    simdisk_set_capacity(disk, 0);
    drive_checkpoint(region);
    ck_assert_ptr_null(region_checkpoint_failure(region, second + 1));
    region_get_info(region, &info);
    uint64_t blocks = info.free_blocks;
    power_cut();
    region = open_region(false, NULL);
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
    region = open_region(false, NULL);
    ck_assert_uint_eq(allocated(), 300);
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
    region = open_region(false, &report);
    ck_assert_uint_eq(report.cut_bytes, 4096);
    ck_assert_uint_eq(report.records, 2);
    ck_assert_uint_eq(allocated(), 200);
    drive_close(region);
    region = open_region(false, &report);
    ck_assert_uint_eq(report.cut_bytes, 0);
    ck_assert_uint_eq(allocated(), 200);
}
END_TEST

START_TEST(a_damaged_checkpoint_is_named)
{
    drive_add(region, small, 100);
    drive_checkpoint(region);
    drive_checkpoint(region);
    drive_close(region);
    region = open_region(false, NULL);
    drive_close(region);
    region = NULL;
    flip("r/checkpoint-0", 70);
    flip("r/checkpoint-1", 70);
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
    flip("r/checkpoint-1", 70);
    region = open_region(false, &report);
    ck_assert_uint_eq(report.checkpoint_sequence, 2);
    ck_assert_uint_eq(report.records, 2);
    ck_assert_uint_eq(allocated(), 200);
    drive_close(region); /* now 3 again, and the segments before it are gone */
    region = NULL;
    flip("r/checkpoint-1", 70);
    expect_corrupt("r/checkpoint-1");
}
END_TEST

START_TEST(a_damaged_meta_is_named)
{
    drive_close(region);
    region = NULL;
    flip("r/meta", 60);
    expect_corrupt("r/meta");
    flip("r/meta", 60);
    region = open_region(false, NULL);
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
    region = open_region(false, NULL);
}
END_TEST

static TCase *cases(const char *name, const TTest *const *tests, size_t count)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    return tcase;
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

int main(void)
{
    const TTest *const changes[] = {a_new_region_is_empty,
                                    blobs_of_many_sizes_come_back,
                                    a_size_of_nothing_stores_nothing,
                                    freed_space_is_used_again_and_merged,
                                    store_overwrites,
                                    replace_finds_a_place,
                                    resize_keeps_what_fits,
                                    a_block_at_the_end_grows_in_place,
                                    ranges_and_clear,
                                    grow_adds_pages,
                                    what_is_wrong_is_refused_and_changes_nothing,
                                    questions,
                                    max_size_is_a_limit};
    const TTest *const commits[] = {changes_gather_while_a_batch_commits,
                                    a_small_commit_is_one_write_and_one_sync,
                                    a_load_is_not_overtaken,
                                    a_load_of_pending_bytes_is_not_overtaken,
                                    a_pin_holds_the_commit_back,
                                    a_large_blob_waits_for_the_free_below_it,
                                    one_large_change_passes_alone,
                                    interval_waits_for_the_deadline,
                                    interval_may_lose_its_last,
                                    none_syncs_only_for_a_checkpoint,
                                    a_change_of_durability_flushes};
    const TTest *const checkpoints[] = {
        a_checkpoint_shortens_the_replay, a_checkpoint_does_not_stop_the_region,
        the_journal_is_bounded, read_only_sees_all_and_changes_nothing, options_are_kept};
    const TTest *const failures[] = {a_failed_sync_makes_it_read_only,
                                     lost_bytes_are_not_shown,
                                     a_full_disk_refuses_and_still_frees,
                                     a_full_disk_can_be_opened,
                                     a_checkpoint_without_room_is_told,
                                     a_damaged_record_is_named,
                                     a_torn_tail_is_cut,
                                     a_damaged_checkpoint_is_named,
                                     an_older_checkpoint_takes_over,
                                     a_damaged_meta_is_named,
                                     a_newer_format_is_refused};
    Suite *suite = suite_create("region");
    suite_add_tcase(suite, cases("changes", changes, COUNT(changes)));
    TCase *commit_cases = cases("commits", commits, COUNT(commits));
    tcase_add_loop_test(commit_cases, none_survives_a_power_cut, 0, 10);
    tcase_add_loop_test(commit_cases, none_leaves_what_was_durable_alone, 0, 5);
    tcase_add_test(commit_cases, a_pin_puts_the_deadline_off);
    tcase_add_test(commit_cases, none_moves_what_was_durable);
    suite_add_tcase(suite, commit_cases);
    suite_add_tcase(suite, cases("checkpoints", checkpoints, COUNT(checkpoints)));
    suite_add_tcase(suite, cases("failures", failures, COUNT(failures)));
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
