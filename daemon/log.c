#include "daemon/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/text.h"

static struct {
    enum log_level level;
    bool to_journal;
    uint64_t dropped; /* lines that stderr had no room for */
} log_state = {.level = LOG_LEVEL_INFO};

/* syslog's numbers, which the journal reads in front of a line. */
static const char *const journal_priority[LOG_LEVELS] = {
    [LOG_LEVEL_ERROR] = "<3>",
    [LOG_LEVEL_WARNING] = "<4>",
    [LOG_LEVEL_INFO] = "<6>",
    [LOG_LEVEL_DEBUG] = "<7>",
};

static const char *const plain_prefix[LOG_LEVELS] = {
    [LOG_LEVEL_ERROR] = "error: ",
    [LOG_LEVEL_WARNING] = "warning: ",
    [LOG_LEVEL_INFO] = "",
    [LOG_LEVEL_DEBUG] = "debug: ",
};

/* $JOURNAL_STREAM is inherited by children whose stderr goes elsewhere: compare the file. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    if (stream == NULL)
        return false;
    struct stat stat;
    if (fstat(STDERR_FILENO, &stat) != 0)
        return false;
    char *rest;
    unsigned long long device = strtoull(stream, &rest, 10);
    if (*rest != ':')
        return false;
    unsigned long long inode = strtoull(rest + 1, &rest, 10);
    return *rest == '\0' && device == stat.st_dev && inode == stat.st_ino;
}

void log_init(enum log_level level)
{
    log_state.level = level;
    log_state.to_journal = stderr_is_journal();
}

void log_set_level(enum log_level level)
{
    log_state.level = level;
}

bool log_has_level(enum log_level level)
{
    return level <= log_state.level;
}

/* How many bytes at text may be shown as they are; 0: the first one is to be escaped. */
static size_t printable(const char *text, size_t length)
{
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f && first != '\\';
    uint32_t character;
    size_t size = text_decode(text, length, &character);
    return size > 0 && text_is_printable(character) ? size : 0;
}

void log_escape(const char *text, size_t length, char *escaped, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    size_t used = 0;
    while (at < length) {
        size_t shown = printable(text + at, length - at);
        if (used + (shown > 0 ? shown : 4) >= size)
            break;
        if (shown > 0) {
            memcpy(escaped + used, text + at, shown);
            used += shown;
            at += shown;
            continue;
        }
        unsigned char byte = (unsigned char)text[at++];
        escaped[used++] = '\\';
        escaped[used++] = 'x';
        escaped[used++] = digits[byte >> 4];
        escaped[used++] = digits[byte & 15];
    }
    escaped[used] = '\0';
}

/* Writes only when it will not block. A pipe that polls writable has room for PIPE_BUF bytes. */
static void put_line(const char *line, size_t length)
{
    struct pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&stderr_poll, 1, 0) != 1 || (stderr_poll.revents & POLLOUT) == 0) {
        log_state.dropped++;
        return;
    }
    ssize_t written = write(STDERR_FILENO, line, length);
    if (written != (ssize_t)length)
        log_state.dropped++;
}

#define ESCAPED_SIZE (LOG_LINE_MAX - 16) /* leaves room for the prefix */

static void put_escaped(enum log_level level, const char *escaped)
{
    char line[LOG_LINE_MAX];
    const char *prefix = (log_state.to_journal ? journal_priority : plain_prefix)[level];
    int used = snprintf(line, sizeof line, "%s%s\n", prefix, escaped);
    put_line(line, (size_t)used);
}

static void put_text(enum log_level level, const char *text, size_t length)
{
    char escaped[ESCAPED_SIZE];
    log_escape(text, length, escaped, sizeof escaped);
    put_escaped(level, escaped);
}

/* Says how many lines were lost; false: not even for that there is room, so one more is. */
static bool put_lost(void)
{
    uint64_t dropped = log_state.dropped;
    char text[80];
    if (dropped == 0)
        return true;
    int length = snprintf(text, sizeof text, "%llu log lines were lost: stderr was full",
                          (unsigned long long)dropped);
    log_state.dropped = 0;
    put_text(LOG_LEVEL_WARNING, text, (size_t)length);
    if (log_state.dropped == 0)
        return true;
    log_state.dropped = dropped + 1;
    return false;
}

static void put_formatted(enum log_level level, const char *format, va_list arguments)
{
    if (!put_lost())
        return;
    char text[LOG_LINE_MAX];
    int length = vsnprintf(text, sizeof text, format, arguments);
    if (length < 0)
        return;
    put_text(level, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_has_level(level))
        return;
    va_list arguments;
    va_start(arguments, format);
    put_formatted(level, format, arguments);
    va_end(arguments);
}

void log_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_formatted(LOG_LEVEL_INFO, format, arguments);
    va_end(arguments);
}

void log_audit(const char *format, ...)
{
    char line[ESCAPED_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (put_lost())
        put_escaped(LOG_LEVEL_INFO, line);
}

bool log_allow(struct log_limit *limit, const char *what)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t second = (uint64_t)now.tv_sec;
    if (second != limit->second) {
        if (limit->dropped > 0)
            log_info("%s: %llu more like it were not logged", what,
                     (unsigned long long)limit->dropped);
        *limit = (struct log_limit){.second = second};
    }
    if (limit->lines >= LOG_LIMIT_LINES) {
        limit->dropped++;
        return false;
    }
    limit->lines++;
    return true;
}
