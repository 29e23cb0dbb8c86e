/* The io on a real directory: the only file of core that makes system calls.
 *
 * Every path is resolved below the directory's descriptor, so that the daemon's working
 * directory does not matter. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/io.h"
#include "core/limits.h"

#define DIRECTORY_MODE 0750
#define FILE_MODE 0640

struct io_posix {
    struct io io; /* first: an io is its io_posix */
    int directory;
};

struct io_file {
    int fd;
    size_t unit; /* what a transfer goes on from is a multiple of it */
};

static int directory_of(struct io *io)
{
    return ((struct io_posix *)(void *)io)->directory;
}

/* openat, however often a signal interrupts it: some file systems let it. A descriptor or -errno.
 */
static int open_below(struct io *io, const char *path, int flags)
{
    int fd;
    do
        fd = openat(directory_of(io), path, flags | O_CLOEXEC, FILE_MODE);
    while (fd < 0 && errno == EINTR);
    return fd >= 0 ? fd : -errno;
}

static int open_directory(struct io *io, const char *path)
{
    return open_below(io, path, O_RDONLY | O_DIRECTORY);
}

/* ---- btrfs ---- */

/* btrfs writes to new places, so that overwriting needs free space, unless a file has an attribute
 * that it gets from its folder. Of a file that has it a hole gives nothing back as long as any
 * other byte of the extent is in use, and cannot be filled again when the disk is full. */
static bool is_on_btrfs(int fd)
{
    struct statfs system;
    return fstatfs(fd, &system) == 0 && system.f_type == BTRFS_SUPER_MAGIC;
}

static bool is_in_place_on_btrfs(int fd)
{
    int flags;
    return is_on_btrfs(fd) && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL) != 0;
}

/* ---- Files ---- */

/* Also where the cache is bypassed: some file systems only say so. What is still to be written
 * stays, and will be, or the next sync fails. */
static void forget_cached(int fd)
{
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* 0 or -errno. */
static int check_regular(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    if (S_ISREG(status.st_mode))
        return 0;
    return S_ISDIR(status.st_mode) ? -EISDIR : -ENXIO; /* which is what a socket says */
}

static int posix_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file)
{
    /* Opening a pipe would wait for who is at its other end; a file does not care. */
    int mode = O_NOFOLLOW | O_NONBLOCK;
    mode |= (flags & IO_READ_ONLY) ? O_RDONLY : O_RDWR;
    mode |= (flags & IO_CREATE) ? O_CREAT : 0;
    mode |= (flags & IO_EXCLUSIVE) ? O_EXCL : 0;
    struct io_file *file = malloc(sizeof *file);
    if (file == NULL)
        return -ENOMEM;
    bool is_aligned = (flags & IO_ALIGNED) != 0;
    file->unit = is_aligned ? DISK_BLOCK : 1;
    file->fd = open_below(io, path, mode | (is_aligned ? O_DIRECT : 0));
    /* Not every file system bypasses its cache; a file that O_CREAT made before it found out is
     * there now, and ours. */
    if (file->fd == -EINVAL && is_aligned)
        file->fd = open_below(io, path, mode & ~O_EXCL);
    int error = file->fd < 0 ? file->fd : check_regular(file->fd);
    if (error != 0) {
        if (file->fd >= 0)
            (void)close(file->fd);
        free(file);
        return error;
    }
    if (flags & IO_FROM_DISK)
        forget_cached(file->fd);
    *ret_file = file;
    return 0;
}

static void posix_close(struct io *io, struct io_file *file)
{
    (void)io;
    /* Whatever mattered was synced before; an error of close says nothing about it. */
    (void)close(file->fd);
    free(file);
}

/* A short count may end within a block, where a file that bypasses the cache cannot be gone on
 * from: the block is read once more, and when no more of it comes it is the last one of the file.
 */
static ssize_t posix_read(struct io *io, struct io_file *file, void *buffer, size_t size,
                          uint64_t offset)
{
    (void)io;
    size_t had = 0;
    while (had < size) {
        size_t from = had - had % file->unit;
        ssize_t got = pread(file->fd, (char *)buffer + from, size - from, (off_t)(offset + from));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (from + (size_t)got <= had)
            break;
        had = from + (size_t)got;
    }
    return (ssize_t)had;
}

_Static_assert(IO_VECTORS_MAX <= IOV_MAX, "one system call takes the vectors of one read_now");

static ssize_t posix_read_now(struct io *io, struct io_file *file, const struct iovec *vectors,
                              size_t count, uint64_t offset)
{
    (void)io;
    ssize_t got = preadv2(file->fd, vectors, (int)count, (off_t)offset, RWF_NOWAIT);
    if (got >= 0)
        return got;
    /* A file system that cannot say what is cached leaves everything to the worker. */
    return errno == EOPNOTSUPP || errno == EINTR ? -EAGAIN : -errno;
}

/* Takes written bytes off the front of the vectors. */
static void advance(struct iovec **vectors, size_t *count, size_t written)
{
    while (*count > 0 && written >= (*vectors)->iov_len) {
        written -= (*vectors)->iov_len;
        (*vectors)++;
        (*count)--;
    }
    if (*count > 0) {
        (*vectors)->iov_base = (char *)(*vectors)->iov_base + written;
        (*vectors)->iov_len -= written;
    }
}

static int posix_write(struct io *io, struct io_file *file, struct iovec *vectors, size_t count,
                       uint64_t offset)
{
    (void)io;
    advance(&vectors, &count, 0); /* empty vectors in front */
    while (count > 0) {
        int batch = (int)min_u64(count, IOV_MAX);
        ssize_t written = pwritev(file->fd, vectors, batch, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        /* A part of a block is written once more with the whole of it. */
        written -= written % (ssize_t)file->unit;
        if (written == 0)
            return -EIO;
        offset += (uint64_t)written;
        advance(&vectors, &count, (size_t)written);
    }
    return 0;
}

static int posix_sync(struct io *io, struct io_file *file)
{
    (void)io;
    /* The length is made durable too where it changed: reading needs it. Not again after EINTR:
     * that may be said in the place of an error that nobody is told of twice. */
    return fdatasync(file->fd) == 0 ? 0 : -errno;
}

static void posix_write_back(struct io *io, struct io_file *file)
{
    (void)io;
    /* Without waiting for it: that would take note of an error, which only a sync may do. */
    (void)sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static int write_zeros(struct io *io, struct io_file *file, uint64_t offset, uint64_t end)
{
    static const _Alignas(DISK_BLOCK) char zeros[64 * KIB];
    while (offset < end) {
        size_t part = (size_t)min_u64(sizeof zeros, end - offset);
        struct iovec vector = {(void *)(uintptr_t)zeros, part};
        int result = posix_write(io, file, &vector, 1, offset);
        if (result != 0)
            return result;
        offset += part;
    }
    return 0;
}

/* fallocate, however often a signal interrupts it; 0 or -errno. */
static int change_space(const struct io_file *file, int mode, uint64_t offset, uint64_t size)
{
    int result;
    do
        result = fallocate(file->fd, mode, (off_t)offset, (off_t)size);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

static int reserve(struct io *io, struct io_file *file, uint64_t length, uint64_t offset,
                   uint64_t size)
{
    int result = change_space(file, 0, offset, size);
    if (result != -EOPNOTSUPP)
        return result;
    /* Without fallocate only what lies past the end can be reserved without harm, by writing. */
    return write_zeros(io, file, max_u64(offset, length), offset + size);
}

static int posix_truncate(struct io *io, struct io_file *file, uint64_t size)
{
    (void)io;
    int result;
    do
        result = ftruncate(file->fd, (off_t)size);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

static int posix_allocate(struct io *io, struct io_file *file, uint64_t offset, uint64_t size)
{
    struct stat status;
    struct statvfs system;
    if (fstat(file->fd, &status) != 0 || fstatvfs(file->fd, &system) != 0)
        return -errno;
    uint64_t length = (uint64_t)status.st_size;
    /* A fallocate that runs out of space keeps what it got: do not let a hopeless one fill the
     * disk for everybody else, however briefly. */
    uint64_t fresh = offset + size > length ? offset + size - max_u64(offset, length) : 0;
    if (fresh / system.f_frsize > system.f_bavail)
        return -ENOSPC;
    int result = reserve(io, file, length, offset, size);
    if (result != 0 && fresh > 0)
        (void)posix_truncate(io, file, length);
    return result;
}

static int posix_zero(struct io *io, struct io_file *file, uint64_t offset, uint64_t size)
{
    int result = change_space(file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, size);
    if (result != -EOPNOTSUPP)
        return result;
    /* Not a punch and an allocate: somebody else might get the space in between. */
    return write_zeros(io, file, offset, offset + size);
}

static int posix_punch(struct io *io, struct io_file *file, uint64_t offset, uint64_t size)
{
    (void)io;
    if (is_in_place_on_btrfs(file->fd))
        return -EOPNOTSUPP;
    return change_space(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

static int posix_usage(struct io *io, struct io_file *file, uint64_t *ret_bytes)
{
    (void)io;
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return -errno;
    *ret_bytes = (uint64_t)status.st_blocks * 512; /* the unit of st_blocks everywhere on Linux */
    return 0;
}

static int posix_size(struct io *io, struct io_file *file, uint64_t *ret_size)
{
    (void)io;
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return -errno;
    *ret_size = (uint64_t)status.st_size;
    return 0;
}

static int posix_lock(struct io *io, struct io_file *file)
{
    (void)io;
    int result;
    do
        result = flock(file->fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : -errno;
}

/* ---- Names ---- */

/* Best effort: it can be asked for where a folder is empty, and not on every kernel. */
static void make_in_place(struct io *io, const char *path)
{
    int flags, fd = open_directory(io, path);
    if (fd < 0)
        return;
    if (is_on_btrfs(fd) && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    (void)close(fd);
}

static int posix_make_directory(struct io *io, const char *path)
{
    if (mkdirat(directory_of(io), path, DIRECTORY_MODE) != 0)
        return -errno;
    make_in_place(io, path);
    return 0;
}

static int posix_remove_directory(struct io *io, const char *path)
{
    return unlinkat(directory_of(io), path, AT_REMOVEDIR) == 0 ? 0 : -errno;
}

static int posix_remove(struct io *io, const char *path)
{
    return unlinkat(directory_of(io), path, 0) == 0 ? 0 : -errno;
}

static int posix_rename(struct io *io, const char *from, const char *to)
{
    return renameat(directory_of(io), from, directory_of(io), to) == 0 ? 0 : -errno;
}

static int posix_sync_directory(struct io *io, const char *path)
{
    int fd = open_directory(io, path);
    if (fd < 0)
        return fd;
    int result = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    return result;
}

static bool entry_is_directory(DIR *directory, const struct dirent *entry)
{
    struct stat status;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

static int posix_list(struct io *io, const char *path,
                      int (*visit)(void *context, const char *name, bool is_directory),
                      void *context)
{
    int fd = open_directory(io, path);
    if (fd < 0)
        return fd;
    DIR *directory = fdopendir(fd);
    if (directory == NULL) {
        int error = -errno;
        (void)close(fd);
        return error;
    }
    int result = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        result = visit(context, entry->d_name, entry_is_directory(directory, entry));
        if (result != 0)
            break;
    }
    (void)closedir(directory);
    return result;
}

/* XFS and btrfs can, within one file system. What says that these two cannot, here, or that nobody
 * may, leaves it to a copy; what says that the disk has failed or is full would end that, too. */
static int posix_clone(struct io *io, struct io_file *from, struct io_file *to)
{
    (void)io;
    int result;
    do
        result = ioctl(to->fd, FICLONE, from->fd);
    while (result != 0 && errno == EINTR);
    if (result == 0)
        return 0;
    switch (errno) {
    case EOPNOTSUPP:
    case ENOTTY:
    case ENOSYS: /* of a container's list of system calls, as the next */
    case EPERM:
    case EXDEV:
    case EINVAL: /* among others: only one of them is written in place, on btrfs */
        return -EOPNOTSUPP;
    default:
        return -errno;
    }
}

static int posix_free_space(struct io *io, uint64_t *ret_bytes)
{
    struct statvfs system;
    if (fstatvfs(directory_of(io), &system) != 0)
        return -errno;
    *ret_bytes = (uint64_t)system.f_bavail * system.f_frsize;
    return 0;
}

static int posix_random(struct io *io, void *buffer, size_t size)
{
    (void)io;
    return getentropy(buffer, size) == 0 ? 0 : -errno;
}

static const struct io_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read = posix_read,
    .read_now = posix_read_now,
    .write = posix_write,
    .sync = posix_sync,
    .write_back = posix_write_back,
    .allocate = posix_allocate,
    .zero = posix_zero,
    .punch = posix_punch,
    .usage = posix_usage,
    .size = posix_size,
    .truncate = posix_truncate,
    .make_directory = posix_make_directory,
    .remove_directory = posix_remove_directory,
    .remove = posix_remove,
    .rename = posix_rename,
    .sync_directory = posix_sync_directory,
    .list = posix_list,
    .lock = posix_lock,
    .clone = posix_clone,
    .free_space = posix_free_space,
    .random = posix_random,
};

int io_posix_new(const char *path, struct io **ret_io)
{
    struct io_posix *posix = malloc(sizeof *posix);
    if (posix == NULL)
        return -ENOMEM;
    posix->io = (struct io){.ops = &posix_ops};
    do
        posix->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (posix->directory < 0 && errno == EINTR);
    if (posix->directory < 0) {
        int error = -errno;
        free(posix);
        return error;
    }
    *ret_io = &posix->io;
    return 0;
}

void io_posix_free(struct io *io)
{
    if (io == NULL)
        return;
    (void)close(directory_of(io));
    free(io);
}
