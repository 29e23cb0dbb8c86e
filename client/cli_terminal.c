#include "client/cli_terminal.h"

#include <langinfo.h>
#include <poll.h>
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

/* ---- Live ---- */

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
            cli_signal_wait(live->is_screen ? STDIN_FILENO : -1, live->interval_ms);

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
    if (live->is_screen)
        cli_signal_screen_end();
}
