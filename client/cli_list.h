/* Commands that list blocks. A list may be long: it is fetched and printed in parts. */
#ifndef MREGION_CLIENT_CLI_LIST_H
#define MREGION_CLIENT_CLI_LIST_H

#include "client/cli_command.h"

int cli_list_free(struct cli *cli, const struct cli_arguments *arguments);
extern const struct cli_option cli_list_free_options[];

int cli_list_allocated(struct cli *cli, const struct cli_arguments *arguments);
int cli_list_deallocated(struct cli *cli, const struct cli_arguments *arguments);
extern const struct cli_option cli_list_range_options[];

#endif
