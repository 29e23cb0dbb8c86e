#include "client/cli_progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "client/cli_output.h"
#include "client/cli_signal.h"

#define SHOW_AFTER_MS 1000
#define DRAW_EVERY_MS 100
#define NAME_WIDTH 20
#define BAR_WIDTH_MAX 40

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* "[=====>    ]", width characters between the brackets. */
static void format_bar(char *bar, int width, uint64_t done, uint64_t total)
{
    int filled = (int)((double)width * (double)done / (double)total);

    *bar++ = '[';
    for (int i = 0; i < width; i++)
        *bar++ = i < filled ? '=' : (char)(i == filled ? '>' : ' ');
    *bar++ = ']';
    *bar = '\0';
}

void cli_progress_format(const char *name, uint64_t done, uint64_t total, int64_t elapsed_ms,
                         int columns, char line[CLI_PROGRESS_LINE_SIZE])
{
    char moved[CLI_OUTPUT_SIZE_SIZE], whole[CLI_OUTPUT_SIZE_SIZE], rate[CLI_OUTPUT_SIZE_SIZE];
    char left[NAME_WIDTH + 16], right[4 * CLI_OUTPUT_SIZE_SIZE];
    char bar[BAR_WIDTH_MAX + 3] = "";
    const char *slash = strrchr(name, '/');
    double seconds = elapsed_ms > 0 ? (double)elapsed_ms / 1000 : 0.001;
    int width;

    if (slash != NULL && slash[1] != '\0')
        name = slash + 1;
    cli_output_format_size(done, moved);
    cli_output_format_size(total, whole);
    cli_output_format_size((uint64_t)((double)done / seconds), rate);
    if (total > 0 && done <= total) {
        (void)snprintf(left, sizeof left, "%-*.*s %3d%% ", NAME_WIDTH, NAME_WIDTH, name,
                       (int)((double)done * 100 / (double)total));
        (void)snprintf(right, sizeof right, " %s of %s, %s/s", moved, whole, rate);
        width = columns - (int)strlen(left) - (int)strlen(right) - 2;
        if (width >= 4)
            format_bar(bar, width < BAR_WIDTH_MAX ? width : BAR_WIDTH_MAX, done, total);
    } else {
        (void)snprintf(left, sizeof left, "%-*.*s ", NAME_WIDTH, NAME_WIDTH, name);
        (void)snprintf(right, sizeof right, " %s, %s/s", moved, rate);
    }
    (void)snprintf(line, CLI_PROGRESS_LINE_SIZE, "%s%s%s", left, bar, right);
    if (columns > 0 && (size_t)columns < strlen(line))
        line[columns] = '\0';
    /* A file's name may hold anything, and the terminal obeys some of it. */
    cli_output_make_printable(line);
}

void cli_progress_show(struct cli_progress *progress, uint64_t done, uint64_t total)
{
    int64_t now;

    if (!progress->is_shown)
        return;
    now = now_ms();
    if (now - progress->started_ms >= SHOW_AFTER_MS && now - progress->drawn_ms >= DRAW_EVERY_MS) {
        char line[CLI_PROGRESS_LINE_SIZE];

        /* The last column stays free: a terminal may go to the next line behind it. */
        cli_progress_format(progress->name, done, total, now - progress->started_ms,
                            terminal_columns() - 1, line);
        (void)fprintf(stderr, "\r%s\033[K", line);
        (void)fflush(stderr);
        progress->drawn_ms = now;
        progress->is_drawn = true;
    }
}

static int on_progress(uint64_t done, uint64_t total, void *context)
{
    if (cli_signal_pending())
        return 1;
    cli_progress_show(context, done, total);
    return 0;
}

void cli_progress_begin(struct cli_progress *progress, struct mregion *connection, const char *name,
                        bool is_quiet)
{
    *progress = (struct cli_progress){
        .name = name, .is_shown = !is_quiet && isatty(STDERR_FILENO) != 0, .started_ms = now_ms()};
    mregion_set_progress(connection, on_progress, progress);
}

void cli_progress_end(struct cli_progress *progress, struct mregion *connection)
{
    mregion_set_progress(connection, NULL, NULL);
    if (progress->is_drawn)
        (void)fputs("\r\033[K", stderr);
}
