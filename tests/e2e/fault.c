/* Preloaded into the real daemon by test_faults.py: makes its file operations fail or hang.
 *
 * The rules stand in the file that MREGION_FAULT names, one a line, and are read anew at every
 * call, so a test changes them while the daemon runs. No file: no faults.
 *
 *     FUNCTION ERRNO PATH     calls on files whose path contains PATH fail with that number
 *     FUNCTION hold PATH      they wait until the rule is gone
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

#define EXPORT __attribute__((visibility("default")))

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (function == NULL)
        abort();
    return function;
}

/* The word behind the rule's function, "" without a rule. Reads with stdio, whose calls do not
 * come through here. */
static void find_rule(const char *function, const char *path, char word[32])
{
    const char *rules = getenv("MREGION_FAULT");
    FILE *file = rules != NULL ? fopen(rules, "re") : NULL;
    char name[32], part[128];

    word[0] = '\0';
    if (file == NULL)
        return;
    while (fscanf(file, "%31s %31s %127s", name, word, part) == 3) {
        if (strcmp(name, function) == 0 && strstr(path, part) != NULL)
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
        if (strcmp(word, "hold") != 0) {
            long number = strtol(word, NULL, 10);

            if (number != 0)
                errno = (int)number;
            return number != 0;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
    }
}

static bool fails(const char *function, int fd)
{
    char link[64], path[4096];
    ssize_t length;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return false;
    path[length] = '\0';
    return fails_on_path(function, path);
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

FORWARD(ssize_t, pread, "pread", (int fd, void *to, size_t size, off_t at), fd, (fd, to, size, at))
FORWARD(ssize_t, pread64, "pread", (int fd, void *to, size_t size, off_t at), fd,
        (fd, to, size, at))
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
FORWARD(ssize_t, pwritev, "pwritev", (int fd, const struct iovec *from, int count, off_t at), fd,
        (fd, from, count, at))
FORWARD(ssize_t, pwritev64, "pwritev", (int fd, const struct iovec *from, int count, off_t at), fd,
        (fd, from, count, at))
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
