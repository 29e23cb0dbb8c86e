/* Backups, which lie on the server's machine. */
#ifndef MREGION_CLIENT_CLI_BACKUP_H
#define MREGION_CLIENT_CLI_BACKUP_H

#include "client/cli.h"
#include "client/cli_command.h"

extern const struct cli_option cli_backup_options[];

int cli_backup(struct cli *cli, const struct cli_arguments *arguments);
int cli_backup_restore(struct cli *cli, const struct cli_arguments *arguments);
int cli_backup_list(struct cli *cli, const struct cli_arguments *arguments);
int cli_backup_remove(struct cli *cli, const struct cli_arguments *arguments);

#endif
