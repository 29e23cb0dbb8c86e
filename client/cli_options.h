/* The options of mrcli itself, which come before the command. */
#ifndef MREGION_CLIENT_CLI_OPTIONS_H
#define MREGION_CLIENT_CLI_OPTIONS_H

#include "client/cli_command.h"

enum cli_option_symbol {
#define OPTION(symbol, name, letter, value, kind) OPTION_##symbol,
#include "client/cli_options.def"
#undef OPTION
    OPTIONS
};

/* By their symbols; ends with a NULL name. */
extern const struct cli_option cli_options[];

/* What the environment says, which is borrowed from it. 0, or an exit code with the reason printed.
 */
int cli_options_read_environment(struct cli *cli);

/* Takes over an option's value, which is borrowed: not of help and version. 0, or an exit code with
 * the reason printed. */
int cli_options_set(struct cli *cli, enum cli_option_symbol symbol, const char *value);

/* Takes the options at the start of argv; optind is at the command afterwards. *ret_asked is
 * OPTION_HELP or OPTION_VERSION where one of them was there, else OPTIONS. 0, or an exit code with
 * the reason printed. */
int cli_options_read(struct cli *cli, int argc, char **argv, enum cli_option_symbol *ret_asked);

#endif
