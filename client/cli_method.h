/* Commands that are one method each. */
#ifndef MREGION_CLIENT_CLI_METHOD_H
#define MREGION_CLIENT_CLI_METHOD_H

#include "client/cli_command.h"

/* Calls the command's method with what its letters say and prints the result. */
int cli_method_run(struct cli *cli, const struct cli_arguments *arguments);

/* Makes a region, with options. */
int cli_method_create(struct cli *cli, const struct cli_arguments *arguments);
extern const struct cli_option cli_method_create_options[];
/* Changes those of one that there is; at least one of the options is needed. */
int cli_method_set(struct cli *cli, const struct cli_arguments *arguments);

/* Calls any method with parameters in JSON. */
int cli_method_call(struct cli *cli, const struct cli_arguments *arguments);

#endif
