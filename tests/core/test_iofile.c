/* Small files, paths and what errors of the operating system are called. */
#include "core/iofile.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "support_simdisk.h"
#include "tests/support_main.h"

static struct simdisk *disk;
static struct io *io;
static struct err err;
static char name[IO_PATH_SIZE + 1]; /* together with any folder too long for a path */

static void set_up(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    memset(name, 'x', sizeof name);
    name[IO_PATH_SIZE - 2] = '\0';
}

static void tear_down(void)
{
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

START_TEST(errors_have_names)
{
    static const struct {
        int error;
        enum err_code code;
    } cases[] = {{-ENOSPC, ERR_NO_SPACE}, {-EDQUOT, ERR_NO_SPACE}, {-EFBIG, ERR_NO_SPACE},
                 {-ENOMEM, ERR_INTERNAL}, {-EIO, ERR_IO_ERROR},    {-EROFS, ERR_IO_ERROR}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(err_io(&err, cases[i].error, "write", "file"), (int)cases[i].code);
        ck_assert_ptr_nonnull(strstr(err.text, "cannot write file: "));
        /* What a sync lost is lost, whatever it says. */
        ck_assert_int_eq(err_io(&err, cases[i].error, "sync", "file"), ERR_IO_ERROR);
    }
    ck_assert_int_eq(err_io(&err, -12345, "open", "file"), ERR_IO_ERROR);
    ck_assert_str_eq(err.text, "cannot open file: unknown error");
    ck_assert_int_eq(err_io_at(&err, -EIO, "read", "folder", "file"), ERR_IO_ERROR);
    ck_assert_str_eq(err.text, "cannot read folder/file: Input/output error");
}
END_TEST

START_TEST(paths_have_an_end)
{
    char path[IO_PATH_SIZE];
    struct io_file *file;
    ck_assert_int_eq(io_join(path, ".", name, &err), 0);
    ck_assert_str_eq(path, name);
    ck_assert_int_eq(io_join(path, "f", name, &err), ERR_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.text, "has more than 255 bytes: f/xxx") != NULL, "%s", err.text);
    ck_assert_int_eq(err_io_at(&err, -EIO, "read", "f", name), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(io_open_at(io, "f", name, IO_CREATE, &file, &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(io_replace_small(io, "f", name, "x", 1, &err), ERR_INVALID_ARGUMENT);
    /* And so has the one that is written first, which is longer. */
    ck_assert_int_eq(io_replace_small(io, ".", name, "x", 1, &err), ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_ALL), 0);
}
END_TEST

START_TEST(a_small_file_is_replaced_and_read)
{
    char bytes[8];
    size_t size = 0;
    ck_assert_int_eq(io_replace_small(io, ".", "file", "first", 5, &err), 0);
    ck_assert_int_eq(io_replace_small(io, ".", "file", "2nd", 3, &err), 0);
    ck_assert_int_eq(io_read_small(io, ".", "file", bytes, sizeof bytes, &size, &err), 0);
    ck_assert_uint_eq(size, 3);
    ck_assert_mem_eq(bytes, "2nd", 3);
    ck_assert_int_eq(io_read_small(io, ".", "file", bytes, 3, &size, &err), 0);
    ck_assert_int_eq(io_read_small(io, ".", "file", bytes, 2, &size, &err), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "3 bytes where 2 is the most"));
    ck_assert_int_eq(io_read_small(io, ".", "none", bytes, 3, &size, &err), ERR_IO_ERROR);
}
END_TEST

/* Whatever step fails, the old file is whole and the error names the step. */
START_TEST(a_replacement_that_fails_leaves_the_old)
{
    static const struct {
        enum simdisk_op op;
        const char *words;
    } steps[] = {{SIM_OPEN, "cannot create file.new"},
                 {SIM_TRUNCATE, "cannot truncate file.new"},
                 {SIM_WRITE, "cannot write file.new"},
                 {SIM_SYNC, "cannot sync file.new"},
                 {SIM_RENAME, "cannot rename file.new"}};
    char bytes[8];
    size_t size = 0;
    ck_assert_int_eq(io_replace_small(io, ".", "file", "first", 5, &err), 0);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        simdisk_set_fault(
            disk, (struct simdisk_fault){.ops = SIM_BIT(steps[i].op), .nth = 1, .error = EIO});
        ck_assert_int_eq(io_replace_small(io, ".", "file", "2nd", 3, &err), ERR_IO_ERROR);
        ck_assert_msg(strstr(err.text, steps[i].words) != NULL, "%s", err.text);
        ck_assert_int_eq(io_read_small(io, ".", "file", bytes, sizeof bytes, &size, &err), 0);
        ck_assert_uint_eq(size, 5);
        ck_assert_mem_eq(bytes, "first", 5);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("iofile");
    TCase *tests = tcase_create("iofile");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, errors_have_names);
    tcase_add_test(tests, paths_have_an_end);
    tcase_add_test(tests, a_small_file_is_replaced_and_read);
    tcase_add_test(tests, a_replacement_that_fails_leaves_the_old);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
