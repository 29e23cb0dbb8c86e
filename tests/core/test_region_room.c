/* Errors that look like a full disk, and what becomes of the room that was asked for. */
#include "core/region_private.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support_region.h"
#include "tests/support_main.h"

static struct simdisk *disk;
static struct io *io;
static struct region *region;
static struct err err;
static uint8_t bytes[8192];

static void open_region(void)
{
    int code = region_open(io, "r", NULL, false, &region, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
}

static void set_up(void)
{
    struct region_options options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    drive_pattern(bytes, sizeof bytes, 1);
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
}

/* As after a power cut, when of all that was not synced only what was written to the files of one
 * kind reached the disk; NULL: nothing. */
static void crash_but_for(const char *prefix, uint64_t seed)
{
    size_t count = simdisk_pending(disk);
    const struct pending *const *pending = simdisk_pending_list(disk);
    bool *kept = calloc(count + 1, sizeof *kept);
    ck_assert_ptr_nonnull(kept);
    for (size_t i = 0; i < count; i++)
        kept[i] = prefix != NULL && pending[i]->kind != PENDING_NAMES &&
                  strncmp(pending[i]->node->name, prefix, strlen(prefix)) == 0;
    struct simdisk *crashed = simdisk_crash(disk, kept, (struct tear){0}, seed);
    free(kept);
    drive_settle(region);
    region_close(region);
    simdisk_free(disk);
    disk = crashed;
    io = simdisk_io(disk);
    open_region();
}

static void set_fault(unsigned op, const char *pattern, int error)
{
    simdisk_set_fault(disk, (struct simdisk_fault){
                                .ops = SIM_BIT(op), .pattern = pattern, .nth = 1, .error = error});
}

static const int full[] = {ENOSPC, EDQUOT, ENOMEM};

/* A thin volume without space says so when it writes back. Once told, the next sync is fine and the
 * bytes are gone: no checkpoint may be taken, and no journal recycled, on the strength of that. */
START_TEST(a_failed_sync_is_no_refusal_to_a_checkpoint)
{
    uint64_t ticket, address = drive_add(region, bytes, sizeof bytes);
    drive_settle(region);
    set_fault(SIM_SYNC, "r/data", full[_i]);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    drive_settle(region);
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    if (region_failure(region) == NULL)
        drive_checkpoint(region);
    crash_but_for(NULL, 0);
    drive_expect(region, address, bytes, sizeof bytes);
}
END_TEST

START_TEST(a_failed_sync_is_no_refusal_to_more_room)
{
    uint64_t ignored, address = drive_add(region, bytes, sizeof bytes);
    drive_settle(region);
    set_fault(SIM_SYNC, "r/data", full[_i]);
    ck_assert_int_eq(region_allocate(region, 8 * MIB, &ignored, &err), REGION_WAIT);
    drive_settle(region);
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    if (region_failure(region) == NULL)
        drive_checkpoint(region);
    crash_but_for(NULL, 0);
    drive_expect(region, address, bytes, sizeof bytes);
}
END_TEST

/* Two free blocks and a slot that cannot get room for three. */
START_TEST(a_slot_that_cannot_grow_is_not_asked_for_again_and_again)
{
    uint64_t address = drive_allocate(region, 1000);
    drive_deallocate(region, address + 100, 100);
    drive_deallocate(region, address + 300, 100);
    drive_close(region);
    ck_assert_int_eq(io->ops->remove(io, "r/checkpoint-b"), 0);
    ck_assert_int_eq(io->ops->sync_directory(io, "r"), 0);
    simdisk_set_capacity(disk, simdisk_used(disk) + 8 * DISK_BLOCK);
    open_region();
    for (unsigned i = 0; drive_step(region, LANE_BACKGROUND); i++)
        ck_assert_uint_lt(i, 100);
}
END_TEST

/* There is space when the region is opened, and then none: its checkpoints have room all the same
 * for what is freed, which is always possible. */
START_TEST(a_start_makes_room_for_what_is_freed)
{
    uint64_t address = drive_allocate(region, 4000);
    drive_close(region);
    ck_assert_int_eq(io->ops->remove(io, "r/checkpoint-b"), 0);
    ck_assert_int_eq(io->ops->sync_directory(io, "r"), 0);
    open_region();
    simdisk_set_capacity(disk, simdisk_used(disk));
    for (uint64_t i = 0; i < 1000; i++)
        drive_deallocate(region, address + 4 * i, 1);
    drive_checkpoint(region);
    drive_checkpoint(region);
    ck_assert_uint_eq(region->space.tree.blocks, 1000);
}
END_TEST

/* More is asked for than a change needs, so that the next ones need not wait. */
START_TEST(a_nearly_full_disk_has_room_for_what_is_needed)
{
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk));
    drive_allocate(region, region->data_size - region_size(region));
    drive_settle(region);
    ck_assert_uint_eq(region_size(region), region->data_size);
    simdisk_set_capacity(disk, simdisk_used(disk) + 16 * DISK_BLOCK);
    drive_allocate(region, 10 * DISK_BLOCK);
    drive_settle(region);
    ck_assert_uint_eq(region_size(region), region->data_size);
}
END_TEST

/* Jobs come and go while it waits, and each time it is tried again. */
START_TEST(a_refusal_is_told_once_however_often_it_was_asked_for)
{
    uint64_t ignored;
    for (unsigned i = 0; i < 10; i++) {
        drive_allocate(region, 1);
        ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), REGION_WAIT);
        ck_assert(drive_step(region, LANE_COMMIT));
    }
    simdisk_set_capacity(disk, simdisk_used(disk) + 1);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), ERR_NO_SPACE);
    /* Somebody makes space. */
    simdisk_set_capacity(disk, 0);
    drive_allocate(region, 64 * MIB);
}
END_TEST

/* Who needs less than was refused may have it, and does not take the other's answer. */
START_TEST(a_refusal_is_not_told_to_who_needs_less)
{
    uint64_t ignored;
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk) + 8 * MIB);
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), REGION_WAIT);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    ck_assert_int_eq(region_allocate(region, 4 * MIB, &ignored, &err), REGION_WAIT);
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), ERR_NO_SPACE);
    drive_allocate(region, 4 * MIB);
}
END_TEST

/* Space that is asked for while some is being reserved is reserved next. */
START_TEST(more_is_wanted_meanwhile)
{
    uint64_t ignored;
    ck_assert_int_eq(region_allocate(region, 4 * MIB, &ignored, &err), REGION_WAIT);
    struct region_job *job = region_next_job(region, LANE_BACKGROUND, drive_now_ms);
    ck_assert_ptr_eq(job, &region->room.job);
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), REGION_WAIT);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_lt(region->data_size, 64 * MIB);
    ck_assert_int_eq(region_allocate(region, 4 * MIB, &ignored, &err), 0);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    ck_assert_uint_ge(region->data_size, 64 * MIB);
}
END_TEST

/* Up to its max_size and no further: there is no smaller step that would do. */
START_TEST(the_last_bytes_of_a_region_on_a_full_disk)
{
    struct region_info info;
    uint64_t ignored;
    region_get_info(region, &info);
    info.options.max_size = 8 * MIB;
    region_set_options(region, &info.options);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk) + (uint64_t)_i * MIB);
    ck_assert_int_eq(region_allocate(region, 8 * MIB, &ignored, &err), REGION_WAIT);
    drive_settle(region);
    ck_assert_int_eq(region_allocate(region, 8 * MIB, &ignored, &err), ERR_NO_SPACE);
    drive_settle(region);
    simdisk_set_capacity(disk, 0);
    drive_allocate(region, 8 * MIB);
    ck_assert_uint_eq(region->data_size, 8 * MIB);
}
END_TEST

/* The write of its header fails, and yet most of it is there. Then the next attempt's body is
 * written over its own, and tells of space whose freeing is not durable: of as many free blocks, so
 * that the header would fit it. */
START_TEST(a_failed_attempt_is_not_mixed_with_the_next)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint64_t ticket, hole = drive_allocate(region, 8192);
        uint64_t address = drive_add(region, bytes, sizeof bytes);
        drive_allocate(region, 1); /* what is freed becomes one with the hole and nothing else */
        ck_assert_uint_eq(address, hole + 8192);
        drive_deallocate(region, hole, 8192);
        drive_checkpoint(region);
        drive_checkpoint(region);
        simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE),
                                                       .pattern = "r/checkpoint-*",
                                                       .nth = 2,
                                                       .error = ENOSPC});
        ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
        drive_settle(region);
        ck_assert_ptr_nonnull(region_checkpoint_failure(region, ticket));

        uint64_t blocks = region->space.tree.blocks;
        ck_assert_int_eq(region_deallocate(region, (struct extent){address, sizeof bytes}, &err),
                         0);
        ck_assert_uint_eq(region->space.tree.blocks, blocks);
        ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
        ck_assert(drive_step(region, LANE_BACKGROUND));
        crash_but_for("checkpoint", seed);
        drive_expect(region, address, bytes, sizeof bytes);
        /* The next round has the same bytes to begin with. */
        drive_deallocate(region, address, sizeof bytes);
    }
}
END_TEST

/* There is room for the sums, and then none for the pages. */
START_TEST(a_refusal_keeps_no_sums)
{
    uint64_t ignored, size = 0;
    struct io_file *file;
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk) + 256 * DISK_BLOCK);
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), REGION_WAIT);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), ERR_NO_SPACE);
    ck_assert_int_eq(io->ops->open(io, "r/sums", IO_READ_ONLY, &file), 0);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    io->ops->close(io, file);
    ck_assert_uint_eq(size, sums_length(region->data_size));
}
END_TEST

/* Nor does it where their length is not told: then they stay, and are used later. */
START_TEST(a_refusal_and_a_failure_at_a_time)
{
    uint64_t ignored;
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk) + 256 * DISK_BLOCK);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = SIM_BIT(SIM_SIZE), .pattern = "r/sums", .nth = 2, .error = EIO});
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), REGION_WAIT);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    ck_assert_int_eq(region_allocate(region, 64 * MIB, &ignored, &err), ERR_NO_SPACE);
    simdisk_set_capacity(disk, 0);
    drive_allocate(region, 64 * MIB);
}
END_TEST

/* As after a power cut that left of what was pending only what is data's. */
static void open_with_data_only(void *context, struct simdisk *on, enum simdisk_op op,
                                const char *path)
{
    unsigned *opened = context;
    size_t count = simdisk_pending(on);
    const struct pending *const *pending = simdisk_pending_list(on);
    if (op != SIM_SYNC || (strcmp(path, "r/data") != 0 && strcmp(path, "r/sums") != 0))
        return;
    bool *kept = calloc(count + 1, sizeof *kept);
    ck_assert_ptr_nonnull(kept);
    for (size_t i = 0; i < count; i++)
        kept[i] = pending[i]->kind != PENDING_NAMES && strcmp(pending[i]->node->name, "data") == 0;
    struct simdisk *crashed = simdisk_crash(on, kept, (struct tear){0}, 1);
    struct region *left = NULL;
    int code = region_open(simdisk_io(crashed), "r", NULL, true, &left, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    region_close(left);
    simdisk_free(crashed);
    free(kept);
    ++*opened;
}

/* More pages than a block has sums. */
START_TEST(sums_are_durable_before_their_pages)
{
    unsigned opened = 0;
    simdisk_set_hook(disk, open_with_data_only, &opened);
    for (unsigned i = 0; i < 5; i++) {
        drive_allocate(region, 8 * MIB);
        drive_settle(region);
    }
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_ge(opened, 5);
}
END_TEST

START_TEST(pages_are_durable_before_their_records)
{
    uint64_t address = drive_allocate(region, 8 * MIB);
    drive_settle(region);
    drive_store(region, address + 8 * MIB - 4096, bytes, 4096);
    drive_settle(region);
    crash_but_for("journal", 1);
    drive_expect(region, address + 8 * MIB - 4096, bytes, 4096);
}
END_TEST

static unsigned segment_files;

static int count_segments(void *context, const char *name, bool is_directory)
{
    (void)context;
    segment_files += !is_directory && strncmp(name, "journal-", 8) == 0;
    return 0;
}

/* One job of the background, while calls of one kind on the journal find no space. */
static bool step_while_full(unsigned op, uint64_t nth)
{
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(op) | SIM_BIT(SIM_ALLOCATE),
                                                   .pattern = "r/journal-*",
                                                   .nth = nth,
                                                   .error = ENOSPC,
                                                   .forever = true});
    bool is_busy = drive_step(region, LANE_BACKGROUND);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    return is_busy;
}

/* On some file systems a full disk refuses a rename, or a write in place. */
START_TEST(a_full_disk_puts_recycling_off)
{
    static const unsigned ops[] = {SIM_RENAME, SIM_WRITE, SIM_REMOVE};
    uint64_t address = 0, kept = drive_add(region, bytes, sizeof bytes);
    int code = 0;
    for (unsigned i = 0; i < 8000 && code == 0; i++) {
        while ((code = region_add(region, bytes, sizeof bytes, &address, &err)) == REGION_WAIT) {
            bool is_busy = drive_step(region, LANE_COMMIT);
            is_busy |= step_while_full(ops[_i % 3], _i < 3 ? 1 : 2);
            ck_assert_msg(is_busy, "told to wait, but for nothing");
        }
        if (code == 0)
            drive_deallocate(region, address, sizeof bytes);
    }
    ck_assert_ptr_null(region_failure(region));
    /* One segment that can be had is enough to go on, and so is one that cannot be removed. */
    ck_assert_int_eq(code, _i < 2 ? ERR_NO_SPACE : 0);
    drive_deallocate(region, kept, 1); /* from the reserve */
    kept++;
    for (unsigned i = 0; i < 2000; i++)
        drive_deallocate(region, drive_add(region, bytes, sizeof bytes), sizeof bytes);
    drive_checkpoint(region);
    drive_settle(region);
    segment_files = 0;
    ck_assert_int_eq(io->ops->list(io, "r", count_segments, NULL), 0);
    ck_assert_uint_le(segment_files, 2 * JOURNAL_SIZE_MIN / JOURNAL_SEGMENT + 2);
    crash_but_for(NULL, 0);
    drive_expect(region, kept, bytes + 1, sizeof bytes - 1);
}
END_TEST

/* ---- A change with two ways to go ---- */

static struct extent last_block;

static int resize_last(struct region *r, void *context, struct err *ret_err)
{
    uint64_t address;
    return region_resize(r, last_block, *(const uint64_t *)context, &address, ret_err);
}

static int replace_last(struct region *r, void *context, struct err *ret_err)
{
    uint64_t address;
    return region_replace(r, last_block, bytes, *(const uint64_t *)context, &address, ret_err);
}

/* Calls until there is an answer, which there must be soon. */
static int answer_soon(int (*change)(struct region *, void *, struct err *), uint64_t size)
{
    int code = REGION_WAIT;
    for (unsigned i = 0; code == REGION_WAIT; i++) {
        ck_assert_msg(i < 20, "told to wait again and again");
        code = change(region, &size, &err);
        if (code == REGION_WAIT)
            drive_settle(region);
    }
    return code;
}

/* Neither in place nor elsewhere, and it is told so although it has both to try. */
START_TEST(a_full_data_file_is_refused_to_one_that_has_two_ways)
{
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk));
    drive_allocate(region, region->data_size - 1000);
    last_block = (struct extent){drive_add(region, bytes, 1000), 1000};
    drive_settle(region);
    ck_assert_uint_eq(extent_end(last_block), region->data_size);
    ck_assert_int_eq(answer_soon(_i == 0 ? resize_last : replace_last, 8000), ERR_NO_SPACE);
    drive_expect(region, last_block.address, bytes, 1000);
}
END_TEST

/* ---- A journal that cannot be shortened ---- */

static uint8_t filler[60 * KIB]; /* is journaled */

static int store_filler(struct region *r, void *context, struct err *ret_err)
{
    return region_store(r, *(const uint64_t *)context, filler, sizeof filler, ret_err);
}

/* Each attempt at a checkpoint fails, as on a file system that needs space to write in place. When
 * somebody has made space, it goes on. */
START_TEST(the_journal_is_bounded_without_checkpoints)
{
    uint64_t address = drive_allocate(region, sizeof filler), bound = 2 * JOURNAL_SIZE_MIN + MIB;
    int code = 0;
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_WRITE),
                                                   .pattern = "r/checkpoint-*",
                                                   .nth = 1,
                                                   .error = ENOSPC,
                                                   .forever = true});
    for (uint64_t done = 0; code == 0 && done < 2 * bound; done += sizeof filler) {
        code = drive_until(region, store_filler, &address, &err);
        drive_settle(region);
    }
    ck_assert_int_eq(code, ERR_NO_SPACE);
    ck_assert_ptr_nonnull(strstr(err.text, "no checkpoint can be taken"));
    ck_assert_uint_le(region->journal.next - region->checkpoint.start, bound);
    last_block = (struct extent){address, sizeof filler};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(answer_soon(resize_last, 2 * sizeof filler), ERR_NO_SPACE);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    code = drive_until(region, store_filler, &address, &err);
    for (int i = 0; code == ERR_NO_SPACE && i < 5; i++) {
        drive_settle(region);
        code = drive_until(region, store_filler, &address, &err);
    }
    ck_assert_msg(code == 0, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region_room");
    TCase *tests = tcase_create("refusals");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, a_failed_sync_is_no_refusal_to_a_checkpoint, 0, 3);
    tcase_add_loop_test(tests, a_failed_sync_is_no_refusal_to_more_room, 0, 3);
    tcase_add_test(tests, a_slot_that_cannot_grow_is_not_asked_for_again_and_again);
    tcase_add_test(tests, a_start_makes_room_for_what_is_freed);
    tcase_add_test(tests, a_nearly_full_disk_has_room_for_what_is_needed);
    tcase_add_test(tests, a_refusal_is_told_once_however_often_it_was_asked_for);
    tcase_add_test(tests, a_refusal_is_not_told_to_who_needs_less);
    tcase_add_test(tests, more_is_wanted_meanwhile);
    tcase_add_loop_test(tests, the_last_bytes_of_a_region_on_a_full_disk, 0, 2);
    tcase_add_test(tests, a_failed_attempt_is_not_mixed_with_the_next);
    tcase_add_test(tests, a_refusal_keeps_no_sums);
    tcase_add_test(tests, a_refusal_and_a_failure_at_a_time);
    tcase_add_test(tests, sums_are_durable_before_their_pages);
    tcase_add_test(tests, pages_are_durable_before_their_records);
    tcase_add_loop_test(tests, a_full_disk_puts_recycling_off, 0, 6);
    tcase_add_test(tests, the_journal_is_bounded_without_checkpoints);
    tcase_add_loop_test(tests, a_full_data_file_is_refused_to_one_that_has_two_ways, 0, 2);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
