/* Passwords: where mrcli gets one from, and the hash that the server's configuration has of it.
 * Never from the command line, which everybody on the machine can read. */
#ifndef MREGION_CLIENT_CLI_PASSWORD_H
#define MREGION_CLIENT_CLI_PASSWORD_H

#include "client/cli.h"
#include "client/cli_command.h"

/* The server takes no longer one. */
#define CLI_PASSWORD_MAX 1024

/* Makes the connection cli->user's: with the password from --password-file, from MREGION_PASSWORD
 * or, on a terminal, typed. 0, or an exit code with the reason printed. */
int cli_password_authenticate(struct cli *cli);

/* What was typed is kept until then, where the cli says so. */
void cli_password_forget(void);

/* passwd [NAME] */
int cli_password_hash(struct cli *cli, const struct cli_arguments *arguments);

#endif
