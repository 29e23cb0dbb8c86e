/* The progress of a blob that moves, or of a scrub: a bar on standard error, where that is a
 * terminal, for what takes longer than a second. Also where a signal stops the transfer. */
#ifndef MREGION_CLIENT_CLI_PROGRESS_H
#define MREGION_CLIENT_CLI_PROGRESS_H

#include "client/cli.h"

struct cli_progress {
    const char *name; /* of the file; borrowed */
    bool is_shown;    /* on a terminal, and nothing else is written there meanwhile */
    bool is_drawn;
    int64_t started_ms;
    int64_t drawn_ms;
};

/* From now on the transfers of the connection are reported. is_quiet: the blob itself goes to the
 * terminal. End with cli_progress_end, which takes the bar away. */
void cli_progress_begin(struct cli_progress *progress, struct mregion *connection, const char *name,
                        bool is_quiet);
/* What is no transfer of the library's says so itself how far it has come. */
void cli_progress_show(struct cli_progress *progress, uint64_t done, uint64_t total);
void cli_progress_end(struct cli_progress *progress, struct mregion *connection);

/* One line without its end, at most columns characters: name, share, bar, bytes, rate. total is 0
 * where it is not known. */
#define CLI_PROGRESS_LINE_SIZE 256
void cli_progress_format(const char *name, uint64_t done, uint64_t total, int64_t elapsed_ms,
                         int columns, char line[CLI_PROGRESS_LINE_SIZE]);

#endif
