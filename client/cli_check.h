/* check: whether the pages of a region, or of all, are what was stored. */
#ifndef MREGION_CLIENT_CLI_CHECK_H
#define MREGION_CLIENT_CLI_CHECK_H

#include "client/cli_command.h"

int cli_check(struct cli *cli, const struct cli_arguments *arguments);

#endif
