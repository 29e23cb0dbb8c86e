#include "client/cli_terminal.h"

#include <langinfo.h>
#include <poll.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "client/cli_parse.h"
#include "client/cli_signal.h"

#define INTERVAL_MAX ((uint64_t)24 * 60 * 60 * 1000)

static bool has_value(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0';
}

void cli_terminal_look(struct cli_terminal *terminal)
{
    const char *kind = getenv("TERM");
    struct winsize size = {0};

    *terminal = (struct cli_terminal){.columns = 80, .rows = 24};
    terminal->has_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    terminal->is_terminal = isatty(STDOUT_FILENO) != 0;
    if (!terminal->is_terminal)
        return;
    terminal->has_color =
        !has_value("NO_COLOR") && kind != NULL && kind[0] != '\0' && strcmp(kind, "dumb") != 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return;
    if (size.ws_col > 0)
        terminal->columns = size.ws_col;
    if (size.ws_row > 0)
        terminal->rows = size.ws_row;
}

/* ---- Long lines ---- */

/* Where to break what begins with a word and is too long: at the last blank before its first room
 * characters have ended, or behind the word if that is longer. */
static size_t break_at(const char *line, size_t length, size_t room)
{
    size_t at = room;

    while (at > 0 && line[at] != ' ')
        at--;
    while (at > 0 && line[at - 1] == ' ')
        at--;
    if (at == 0)
        while (at < length && line[at] != ' ')
            at++;
    return at;
}

/* What is far to the right comes nearer, and what follows is four further in. */
static void fold_line(FILE *file, const char *line, size_t length, size_t columns)
{
    size_t blanks = strspn(line, " ");
    size_t indent = length <= columns || blanks < columns / 4 ? blanks : columns / 4;

    if (blanks >= length)
        blanks = indent = length;
    line += blanks;
    length -= blanks;
    for (bool is_first = true;; is_first = false) {
        size_t word = strcspn(line, " \n"), fitting = columns > word ? columns - word : 0;
        /* A long word has no other place. */
        size_t shown = indent < fitting ? indent : fitting;
        size_t room = columns - shown;
        size_t at = length <= room ? length : break_at(line, length, room);

        (void)fprintf(file, "%*s%.*s\n", (int)shown, "", (int)at, line);
        line += at;
        length -= at;
        blanks = strspn(line, " ");
        if (blanks >= length)
            return;
        line += blanks;
        length -= blanks;
        indent += is_first ? 4 : 0;
    }
}

void cli_terminal_fold(FILE *file, const char *text, int columns)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");

        fold_line(file, text, length, (size_t)columns);
        text += length + (text[length] == '\n');
    }
}

bool cli_terminal_print(void (*function)(FILE *file, const void *context), const void *context)
{
    struct cli_terminal terminal;
    char *text = NULL;
    size_t size;
    FILE *memory;

    cli_terminal_look(&terminal);
    if (!terminal.is_terminal) {
        function(stdout, context);
        return true;
    }
    memory = open_memstream(&text, &size);
    if (memory == NULL)
        return false;
    function(memory, context);
    if (fclose(memory) != 0) {
        free(text);
        return false;
    }
    cli_terminal_fold(stdout, text, terminal.columns);
    free(text);
    return true;
}

bool cli_live_parse(const char *text, uint64_t *ret_ms)
{
    char *end;
    double seconds;

    if (cli_parse_time(text, ret_ms))
        return *ret_ms > 0 && *ret_ms <= INTERVAL_MAX;
    if (text[0] == '\0' || strspn(text, "0123456789.") != strlen(text))
        return false;
    seconds = strtod(text, &end);
    if (*end != '\0' || seconds < 0.001 || seconds > (double)INTERVAL_MAX / 1000)
        return false;
    *ret_ms = (uint64_t)(seconds * 1000 + 0.5);
    return true;
}

/* The other screen, without a cursor. */
#define ENTER "\033[?1049h\033[?25l\033[H"

void cli_live_begin(struct cli_live *live, uint64_t interval_ms, uint64_t count, bool is_screen)
{
    *live = (struct cli_live){.interval_ms = interval_ms, .left = count, .is_screen = is_screen};
    if (!is_screen)
        return;
    live->has_keyboard = isatty(STDIN_FILENO) != 0;
    cli_signal_screen(STDIN_FILENO);
    (void)fputs(ENTER, stdout);
    (void)fflush(stdout);
}

/* Whether 'q' is among what was typed. */
static bool has_typed_end(void)
{
    char typed[64];
    ssize_t count = read(STDIN_FILENO, typed, sizeof typed);

    return count == 0 || (count > 0 && memchr(typed, 'q', (size_t)count) != NULL);
}

bool cli_live_next(struct cli_live *live)
{
    if (live->left == 0 || cli_signal_pending() || ferror(stdout))
        return false;
    while (live->has_begun) {
        enum cli_signal_wait what =
            cli_signal_wait(live->has_keyboard ? STDIN_FILENO : -1, live->interval_ms);

        if (what == CLI_SIGNAL_TIME)
            break;
        if (what == CLI_SIGNAL_CAME || has_typed_end())
            return false;
    }
    live->has_begun = true;
    if (live->left != UINT64_MAX)
        live->left--;
    if (live->is_screen)
        (void)fputs("\033[H", stdout);
    return true;
}

void cli_live_line(const struct cli_live *live, FILE *file)
{
    (void)fputs(live->is_screen ? "\033[K\n" : "\n", file);
}

void cli_live_show(const struct cli_live *live)
{
    if (live->is_screen)
        (void)fputs("\033[J", stdout);
    (void)fflush(stdout);
}

void cli_live_end(struct cli_live *live)
{
    if (!live->is_screen)
        return;
    cli_signal_screen_end();
    /* A signal that came while a picture was written has cut it, which is no failure. */
    if (cli_signal_pending()) {
        __fpurge(stdout);
        clearerr(stdout);
    }
}
