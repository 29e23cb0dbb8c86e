/* Signals and short counts: system calls that do less than they were asked for, or say EINTR. The
 * functions below stand before the C library's. */
#include "core/io.h"

#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/limits.h"
#include "tests/support_main.h"

#define EXPORT __attribute__((visibility("default")))

static unsigned interruptions; /* so many calls more say EINTR */
static size_t longest;         /* what a call reads or writes at most, 0 = all */
static unsigned interrupted, shortened, syncs;

static bool is_interrupted(void)
{
    if (interruptions == 0)
        return false;
    interruptions--;
    interrupted++;
    errno = EINTR;
    return true;
}

static size_t cut(size_t size)
{
    if (longest == 0 || size <= longest)
        return size;
    shortened++;
    return longest;
}

#define NEXT(type, name)                                                                           \
    type real = (type)dlsym(RTLD_NEXT, name);                                                      \
    if (real == NULL)                                                                              \
    abort()

typedef ssize_t read_function(int, void *, size_t, off_t);
typedef ssize_t write_function(int, const struct iovec *, int, off_t);
typedef int space_function(int, int, off_t, off_t);

static ssize_t some_read(const char *name, int fd, void *to, size_t size, off_t at)
{
    NEXT(read_function *, name);
    return is_interrupted() ? -1 : real(fd, to, cut(size), at);
}

static ssize_t some_write(const char *name, int fd, const struct iovec *from, int count, off_t at)
{
    NEXT(write_function *, name);
    if (is_interrupted())
        return -1;
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += from[i].iov_len;
    if (cut(size) == size)
        return real(fd, from, count, at);
    /* The vectors one after the other, as far as it goes. */
    ssize_t written = 0;
    for (int i = 0; i < count && (size_t)written < longest; i++) {
        size_t part = from[i].iov_len;
        if (part > longest - (size_t)written)
            part = longest - (size_t)written;
        struct iovec one = {from[i].iov_base, part};
        written += real(fd, &one, 1, at + written);
    }
    return written;
}

static int some_space(const char *name, int fd, int mode, off_t at, off_t size)
{
    NEXT(space_function *, name);
    return is_interrupted() ? -1 : real(fd, mode, at, size);
}

EXPORT ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    return some_read("pread", fd, to, size, at);
}

EXPORT ssize_t pread64(int fd, void *to, size_t size, off64_t at)
{
    return some_read("pread64", fd, to, size, at);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *from, int count, off_t at)
{
    return some_write("pwritev", fd, from, count, at);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *from, int count, off64_t at)
{
    return some_write("pwritev64", fd, from, count, at);
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t size)
{
    return some_space("fallocate", fd, mode, at, size);
}

EXPORT int fallocate64(int fd, int mode, off64_t at, off64_t size)
{
    return some_space("fallocate64", fd, mode, at, size);
}

EXPORT int ftruncate(int fd, off_t size)
{
    typedef int function(int, off_t);
    NEXT(function *, "ftruncate");
    return is_interrupted() ? -1 : real(fd, size);
}

EXPORT int ftruncate64(int fd, off64_t size)
{
    typedef int function(int, off64_t);
    NEXT(function *, "ftruncate64");
    return is_interrupted() ? -1 : real(fd, size);
}

EXPORT int flock(int fd, int operation)
{
    typedef int function(int, int);
    NEXT(function *, "flock");
    return is_interrupted() ? -1 : real(fd, operation);
}

static int count_sync(const char *name, int fd)
{
    typedef int function(int);
    NEXT(function *, name);
    syncs++;
    return is_interrupted() ? -1 : real(fd);
}

EXPORT int fdatasync(int fd)
{
    return count_sync("fdatasync", fd);
}

EXPORT int fsync(int fd)
{
    return count_sync("fsync", fd);
}

EXPORT int openat(int directory, const char *path, int flags, ...)
{
    typedef int function(int, const char *, int, ...);
    NEXT(function *, "openat");
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return is_interrupted() ? -1 : real(directory, path, flags, mode);
}

/* ---- The tests ---- */

static char folder[256];
static struct io *io;
static struct io_file *file;
static uint8_t bytes[100000], seen[sizeof bytes];

static void set_up(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/mregion-io-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(io_posix_new(folder, &io), 0);
    ck_assert_int_eq(io->ops->open(io, "file", IO_CREATE, &file), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
}

static void tear_down(void)
{
    interruptions = 0;
    longest = 0;
    io->ops->close(io, file);
    ck_assert_int_eq(io->ops->remove(io, "file"), 0);
    io_posix_free(io);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void write_bytes(void)
{
    struct iovec vectors[] = {{bytes, 1}, {bytes, 0}, {bytes + 1, 70000}, {bytes + 70001, 29999}};
    ck_assert_int_eq(io->ops->write(io, file, vectors, 4, 5), 0);
}

static void expect_bytes(void)
{
    ck_assert_int_eq(io->ops->read(io, file, seen, sizeof seen, 5), sizeof seen);
    ck_assert(memcmp(seen, bytes, sizeof bytes) == 0);
}

START_TEST(short_counts_are_gone_on_from)
{
    static const size_t lengths[] = {1000, 4097, 69999, 70001, 99999};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memset(seen, 0, sizeof seen);
        longest = lengths[i];
        shortened = 0;
        write_bytes();
        ck_assert_uint_gt(shortened, 0);
        longest = 0;
        expect_bytes();
        longest = lengths[i];
        shortened = 0;
        memset(seen, 0, sizeof seen);
        expect_bytes();
        ck_assert_uint_gt(shortened, 0);
        /* At the end of the file it is the end, and no short count. */
        ck_assert_int_eq(io->ops->read(io, file, seen, sizeof seen, 6), sizeof seen - 1);
    }
}
END_TEST

START_TEST(interrupted_calls_are_made_again)
{
    struct io_file *other;
    uint64_t size;
    interruptions = 2;
    write_bytes();
    interruptions = 2;
    expect_bytes();
    interruptions = 2;
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 200000), 0);
    interruptions = 2;
    ck_assert_int_eq(io->ops->zero(io, file, 150000, 50000), 0);
    interruptions = 2;
    ck_assert_int_eq(io->ops->truncate(io, file, 150000), 0);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, 150000);
    expect_bytes();
    interruptions = 2;
    ck_assert_int_eq(io->ops->lock(io, file), 0);
    interruptions = 2;
    ck_assert_int_eq(io->ops->open(io, "other", IO_CREATE | IO_EXCLUSIVE | IO_ALIGNED, &other), 0);
    io->ops->close(io, other);
    interruptions = 2;
    ck_assert_int_eq(io->ops->open(io, "other", IO_READ_ONLY, &other), 0);
    io->ops->close(io, other);
    ck_assert_int_eq(io->ops->remove(io, "other"), 0);
    ck_assert_uint_eq(interrupted, 2 * 8);
}
END_TEST

static int see_nothing(void *context, const char *name, bool is_directory)
{
    (void)name;
    (void)is_directory;
    ++*(unsigned *)context;
    return 0;
}

START_TEST(interrupted_directories_are_opened_again)
{
    unsigned names = 0;
    interruptions = 2;
    ck_assert_int_eq(io->ops->list(io, ".", see_nothing, &names), 0);
    ck_assert_uint_eq(names, 1);
    interruptions = 2;
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    ck_assert_uint_eq(interrupted, 4);
    ck_assert_uint_eq(syncs, 1);
}
END_TEST

/* A sync that did not succeed may have been told of a failed write, and the next one is not told
 * of it again: whatever the reason, it has failed. */
START_TEST(an_interrupted_sync_has_failed)
{
    write_bytes();
    interruptions = 1;
    ck_assert_int_eq(io->ops->sync(io, file), -EINTR);
    ck_assert_uint_eq(syncs, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interrupted io");
    TCase *tcase = tcase_create("interrupted io");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, short_counts_are_gone_on_from);
    tcase_add_test(tcase, interrupted_calls_are_made_again);
    tcase_add_test(tcase, interrupted_directories_are_opened_again);
    tcase_add_test(tcase, an_interrupted_sync_has_failed);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
