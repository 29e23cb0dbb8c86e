/* Several changes from a file, all or nothing. */
#ifndef MREGION_CLIENT_CLI_BATCH_H
#define MREGION_CLIENT_CLI_BATCH_H

#include "client/cli_command.h"

/* One change per line, in the words of the commands; prints what each has done. */
int cli_batch_run(struct cli *cli, const struct cli_arguments *arguments);

#endif
