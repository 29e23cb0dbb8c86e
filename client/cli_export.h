/* A region as a stream of bytes, and back: EXPORT.md. */
#ifndef MREGION_CLIENT_CLI_EXPORT_H
#define MREGION_CLIENT_CLI_EXPORT_H

#include "client/cli_command.h"

int cli_export(struct cli *cli, const struct cli_arguments *arguments);
int cli_import(struct cli *cli, const struct cli_arguments *arguments);

#endif
