/* Commands that move blobs between files and the region. */
#ifndef MREGION_CLIENT_CLI_BLOB_H
#define MREGION_CLIENT_CLI_BLOB_H

#include "client/cli_command.h"

int cli_blob_add(struct cli *cli, const struct cli_arguments *arguments);
int cli_blob_load(struct cli *cli, const struct cli_arguments *arguments);
int cli_blob_store(struct cli *cli, const struct cli_arguments *arguments);
int cli_blob_remove(struct cli *cli, const struct cli_arguments *arguments);
int cli_blob_replace(struct cli *cli, const struct cli_arguments *arguments);

#endif
