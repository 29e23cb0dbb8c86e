/* What the parts of the shell share. */
#ifndef MREGION_CLIENT_CLI_SHELL_PRIVATE_H
#define MREGION_CLIENT_CLI_SHELL_PRIVATE_H

#include <histedit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli.h"

/* What libedit calls back for has no argument for it. */
struct shell {
    struct cli *cli;
    EditLine *edit;
    History *history;
    char *history_path; /* NULL: history is not kept */
    char prompt[128];
    char hint[128];
    struct mregion *kept; /* in the process of a command: what is the shell's */
    char **regions;       /* as the server has named them; NULL: it has not */
    size_t regions_count;
    int64_t regions_ms; /* when */
};

/* Binds Tab, and the blank that shows what is to follow. */
void shell_complete_init(struct shell *shell);
void shell_complete_release(struct shell *shell);

#endif
