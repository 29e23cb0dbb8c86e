/* Preloaded into the real daemon by the tests here: SIGKILL at the nth call that changes a file, a
 * name or what of them is durable.
 *
 *     KILL_AT    n, from 1 on; without it nobody is killed
 *     KILL_HOW   before: the call is not made; after: it is made, and nobody learns that; half: of
 * a write the first half is made, of any other call nothing KILL_LOG   a file that gets one line:
 * "N FUNCTION PATH" at the kill, or "N end" where the process comes to its own end after N calls
 *
 *     SYNC_LIES  fdatasync and fsync of files whose path contains it say 0 and do nothing: what
 * must not go unnoticed where the power goes
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum moment { GO_ON, BEFORE, AFTER, HALF };

static atomic_ulong count;

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (function == NULL)
        abort();
    return function;
}

static void write_log(unsigned long number, const char *function, const char *path)
{
    const char *name = getenv("KILL_LOG");
    FILE *file = name != NULL ? fopen(name, "we") : NULL; /* calls that do not come through here */

    if (file == NULL)
        return;
    fprintf(file, "%lu %s %s\n", number, function, path);
    (void)fclose(file);
}

static _Noreturn void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Counts the call. Does not return where it is the one, and is not to be made. */
static enum moment moment_of(const char *function, const char *path)
{
    const char *at = getenv("KILL_AT"), *how = getenv("KILL_HOW");
    unsigned long number = atomic_fetch_add(&count, 1) + 1;

    if (at == NULL || strtoul(at, NULL, 10) != number)
        return GO_ON;
    write_log(number, function, path);
    if (how != NULL && strcmp(how, "after") == 0)
        return AFTER;
    if (how != NULL && strcmp(how, "half") == 0 && strcmp(function, "pwritev") == 0)
        return HALF;
    die();
}

static void find_path(int fd, char path[4096])
{
    char link[64];
    ssize_t length;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, 4095);
    path[length > 0 ? length : 0] = '\0';
}

static enum moment moment_of_file(const char *function, int fd)
{
    char path[4096];

    find_path(fd, path);
    return moment_of(function, path);
}

static bool lies(int fd)
{
    const char *part = getenv("SYNC_LIES");
    char path[4096];

    find_path(fd, path);
    return part != NULL && strstr(path, part) != NULL;
}

__attribute__((destructor)) static void end(void)
{
    write_log(atomic_load(&count), "end", "");
}

/* ---- The calls ---- */

#define FORWARD(result, name, parameters, moment, arguments)                                       \
    EXPORT result name parameters;                                                                 \
    result name parameters                                                                         \
    {                                                                                              \
        result(*real) parameters = (result(*) parameters)next(#name);                              \
        bool is_last = (moment) == AFTER;                                                          \
        result value = real arguments;                                                             \
                                                                                                   \
        if (is_last)                                                                               \
            die();                                                                                 \
        return value;                                                                              \
    }

#define SYNC(name)                                                                                 \
    EXPORT int name(int fd);                                                                       \
    int name(int fd)                                                                               \
    {                                                                                              \
        bool is_last = moment_of_file(#name, fd) == AFTER;                                         \
        int result = lies(fd) ? 0 : ((int (*)(int))next(#name))(fd);                               \
                                                                                                   \
        if (is_last)                                                                               \
            die();                                                                                 \
        return result;                                                                             \
    }

SYNC(fdatasync)
SYNC(fsync)
FORWARD(int, fallocate, (int fd, int mode, off_t at, off_t size), moment_of_file("fallocate", fd),
        (fd, mode, at, size))
FORWARD(int, fallocate64, (int fd, int mode, off_t at, off_t size), moment_of_file("fallocate", fd),
        (fd, mode, at, size))
FORWARD(int, ftruncate, (int fd, off_t size), moment_of_file("ftruncate", fd), (fd, size))
FORWARD(int, ftruncate64, (int fd, off_t size), moment_of_file("ftruncate", fd), (fd, size))
FORWARD(int, renameat, (int from, const char *old, int to, const char *new),
        moment_of("renameat", old), (from, old, to, new))
FORWARD(int, unlinkat, (int fd, const char *path, int flags), moment_of("unlinkat", path),
        (fd, path, flags))
FORWARD(int, mkdirat, (int fd, const char *path, mode_t mode), moment_of("mkdirat", path),
        (fd, path, mode))
FORWARD(int, mkdir, (const char *path, mode_t mode), moment_of("mkdir", path), (path, mode))

/* The first half, to the block where files are written in blocks. */
static _Noreturn void write_half(int fd, const struct iovec *vectors, int vectors_count, off_t at)
{
    ssize_t (*real)(int, const void *, size_t, off_t) =
        (ssize_t(*)(int, const void *, size_t, off_t))next("pwrite");
    size_t total = 0, left;

    for (int i = 0; i < vectors_count; i++)
        total += vectors[i].iov_len;
    left = total >= 8192 ? total / 8192 * 4096 : total / 2;
    if ((fcntl(fd, F_GETFL) & O_DIRECT) != 0)
        left = left / 4096 * 4096;
    for (int i = 0; i < vectors_count && left > 0; i++) {
        size_t part = vectors[i].iov_len < left ? vectors[i].iov_len : left;

        (void)!real(fd, vectors[i].iov_base, part, at);
        at += (off_t)part;
        left -= part;
    }
    die();
}

#define WRITE(name)                                                                                \
    EXPORT ssize_t name(int fd, const struct iovec *vectors, int vectors_count, off_t at);         \
    ssize_t name(int fd, const struct iovec *vectors, int vectors_count, off_t at)                 \
    {                                                                                              \
        ssize_t (*real)(int, const struct iovec *, int, off_t) =                                   \
            (ssize_t(*)(int, const struct iovec *, int, off_t))next(#name);                        \
        enum moment moment = moment_of_file("pwritev", fd);                                        \
                                                                                                   \
        if (moment == HALF)                                                                        \
            write_half(fd, vectors, vectors_count, at);                                            \
        ssize_t written = real(fd, vectors, vectors_count, at);                                    \
                                                                                                   \
        if (moment == AFTER)                                                                       \
            die();                                                                                 \
        return written;                                                                            \
    }

WRITE(pwritev)
WRITE(pwritev64)

/* Without O_CREAT it changes nothing and does not count. */
EXPORT int openat(int directory, const char *path, int flags, ...)
{
    int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))next("openat");
    enum moment moment = (flags & O_CREAT) != 0 ? moment_of("openat", path) : GO_ON;
    va_list args;
    mode_t mode;
    int fd;

    va_start(args, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    fd = real(directory, path, flags, mode);
    if (moment == AFTER)
        die();
    return fd;
}
