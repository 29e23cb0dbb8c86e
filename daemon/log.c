#include "daemon/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "conf/text.h"
#include "daemon/textbuf.h"

static struct {
    enum log_level level;
    bool to_journal; /* stderr is read by it */
    enum log_format format;
    int journal; /* its socket; -1 */
    bool is_running;
    uint64_t dropped; /* lines that stderr had no room for */
} log_state = {.level = LOG_LEVEL_INFO, .journal = -1};

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

void log_set_format(enum log_format format)
{
    log_state.format = format;
}

void log_running(bool is_running)
{
    log_state.is_running = is_running;
}

void log_use_journal(int fd)
{
    if (log_state.journal >= 0)
        close(log_state.journal);
    log_state.journal = fd;
}

void log_open_journal(void)
{
    static const struct sockaddr_un address = {AF_UNIX, "/run/systemd/journal/socket"};
    struct stat stat;
    if (!log_state.to_journal || fstat(STDERR_FILENO, &stat) != 0 || !S_ISSOCK(stat.st_mode))
        return; /* somebody stands in for it */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        log_use_journal(fd);
    else
        close(fd);
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

static void put_plain(enum log_level level, const char *escaped)
{
    char line[LOG_LINE_MAX];
    const char *prefix = (log_state.to_journal ? journal_priority : plain_prefix)[level];
    int used = snprintf(line, sizeof line, "%s%s\n", prefix, escaped);
    put_line(line, (size_t)used);
}

/* ---- What a line is about ---- */

#define ABOUT 5

static const char *const about_names[ABOUT] = {"region", "peer", "user", "method", "error"};
static const char *const about_fields[ABOUT] = {
    "MREGION_REGION=", "MREGION_PEER=", "MREGION_USER=", "MREGION_METHOD=", "MREGION_ERROR="};

static void list_about(const struct log_about *about, const char *values[ABOUT])
{
    static const struct log_about nothing;
    if (about == NULL)
        about = &nothing;
    values[0] = about->region;
    values[1] = about->peer;
    values[2] = about->user;
    values[3] = about->method;
    values[4] = about->error;
}

/* ---- As JSON ---- */

/* Such a line is no longer than PIPE_BUF: of the message, every backslash becomes two. */
#define JSON_MESSAGE_MAX 1536

static void put_time(struct textbuf *line)
{
    struct timespec now;
    struct tm utc;
    char text[48];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + length, sizeof text - length, ".%03ldZ", now.tv_nsec / 1000000);
    textbuf_json(line, text);
}

/* The text as far as it is shown, no character cut in two. */
static void put_message(struct textbuf *line, const char *escaped)
{
    char message[JSON_MESSAGE_MAX + 1];
    size_t length = strnlen(escaped, JSON_MESSAGE_MAX);
    while (length > 0 && escaped[length] != '\0' && ((unsigned char)escaped[length] & 0xc0) == 0x80)
        length--;
    memcpy(message, escaped, length);
    message[length] = '\0';
    textbuf_json(line, message);
}

static void put_json(enum log_level level, const struct log_about *about, const char *escaped)
{
    struct textbuf line = {0};
    const char *values[ABOUT];
    list_about(about, values);
    textbuf_put(&line, "{\"time\":");
    put_time(&line);
    textbuf_put(&line, ",\"level\":");
    textbuf_json(&line, log_level_name(level));
    textbuf_put(&line, ",\"message\":");
    put_message(&line, escaped);
    for (size_t i = 0; i < ABOUT; i++) {
        if (values[i] == NULL)
            continue;
        textbuf_put(&line, ",");
        textbuf_json(&line, about_names[i]);
        textbuf_put(&line, ":");
        textbuf_json(&line, values[i]);
    }
    textbuf_put(&line, "}\n");
    if (line.has_failed)
        log_state.dropped++;
    else
        put_line(line.bytes, line.used);
    textbuf_release(&line);
}

/* ---- As an entry of the journal ---- */

struct entry {
    struct iovec vectors[3 + 3 * ABOUT];
    size_t count;
};

static void add_text(struct entry *entry, const char *text)
{
    entry->vectors[entry->count++] = (struct iovec){(char *)(uintptr_t)text, strlen(text)};
}

/* False: it was not taken. What is sent has no newline in it, so no field needs its length. */
static bool put_entry(enum log_level level, const struct log_about *about, const char *escaped)
{
    static const char *const heads[LOG_LEVELS] = {
        "SYSLOG_IDENTIFIER=mregiond\nPRIORITY=3\nMESSAGE=",
        "SYSLOG_IDENTIFIER=mregiond\nPRIORITY=4\nMESSAGE=",
        "SYSLOG_IDENTIFIER=mregiond\nPRIORITY=6\nMESSAGE=",
        "SYSLOG_IDENTIFIER=mregiond\nPRIORITY=7\nMESSAGE=",
    };
    const char *values[ABOUT];
    struct entry entry = {.count = 0};
    list_about(about, values);
    add_text(&entry, heads[level]);
    add_text(&entry, escaped);
    add_text(&entry, "\n");
    for (size_t i = 0; i < ABOUT; i++) {
        if (values[i] == NULL)
            continue;
        add_text(&entry, about_fields[i]);
        add_text(&entry, values[i]);
        add_text(&entry, "\n");
    }
    const struct msghdr message = {.msg_iov = entry.vectors, .msg_iovlen = entry.count};
    if (sendmsg(log_state.journal, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return true;
    if (errno != EAGAIN)
        return false;
    log_state.dropped++;
    return true;
}

static void put_escaped(enum log_level level, const struct log_about *about, const char *escaped)
{
    bool may_be_last = level == LOG_LEVEL_ERROR && !log_state.is_running;
    if (log_state.journal >= 0 && !may_be_last && put_entry(level, about, escaped))
        return;
    if (log_state.format == LOG_FORMAT_JSON && !log_state.to_journal)
        put_json(level, about, escaped);
    else
        put_plain(level, escaped);
}

static void put_text(enum log_level level, const struct log_about *about, const char *text,
                     size_t length)
{
    char escaped[ESCAPED_SIZE];
    log_escape(text, length, escaped, sizeof escaped);
    put_escaped(level, about, escaped);
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
    put_text(LOG_LEVEL_WARNING, NULL, text, (size_t)length);
    if (log_state.dropped == 0)
        return true;
    log_state.dropped = dropped + 1;
    return false;
}

static void put_formatted(enum log_level level, const struct log_about *about, const char *format,
                          va_list arguments)
{
    if (!put_lost())
        return;
    char text[LOG_LINE_MAX];
    int length = vsnprintf(text, sizeof text, format, arguments);
    if (length < 0)
        return;
    put_text(level, about, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_has_level(level))
        return;
    va_list arguments;
    va_start(arguments, format);
    put_formatted(level, NULL, format, arguments);
    va_end(arguments);
}

void log_write_about(enum log_level level, const struct log_about *about, const char *format, ...)
{
    if (!log_has_level(level))
        return;
    va_list arguments;
    va_start(arguments, format);
    put_formatted(level, about, format, arguments);
    va_end(arguments);
}

void log_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_formatted(LOG_LEVEL_INFO, NULL, format, arguments);
    va_end(arguments);
}

void log_audit(const struct log_about *about, const char *format, ...)
{
    char line[ESCAPED_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (put_lost())
        put_escaped(LOG_LEVEL_INFO, about, line);
}

static bool allow(struct log_limit *limit, const char *what, unsigned most)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t second = (uint64_t)now.tv_sec;
    if (second != limit->second) {
        if (limit->dropped > 0)
            log_write(LOG_LEVEL_INFO, "%s: %llu more like it were not logged", what,
                      (unsigned long long)limit->dropped);
        *limit = (struct log_limit){.second = second};
    }
    if (limit->lines >= most) {
        limit->dropped++;
        return false;
    }
    limit->lines++;
    return true;
}

bool log_allow(struct log_limit *limit, const char *what)
{
    return allow(limit, what, LOG_LIMIT_LINES);
}

bool log_place_allows(enum log_level level, struct log_limit *place, const char *format)
{
    if (!log_state.is_running || !log_has_level(level))
        return log_has_level(level);
    return allow(place, format, LOG_PLACE_LINES);
}
