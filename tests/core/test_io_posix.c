#include "core/io.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/iofile.h"
#include "core/limits.h"
#include "tests/support_main.h"

static char folder[256];
static struct io *io;

static void set_up(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/mregion-io-XXXXXX", base != NULL ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(io_posix_new(folder, &io), 0);
}

static int remove_entry(void *context, const char *name, bool is_directory)
{
    (void)context;
    return is_directory ? io->ops->remove_directory(io, name) : io->ops->remove(io, name);
}

static void tear_down(void)
{
    ck_assert_int_eq(io->ops->list(io, ".", remove_entry, NULL), 0);
    io_posix_free(io);
    ck_assert_int_eq(rmdir(folder), 0);
}

static struct io_file *open_file(const char *path, unsigned flags)
{
    struct io_file *file = NULL;
    ck_assert_int_eq(io->ops->open(io, path, flags, &file), 0);
    return file;
}

static int write_text(struct io_file *file, const char *text, uint64_t offset)
{
    struct iovec vector = {(void *)(uintptr_t)text, strlen(text)};
    return io->ops->write(io, file, &vector, 1, offset);
}

START_TEST(bytes_come_back)
{
    struct io_file *file = open_file("file", IO_CREATE);
    char buffer[16] = {0};
    uint64_t size;
    ck_assert_int_eq(write_text(file, "hello", 3), 0);
    io->ops->write_back(io, file);
    ck_assert_int_eq(io->ops->sync(io, file), 0);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, 8);
    ck_assert_int_eq(io->ops->read(io, file, buffer, sizeof buffer, 0), 8);
    ck_assert_mem_eq(buffer, "\0\0\0hello", 8);
    ck_assert_int_eq(io->ops->read(io, file, buffer, sizeof buffer, 100), 0);
    ssize_t now = io_read_now(io, file, buffer, 5, 3);
    ck_assert(now == 5 || now == -EAGAIN);
    char first[2], second[14] = {0};
    const struct iovec vectors[] = {{first, sizeof first}, {second, sizeof second}};
    now = io->ops->read_now(io, file, vectors, 2, 3);
    ck_assert(now == 5 || now == -EAGAIN);
    if (now == 5) {
        ck_assert_mem_eq(first, "he", 2);
        ck_assert_str_eq(second, "llo");
    }
    io->ops->close(io, file);
}
END_TEST

/* More vectors than one system call takes, empty ones among them. */
START_TEST(many_vectors)
{
    enum { COUNT = 3000 };
    static struct iovec vectors[COUNT];
    static char bytes[COUNT], back[COUNT];
    size_t used = 0;
    for (size_t i = 0; i < COUNT; i++) {
        bytes[i] = (char)('a' + i % 26);
        vectors[i] = (struct iovec){&bytes[i], i % 7 != 0};
        used += i % 7 != 0;
    }
    struct io_file *file = open_file("file", IO_CREATE);
    ck_assert_int_eq(io->ops->write(io, file, vectors, COUNT, 0), 0);
    ck_assert_int_eq(io->ops->read(io, file, back, COUNT, 0), (int)used);
    for (size_t i = 0, at = 0; i < COUNT; i++)
        if (i % 7 != 0)
            ck_assert_int_eq(back[at++], bytes[i]);
    io->ops->close(io, file);
}
END_TEST

START_TEST(open_says_why_not)
{
    struct io_file *file = NULL;
    ck_assert_int_eq(io->ops->open(io, "none", 0, &file), -ENOENT);
    ck_assert_int_eq(io->ops->open(io, "none/none", IO_CREATE, &file), -ENOENT);
    io->ops->close(io, open_file("file", IO_CREATE | IO_EXCLUSIVE));
    ck_assert_int_eq(io->ops->open(io, "file", IO_CREATE | IO_EXCLUSIVE, &file), -EEXIST);
    ck_assert_ptr_null(file);
    file = open_file("file", IO_READ_ONLY);
    ck_assert_int_eq(write_text(file, "x", 0), -EBADF);
    io->ops->close(io, file);
}
END_TEST

START_TEST(aligned_files_take_whole_blocks)
{
    struct io_file *file = open_file("file", IO_CREATE | IO_EXCLUSIVE | IO_ALIGNED);
    char *block = aligned_alloc(DISK_BLOCK, DISK_BLOCK);
    memset(block, 'b', DISK_BLOCK);
    struct iovec vector = {block, DISK_BLOCK};
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, DISK_BLOCK), 0);
    ck_assert_int_eq(io->ops->sync(io, file), 0);
    memset(block, 0, DISK_BLOCK);
    ck_assert_int_eq(io->ops->read(io, file, block, DISK_BLOCK, DISK_BLOCK), DISK_BLOCK);
    ck_assert_int_eq(block[0], 'b');
    ck_assert_int_eq(block[DISK_BLOCK - 1], 'b');
    free(block);
    io->ops->close(io, file);
}
END_TEST

START_TEST(allocate_extends_and_keeps)
{
    struct io_file *file = open_file("file", IO_CREATE);
    char buffer[8];
    uint64_t size;
    ck_assert_int_eq(write_text(file, "keep", 0), 0);
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 100000), 0);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, 100000);
    ck_assert_int_eq(io->ops->read(io, file, buffer, 8, 0), 8);
    ck_assert_mem_eq(buffer, "keep\0\0\0\0", 8);
    ck_assert_int_eq(io->ops->truncate(io, file, 2), 0);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, 2);
    io->ops->close(io, file);
}
END_TEST

/* More than any disk has: refused, and the length is what it was. */
START_TEST(allocate_beyond_the_disk)
{
    struct io_file *file = open_file("file", IO_CREATE);
    uint64_t size;
    ck_assert_int_eq(write_text(file, "keep", 0), 0);
    ck_assert_int_eq(io->ops->allocate(io, file, 0, (uint64_t)1 << 61), -ENOSPC);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, 4);
    io->ops->close(io, file);
}
END_TEST

static uint64_t usage_of(struct io_file *file)
{
    uint64_t bytes = 0;
    ck_assert_int_eq(io->ops->usage(io, file, &bytes), 0);
    return bytes;
}

static void assert_bytes(struct io_file *file, uint64_t offset, uint64_t size, char expected)
{
    char *bytes = malloc(size);
    ck_assert_int_eq(io->ops->read(io, file, bytes, size, offset), (int)size);
    for (uint64_t i = 0; i < size; i++)
        ck_assert_int_eq(bytes[i], expected);
    free(bytes);
}

/* 1 MiB of 'a', its space reserved. */
static struct io_file *filled_file(void)
{
    struct io_file *file = open_file("file", IO_CREATE);
    char *bytes = malloc(MIB);
    memset(bytes, 'a', MIB);
    struct iovec vector = {bytes, MIB};
    ck_assert_int_eq(io->ops->allocate(io, file, 0, MIB), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, 0), 0);
    ck_assert_int_eq(io->ops->sync(io, file), 0);
    free(bytes);
    return file;
}

START_TEST(zero_keeps_the_space)
{
    struct io_file *file = filled_file();
    uint64_t before = usage_of(file), size;
    ck_assert_uint_ge(before, MIB);
    ck_assert_int_eq(io->ops->zero(io, file, 100, 300 * KIB), 0);
    ck_assert_int_eq(io->ops->sync(io, file), 0);
    assert_bytes(file, 0, 100, 'a');
    assert_bytes(file, 100, 300 * KIB, 0);
    assert_bytes(file, 100 + 300 * KIB, MIB - 100 - 300 * KIB, 'a');
    ck_assert_uint_ge(usage_of(file), MIB);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, MIB);
    io->ops->close(io, file);
}
END_TEST

/* Every file system that the tests run on (ext4, xfs, btrfs, tmpfs, overlay of these) can. */
START_TEST(punch_gives_the_space_back)
{
    struct io_file *file = filled_file();
    uint64_t before = usage_of(file), size;
    ck_assert_int_eq(io->ops->punch(io, file, 256 * KIB, 512 * KIB), 0);
    ck_assert_int_eq(io->ops->sync(io, file), 0);
    assert_bytes(file, 0, 256 * KIB, 'a');
    assert_bytes(file, 256 * KIB, 512 * KIB, 0);
    assert_bytes(file, 768 * KIB, 256 * KIB, 'a');
    ck_assert_uint_le(usage_of(file), before - 512 * KIB);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, MIB);
    ck_assert_int_eq(io->ops->allocate(io, file, 256 * KIB, 512 * KIB), 0);
    ck_assert_uint_ge(usage_of(file), MIB);
    assert_bytes(file, 256 * KIB, 512 * KIB, 0);
    io->ops->close(io, file);
}
END_TEST

START_TEST(zero_and_punch_say_why_not)
{
    io->ops->close(io, filled_file());
    struct io_file *file = open_file("file", IO_READ_ONLY);
    ck_assert_int_eq(io->ops->zero(io, file, 0, MIB), -EBADF);
    ck_assert_int_eq(io->ops->punch(io, file, 0, MIB), -EBADF);
    assert_bytes(file, 0, MIB, 'a');
    io->ops->close(io, file);
}
END_TEST

START_TEST(free_space_is_what_statvfs_says)
{
    uint64_t bytes = 0;
    struct statvfs system;
    ck_assert_int_eq(statvfs(folder, &system), 0);
    ck_assert_int_eq(io->ops->free_space(io, &bytes), 0);
    ck_assert_uint_gt(bytes, 0);
    /* Others use the disk meanwhile, but not half of it. */
    ck_assert_uint_gt(bytes, (uint64_t)system.f_bavail * system.f_frsize / 2);
    ck_assert_uint_le(bytes, (uint64_t)system.f_blocks * system.f_frsize);
}
END_TEST

START_TEST(lock_excludes)
{
    struct io_file *one = open_file("lock", IO_CREATE);
    struct io_file *two = open_file("lock", 0);
    ck_assert_int_eq(io->ops->lock(io, one), 0);
    ck_assert_int_eq(io->ops->lock(io, two), -EWOULDBLOCK);
    io->ops->close(io, one);
    ck_assert_int_eq(io->ops->lock(io, two), 0);
    io->ops->close(io, two);
}
END_TEST

static int count_entries(void *context, const char *name, bool is_directory)
{
    unsigned *counts = context;
    counts[is_directory ? 1 : 0]++;
    return strcmp(name, "stop") == 0 ? 42 : 0;
}

START_TEST(names)
{
    unsigned counts[2] = {0, 0};
    ck_assert_int_eq(io->ops->make_directory(io, "folder"), 0);
    ck_assert_int_eq(io->ops->make_directory(io, "folder"), -EEXIST);
    io->ops->close(io, open_file("folder/a", IO_CREATE));
    io->ops->close(io, open_file("folder/b", IO_CREATE));
    ck_assert_int_eq(io->ops->rename(io, "folder/a", "folder/b"), 0);
    ck_assert_int_eq(io->ops->rename(io, "folder", "moved"), 0);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    ck_assert_int_eq(io->ops->sync_directory(io, "none"), -ENOENT);
    ck_assert_int_eq(io->ops->list(io, ".", count_entries, counts), 0);
    ck_assert_uint_eq(counts[0], 0);
    ck_assert_uint_eq(counts[1], 1);
    ck_assert_int_eq(io->ops->list(io, "moved", count_entries, counts), 0);
    ck_assert_uint_eq(counts[0], 1);
    ck_assert_int_eq(io->ops->list(io, "none", count_entries, counts), -ENOENT);
    ck_assert_int_eq(io->ops->remove_directory(io, "moved"), -ENOTEMPTY);
    ck_assert_int_eq(io->ops->remove(io, "moved/b"), 0);
    ck_assert_int_eq(io->ops->remove(io, "moved/b"), -ENOENT);
    io->ops->close(io, open_file("stop", IO_CREATE));
    ck_assert_int_eq(io->ops->list(io, ".", count_entries, counts), 42);
}
END_TEST

/* What lies behind a link is nobody's to remove. */
START_TEST(room_for_a_folder)
{
    char path[300];
    struct err err;
    ck_assert_int_eq(io_make_room(io, "new", ".", "here", &err), 0); /* nothing is there */
    ck_assert_int_eq(io->ops->make_directory(io, "mine"), 0);
    io->ops->close(io, open_file("mine/file", IO_CREATE));
    snprintf(path, sizeof path, "%s/new", folder);
    ck_assert_int_eq(symlink("mine", path), 0);
    ck_assert_int_eq(io_make_room(io, "new", ".", "here", &err), 0);
    io->ops->close(io, open_file("mine/file", 0));
    ck_assert_int_eq(io_make_room(io, "mine/file", "mine", "here", &err), 0);
    ck_assert_int_eq(io->ops->make_directory(io, "mine/other"), 0);
    ck_assert_int_eq(io_make_room(io, "mine", ".", "here", &err), ERR_IO_ERROR);
    ck_assert_str_eq(err.text, "cannot remove mine: Directory not empty");
    ck_assert_int_eq(io_make_room(io, "mine/other", "mine", "here", &err), 0);
    ck_assert_int_eq(io_make_room(io, "mine", ".", "here", &err), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
}
END_TEST

START_TEST(random_differs)
{
    uint8_t one[32] = {0}, two[32] = {0};
    ck_assert_int_eq(io->ops->random(io, one, sizeof one), 0);
    ck_assert_int_eq(io->ops->random(io, two, sizeof two), 0);
    ck_assert_mem_ne(one, two, sizeof one);
}
END_TEST

/* Opening a pipe to be read would wait for who writes to it. */
START_TEST(what_is_no_file_is_not_opened)
{
    static const unsigned flags[] = {IO_READ_ONLY, 0, IO_CREATE, IO_ALIGNED,
                                     IO_READ_ONLY | IO_ALIGNED | IO_FROM_DISK};
    char path[300];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(path, sizeof path, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/socket", folder);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    snprintf(path, sizeof path, "%s/device", folder);
    bool has_device = mknod(path, S_IFCHR | 0600, makedev(1, 5)) == 0; /* only root may */
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct io_file *file = NULL;
        ck_assert_int_eq(io->ops->open(io, "pipe", flags[i], &file), -ENXIO);
        ck_assert_int_eq(io->ops->open(io, "socket", flags[i], &file), -ENXIO);
        if (has_device)
            ck_assert_int_eq(io->ops->open(io, "device", flags[i], &file), -ENXIO);
        ck_assert_ptr_null(file);
    }
    close(fd);
}
END_TEST

/* A file whose descriptor is that of a pipe. */
static struct io_file *open_pipe(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    int pipe = open(path, O_RDWR), next = dup(pipe);
    close(next);
    struct io_file *file = open_file("file", IO_CREATE);
    ck_assert_int_eq(dup2(pipe, next), next);
    close(pipe);
    return file;
}

/* A pipe has no offsets, no length and no disk: every operation says so. */
START_TEST(what_the_system_refuses_is_told)
{
    char byte = 0;
    uint64_t size = 7;
    struct io_file *file = open_pipe();
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, 0), -ESPIPE);
    ck_assert_int_eq(io_read_now(io, file, &byte, 1, 0), -ESPIPE);
    ck_assert_int_eq(write_text(file, "x", 0), -ESPIPE);
    ck_assert_int_eq(io->ops->sync(io, file), -EINVAL);
    ck_assert_int_eq(io->ops->truncate(io, file, 1), -EINVAL);
    ck_assert_int_eq(io->ops->allocate(io, file, 0, 1), -ESPIPE);
    ck_assert_int_eq(io->ops->zero(io, file, 0, 1), -ESPIPE);
    ck_assert_int_eq(io->ops->punch(io, file, 0, 1), -ESPIPE);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, 0);
    io->ops->close(io, file);
    ck_assert_int_eq(io->ops->rename(io, "none", "file"), -ENOENT);
}
END_TEST

START_TEST(a_folder_is_no_file)
{
    ck_assert_int_eq(io->ops->make_directory(io, "folder"), 0);
    struct io_file *file;
    ck_assert_int_eq(io->ops->open(io, "folder", IO_READ_ONLY, &file), -EISDIR);
    ck_assert_int_eq(io->ops->open(io, "folder", 0, &file), -EISDIR);
    io->ops->close(io, open_file("file", IO_CREATE));
    ck_assert_int_eq(io->ops->list(io, "file", remove_entry, NULL), -ENOTDIR);
}
END_TEST

/* tmpfs cannot make zeros of a range: they are written, and the bytes around them stay. */
START_TEST(zeros_on_a_file_system_that_has_none)
{
    char shared[] = "/dev/shm/mregion-io-XXXXXX";
    if (mkdtemp(shared) == NULL)
        return; /* no tmpfs here */
    struct io *own = io;
    uint64_t size;
    ck_assert_int_eq(io_posix_new(shared, &io), 0);
    struct io_file *file = filled_file();
    ck_assert_int_eq(io->ops->zero(io, file, 100, 300 * KIB), 0);
    assert_bytes(file, 0, 100, 'a');
    assert_bytes(file, 100, 300 * KIB, 0);
    assert_bytes(file, 100 + 300 * KIB, MIB - 100 - 300 * KIB, 'a');
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, MIB);
    io->ops->close(io, file);
    file = open_file("file", IO_READ_ONLY);
    ck_assert_int_eq(io->ops->zero(io, file, 0, 1), -EBADF);
    io->ops->close(io, file);
    ck_assert_int_eq(io->ops->remove(io, "file"), 0);
    io_posix_free(io);
    io = own;
    ck_assert_int_eq(rmdir(shared), 0);
}
END_TEST

/* Nothing is lost that is still to be written. */
START_TEST(what_is_cached_is_read_from_the_disk)
{
    struct io_file *file = open_file("file", IO_CREATE), *direct;
    char *block = aligned_alloc(DISK_BLOCK, DISK_BLOCK);
    for (unsigned i = 0; i < 4; i++) {
        memset(block, 'a' + (int)i, DISK_BLOCK);
        struct iovec vector = {block, DISK_BLOCK};
        ck_assert_int_eq(io->ops->write(io, file, &vector, 1, i * DISK_BLOCK), 0);
        if (i == 1)
            ck_assert_int_eq(io->ops->sync(io, file), 0);
    }
    direct = open_file("file", IO_READ_ONLY | IO_ALIGNED | IO_FROM_DISK);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(io->ops->read(io, direct, block, DISK_BLOCK, i * DISK_BLOCK), DISK_BLOCK);
        ck_assert_int_eq(block[0], 'a' + (int)i);
        ck_assert_int_eq(block[DISK_BLOCK - 1], 'a' + (int)i);
    }
    ck_assert_int_eq(io->ops->sync(io, direct), 0); /* though it is read only */
    free(block);
    io->ops->close(io, direct);
    io->ops->close(io, file);
}
END_TEST

/* A file system that cannot be read around its cache is read through it. */
START_TEST(aligned_where_that_cannot_be)
{
    struct io *proc;
    struct io_file *file = NULL;
    char text[64] = {0};
    ck_assert_int_eq(io_posix_new("/proc/self", &proc), 0);
    ck_assert_int_eq(proc->ops->open(proc, "comm", IO_READ_ONLY | IO_ALIGNED, &file), 0);
    ck_assert_int_gt(proc->ops->read(proc, file, text, sizeof text, 0), 1);
    ck_assert_msg(strncmp(text, "test_core", 9) == 0, "%s", text);
    proc->ops->close(proc, file);
    ck_assert_int_eq(proc->ops->open(proc, "none", IO_READ_ONLY | IO_ALIGNED, &file), -ENOENT);
    io_posix_free(proc);
}
END_TEST

START_TEST(a_folder_that_is_not_there)
{
    struct io *none = NULL;
    ck_assert_int_eq(io_posix_new("/nonexistent/mregion", &none), -ENOENT);
    ck_assert_ptr_null(none);
    io_posix_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io_posix");
    TCase *tests = tcase_create("io_posix");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, bytes_come_back);
    tcase_add_test(tests, many_vectors);
    tcase_add_test(tests, open_says_why_not);
    tcase_add_test(tests, aligned_files_take_whole_blocks);
    tcase_add_test(tests, allocate_extends_and_keeps);
    tcase_add_test(tests, allocate_beyond_the_disk);
    tcase_add_test(tests, zero_keeps_the_space);
    tcase_add_test(tests, punch_gives_the_space_back);
    tcase_add_test(tests, zero_and_punch_say_why_not);
    tcase_add_test(tests, free_space_is_what_statvfs_says);
    tcase_add_test(tests, lock_excludes);
    tcase_add_test(tests, names);
    tcase_add_test(tests, room_for_a_folder);
    tcase_add_test(tests, random_differs);
    tcase_add_test(tests, what_is_no_file_is_not_opened);
    tcase_add_test(tests, what_the_system_refuses_is_told);
    tcase_add_test(tests, a_folder_is_no_file);
    tcase_add_test(tests, zeros_on_a_file_system_that_has_none);
    tcase_add_test(tests, what_is_cached_is_read_from_the_disk);
    tcase_add_test(tests, aligned_where_that_cannot_be);
    tcase_add_test(tests, a_folder_that_is_not_there);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
