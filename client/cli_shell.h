/* The shell: commands typed on a terminal, with history and completion. */
#ifndef MREGION_CLIENT_CLI_SHELL_H
#define MREGION_CLIENT_CLI_SHELL_H

#include "client/cli.h"

/* Connects, then runs what is typed until quit or the end of input. 0, or an exit code with the
 * reason printed when it could not begin; a command that fails does not end it. */
int cli_shell_run(struct cli *cli);

#endif
