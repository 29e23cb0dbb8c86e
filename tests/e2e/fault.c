/* Preloaded into the real daemon by test_faults.py: makes its file operations fail or hang.
 *
 * The rules stand in the file that MREGION_FAULT names, one a line, and are read anew at every
 * call, so a test changes them while the daemon runs. No file: no faults.
 *
 *     FUNCTION ERRNO PATH     calls on files whose path contains PATH fail with that number; or
 * ends in it, where PATH ends in a $ FUNCTION hold PATH      they wait until the rule is gone
 *     FUNCTION signal PATH    every other one of a thread says EINTR
 *     FUNCTION short PATH     they read or write no more than half, in whole blocks; one block, or
 *                             less, whole
 *
 * FUNCTION is pread, preadv2, pwritev, fdatasync, fsync, fallocate, punch, zero or openat; pwrite
 * follows the rule of pwritev, and each pread64 and the like that of the function without the
 * number. A fallocate that punches a hole or makes zeros follows the rule of punch or zero. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define EXPORT __attribute__((visibility("default")))

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (function == NULL)
        abort();
    return function;
}

static bool is_about(const char *path, const char *part)
{
    size_t length = strlen(path), size = strlen(part);

    if (size == 0 || part[size - 1] != '$')
        return strstr(path, part) != NULL;
    size--;
    return length >= size && memcmp(path + length - size, part, size) == 0;
}

/* The word behind the rule's function, "" without a rule. Reads with stdio, whose calls do not
 * come through here. */
static void find_rule(const char *function, const char *path, char word[32])
{
    const char *rules = getenv("MREGION_FAULT");
    FILE *file = rules != NULL ? fopen(rules, "re") : NULL;
    char name[32], part[128];

    word[0] = '\0';
    if (file == NULL && rules != NULL && errno != ENOENT)
        abort(); /* in the sandbox, for example: a test without faults would prove nothing */
    if (file == NULL)
        return;
    while (fscanf(file, "%31s %31s %127s", name, word, part) == 3) {
        if (strcmp(name, function) == 0 && is_about(path, part))
            break;
        word[0] = '\0';
    }
    (void)fclose(file);
}

/* Whether the call fails; errno is set then. */
static bool fails_on_path(const char *function, const char *path)
{
    for (;;) {
        char word[32];

        find_rule(function, path, word);
        if (strcmp(word, "signal") == 0) {
            static _Thread_local bool was_interrupted;

            was_interrupted = !was_interrupted;
            errno = EINTR;
            return was_interrupted;
        }
        if (strcmp(word, "hold") != 0) {
            long number = strtol(word, NULL, 10);

            if (number != 0)
                errno = (int)number;
            return number != 0;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
    }
}

static bool path_of(int fd, char path[4096])
{
    char link[64];
    ssize_t length;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, 4095);
    if (length < 0)
        return false;
    path[length] = '\0';
    return true;
}

static bool fails(const char *function, int fd)
{
    char path[4096];

    return path_of(fd, path) && fails_on_path(function, path);
}

/* How much of size bytes the call may do. */
static size_t cut(const char *function, int fd, size_t size)
{
    char path[4096], word[32] = "";

    if (path_of(fd, path))
        find_rule(function, path, word);
    if (strcmp(word, "short") != 0 || size <= BLOCK)
        return size;
    return size / 2 < BLOCK ? BLOCK : size / 2 / BLOCK * BLOCK;
}

/* The first of the vectors alone, cut: that is a short count, too. */
static struct iovec cut_vector(int fd, const struct iovec *from, int *count)
{
    size_t size = 0, half;

    for (int i = 0; i < *count; i++)
        size += from[i].iov_len;
    half = cut("pwritev", fd, size);
    if (half == size)
        return from[0];
    *count = 1;
    return (struct iovec){from[0].iov_base, half < from[0].iov_len ? half : from[0].iov_len};
}

static const char *rule_of_fallocate(int mode)
{
    if ((mode & FALLOC_FL_PUNCH_HOLE) != 0)
        return "punch";
    return (mode & FALLOC_FL_ZERO_RANGE) != 0 ? "zero" : "fallocate";
}

#define FORWARD(result, name, rule, parameters, fd, arguments)                                     \
    EXPORT result name parameters;                                                                 \
    result name parameters                                                                         \
    {                                                                                              \
        result(*real) parameters = (result(*) parameters)next(#name);                              \
                                                                                                   \
        return fails(rule, fd) ? -1 : real arguments;                                              \
    }

FORWARD(ssize_t, pread, "pread", (int fd, void *to, size_t size, off_t at), fd,
        (fd, to, cut("pread", fd, size), at))
FORWARD(ssize_t, pread64, "pread", (int fd, void *to, size_t size, off_t at), fd,
        (fd, to, cut("pread", fd, size), at))
FORWARD(ssize_t, preadv2, "preadv2",
        (int fd, const struct iovec *to, int count, off_t at, int flags), fd,
        (fd, to, count, at, flags))
FORWARD(ssize_t, preadv64v2, "preadv2",
        (int fd, const struct iovec *to, int count, off_t at, int flags), fd,
        (fd, to, count, at, flags))
FORWARD(ssize_t, pwrite, "pwritev", (int fd, const void *from, size_t size, off_t at), fd,
        (fd, from, size, at))
FORWARD(ssize_t, pwrite64, "pwritev", (int fd, const void *from, size_t size, off_t at), fd,
        (fd, from, size, at))

#define FORWARD_VECTORS(name)                                                                      \
    EXPORT ssize_t name(int fd, const struct iovec *from, int count, off_t at);                    \
    ssize_t name(int fd, const struct iovec *from, int count, off_t at)                            \
    {                                                                                              \
        ssize_t (*real)(int, const struct iovec *, int, off_t) =                                   \
            (ssize_t(*)(int, const struct iovec *, int, off_t))next(#name);                        \
        struct iovec first;                                                                        \
        int whole = count;                                                                         \
                                                                                                   \
        if (fails("pwritev", fd))                                                                  \
            return -1;                                                                             \
        first = cut_vector(fd, from, &count);                                                      \
        return real(fd, count < whole || first.iov_len < from[0].iov_len ? &first : from, count,   \
                    at);                                                                           \
    }

FORWARD_VECTORS(pwritev)
FORWARD_VECTORS(pwritev64)

FORWARD(int, fdatasync, "fdatasync", (int fd), fd, (fd))
FORWARD(int, fsync, "fsync", (int fd), fd, (fd))
FORWARD(int, fallocate, rule_of_fallocate(mode), (int fd, int mode, off_t at, off_t size), fd,
        (fd, mode, at, size))
FORWARD(int, fallocate64, rule_of_fallocate(mode), (int fd, int mode, off_t at, off_t size), fd,
        (fd, mode, at, size))

EXPORT int openat(int directory, const char *path, int flags, ...)
{
    int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))next("openat");
    va_list args;
    mode_t mode;

    va_start(args, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fails_on_path("openat", path) ? -1 : real(directory, path, flags, mode);
}
