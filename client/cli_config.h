/* The server's configuration. */
#ifndef MREGION_CLIENT_CLI_CONFIG_H
#define MREGION_CLIENT_CLI_CONFIG_H

#include "client/cli_command.h"

/* "config get": prints the settings in force whose names match. */
int cli_config(struct cli *cli, const struct cli_arguments *arguments);

#endif
