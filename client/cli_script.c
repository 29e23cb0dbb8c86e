#include "client/cli_script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_command.h"
#include "client/cli_signal.h"
#include "client/cli_words.h"

int cli_script_split(const struct cli *cli, const char *line, struct cli_words *ret_words)
{
    switch (cli_words_split(line, ret_words)) {
    case CLI_WORDS_OK:
        return CLI_OK;
    case CLI_WORDS_OPEN_QUOTE:
        return cli_fail(cli, CLI_USAGE, "a quote is not closed: %s", line);
    case CLI_WORDS_OPEN_ESCAPE:
        return cli_fail(cli, CLI_USAGE, "nothing follows the backslash: %s", line);
    default:
        return cli_no_memory(cli);
    }
}

int cli_script_line(struct cli *cli, const char *line)
{
    struct cli_words words;
    int status = cli_script_split(cli, line, &words);

    if (status != CLI_OK)
        return status;
    if (words.count > 0)
        status = cli_command_run(cli, words.items, words.count);
    cli_words_release(&words);
    return status;
}

/* A line as getline returns it. */
static int run_line(struct cli *cli, char *line, size_t length)
{
    if (length > 0 && line[length - 1] == '\n')
        line[--length] = '\0';
    if (strlen(line) != length)
        return cli_fail(cli, CLI_USAGE, "a NUL byte is in the line: these are no commands");
    return cli_script_line(cli, line);
}

int cli_script_run(struct cli *cli)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    int first = CLI_OK;

    cli->is_script = true;
    while (!cli->is_ended && !cli_signal_pending() &&
           (length = getline(&line, &capacity, stdin)) >= 0) {
        int status;

        cli->line++;
        status = run_line(cli, line, (size_t)length);
        if (first == CLI_OK)
            first = status;
        if (status != CLI_OK && !cli->keep_going)
            cli->is_ended = true;
    }
    if (!cli->is_ended && !cli_signal_pending() && !feof(stdin)) {
        int number = errno;

        cli->line = 0;
        (void)cli_fail(cli, CLI_LOCAL_IO, "standard input: cannot read: %s", strerror(number));
        if (first == CLI_OK)
            first = CLI_LOCAL_IO;
    }
    free(line);
    return first;
}
