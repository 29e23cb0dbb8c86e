/* Changes of blocks: numbers go in, one number or nothing comes out. Each is a command, and may be
 * part of a batch. */
#ifndef MREGION_CLIENT_CLI_CHANGE_H
#define MREGION_CLIENT_CLI_CHANGE_H

#include "client/cli_command.h"

struct cli_change {
    const struct cli_command *command;
    uint64_t numbers[3]; /* behind the region */
    uint64_t last;       /* of them that were given */
};

/* Makes the command's change and prints its result. */
int cli_change_run(struct cli *cli, const struct cli_arguments *arguments);

/* The change that the arguments describe. 0, or CLI_USAGE with the reason printed. */
int cli_change_parse(const struct cli *cli, const struct cli_arguments *arguments,
                     struct cli_change *ret_change);

/* Appends it to a batch; returns what the library does. */
int cli_change_append(const struct cli_change *change, struct mregion_batch *batch,
                      size_t *ret_index, struct mregion_error *error);

/* Prints its result, which is number where it has one. */
void cli_change_print(const struct cli *cli, const struct cli_change *change, uint64_t number);

#endif
