/* events: what happens to regions, a line each, until it is told to end. */
#ifndef MREGION_CLIENT_CLI_EVENTS_H
#define MREGION_CLIENT_CLI_EVENTS_H

#include "client/cli_command.h"

int cli_events(struct cli *cli, const struct cli_arguments *arguments);
extern const struct cli_option cli_events_options[];

#endif
