/* Free space that goes back to the file system, and comes from it again. */
#include "core/maxtree_node.h"
#include "core/region_private.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "support_region.h"
#include "tests/support_main.h"

#define BLOB (4 * MIB)

static struct simdisk *disk;
static struct io *io;
static struct region *region;
static struct err err;
static struct region_options options;
static uint8_t *bytes;

static void open_region(void)
{
    int code = region_open(io, "r", NULL, false, &region, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
}

static void set_up(void)
{
    options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    bytes = malloc(BLOB);
    drive_pattern(bytes, BLOB, 1);
    int code = region_create(io, "r", "main", 7, &options, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    open_region();
}

static void tear_down(void)
{
    drive_close(region);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
    free(bytes);
}

static struct region_info info_of(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info;
}

/* Everything that is due within a minute. */
static void wait_a_minute(void)
{
    uint64_t until = drive_now_ms + 60 * 1000;
    for (unsigned rounds = 0; drive_now_ms < until; rounds++) {
        ck_assert_uint_lt(rounds, 100000);
        drive_settle(region);
        uint64_t deadline = region_deadline_ms(region);
        ck_assert(deadline > drive_now_ms);
        drive_now_ms = min_u64(deadline, until);
    }
}

/* A change that writes nothing. */
static void drive_grow(void)
{
    uint64_t before;
    ck_assert_int_eq(region_grow(region, 1, &before, &err), 0);
}

/* Fills the disk up to the last chunk. */
static void fill_disk(void)
{
    simdisk_set_capacity(disk, simdisk_used(disk));
}

static int stage_add(struct region *on, void *context, struct err *ret_err)
{
    uint64_t ignored;
    return region_add(on, bytes, *(uint64_t *)context, &ignored, ret_err);
}

static int add_code(uint64_t size)
{
    return drive_until(region, stage_add, &size, &err);
}

/* Three blobs, of which the one in the middle is freed: 4 MiB that begin and end within pages. */
static struct extent freed_middle(void)
{
    uint64_t before = drive_add(region, bytes, 1000);
    uint64_t middle = drive_add(region, bytes, BLOB);
    uint64_t behind = drive_add(region, bytes, 70000);
    drive_settle(region);
    drive_deallocate(region, middle, BLOB);
    drive_settle(region);
    ck_assert_uint_eq(before + 1000, middle);
    ck_assert_uint_eq(middle + BLOB, behind);
    return (struct extent){middle, BLOB};
}

static void expect_neighbors(struct extent middle)
{
    drive_expect(region, middle.address - 1000, bytes, 1000);
    drive_expect(region, extent_end(middle), bytes, 70000);
}

START_TEST(freed_space_goes_back)
{
    struct extent middle = freed_middle();
    uint64_t before = info_of().disk_bytes;
    ck_assert_uint_eq(info_of().discarded_bytes, 0);
    wait_a_minute();
    struct region_info info = info_of();
    ck_assert_uint_eq(info.discarded_bytes, BLOB - DATA_PAGE); /* two pages are in use in part */
    ck_assert_uint_eq(info.disk_bytes, before - info.discarded_bytes);
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    expect_neighbors(middle);
    uint64_t address = drive_add(region, bytes, BLOB);
    ck_assert_uint_eq(address, middle.address);
    drive_settle(region);
    drive_expect(region, address, bytes, BLOB);
    expect_neighbors(middle);
    ck_assert_uint_eq(info_of().disk_bytes, before);
}
END_TEST

START_TEST(small_blocks_keep_their_space)
{
    uint64_t first = drive_allocate(region, 600 * KIB);
    uint64_t second = drive_allocate(region, 600 * KIB);
    drive_allocate(region, 1);
    drive_settle(region);
    drive_deallocate(region, first, 600 * KIB);
    wait_a_minute();
    ck_assert_uint_eq(info_of().discarded_bytes, 0);
    /* With its neighbor it is large enough, and goes back whole. */
    drive_deallocate(region, second, 600 * KIB);
    wait_a_minute();
    ck_assert_uint_eq(info_of().discarded_bytes, 1200 * KIB);
}
END_TEST

START_TEST(zero_means_never)
{
    options.discard = 0;
    region_set_options(region, &options);
    (void)freed_middle();
    wait_a_minute();
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
    /* Until it is asked for. */
    options.discard = 2 * MIB;
    region_set_options(region, &options);
    wait_a_minute();
    ck_assert_uint_eq(info_of().discarded_bytes, BLOB - DATA_PAGE);
}
END_TEST

/* No faster than the limit, and no piece larger than its own. */
START_TEST(the_rate_is_kept)
{
    uint64_t size = 40 * DISCARD_PIECE / 2, start;
    uint64_t address = drive_allocate(region, size);
    drive_allocate(region, 1);
    drive_settle(region);
    drive_deallocate(region, address, size);
    drive_settle(region);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
    start = drive_now_ms = region_deadline_ms(region);
    while (region_deadline_ms(region) != UINT64_MAX) {
        drive_now_ms = max_u64(drive_now_ms, region_deadline_ms(region));
        drive_settle(region);
        uint64_t allowed = (drive_now_ms - start) * DISCARD_RATE / 1000 + 2 * DISCARD_PIECE;
        ck_assert_uint_le(info_of().discarded_bytes, allowed);
    }
    ck_assert_uint_eq(info_of().discarded_bytes, size);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 20);
    ck_assert_uint_ge(drive_now_ms - start, 19 * DISCARD_PIECE * 1000 / DISCARD_RATE);
}
END_TEST

START_TEST(a_hole_on_a_full_disk)
{
    struct extent middle = freed_middle();
    wait_a_minute();
    fill_disk();
    struct region_info before = info_of();
    uint64_t used = simdisk_used(disk);
    ck_assert_int_eq(add_code(BLOB - 5000), ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(err.text, "given back"));
    drive_settle(region);
    struct region_info after = info_of();
    ck_assert_uint_eq(after.allocated, before.allocated);
    ck_assert_uint_eq(after.size, before.size);
    ck_assert_uint_eq(after.free_blocks, before.free_blocks);
    ck_assert_ptr_null(region_failure(region));
    expect_neighbors(middle);
    /* Freeing stays possible, and whatever was freed may be used again. */
    drive_deallocate(region, extent_end(middle), 70000);
    drive_settle(region);
    ck_assert_uint_le(simdisk_used(disk), used);
    /* As soon as there is space, it is taken. */
    simdisk_set_capacity(disk, 0);
    ck_assert_int_eq(add_code(BLOB - 5000), 0);
    drive_settle(region);
    drive_expect(region, middle.address, bytes, BLOB - 5000);
}
END_TEST

/* A little space is enough for a little blob, although more is asked for. */
/* It would have begun in a hole and ended behind the region's end. */
START_TEST(a_refusal_at_the_end_leaves_the_size)
{
    drive_add(region, bytes, 1000);
    uint64_t last = drive_add(region, bytes, BLOB);
    drive_settle(region);
    uint64_t size = region_size(region);
    ck_assert_uint_eq(size, last + BLOB);
    ck_assert_uint_ge(region->data_size, size + 1000);
    drive_deallocate(region, last, BLOB);
    wait_a_minute();
    fill_disk();
    ck_assert_int_eq(add_code(BLOB + 1000), ERR_NO_SPACE);
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_uint_eq(info_of().deallocated, BLOB);
    simdisk_set_capacity(disk, 0);
    ck_assert_uint_eq(drive_add(region, bytes, BLOB), last);
    ck_assert_uint_eq(region_size(region), size);
}
END_TEST

START_TEST(a_nearly_full_disk)
{
    struct extent middle = freed_middle();
    wait_a_minute();
    simdisk_set_capacity(disk, simdisk_used(disk) + 3 * DISK_BLOCK);
    ck_assert_int_eq(add_code(100), 0);  /* in a page that is in use in part */
    ck_assert_int_eq(add_code(8000), 0); /* two more */
    ck_assert_int_eq(add_code(2 * 4096), ERR_NO_SPACE);
    drive_settle(region);
    drive_expect(region, middle.address, bytes, 100);
    drive_expect(region, middle.address + 100, bytes, 8000);
}
END_TEST

/* Of many small blobs the first one waits, for all. */
START_TEST(small_blobs_share_a_reservation)
{
    (void)freed_middle();
    wait_a_minute();
    uint64_t calls = simdisk_calls(disk, SIM_BIT(SIM_ALLOCATE));
    for (unsigned i = 0; i < 200; i++)
        drive_add(region, bytes, 5000);
    drive_settle(region);
    ck_assert_uint_le(simdisk_calls(disk, SIM_BIT(SIM_ALLOCATE)) - calls, 2);
}
END_TEST

static int stage_resize(struct region *on, void *context, struct err *ret_err)
{
    const struct extent *block = context;
    uint64_t ignored;
    return region_resize(on, *block, block->size + MIB, &ignored, ret_err);
}

/* Neither in place nor elsewhere is there space, and the answer comes all the same. */
START_TEST(a_resize_into_a_hole)
{
    struct extent middle = freed_middle();
    struct extent before = {middle.address - 1000, 1000};
    wait_a_minute();
    fill_disk();
    ck_assert_int_eq(drive_until(region, stage_resize, &before, &err), ERR_NO_SPACE);
    expect_neighbors(middle);
    simdisk_set_capacity(disk, 0);
    ck_assert_uint_eq(drive_resize(region, before.address, 1000, 1000 + MIB), before.address);
    drive_settle(region);
    expect_neighbors(middle);
}
END_TEST

START_TEST(the_largest_hole_is_used_from_its_end)
{
    options.fit = FIT_LARGEST;
    region_set_options(region, &options);
    struct extent middle = freed_middle();
    wait_a_minute();
    for (unsigned i = 1; i <= 300; i++)
        ck_assert_uint_eq(drive_add(region, bytes, 5000), extent_end(middle) - i * 5000);
    drive_settle(region);
    for (unsigned i = 1; i <= 300; i++)
        drive_expect(region, extent_end(middle) - i * 5000, bytes, 5000);
    expect_neighbors(middle);
}
END_TEST

/* Punched, allocated and never written. */
START_TEST(a_hole_reads_zeros)
{
    static const uint8_t zeros[64 * KIB];
    struct extent middle = freed_middle();
    wait_a_minute();
    uint64_t address = drive_allocate(region, MIB);
    ck_assert_uint_eq(address, middle.address);
    drive_settle(region);
    uint64_t page = round_up(address, DATA_PAGE);
    drive_expect(region, page, zeros, sizeof zeros);
}
END_TEST

/* What was freed but is not durable yet must keep its bytes. */
START_TEST(nothing_is_given_back_before_it_is_durable)
{
    uint64_t first = drive_add(region, bytes, BLOB), second = drive_add(region, bytes, BLOB);
    drive_add(region, bytes, 70000);
    drive_settle(region);
    drive_deallocate(region, first, BLOB);
    drive_settle(region);
    drive_now_ms += 2 * DISCARD_DELAY_MS;
    drive_deallocate(region, second, BLOB); /* gathers */
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    struct region_job *job = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_eq(job, &region->commit.job);
    region_job_run(job);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
    region_job_done(region, job);
    wait_a_minute();
    ck_assert_uint_ge(info_of().discarded_bytes, 2 * BLOB - 2 * DATA_PAGE);
}
END_TEST

/* Neither interval nor none may lose a blob's bytes before the record of its free is durable. */
START_TEST(nothing_is_given_back_without_a_sync)
{
    options.durability = _i == 0 ? DURABILITY_INTERVAL : DURABILITY_NONE;
    options.flush_interval_ms = 20 * 1000;
    region_set_options(region, &options);
    (void)freed_middle();
    drive_now_ms += 10 * 1000;
    drive_settle(region);
    ck_assert_uint_gt(region->last_free, region->journal.synced);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
    drive_checkpoint(region);
    wait_a_minute();
    ck_assert_uint_le(region->last_free, region->journal.synced);
    ck_assert_uint_eq(info_of().discarded_bytes, BLOB - DATA_PAGE);
}
END_TEST

/* The block that is a candidate since its free is durable has grown by one whose free is not. */
START_TEST(a_neighbor_is_not_given_back_without_a_sync)
{
    uint64_t first = drive_add(region, bytes, BLOB), second = drive_add(region, bytes, BLOB);
    drive_add(region, bytes, 70000);
    drive_settle(region);
    drive_deallocate(region, first, BLOB);
    struct region_job *job = region_next_job(region, LANE_COMMIT, drive_now_ms);
    drive_deallocate(region, second, BLOB);
    region_job_run(job);
    region_job_done(region, job);
    options.durability = _i == 0 ? DURABILITY_INTERVAL : DURABILITY_NONE;
    options.flush_interval_ms = 20 * 1000;
    region_set_options(region, &options);
    drive_settle(region);
    drive_now_ms += 10 * 1000;
    drive_settle(region);
    ck_assert_uint_gt(region->last_free, region->journal.synced);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
    wait_a_minute();
    ck_assert_uint_ge(info_of().discarded_bytes, 2 * BLOB - 2 * DATA_PAGE);
}
END_TEST

/* It is a candidate since it was freed before, and was taken again. Now it is freed by a batch that
 * waits for a read to end. */
START_TEST(what_a_waiting_batch_frees_stays)
{
    struct region_pin pin;
    uint64_t after, read = drive_add(region, bytes, 1000), address = drive_add(region, bytes, BLOB);
    drive_add(region, bytes, 70000);
    drive_settle(region);
    drive_deallocate(region, address, BLOB);
    drive_settle(region);
    ck_assert_uint_gt(region->discard.candidates.blocks, 0);
    ck_assert_uint_eq(drive_add(region, bytes, BLOB), address);
    drive_settle(region);
    ck_assert_int_eq(region_load_begin(region, (struct extent){read, 1000}, &after, &err), 0);
    region_pin(region, &pin, (struct extent){read, 1000});
    drive_store(region, read, bytes + 1, 1000);
    drive_deallocate(region, address, BLOB);
    drive_now_ms += 2 * DISCARD_DELAY_MS;
    for (int i = 0; i < 2; i++)
        (void)drive_step(region, LANE_COMMIT);
    ck_assert_ptr_nonnull(region->queue.first);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
    region_unpin(region, &pin);
    wait_a_minute();
    ck_assert_uint_ge(info_of().discarded_bytes, BLOB - 2 * DATA_PAGE);
}
END_TEST

START_TEST(what_is_being_read_stays)
{
    struct region_pin pin;
    uint64_t address = drive_add(region, bytes, BLOB), after, damaged;
    uint8_t *loaded = malloc(BLOB);
    drive_add(region, bytes, 70000);
    drive_settle(region);
    ck_assert_int_eq(region_load_begin(region, (struct extent){address, BLOB}, &after, &err), 0);
    region_pin(region, &pin, (struct extent){address, BLOB});
    drive_deallocate(region, address, BLOB);
    wait_a_minute();
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
    ck_assert_int_eq(region_read(region, address, loaded, BLOB, &damaged, &err), 0);
    ck_assert_mem_eq(loaded, bytes, BLOB);
    region_unpin(region, &pin);
    wait_a_minute();
    ck_assert_uint_eq(info_of().discarded_bytes, BLOB);
    free(loaded);
}
END_TEST

/* What a power cut, or a copy from a backup, left in free blocks goes back after the opening; the
 * rest is reserved by it. */
START_TEST(an_opening_gives_back)
{
    struct extent middle = freed_middle();
    drive_close(region);
    open_region();
    uint64_t before = info_of().disk_bytes;
    wait_a_minute();
    ck_assert_uint_eq(info_of().discarded_bytes, BLOB - DATA_PAGE);
    ck_assert_uint_eq(info_of().disk_bytes, before - info_of().discarded_bytes);
    drive_close(region);
    uint64_t used = simdisk_used(disk);
    open_region();
    ck_assert_uint_eq(simdisk_used(disk), used);
    wait_a_minute();
    ck_assert_uint_eq(info_of().discarded_bytes, 0);
    expect_neighbors(middle);
    fill_disk();
    ck_assert_int_eq(add_code(MIB), ERR_NO_SPACE);
    simdisk_set_capacity(disk, 0);
    ck_assert_int_eq(add_code(MIB), 0);
}
END_TEST

START_TEST(an_opening_without_discard_reserves_all)
{
    (void)freed_middle();
    wait_a_minute();
    drive_close(region);
    options.discard = 0;
    int code = region_open(io, "r", &options, false, &region, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_uint_eq(info_of().disk_bytes, region->data_size);
    fill_disk();
    ck_assert_int_eq(add_code(2 * MIB), 0);
    simdisk_set_capacity(disk, 0);
}
END_TEST

START_TEST(a_file_system_that_cannot)
{
    struct extent middle = freed_middle();
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_PUNCH), .nth = 1, .error = EOPNOTSUPP, .forever = true});
    wait_a_minute();
    ck_assert(region_cannot_discard(region));
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    ck_assert_uint_eq(info_of().discarded_bytes, 0);
    drive_deallocate(region, extent_end(middle), 70000);
    wait_a_minute();
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    fill_disk();
    ck_assert_int_eq(add_code(BLOB), 0); /* its space was never given back */
    simdisk_set_capacity(disk, 0);
    ck_assert_ptr_null(region_failure(region));
}
END_TEST

/* A file system that needs space to give some back: it is tried again later. */
START_TEST(a_punch_that_finds_no_space)
{
    (void)freed_middle();
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_PUNCH), .nth = 1, .error = ENOSPC});
    wait_a_minute();
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    ck_assert_ptr_null(region_failure(region));
    ck_assert_int_eq(add_code(BLOB), 0);
}
END_TEST

/* It is not known how much came back, and that is all. */
START_TEST(a_usage_that_is_not_told)
{
    (void)freed_middle();
    simdisk_set_fault(
        disk,
        (struct simdisk_fault){.ops = SIM_BIT(SIM_USAGE), .nth = 1, .error = EIO, .forever = true});
    wait_a_minute();
    ck_assert_uint_gt(simdisk_faults_hit(disk), 0);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_ptr_null(region_failure(region));
    ck_assert_uint_eq(info_of().discarded_bytes, 0);
    ck_assert_uint_gt(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
}
END_TEST

/* The space between holes, and behind the last one. */
START_TEST(an_opening_that_cannot_reserve)
{
    drive_add(region, bytes, 1000);
    uint64_t holes[2];
    for (unsigned i = 0; i < 2; i++) {
        holes[i] = drive_add(region, bytes, BLOB);
        drive_add(region, bytes, 70000);
    }
    for (unsigned i = 0; i < 2; i++)
        drive_deallocate(region, holes[i], BLOB);
    drive_close(region);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        simdisk_set_fault(
            disk, (struct simdisk_fault){
                      .ops = SIM_BIT(SIM_ALLOCATE), .pattern = "r/data", .nth = nth, .error = EIO});
        ck_assert_int_eq(region_open(io, "r", NULL, false, &region, NULL, &err), ERR_IO_ERROR);
        ck_assert_ptr_nonnull(strstr(err.text, "reserve space for r/data"));
    }
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    open_region();
}
END_TEST

/* Nothing is given back by who only reads, whatever the options become. */
START_TEST(a_region_that_is_only_read)
{
    (void)freed_middle();
    drive_close(region);
    ck_assert_int_eq(region_open(io, "r", NULL, true, &region, NULL, &err), 0);
    options.discard = 2 * MIB;
    region_set_options(region, &options);
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    wait_a_minute();
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_PUNCH)), 0);
}
END_TEST

/* Discards are turned off, or found to be impossible, while a hole is being reserved. */
START_TEST(turned_off_while_space_is_wanted)
{
    uint64_t size = MIB;
    (void)freed_middle();
    wait_a_minute();
    fill_disk();
    ck_assert_int_eq(stage_add(region, &size, &err), REGION_WAIT);
    struct region_job *room = region_next_job(region, LANE_BACKGROUND, drive_now_ms);
    ck_assert_ptr_eq(room, &region->room.job);
    options.discard = 0;
    region_set_options(region, &options);
    region_job_run(room);
    region_job_done(region, room);
    ck_assert_int_eq(add_code(MIB), ERR_NO_SPACE);
    simdisk_set_capacity(disk, 0);
    ck_assert_int_eq(add_code(MIB), 0);
}
END_TEST

/* Taken, it lacks its disk space, and giving it back needs memory, of which there is none: nobody
 * knows what is in use any more. So it is whether the change is one of several or not, and whether
 * a commit is under way or not. */
static void *no_memory(size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    return NULL;
}

START_TEST(without_memory_to_give_it_back)
{
    uint64_t address;
    bool is_atomic = _i % 2 == 1, is_committing = _i / 2 == 1;
    struct extent middle = freed_middle();
    wait_a_minute();
    struct region_job *commit = NULL;
    if (is_committing) {
        drive_store(region, extent_end(middle), bytes, 10);
        commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
        ck_assert_ptr_nonnull(commit);
    }
    if (is_atomic)
        ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
    void *(*memory)(size_t, size_t) = maxtree_node_memory;
    maxtree_node_memory = no_memory;
    ck_assert_int_eq(region_allocate(region, BLOB, &address, &err), ERR_INTERNAL);
    maxtree_node_memory = memory;
    ck_assert_int_eq(region->is_failing, is_committing);
    if (is_atomic)
        region_atomic_end(region, false);
    ck_assert_int_eq(region_deallocate(region, middle, &err), ERR_READ_ONLY);
    if (is_committing) {
        ck_assert_ptr_null(region_failure(region));
        region_job_run(commit);
        region_job_done(region, commit);
    }
    ck_assert_ptr_nonnull(region_failure(region));
    region_close(region);
    open_region();
    expect_neighbors(middle);
}
END_TEST

/* The same, and then the background's job fails, or not, or a piece of a scrub is read: what the
 * region failed of first is what is told. */
START_TEST(jobs_that_end_while_the_region_fails)
{
    uint64_t address, ticket;
    struct extent middle = freed_middle();
    struct region_job *job = NULL, *commit;
    wait_a_minute();
    if (_i == 1) { /* with something pending */
        options.durability = DURABILITY_INTERVAL;
        region_set_options(region, &options);
        drive_store(region, extent_end(middle) + 8192, bytes + 8192, 10);
        ck_assert(drive_step(region, LANE_COMMIT));
    }
    if (_i == 0) {
        ck_assert_int_eq(region_grow(region, 1000, &address, &err), REGION_WAIT);
        simdisk_set_fault(
            disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_ALLOCATE), .nth = 1, .error = EIO});
    } else if (_i == 1) {
        ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    } else {
        ck_assert_int_eq(region_request_scrub(region, &ticket, &err), 0);
    }
    job = region_next_job(region, _i == 2 ? LANE_SCRUB : LANE_BACKGROUND, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    if (_i == 2) /* not where the piece is pinned */
        drive_grow();
    else
        drive_store(region, extent_end(middle), bytes, 10);
    commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_nonnull(commit);
    void *(*memory)(size_t, size_t) = maxtree_node_memory;
    maxtree_node_memory = no_memory;
    ck_assert_int_eq(region_allocate(region, BLOB, &address, &err), ERR_INTERNAL);
    maxtree_node_memory = memory;
    region_job_run(job);
    region_job_done(region, job);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    for (enum region_lane lane = LANE_COMMIT; lane < LANES; lane++)
        ck_assert_uint_eq(region_lane_deadline_ms(region, lane), UINT64_MAX);
    region_job_run(commit);
    region_job_done(region, commit);
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, "memory"));
    region_close(region);
    open_region();
    expect_neighbors(middle);
}
END_TEST

/* A refusal is forgotten where another change finds its bytes: the next one has the disk asked. */
START_TEST(a_refusal_is_not_kept_for_others)
{
    uint64_t size = BLOB - 10000, address;
    (void)freed_middle();
    wait_a_minute();
    fill_disk();
    ck_assert_int_eq(stage_add(region, &size, &err), REGION_WAIT);
    drive_settle(region);
    ck_assert_int_eq(region_add(region, bytes, 100, &address, &err), 0); /* beside the hole */
    ck_assert_int_eq(stage_add(region, &size, &err), REGION_WAIT);
    ck_assert_int_eq(add_code(size), ERR_NO_SPACE);
    simdisk_set_capacity(disk, 0);
}
END_TEST

START_TEST(a_punch_that_fails)
{
    (void)freed_middle();
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_PUNCH), .nth = 1, .error = EIO});
    drive_now_ms = region_deadline_ms(region);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_ptr_nonnull(strstr(region_failure(region)->text, "give back"));
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
}
END_TEST

START_TEST(a_reservation_that_fails)
{
    uint64_t size = MIB;
    (void)freed_middle();
    wait_a_minute();
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_ALLOCATE), .nth = 1, .error = EIO});
    ck_assert_int_eq(drive_until(region, stage_add, &size, &err), ERR_READ_ONLY);
    ck_assert_ptr_nonnull(region_failure(region));
}
END_TEST

/* A change that asks for a hole while that is being punched waits for both. */
START_TEST(a_punch_and_a_reservation_take_turns)
{
    uint64_t size = BLOB;
    (void)freed_middle();
    drive_now_ms = region_deadline_ms(region);
    struct region_job *punch = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_eq(punch, &region->discarding.job);
    ck_assert_int_eq(stage_add(region, &size, &err), REGION_WAIT);
    while (drive_step(region, LANE_BACKGROUND)) {
    }
    ck_assert_uint_eq(region->hole_room.want, BLOB);
    region_job_run(punch);
    region_job_done(region, punch);
    ck_assert_ptr_null(region_next_job(region, LANE_COMMIT, drive_now_ms + 60000));
    ck_assert_int_eq(add_code(BLOB), 0);
    drive_settle(region);
    uint64_t end = region_size(region) - 70000;
    drive_expect(region, end - BLOB, bytes, BLOB);
}
END_TEST

/* The rest of what is waited for may be reserved with it. */
START_TEST(nothing_is_given_back_while_space_is_wanted)
{
    uint64_t size = 3 * DISCARD_PIECE, wanted = MIB, address = drive_allocate(region, size);
    drive_allocate(region, 1);
    drive_settle(region);
    drive_deallocate(region, address, size);
    drive_settle(region);
    drive_now_ms = region_deadline_ms(region);
    struct region_job *punch = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_eq(punch, &region->discarding.job);
    region_job_run(punch);
    region_job_done(region, punch);
    ck_assert_int_eq(stage_add(region, &wanted, &err), REGION_WAIT);
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    ck_assert_ptr_null(region_next_job(region, LANE_COMMIT, drive_now_ms + 60000));
    struct region_job *room = region_next_job(region, LANE_BACKGROUND, drive_now_ms);
    ck_assert_ptr_eq(room, &region->room.job);
    ck_assert_ptr_null(region_next_job(region, LANE_COMMIT, drive_now_ms + 60000));
    region_job_run(room);
    region_job_done(region, room);
    ck_assert_int_eq(add_code(MIB), 0);
}
END_TEST

/* What is left of the block is too small. */
START_TEST(what_was_taken_again_is_not_given_back)
{
    struct extent middle = freed_middle();
    ck_assert_uint_eq(drive_add(region, bytes, BLOB - 600 * KIB), middle.address);
    drive_settle(region);
    wait_a_minute();
    ck_assert_uint_eq(info_of().discarded_bytes, 0);
    drive_expect(region, middle.address, bytes, BLOB - 600 * KIB);
    expect_neighbors(middle);
}
END_TEST

/* A page in use again in part keeps its other bytes: its sum is of them, too. */
START_TEST(a_page_that_was_taken_in_part_stays)
{
    struct extent middle = freed_middle();
    ck_assert_uint_eq(drive_add(region, bytes, 5000), middle.address);
    uint64_t behind = drive_add(region, bytes, 1000);
    drive_settle(region);
    ck_assert_uint_eq(behind, middle.address + 5000);
    drive_deallocate(region, behind, 1000);
    wait_a_minute();
    ck_assert_uint_eq(info_of().discarded_bytes, BLOB - 2 * DATA_PAGE);
    drive_expect(region, middle.address, bytes, 5000);
}
END_TEST

START_TEST(what_was_taken_from_its_end_stays)
{
    options.fit = FIT_LARGEST;
    region_set_options(region, &options);
    struct extent middle = freed_middle();
    ck_assert_uint_eq(drive_add(region, bytes, 50000), extent_end(middle) - 50000);
    drive_settle(region);
    wait_a_minute();
    ck_assert_uint_gt(info_of().discarded_bytes, 0);
    drive_expect(region, extent_end(middle) - 50000, bytes, 50000);
    expect_neighbors(middle);
}
END_TEST

/* A page that was punched out has the sum of what it was, until the change that takes it is done:
 * a change that gathers, or one that waits for its commit. */
START_TEST(a_scrub_does_not_look_at_what_is_about_to_be_in_use)
{
    uint64_t ticket;
    (void)freed_middle();
    wait_a_minute();
    drive_allocate(region, MIB);
    ck_assert_ptr_nonnull(region->gathering);
    ck_assert(!batch_is_empty(region->gathering));
    if (_i == 1)
        region_seal(region);
    ck_assert_int_eq(region_request_scrub(region, &ticket, &err), 0);
    while (drive_step(region, LANE_SCRUB))
        continue;
    ck_assert_uint_eq(info_of().damaged_pages, 0);
    drive_settle(region);
    while (drive_step(region, LANE_SCRUB))
        continue;
    ck_assert_uint_ge(region_scrub_ticket(region), ticket);
    ck_assert_uint_eq(info_of().damaged_pages, 0);
}
END_TEST

START_TEST(an_opening_knows_what_may_have_no_space)
{
    (void)freed_middle();
    wait_a_minute();
    drive_close(region);
    open_region();
    fill_disk();
    ck_assert_int_eq(add_code(MIB), ERR_NO_SPACE);
    simdisk_set_capacity(disk, 0);
    ck_assert_int_eq(add_code(MIB), 0);
}
END_TEST

static uint64_t usage_of(struct simdisk *of)
{
    struct io *its = simdisk_io(of);
    struct io_file *file;
    uint64_t usage = 0;
    ck_assert_int_eq(its->ops->open(its, "r/data", IO_READ_ONLY, &file), 0);
    ck_assert_int_eq(its->ops->usage(its, file, &usage), 0);
    its->ops->close(its, file);
    return usage;
}

/* Else a start after a power cut might find a blob that has no space, and a full disk. */
START_TEST(what_is_reserved_again_is_durable)
{
    (void)freed_middle();
    wait_a_minute();
    drive_checkpoint(region);
    uint64_t before = usage_of(disk);
    drive_add(region, bytes, 5000);
    drive_settle(region);
    ck_assert_uint_gt(usage_of(disk), before);
    struct simdisk *crashed = simdisk_crash_none(disk);
    ck_assert_uint_eq(usage_of(crashed), usage_of(disk));
    simdisk_free(crashed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region_discard");
    TCase *tests = tcase_create("region_discard");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, freed_space_goes_back);
    tcase_add_test(tests, small_blocks_keep_their_space);
    tcase_add_test(tests, zero_means_never);
    tcase_add_test(tests, the_rate_is_kept);
    tcase_add_test(tests, a_hole_on_a_full_disk);
    tcase_add_test(tests, a_refusal_at_the_end_leaves_the_size);
    tcase_add_test(tests, a_nearly_full_disk);
    tcase_add_test(tests, small_blobs_share_a_reservation);
    tcase_add_test(tests, a_resize_into_a_hole);
    tcase_add_test(tests, the_largest_hole_is_used_from_its_end);
    tcase_add_test(tests, a_hole_reads_zeros);
    tcase_add_test(tests, nothing_is_given_back_before_it_is_durable);
    tcase_add_loop_test(tests, nothing_is_given_back_without_a_sync, 0, 2);
    tcase_add_loop_test(tests, a_neighbor_is_not_given_back_without_a_sync, 0, 2);
    tcase_add_test(tests, what_a_waiting_batch_frees_stays);
    tcase_add_test(tests, what_is_being_read_stays);
    tcase_add_test(tests, an_opening_gives_back);
    tcase_add_test(tests, an_opening_without_discard_reserves_all);
    tcase_add_test(tests, a_file_system_that_cannot);
    tcase_add_test(tests, a_punch_that_finds_no_space);
    tcase_add_test(tests, a_usage_that_is_not_told);
    tcase_add_test(tests, an_opening_that_cannot_reserve);
    tcase_add_test(tests, a_region_that_is_only_read);
    tcase_add_test(tests, turned_off_while_space_is_wanted);
    tcase_add_loop_test(tests, without_memory_to_give_it_back, 0, 4);
    tcase_add_loop_test(tests, jobs_that_end_while_the_region_fails, 0, 3);
    tcase_add_test(tests, a_refusal_is_not_kept_for_others);
    tcase_add_test(tests, a_punch_that_fails);
    tcase_add_test(tests, a_reservation_that_fails);
    tcase_add_test(tests, a_punch_and_a_reservation_take_turns);
    tcase_add_test(tests, nothing_is_given_back_while_space_is_wanted);
    tcase_add_test(tests, what_was_taken_again_is_not_given_back);
    tcase_add_test(tests, a_page_that_was_taken_in_part_stays);
    tcase_add_test(tests, what_was_taken_from_its_end_stays);
    tcase_add_loop_test(tests, a_scrub_does_not_look_at_what_is_about_to_be_in_use, 0, 2);
    tcase_add_test(tests, an_opening_knows_what_may_have_no_space);
    tcase_add_test(tests, what_is_reserved_again_is_durable);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
