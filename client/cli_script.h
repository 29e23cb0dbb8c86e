/* Commands from standard input, one per line. */
#ifndef MREGION_CLIENT_CLI_SCRIPT_H
#define MREGION_CLIENT_CLI_SCRIPT_H

#include "client/cli.h"
#include "client/cli_words.h"

/* Cuts a line into words, to be given to cli_words_release. 0, or an exit code with the reason
 * printed. */
int cli_script_split(const struct cli *cli, const char *line, struct cli_words *ret_words);

/* Runs one line: words as cli_words.h has them, nothing where there are none. 0, or an exit code
 * with the reason printed. */
int cli_script_line(struct cli *cli, const char *line);

/* Runs the lines of standard input up to its end, to the first that fails, or to quit; with
 * keep_going also beyond failures. The exit code of the first failure, 0 when there was none. */
int cli_script_run(struct cli *cli);

#endif
