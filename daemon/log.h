/* The log: lines on stderr, as text or JSON; or, where the journal reads stderr, entries of the
 * journal, with fields of their own for what they are about. Where the journal cannot be reached it
 * gets lines with the priority in front.
 *
 * A line never ends up as two: what is not printable in it is escaped, whatever a peer sent. And a
 * line never holds the daemon up: where stderr is a pipe that nobody empties, lines are dropped
 * and their number is logged later. Nor is the log held up by one line: once the server runs, what
 * is written at one place in the program is limited to LOG_PLACE_LINES a second, the rest is
 * counted.
 *
 * Threads: the main thread before the loop runs, then the loop. */
#ifndef MREGION_DAEMON_LOG_H
#define MREGION_DAEMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

/* A longer line is cut. It stays within PIPE_BUF, so that a pipe with room takes it whole. */
#define LOG_LINE_MAX 2048

/* Finds out whether the journal reads stderr; until then lines have no priorities. */
void log_init(enum log_level level);
void log_set_level(enum log_level level);
bool log_has_level(enum log_level level);

/* As text until then. */
void log_set_format(enum log_format format);
/* If the journal reads stderr, it gets entries from now on. Opens a socket. */
void log_open_journal(void);
/* The same through this datagram socket, which it takes: for tests. */
void log_use_journal(int fd);
/* The server runs, and is not about to end because of an error: places are limited from now on. And
 * errors go the journal's own way: of a process that has ended by the time the journal looks at an
 * entry it cannot find out which unit it was, while what comes through stderr is known by that. */
void log_running(bool is_running);

/* What a line is about; NULL: that does not concern it. Borrowed for the call. */
struct log_about {
    const char *region, *peer, *user, *method;
    const char *error; /* the name of a code */
};

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_write_about(enum log_level level, const struct log_about *about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Regardless of the level: lines that others wait for ("listening on", "ready"). */
void log_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Likewise, and as it is: the caller has escaped what others have sent. */
void log_audit(const struct log_about *about, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Lines that a peer can cause at will: at most LOG_LIMIT_LINES per second and kind. Start with all
 * zeros. */
#define LOG_LIMIT_LINES 10
struct log_limit {
    uint64_t second;
    unsigned lines;
    uint64_t dropped;
};
/* Whether one more line may be written now. Logs how many were not, once the flood is over. */
bool log_allow(struct log_limit *limit, const char *what);

/* More than one place has to say in a second. */
#define LOG_PLACE_LINES 100
/* Whether the place may write one more line. */
bool log_place_allows(enum log_level level, struct log_limit *place, const char *format);

#define LOG_FORMAT_OF(format, ...) (format)
#define LOG_HERE(level, write, ...)                                                                \
    do {                                                                                           \
        static struct log_limit log_place;                                                         \
        if (log_place_allows(level, &log_place, LOG_FORMAT_OF(__VA_ARGS__, 0)))                    \
            write;                                                                                 \
    } while (0)
#define log_at(level, ...) LOG_HERE(level, log_write(level, __VA_ARGS__), __VA_ARGS__)
#define log_at_about(level, about, ...)                                                            \
    LOG_HERE(level, log_write_about(level, about, __VA_ARGS__), __VA_ARGS__)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_debug_about(about, ...) log_write_about(LOG_LEVEL_DEBUG, about, __VA_ARGS__)
#define log_error_about(about, ...) log_at_about(LOG_LEVEL_ERROR, about, __VA_ARGS__)
#define log_warning_about(about, ...) log_at_about(LOG_LEVEL_WARNING, about, __VA_ARGS__)
#define log_info_about(about, ...) log_at_about(LOG_LEVEL_INFO, about, __VA_ARGS__)

/* Writes length bytes of text into escaped (of size > 0 bytes, terminated): printable characters of
 * valid UTF-8 as they are, everything else, and the backslash, as \xNN. Cuts at a whole
 * character. */
void log_escape(const char *text, size_t length, char *escaped, size_t size);

#endif
