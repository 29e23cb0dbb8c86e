/* A file, or standard input, that a blob is read from. */
#ifndef MREGION_CLIENT_CLI_SOURCE_H
#define MREGION_CLIENT_CLI_SOURCE_H

#include <sys/stat.h>

#include "client/cli.h"

struct cli_source {
    int fd;
    const char *name; /* for messages; borrowed */
    struct stat before;
};

/* Opens path for reading; "-" is standard input, which is refused where it holds the commands.
 * 0, or an exit code with the reason printed. Give *source to cli_source_close. */
int cli_source_open(const struct cli *cli, const char *path, struct cli_source *source);

/* Whether a regular file was changed since it was opened, so that what was read may be neither the
 * old contents nor the new. */
bool cli_source_has_changed(const struct cli_source *source);

void cli_source_close(struct cli_source *source);

#endif
