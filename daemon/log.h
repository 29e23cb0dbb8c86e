/* The log: lines on stderr, with the priority in front where the journal reads them.
 *
 * A line never ends up as two: what is not printable in it is escaped, whatever a peer sent. And a
 * line never holds the daemon up: where stderr is a pipe that nobody empties, lines are dropped
 * and their number is logged later.
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

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Regardless of the level: lines that others wait for ("listening on", "ready"). */
void log_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Likewise, and as it is: the caller has escaped what others have sent. */
void log_audit(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

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

/* Writes length bytes of text into escaped (of size > 0 bytes, terminated): printable characters of
 * valid UTF-8 as they are, everything else, and the backslash, as \xNN. Cuts at a whole
 * character. */
void log_escape(const char *text, size_t length, char *escaped, size_t size);

#endif
