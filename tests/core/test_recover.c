/* What is in a region's folder and does not belong there. */
#include <check.h>
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

int main(void)
{
    Suite *suite = suite_create("recover");
    TCase *tests = tcase_create("strangers");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_segment_that_nobody_can_have_reached_is_named);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
