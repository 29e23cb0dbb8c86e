/* Signals, short counts and failures: system calls that do less than they were asked for, say
 * EINTR, or fail. The functions below stand before the C library's. */
#include "core/io.h"

#include <check.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/limits.h"
#include "tests/support_main.h"

#define EXPORT __attribute__((visibility("default")))

static unsigned interruptions; /* so many calls more say EINTR */
static size_t longest;         /* what a call reads or writes at most, 0 = all */
static unsigned interrupted, shortened, syncs;
static int open_failure;      /* that of openat, 0 = none */
static int read_failure;      /* that of preadv2, 0 = none */
static int directory_failure; /* that of fdopendir, 0 = none */
static int sync_failure;      /* the errno of syncs, 0 = none */
static int failure;           /* the errno of calls that cannot be short or interrupted, 0 = none */
static int no_space_change;   /* that of fallocate, 0 = none */
static bool is_nothing_written;
static bool is_strict;   /* every file takes whole blocks only */
static unsigned refused; /* calls with a part of one */

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

/* Whether the file bypasses its cache; then only whole blocks are taken. */
static bool is_direct(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return is_strict || (flags != -1 && (flags & O_DIRECT) != 0);
}

static bool is_refused(int fd, const void *address, size_t size, off_t at)
{
    if (!is_direct(fd) || ((uintptr_t)address | size | (uint64_t)at) % DISK_BLOCK == 0)
        return false;
    refused++;
    errno = EINVAL;
    return true;
}

static ssize_t some_read(const char *name, int fd, void *to, size_t size, off_t at)
{
    NEXT(read_function *, name);
    if (is_interrupted() || is_refused(fd, to, size, at))
        return -1;
    if (!is_direct(fd))
        return real(fd, to, cut(size), at);
    /* All of it is read, and less is owned to. */
    ssize_t got = real(fd, to, size, at);
    return got > 0 ? (ssize_t)cut((size_t)got) : got;
}

/* The vectors one after the other, as far as it goes, or with a direct file some more. */
static ssize_t write_short(write_function *real, int fd, const struct iovec *from, int count,
                           off_t at)
{
    size_t written = 0;
    for (int i = 0; i < count && written < longest; i++) {
        size_t part = from[i].iov_len;
        if (part > longest - written && !is_direct(fd))
            part = longest - written;
        struct iovec one = {from[i].iov_base, part};
        written += (size_t)real(fd, &one, 1, at + (off_t)written);
    }
    return (ssize_t)(written < longest ? written : longest);
}

static ssize_t some_write(const char *name, int fd, const struct iovec *from, int count, off_t at)
{
    NEXT(write_function *, name);
    if (is_interrupted())
        return -1;
    if (is_nothing_written)
        return 0;
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += from[i].iov_len;
        if (is_refused(fd, from[i].iov_base, from[i].iov_len, at))
            return -1;
    }
    if (cut(size) == size)
        return real(fd, from, count, at);
    return write_short(real, fd, from, count, at);
}

static int some_space(const char *name, int fd, int mode, off_t at, off_t size)
{
    NEXT(space_function *, name);
    if (no_space_change != 0) {
        errno = no_space_change;
        return -1;
    }
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
    if (sync_failure != 0) {
        errno = sync_failure;
        return -1;
    }
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

static int some_open(const char *name, const char *path, int flags, va_list arguments)
{
    typedef int function(const char *, int, ...);
    NEXT(function *, name);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    return is_interrupted() ? -1 : real(path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int fd = some_open("open", path, flags, arguments);
    va_end(arguments);
    return fd;
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int fd = some_open("open64", path, flags, arguments);
    va_end(arguments);
    return fd;
}

EXPORT int openat(int directory, const char *path, int flags, ...)
{
    typedef int function(int, const char *, int, ...);
    NEXT(function *, "openat");
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (open_failure != 0) {
        errno = open_failure;
        return -1;
    }
    return is_interrupted() ? -1 : real(directory, path, flags, mode);
}

static ssize_t some_read_now(const char *name, int fd, const struct iovec *to, int count, off_t at,
                             int flags)
{
    typedef ssize_t function(int, const struct iovec *, int, off_t, int);
    NEXT(function *, name);
    if (read_failure != 0) {
        errno = read_failure;
        return -1;
    }
    return real(fd, to, count, at, flags);
}

EXPORT ssize_t preadv2(int fd, const struct iovec *to, int count, off_t at, int flags)
{
    return some_read_now("preadv2", fd, to, count, at, flags);
}

EXPORT ssize_t preadv64v2(int fd, const struct iovec *to, int count, off64_t at, int flags)
{
    return some_read_now("preadv64v2", fd, to, count, at, flags);
}

/* Some file systems leave it to others to find out what a name is of. */
static bool is_kind_unknown;

EXPORT struct dirent *readdir(DIR *directory)
{
    typedef struct dirent *function(DIR *);
    NEXT(function *, "readdir");
    struct dirent *entry = real(directory);
    if (entry != NULL && is_kind_unknown)
        entry->d_type = DT_UNKNOWN;
    return entry;
}

EXPORT struct dirent64 *readdir64(DIR *directory)
{
    typedef struct dirent64 *function(DIR *);
    NEXT(function *, "readdir64");
    struct dirent64 *entry = real(directory);
    if (entry != NULL && is_kind_unknown)
        entry->d_type = DT_UNKNOWN;
    return entry;
}

EXPORT DIR *fdopendir(int fd)
{
    typedef DIR *function(int);
    NEXT(function *, "fdopendir");
    if (directory_failure != 0) {
        errno = directory_failure;
        return NULL;
    }
    return real(fd);
}

static int system_failure; /* the errno of fstatvfs alone, 0 = none */

static bool has_failed(void)
{
    if (failure != 0)
        errno = failure;
    return failure != 0;
}

EXPORT int fstat(int fd, struct stat *status)
{
    typedef int function(int, struct stat *);
    NEXT(function *, "fstat");
    return has_failed() ? -1 : real(fd, status);
}

EXPORT int fstat64(int fd, struct stat64 *status)
{
    typedef int function(int, struct stat64 *);
    NEXT(function *, "fstat64");
    return has_failed() ? -1 : real(fd, status);
}

static bool has_system_failed(void)
{
    if (system_failure != 0)
        errno = system_failure;
    return system_failure != 0 || has_failed();
}

EXPORT int fstatvfs(int fd, struct statvfs *status)
{
    typedef int function(int, struct statvfs *);
    NEXT(function *, "fstatvfs");
    return has_system_failed() ? -1 : real(fd, status);
}

EXPORT int fstatvfs64(int fd, struct statvfs64 *status)
{
    typedef int function(int, struct statvfs64 *);
    NEXT(function *, "fstatvfs64");
    return has_system_failed() ? -1 : real(fd, status);
}

EXPORT int fstatat(int directory, const char *path, struct stat *status, int flags)
{
    typedef int function(int, const char *, struct stat *, int);
    NEXT(function *, "fstatat");
    return has_failed() ? -1 : real(directory, path, status, flags);
}

EXPORT int fstatat64(int directory, const char *path, struct stat64 *status, int flags)
{
    typedef int function(int, const char *, struct stat64 *, int);
    NEXT(function *, "fstatat64");
    return has_failed() ? -1 : real(directory, path, status, flags);
}

EXPORT int getentropy(void *to, size_t size)
{
    typedef int function(void *, size_t);
    NEXT(function *, "getentropy");
    return has_failed() ? -1 : real(to, size);
}

static int clone_failure; /* the errno of cloning, 0 = it seems to have been done */

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    typedef int function(int, unsigned long, ...);
    NEXT(function *, "ioctl");
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request != FICLONE)
        return real(fd, request, argument);
    if (is_interrupted())
        return -1;
    errno = clone_failure;
    return clone_failure == 0 ? 0 : -1;
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
    failure = no_space_change = 0;
    is_nothing_written = false;
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

/* Where the cache is bypassed a short count may end within a block, and nothing can go on there. */
START_TEST(short_counts_within_a_block)
{
    static const size_t lengths[] = {1, 1000, 4095, 4097, 9000, 12289};
    enum { SIZE = 16 * DISK_BLOCK, TAIL = 100 };
    static _Alignas(DISK_BLOCK) uint8_t blocks[SIZE], back[SIZE + DISK_BLOCK];
    struct io_file *aligned;
    ck_assert_int_eq(io->ops->open(io, "aligned", IO_CREATE | IO_ALIGNED, &aligned), 0);
    is_strict = true; /* also where the file system has no such files */
    memcpy(blocks, bytes, SIZE);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct iovec vectors[] = {{blocks, DISK_BLOCK}, {blocks + DISK_BLOCK, SIZE - DISK_BLOCK}};
        bool is_hopeless = lengths[i] < DISK_BLOCK;
        longest = lengths[i];
        shortened = 0;
        ck_assert_int_eq(io->ops->write(io, aligned, vectors, 2, DISK_BLOCK),
                         is_hopeless ? -EIO : 0);
        ck_assert_uint_gt(shortened, 0);
        longest = 0;
        ck_assert_int_eq(io->ops->truncate(io, aligned, DISK_BLOCK + SIZE + TAIL), 0);
        struct iovec whole = {blocks, SIZE};
        if (is_hopeless)
            ck_assert_int_eq(io->ops->write(io, aligned, &whole, 1, DISK_BLOCK), 0);
        memset(back, 1, sizeof back);
        longest = lengths[i];
        shortened = 0;
        ssize_t got = io->ops->read(io, aligned, back, sizeof back, DISK_BLOCK);
        ck_assert_int_eq(got, is_hopeless ? (ssize_t)lengths[i] : SIZE + TAIL);
        ck_assert(memcmp(back, blocks, is_hopeless ? lengths[i] : SIZE) == 0);
        ck_assert_uint_gt(shortened, 0);
    }
    ck_assert_uint_eq(refused, 0);
    is_strict = false;
    io->ops->close(io, aligned);
    ck_assert_int_eq(io->ops->remove(io, "aligned"), 0);
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

/* Each says so, and changes nothing. */
START_TEST(what_fails_says_why)
{
    uint64_t number = 7;
    write_bytes();
    failure = EOVERFLOW;
    ck_assert_int_eq(io->ops->size(io, file, &number), -EOVERFLOW);
    ck_assert_int_eq(io->ops->usage(io, file, &number), -EOVERFLOW);
    ck_assert_int_eq(io->ops->free_space(io, &number), -EOVERFLOW);
    ck_assert_int_eq(io->ops->random(io, seen, 16), -EOVERFLOW);
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 200000), -EOVERFLOW);
    failure = 0;
    system_failure = ENOLINK;
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 200000), -ENOLINK);
    system_failure = 0;
    ck_assert_uint_eq(number, 7);
    ck_assert_int_eq(io->ops->sync_directory(io, "nowhere"), -ENOENT);
    open_failure = EINVAL; /* with O_DIRECT and without */
    struct io_file *other;
    ck_assert_int_eq(io->ops->open(io, "file", IO_ALIGNED, &other), -EINVAL);
    ck_assert_int_eq(io->ops->open(io, "file", 0, &other), -EINVAL);
    open_failure = 0;
    is_nothing_written = true;
    struct iovec vector = {bytes, 100};
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, 0), -EIO);
    is_nothing_written = false;
    ck_assert_int_eq(io->ops->size(io, file, &number), 0);
    ck_assert_uint_eq(number, sizeof bytes + 5);
    expect_bytes();
}
END_TEST

/* A reservation that fails leaves the file as long as it was; without fallocate it is written. */
START_TEST(space_that_cannot_be_had)
{
    uint64_t size;
    write_bytes();
    no_space_change = ENOSPC;
    ck_assert_int_eq(io->ops->allocate(io, file, 50000, 150000), -ENOSPC);
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 1000), -ENOSPC); /* nothing behind the end */
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, sizeof bytes + 5);
    no_space_change = EOPNOTSUPP;
    ck_assert_int_eq(io->ops->allocate(io, file, 50000, 150000), 0);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, 200000);
    expect_bytes();
    ck_assert_int_eq(io->ops->punch(io, file, 0, 4096), -EOPNOTSUPP);
    is_nothing_written = true;
    ck_assert_int_eq(io->ops->zero(io, file, 150000, 50000), -EIO);
    is_nothing_written = false;
    ck_assert_int_eq(io->ops->zero(io, file, 150000, 50000), 0);
    expect_bytes();
}
END_TEST

/* Whatever the reason, a worker reads it; but an error is one. */
START_TEST(what_is_not_read_at_once)
{
    static const struct {
        int error, result;
    } cases[] = {{EOPNOTSUPP, -EAGAIN}, {EINTR, -EAGAIN}, {EAGAIN, -EAGAIN}, {EIO, -EIO}};
    write_bytes();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_failure = cases[i].error;
        ck_assert_int_eq(io_read_now(io, file, seen, 100, 0), cases[i].result);
    }
    read_failure = 0;
}
END_TEST

struct names {
    unsigned files, folders;
};

static int see_kind(void *context, const char *name, bool is_directory)
{
    struct names *names = context;
    (void)name;
    names->files += !is_directory;
    names->folders += is_directory;
    return 0;
}

START_TEST(names_of_unknown_kinds)
{
    struct names names = {0, 0};
    ck_assert_int_eq(io->ops->make_directory(io, "folder"), 0);
    is_kind_unknown = true;
    ck_assert_int_eq(io->ops->list(io, ".", see_kind, &names), 0);
    ck_assert_uint_eq(names.files, 1);
    ck_assert_uint_eq(names.folders, 1);
    failure = ENOENT; /* it is gone by now */
    ck_assert_int_eq(io->ops->list(io, ".", see_kind, &names), 0);
    ck_assert_uint_eq(names.folders, 1);
    failure = 0;
    is_kind_unknown = false;
    directory_failure = ENOMEM;
    ck_assert_int_eq(io->ops->list(io, ".", see_kind, &names), -ENOMEM);
    directory_failure = 0;
    ck_assert_int_eq(io->ops->remove_directory(io, "folder"), 0);
}
END_TEST

START_TEST(a_directory_that_cannot_be_synced)
{
    sync_failure = EIO;
    ck_assert_int_eq(io->ops->sync_directory(io, "."), -EIO);
    sync_failure = 0;
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
}
END_TEST

/* The data directory, too, may be opened while a signal comes. */
START_TEST(an_interrupted_beginning)
{
    struct io *other;
    interruptions = 2;
    ck_assert_int_eq(io_posix_new(folder, &other), 0);
    ck_assert_uint_eq(interrupted, 2);
    io_posix_free(other);
    ck_assert_int_eq(io_posix_new("/nowhere/at/all", &other), -ENOENT);
}
END_TEST

/* Where it cannot be, whoever asks copies; where the disk has failed, or is full, that is told. */
START_TEST(cloning)
{
    static const int for_a_copy[] = {EOPNOTSUPP, ENOTTY, ENOSYS, EPERM, EXDEV, EINVAL};
    static const int told[] = {EIO, ENOSPC, EDQUOT, EROFS, EBADF};
    struct io_file *other;
    ck_assert_int_eq(io->ops->open(io, "other", IO_CREATE, &other), 0);
    interruptions = 2;
    ck_assert_int_eq(io->ops->clone(io, file, other), 0);
    ck_assert_uint_eq(interrupted, 2);
    for (size_t i = 0; i < sizeof for_a_copy / sizeof for_a_copy[0]; i++) {
        clone_failure = for_a_copy[i];
        ck_assert_int_eq(io->ops->clone(io, file, other), -EOPNOTSUPP);
    }
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        clone_failure = told[i];
        ck_assert_int_eq(io->ops->clone(io, file, other), -told[i]);
    }
    clone_failure = 0;
    io->ops->close(io, other);
    ck_assert_int_eq(io->ops->remove(io, "other"), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("interrupted io");
    TCase *tcase = tcase_create("interrupted io");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, short_counts_are_gone_on_from);
    tcase_add_test(tcase, short_counts_within_a_block);
    tcase_add_test(tcase, interrupted_calls_are_made_again);
    tcase_add_test(tcase, interrupted_directories_are_opened_again);
    tcase_add_test(tcase, an_interrupted_sync_has_failed);
    tcase_add_test(tcase, what_fails_says_why);
    tcase_add_test(tcase, space_that_cannot_be_had);
    tcase_add_test(tcase, what_is_not_read_at_once);
    tcase_add_test(tcase, names_of_unknown_kinds);
    tcase_add_test(tcase, a_directory_that_cannot_be_synced);
    tcase_add_test(tcase, an_interrupted_beginning);
    tcase_add_test(tcase, cloning);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
