/* A file, or standard output, that a blob is written to.
 *
 * A file appears under its name when it is complete: the bytes go to a temporary file beside it,
 * which takes the name at the end. An existing file keeps its mode (and its owner, where that is
 * allowed); what is behind a symbolic link is replaced, not the link. Whatever is no regular file,
 * such as /dev/null or a named pipe, is written as it is. */
#ifndef MREGION_CLIENT_CLI_TARGET_H
#define MREGION_CLIENT_CLI_TARGET_H

#include "client/cli.h"

struct cli_target {
    int fd;
    const char *name; /* for messages; borrowed */
    char *path;       /* of the complete file; NULL when written in place */
    char *temporary;
};

/* Opens path; NULL and "-" are standard output. 0, or an exit code with the reason printed. End
 * with cli_target_commit or cli_target_abandon. */
int cli_target_open(const struct cli *cli, const char *path, struct cli_target *target);

/* Everything is written: gives the file its name. is_last: these are the only copy of the bytes,
 * so that they must be on the disk first. 0, or CLI_LOCAL_IO with the reason printed and the
 * target as it was before. Releases *target either way. */
int cli_target_commit(const struct cli *cli, struct cli_target *target, bool is_last);

/* Leaves the target as it was before, as far as it is a file. */
void cli_target_abandon(struct cli_target *target);

#endif
