/* What recovery finds need not be on the disk: a process that is killed, or whose region failed,
 * leaves writes in the caches that no sync ever followed. The next process sees them all, and then
 * the power goes. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/journal.h"
#include "core/region.h"
#include "core/store.h"
#include "support_region.h"
#include "tests/support_main.h"

#define OLD_SIZE 4096
#define NEW_SIZE 2048

static struct simdisk *disk;
static struct io *io;
static struct region *region;
static struct err err;
static uint8_t old_bytes[OLD_SIZE], new_bytes[NEW_SIZE];
static uint64_t seed, address, cuts;

static struct region *open_on(struct simdisk *on)
{
    struct region *opened = NULL;
    int code = region_open(simdisk_io(on), "r", NULL, false, &opened, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return opened;
}

static void set_up(void)
{
    struct region_options options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    disk = simdisk_new(++seed);
    io = simdisk_io(disk);
    drive_pattern(old_bytes, sizeof old_bytes, 1);
    drive_pattern(new_bytes, sizeof new_bytes, 2);
    cuts = 0;
    int code = region_create(io, "r", "main", 7, &options, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    region = open_on(disk);
    address = drive_add(region, old_bytes, sizeof old_bytes);
    drive_checkpoint(region); /* no replay puts the old bytes back */
}

static void tear_down(void)
{
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

/* The old blob is there whole, or it is freed and what may stand in its place is whole. */
static void check_blobs(struct region *found)
{
    bool is_old, is_new;
    ck_assert_int_eq(region_is_allocated(found, (struct extent){address, OLD_SIZE}, &is_old, &err),
                     0);
    ck_assert_int_eq(region_is_allocated(found, (struct extent){address, NEW_SIZE}, &is_new, &err),
                     0);
    if (is_old)
        drive_expect(found, address, old_bytes, OLD_SIZE);
    else if (is_new)
        drive_expect(found, address, new_bytes, NEW_SIZE);
}

/* A power cut that keeps what was written to the files of one kind, and nothing else. */
static void cut(const struct simdisk *before, const char *prefix)
{
    size_t count = simdisk_pending(before);
    const struct pending *const *pending = simdisk_pending_list(before);
    bool *kept = calloc(count + 1, sizeof *kept);
    ck_assert_ptr_nonnull(kept);
    for (size_t i = 0; i < count; i++)
        kept[i] = prefix != NULL && pending[i]->kind != PENDING_NAMES &&
                  strncmp(pending[i]->node->name, prefix, strlen(prefix)) == 0;
    struct simdisk *crashed = simdisk_crash(before, kept, (struct tear){0}, 1);
    free(kept);
    struct region *found = open_on(crashed);
    check_blobs(found);
    drive_close(found);
    simdisk_free(crashed);
    cuts++;
}

static void cut_before_sync(void *context, struct simdisk *before, enum simdisk_op op,
                            const char *path)
{
    (void)context;
    (void)path;
    if (!(SIM_SYNCS & SIM_BIT(op)))
        return;
    cut(before, NULL);
    cut(before, "data");
    cut(before, "checkpoint");
    cut(before, "journal");
}

/* The region fails, with EIO, from the nth call on that the fault is about. */
static void fail_in_background(unsigned ops, const char *pattern, uint64_t nth)
{
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = ops, .pattern = pattern, .nth = nth, .error = EIO, .forever = true});
    while (drive_step(region, LANE_BACKGROUND))
        ;
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_ptr_nonnull(region_failure(region));
    region_close(region);
    region = NULL;
}

static void recover_with_power_cuts(void)
{
    simdisk_set_hook(disk, cut_before_sync, NULL);
    region = open_on(disk);
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_gt(cuts, 0);
    check_blobs(region);
    drive_close(region);
}

START_TEST(bytes_are_not_put_before_their_records_are_durable)
{
    struct region_info info;
    uint64_t ignored;
    region_get_info(region, &info);
    info.options.durability = DURABILITY_INTERVAL;
    region_set_options(region, &info.options);
    drive_deallocate(region, address, OLD_SIZE);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_uint_eq(drive_add(region, new_bytes, NEW_SIZE), address);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_int_eq(region_allocate(region, 100 * MIB, &ignored, &err), REGION_WAIT);
    fail_in_background(SIM_BIT(SIM_ALLOCATE), "r/data", 1);
    recover_with_power_cuts();
}
END_TEST

/* Its header was written, and the sync of it failed: the next process still sees it. Each time
 * another part of it reached the disk. */
START_TEST(a_checkpoint_that_is_only_cached_is_made_durable_before_the_other_goes)
{
    for (unsigned i = 0; i < 16; i++) {
        uint64_t ticket, hole = drive_allocate(region, 100);
        drive_allocate(region, 1);
        drive_deallocate(region, hole, 100);
        drive_checkpoint(region);
        drive_checkpoint(region); /* both slots have a block to tell */
        if (i % 2 == 1) {
            /* It begins where the one before began, which every floor names. */
            drive_close(region);
            region = open_on(disk);
        }
        ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
        fail_in_background(SIM_BIT(SIM_SYNC), "r/checkpoint-*", 2);
        recover_with_power_cuts();
        tear_down();
        set_up();
    }
    drive_close(region);
}
END_TEST

/* ---- Names of segments ---- */

#define FILLER (60 * KIB) /* is journaled */

/* What is changed next is there after the start behind it. */
static void use_twice(struct simdisk *on)
{
    struct region *found = open_on(on);
    check_blobs(found);
    uint64_t added = drive_add(found, new_bytes, NEW_SIZE);
    drive_close(found);
    found = open_on(on);
    drive_expect(found, added, new_bytes, NEW_SIZE);
    check_blobs(found);
    drive_close(found);
}

/* Power cuts that keep every renaming but one, and nothing else or all else. */
static void cut_names(void *context, struct simdisk *before, enum simdisk_op op, const char *path)
{
    size_t count = simdisk_pending(before);
    const struct pending *const *pending = simdisk_pending_list(before);
    (void)context;
    (void)path;
    if (!(SIM_SYNCS & SIM_BIT(op)))
        return;
    bool *kept = calloc(count + 1, sizeof *kept);
    ck_assert_ptr_nonnull(kept);
    for (size_t lost = 0; lost < count; lost++) {
        if (pending[lost]->kind != PENDING_NAMES)
            continue;
        for (unsigned others = 0; others < 2; others++) {
            for (size_t i = 0; i < count; i++)
                kept[i] = i != lost && (others > 0 || pending[i]->kind == PENDING_NAMES);
            struct simdisk *crashed = simdisk_crash(before, kept, (struct tear){0}, 1);
            use_twice(crashed);
            simdisk_free(crashed);
            cuts++;
        }
    }
    free(kept);
}

/* Segments were recycled, and the sync of their new names failed: the next process sees these, and
 * gives them others. If the first renaming is lost and the second is not, a segment has two names,
 * and what is written to one of them is written over the other. */
START_TEST(a_name_that_is_only_cached_is_made_durable_before_it_changes_again)
{
    static uint8_t filler[FILLER];
    uint64_t ticket, at = 0;
    drive_pattern(filler, sizeof filler, 3);
    for (uint64_t filled = 0; filled <= JOURNAL_PAYLOAD; filled += FILLER) {
        at = drive_add(region, filler, FILLER);
        drive_deallocate(region, at, FILLER);
    }
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    fail_in_background(SIM_BIT(SIM_SYNC_DIRECTORY), "r", 1);
    size_t renamed = 0;
    for (size_t i = 0; i < simdisk_pending(disk); i++)
        renamed += simdisk_pending_list(disk)[i]->kind == PENDING_NAMES;
    ck_assert_uint_gt(renamed, 0);
    simdisk_set_hook(disk, cut_names, NULL);
    region = open_on(disk);
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_gt(cuts, 0);
    drive_close(region);
    use_twice(disk);
}
END_TEST

/* What is left of a segment that was being made is not made one of by its header alone: the next
 * start would find it cut. */
START_TEST(half_a_segment_is_not_used_again)
{
    static const uint8_t block[DISK_BLOCK];
    struct iovec vector = {(void *)(uintptr_t)block, sizeof block};
    char name[JOURNAL_NAME_SIZE], path[64];
    struct io_file *file;
    snprintf(path, sizeof path, "r/%s", journal_name(name, 1000));
    drive_close(region);
    ck_assert_int_eq(io->ops->open(io, path, IO_CREATE, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, 0), 0);
    io->ops->close(io, file);
    use_twice(disk);
    region = open_on(disk);
    drive_close(region);
}
END_TEST

static void keep_name(void *context, struct simdisk *failing, enum simdisk_op op, const char *path)
{
    (void)context;
    (void)op;
    (void)path;
    simdisk_set_fault(failing,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_RENAME), .nth = 1, .error = EIO});
}

/* As after a kill between its renaming and the sync of that. */
START_TEST(a_region_whose_name_is_only_cached_is_not_lost)
{
    struct simdisk *crashed;
    struct store *store;
    struct region_options options = region_options_default();
    ck_assert_int_eq(store_open(io, false, &store, &err), 0);
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC_DIRECTORY),
                                                   .pattern = "regions",
                                                   .nth = 1,
                                                   .error = EIO,
                                                   .after = keep_name});
    ck_assert_int_eq(store_create_region(store, "a", &options, &region, &err), ERR_IO_ERROR);
    store_close(store);

    ck_assert_int_eq(store_open(io, false, &store, &err), 0);
    ck_assert_int_eq(store_open_region(store, "a", NULL, &region, NULL, &err), 0);
    address = drive_add(region, new_bytes, NEW_SIZE);
    drive_close(region);
    store_close(store);

    crashed = simdisk_crash_none(disk);
    simdisk_free(disk);
    disk = crashed;
    io = simdisk_io(disk);
    ck_assert_int_eq(store_open(io, false, &store, &err), 0);
    int code = store_open_region(store, "a", NULL, &region, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    drive_expect(region, address, new_bytes, NEW_SIZE);
    drive_close(region);
    store_close(store);
}
END_TEST

static void set_up_alone(void)
{
    set_up();
    drive_close(region);
}

int main(void)
{
    Suite *suite = suite_create("killed");
    TCase *recovery = tcase_create("recovery"), *names = tcase_create("names");
    tcase_add_checked_fixture(recovery, set_up, tear_down);
    tcase_add_test(recovery, bytes_are_not_put_before_their_records_are_durable);
    tcase_add_test(recovery,
                   a_checkpoint_that_is_only_cached_is_made_durable_before_the_other_goes);
    tcase_add_test(recovery, a_name_that_is_only_cached_is_made_durable_before_it_changes_again);
    tcase_add_test(recovery, half_a_segment_is_not_used_again);
    tcase_add_checked_fixture(names, set_up_alone, tear_down);
    tcase_add_test(names, a_region_whose_name_is_only_cached_is_not_lost);
    suite_add_tcase(suite, recovery);
    suite_add_tcase(suite, names);
    return suite_main(suite);
}
