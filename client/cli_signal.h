/* Signals that end mrcli, without leaving a partial file or a block that nobody knows of.
 *
 * The first SIGINT, SIGTERM or SIGHUP is only noted: a transfer that is under way sees it at its
 * next piece, gives back what it has allocated, and mrcli ends by that signal. What does not come
 * to such a point within a second (a silent server, a pipe without a writer), or gets a second
 * signal, ends at once; the temporary file goes in any case. SIGPIPE is ignored, so that a closed
 * pipe is an error like any other. */
#ifndef MREGION_CLIENT_CLI_SIGNAL_H
#define MREGION_CLIENT_CLI_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

void cli_signal_init(void);

/* Whether a signal has come that nothing has been done about. */
bool cli_signal_pending(void);

/* Waits until there is something to read, or a signal: true for the former. What comes right before
 * the wait ends it too. */
bool cli_signal_wait_for_input(int fd);

/* Waits for so long, for something to read from fd (-1: from none), or for a signal. */
enum cli_signal_wait { CLI_SIGNAL_TIME, CLI_SIGNAL_INPUT, CLI_SIGNAL_CAME };
enum cli_signal_wait cli_signal_wait(int fd, uint64_t wait_ms);

/* Standard output shows another screen, and the terminal fd, if it is one, takes single keys
 * without showing them; it is as before after cli_signal_screen_end, and also when a signal ends
 * the process. */
void cli_signal_screen(int fd);
void cli_signal_screen_end(void);

/* The shell has dealt with it. */
void cli_signal_clear(void);

/* Ends the process by the pending signal, if there is one. */
void cli_signal_finish(void);

/* mkostemp of template, which then is removed if a signal ends the process. The descriptor, or -1
 * with errno set. template must stay until cli_signal_forget. One at a time. */
int cli_signal_temporary(char *template);
void cli_signal_forget(void);

#endif
