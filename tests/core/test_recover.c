/* What is in a region's folder and does not belong there. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/journal.h"
#include "core/region.h"
#include "support_region.h"
#include "tests/support_main.h"

static struct simdisk *disk;
static struct io *io;
static struct region *region;
static struct err err;

static int open_region(void)
{
    return region_open(io, "r", NULL, false, &region, NULL, &err);
}

static void set_up(void)
{
    struct region_options options = region_options_default();
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    int code = region_create(io, "r", "main", 7, &options, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_int_eq(open_region(), 0);
}

static void tear_down(void)
{
    drive_close(region);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

/* Recovery goes on behind all segments there are, and behind this one there are no positions. */
START_TEST(a_segment_that_nobody_can_have_reached_is_named)
{
    char path[64] = "r/", *name = path + 2;
    struct io_file *file;
    uint64_t address = drive_add(region, "blob", 4);
    drive_close(region);
    journal_name(name, REGION_SIZE_MAX / JOURNAL_PAYLOAD);
    ck_assert_int_eq(io->ops->open(io, path, IO_CREATE, &file), 0);
    io->ops->close(io, file);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(open_region(), ERR_CORRUPT);
        ck_assert_msg(strstr(err.text, name) != NULL, "%s", err.text);
    }
    ck_assert_int_eq(io->ops->remove(io, path), 0);
    ck_assert_int_eq(open_region(), 0);
    drive_expect(region, address, "blob", 4);
}
END_TEST

/* Every segment that the next start needs is missed by name, wherever the journal ends. */
START_TEST(a_missing_segment_is_named)
{
    char path[64] = "r/", aside[] = "aside";
    uint64_t seq = 0, address = 0;
    uint8_t *bytes = calloc(1, 5 * MIB);
    ck_assert_ptr_nonnull(bytes);
    for (unsigned i = 0; i < 80 * (unsigned)_i; i++)
        address = drive_add(region, bytes, 50000); /* some 4 MB of journal a turn */
    drive_settle(region);
    region_close(region);
    ck_assert_int_eq(io->ops->sync_directory(io, "r"), 0);
    struct region *opened = NULL;
    ck_assert_int_eq(region_open(io, "r", NULL, true, &opened, NULL, &err), 0);
    region_close(opened);
    unsigned files = 0, named = 0;
    for (; seq < 100; seq++) {
        journal_name(path + 2, seq);
        if (io->ops->rename(io, path, aside) != 0)
            continue;
        files++;
        opened = NULL;
        int code = region_open(io, "r", NULL, true, &opened, NULL, &err);
        if (code == 0) /* nothing was written there yet, and nothing stands behind it */
            region_close(opened);
        else
            ck_assert_msg(code == ERR_CORRUPT && strstr(err.text, path + 2) != NULL, "%s",
                          err.text);
        named += code != 0;
        ck_assert_int_eq(io->ops->rename(io, aside, path), 0);
    }
    ck_assert_uint_ge(files, 2);
    ck_assert_uint_ge(named, files - 1);
    free(bytes);
    ck_assert_int_eq(open_region(), 0);
    if (_i > 0) {
        bool is_allocated;
        ck_assert_int_eq(
            region_is_allocated(region, (struct extent){address, 50000}, &is_allocated, &err), 0);
        ck_assert(is_allocated);
    }
}
END_TEST

static int remove_segment(void *context, const char *name, bool is_directory)
{
    char path[64];
    uint64_t seq;
    (void)context;
    if (is_directory || !journal_parse_name(name, &seq))
        return 0;
    (void)snprintf(path, sizeof path, "r/%s", name);
    return io->ops->remove(io, path);
}

START_TEST(no_segment_at_all_is_no_journal)
{
    drive_close(region);
    ck_assert_int_eq(open_region(), 0); /* the journal begins anew, at a checkpoint */
    region_close(region);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    struct simdisk *copy = simdisk_crash_none(disk);
    ck_assert_int_eq(io->ops->list(io, "r", remove_segment, NULL), 0);
    ck_assert_int_eq(open_region(), ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, "missing") != NULL, "%s", err.text);
    simdisk_free(disk);
    disk = copy;
    io = simdisk_io(disk);
    ck_assert_int_eq(open_region(), 0);
}
END_TEST

/* There are more segments than are kept, and one cannot be removed. */
START_TEST(a_segment_that_cannot_be_removed)
{
    struct region_options options = region_options_default();
    uint64_t kept = drive_add(region, "blob", 4);
    uint8_t *bytes = calloc(1, 5 * MIB);
    ck_assert_ptr_nonnull(bytes);
    uint64_t address = drive_allocate(region, 5 * MIB);
    for (unsigned i = 0; i < 4; i++)
        drive_store(region, address, bytes, 5 * MIB);
    free(bytes);
    drive_settle(region);
    region_close(region);
    options.journal_size = JOURNAL_SIZE_MIN;
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_REMOVE), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    ck_assert_int_eq(region_open(io, "r", &options, false, &region, NULL, &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot remove r/journal-"));
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_int_eq(open_region(), 0);
    drive_expect(region, kept, "blob", 4);
}
END_TEST

/* Reads of the journal that answer what was there before: it is noticed, or it does not matter. */
START_TEST(a_journal_that_changes_while_it_is_read)
{
    uint64_t first = drive_add(region, "one", 3), second;
    unsigned noticed = 0;
    bool is_hit = true;
    drive_checkpoint(region);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    struct simdisk *past = simdisk_crash_none(disk);
    second = drive_add(region, "two", 3);
    drive_settle(region);
    struct simdisk *left = simdisk_crash_none(disk);
    for (uint64_t nth = 1; is_hit; nth++) {
        struct simdisk *copy = simdisk_crash_none(left);
        struct region *opened = NULL;
        simdisk_set_stale(copy, past, "r/journal-*", nth);
        int code = region_open(simdisk_io(copy), "r", NULL, true, &opened, NULL, &err);
        is_hit = simdisk_has_lied(copy);
        ck_assert_msg(code == 0 || code == ERR_CORRUPT, "%d: %s", code, err.text);
        if (code == 0) {
            drive_expect(opened, first, "one", 3);
            region_close(opened);
        } else if (strstr(err.text, "changed while it was read") != NULL) {
            noticed++;
        }
        simdisk_free(copy);
    }
    ck_assert_uint_gt(noticed, 0);
    drive_expect(region, second, "two", 3);
    simdisk_free(left);
    simdisk_free(past);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recover");
    TCase *tests = tcase_create("strangers");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_segment_that_nobody_can_have_reached_is_named);
    tcase_add_loop_test(tests, a_missing_segment_is_named, 0, 4);
    tcase_add_test(tests, no_segment_at_all_is_no_journal);
    tcase_add_test(tests, a_segment_that_cannot_be_removed);
    tcase_add_test(tests, a_journal_that_changes_while_it_is_read);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
