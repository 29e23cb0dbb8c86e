/* What standard output can show, and screens that are drawn again and again. */
#ifndef MREGION_CLIENT_CLI_TERMINAL_H
#define MREGION_CLIENT_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/cli.h"

struct cli_terminal {
    bool is_terminal;
    bool has_color; /* a terminal, and neither NO_COLOR nor TERM=dumb say otherwise */
    bool has_utf8;
    int columns; /* 80 where it is no terminal */
    int rows;    /* 24 */
};

void cli_terminal_look(struct cli_terminal *terminal);

/* A text of lines for standard output; on a terminal those that are wider than it are broken at
 * blanks. What function prints to its file. False when memory is out. */
bool cli_terminal_print(void (*function)(FILE *file, const void *context), const void *context);

/* The lines of a text, none wider than columns as far as it has blanks. */
void cli_terminal_fold(FILE *file, const char *text, int columns);

/* ---- What is shown again and again ---- */

struct cli_live {
    uint64_t interval_ms;
    uint64_t left; /* of the pictures; UINT64_MAX: until a signal */
    bool is_screen;
    bool has_keyboard; /* q ends it */
    bool has_begun;
};

/* "1", "0.5" are seconds; "500ms", "2s" as everywhere. False for anything else, for 0, and for more
 * than a day. */
bool cli_live_parse(const char *text, uint64_t *ret_ms);
#define CLI_LIVE_EXPECTED "a time, such as 1, 0.5 (seconds) or 500ms, of a day at most"

/* One that fills the terminal where it is_screen: what was there comes back at the end. */
void cli_live_begin(struct cli_live *live, uint64_t interval_ms, uint64_t count, bool is_screen);

/* Waits for the time of the next picture (the first is due at once); false when there is none any
 * more: a signal has come, 'q' was typed, standard output is gone, or all are shown. On a screen
 * what is printed next begins in its first row. */
bool cli_live_next(struct cli_live *live);

/* The end of a line: what was right of it goes. */
void cli_live_line(const struct cli_live *live, FILE *file);

/* The picture is complete. */
void cli_live_show(const struct cli_live *live);
void cli_live_end(struct cli_live *live);

#endif
