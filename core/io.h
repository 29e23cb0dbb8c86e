/* The file operations that core may perform, and the only way it performs them.
 *
 * One small table of functions: the POSIX one serves the daemon, a simulated disk that crashes and
 * fails on request serves the tests. Every path is relative to the directory the io was opened
 * on ("." is that directory itself) and has no "..". Unless said otherwise a function returns 0
 * or -errno.
 *
 * Threads: functions on different files, and read, write, sync, allocate, zero, punch and usage on
 * one file, may run on several threads at once; so may truncate, where what it cuts off is nobody
 * else's. Every function but read_now, usage and free_space may block. */
#ifndef MREGION_CORE_IO_H
#define MREGION_CORE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct io_file;

enum io_open_flags {
    IO_READ_ONLY = 1 << 0,
    IO_CREATE = 1 << 1,    /* create the file if it is not there */
    IO_EXCLUSIVE = 1 << 2, /* with IO_CREATE: fail with -EEXIST if it is */
    IO_ALIGNED = 1 << 3,   /* the caller promises that every buffer address, offset and length is a
                              multiple of DISK_BLOCK, so the page cache may be bypassed */
    IO_FROM_DISK = 1 << 4, /* with IO_ALIGNED: what is read is what the disk has, and not what a
                              write-back that failed has left in the page cache */
};

struct io {
    const struct io_ops *ops;
    bool shares_space; /* its owner allows that files are cloned to it: what the clone costs is said
                          there */
};

/* Of one read_now: what every system takes. */
#define IO_VECTORS_MAX 1024

struct io_ops {
    /* -ENXIO, at once, where there is something that is no file: a pipe, a socket, a device. */
    int (*open)(struct io *io, const char *path, unsigned flags, struct io_file **ret_file);
    void (*close)(struct io *io, struct io_file *file);

    /* Reads size bytes at offset. Returns the bytes read, short only at the end of the file, or
     * -errno. */
    ssize_t (*read)(struct io *io, struct io_file *file, void *buffer, size_t size,
                    uint64_t offset);
    /* The same into several buffers, IO_VECTORS_MAX at most, without waiting for the disk: what is
     * cached, possibly short; -EAGAIN when nothing can be had at once. */
    ssize_t (*read_now)(struct io *io, struct io_file *file, const struct iovec *vectors,
                        size_t count, uint64_t offset);
    /* Writes all of the vectors at offset, or fails; after a failure any part may be written.
     * The vectors are the function's to change. */
    int (*write)(struct io *io, struct io_file *file, struct iovec *vectors, size_t count,
                 uint64_t offset);
    /* Makes what was written to the file, and its length, durable. A failure is never retried:
     * what was pending is then lost for good. */
    int (*sync)(struct io *io, struct io_file *file);
    /* Has the disk begin with what was written to the file, so that a sync finds less to do. Waits
     * for little, promises nothing, and tells of no error: the sync will. */
    void (*write_back)(struct io *io, struct io_file *file);
    /* Reserves disk space for [offset, offset + size) and extends the file to hold it. What is
     * new reads as zeros. */
    int (*allocate)(struct io *io, struct io_file *file, uint64_t offset, uint64_t size);
    /* Makes [offset, offset + size), which lies within the file, read as zeros; it keeps its disk
     * space, or gets some where it had none. Like a write: durable by a sync, and after a failure
     * any part may be zeros. */
    int (*zero)(struct io *io, struct io_file *file, uint64_t offset, uint64_t size);
    /* Gives the disk space of [offset, offset + size), which lies within the file, back to the
     * file system: the range reads as zeros, the length stays, and writing there needs space
     * again. Blocks that lie in the range only in part keep theirs. Otherwise like zero.
     * -EOPNOTSUPP, and nothing has changed, when the file system cannot, or gains nothing by it. */
    int (*punch)(struct io *io, struct io_file *file, uint64_t offset, uint64_t size);
    /* The bytes of disk space that the file really occupies. */
    int (*usage)(struct io *io, struct io_file *file, uint64_t *ret_bytes);
    int (*size)(struct io *io, struct io_file *file, uint64_t *ret_size);
    /* Cuts or extends the file. */
    int (*truncate)(struct io *io, struct io_file *file, uint64_t size);

    /* Files that are made in it are written in place, as far as the file system can be told: else
     * overwriting may need free space. */
    int (*make_directory)(struct io *io, const char *path);
    int (*remove_directory)(struct io *io, const char *path);
    int (*remove)(struct io *io, const char *path);
    /* Atomic, replaces the target file if there is one; works for directories too. */
    int (*rename)(struct io *io, const char *from, const char *to);
    /* Makes the names in a directory durable. */
    int (*sync_directory)(struct io *io, const char *path);
    /* Calls visit for every name in a directory, in any order, without "." and ".."; stops at
     * the first non-zero answer and returns it. */
    int (*list)(struct io *io, const char *path,
                int (*visit)(void *context, const char *name, bool is_directory), void *context);
    /* Takes an exclusive lock on the file, held until it is closed or the process dies;
     * -EWOULDBLOCK when another process has it. */
    int (*lock)(struct io *io, struct io_file *file);

    /* Makes `to`, an empty file, a copy of `from` that shares its disk space until either of the
     * two is written to, as `from` is at one moment. The files may belong to two ios of the same
     * kind. Like a write: durable by a sync. What is shared has given up the disk space that was
     * reserved for it: writing there needs some again. -EOPNOTSUPP, and nothing has changed, when
     * the file system cannot, or nobody may; with any other error it may be a copy of a part. */
    int (*clone)(struct io *io, struct io_file *from, struct io_file *to);

    /* The bytes that an ordinary process may still allocate in the file system. */
    int (*free_space)(struct io *io, uint64_t *ret_bytes);

    /* Fills at most 256 bytes with what nobody can guess (a simulated disk: with its seed's). */
    int (*random)(struct io *io, void *buffer, size_t size);
};

/* read_now into one buffer. */
static inline ssize_t io_read_now(struct io *io, struct io_file *file, void *buffer, size_t size,
                                  uint64_t offset)
{
    const struct iovec vector = {buffer, size};
    return io->ops->read_now(io, file, &vector, 1, offset);
}

/* An io on the directory path, which must exist. Free with io_posix_free. */
int io_posix_new(const char *path, struct io **ret_io);
void io_posix_free(struct io *io);

#endif
