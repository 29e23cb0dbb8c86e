/* The options of mrcli itself, which come before the command, or among its arguments. */
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

/* What a command in the shell or a script had before its own options. */
struct cli_options_held {
    bool is_held; /* else all of mrcli is this one command */
    char *region;
    bool has_region;
    enum cli_form form;
    uint32_t timeout_ms;
};

/* Takes over those that were given to one command, by their symbols; NULL: not given. In the shell
 * and in scripts, whose connection is there already, some cannot be, and the others hold until
 * cli_options_end. 0, or an exit code with the reason printed, and nothing is to be ended. */
int cli_options_begin(struct cli *cli, const char *const common[CLI_COMMON_MAX],
                      struct cli_options_held *ret_held);
void cli_options_end(struct cli *cli, struct cli_options_held *held);

/* Takes the options at the start of argv; optind is at the command afterwards. *ret_asked is
 * OPTION_HELP or OPTION_VERSION where one of them was there, else OPTIONS. 0, or an exit code with
 * the reason printed. */
int cli_options_read(struct cli *cli, int argc, char **argv, enum cli_option_symbol *ret_asked);

#endif
