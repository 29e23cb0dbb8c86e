/* A region as a stream of bytes, and back: EXPORT.md. */
#ifndef MREGION_CLIENT_CLI_EXPORT_H
#define MREGION_CLIENT_CLI_EXPORT_H

#include "client/cli_command.h"

/* What is told of an export with --anyway, with the region's name. */
#define CLI_EXPORT_CHANGED                                                                         \
    "%s was changed while it was exported: its blocks are of different moments"

extern const struct cli_option cli_export_options[];
int cli_export(struct cli *cli, const struct cli_arguments *arguments);
int cli_import(struct cli *cli, const struct cli_arguments *arguments);

#endif
