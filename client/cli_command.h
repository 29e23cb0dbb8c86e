/* The commands, in one table: what runs them, their usage, their help, and completion. */
#ifndef MREGION_CLIENT_CLI_COMMAND_H
#define MREGION_CLIENT_CLI_COMMAND_H

#include <stdio.h>

#include "client/cli.h"

#define CLI_OPTIONS_MAX 16
#define CLI_OPTION_NAME_SIZE 32
#define CLI_COMMON_MAX 16

struct cli_command;

/* What was given to a command. */
struct cli_arguments {
    const struct cli_command *command;
    char *const *items;
    size_t count;
    const char *options[CLI_OPTIONS_MAX]; /* by their place in the command's list; NULL: not given,
                                             "" where one without a value is */
    const char *common[CLI_COMMON_MAX];   /* likewise those of mrcli itself, by their symbols */
};

/* What the result of a method is, where it is not printed as it came. */
enum cli_result {
    CLI_RESULT_VALUE,
    CLI_RESULT_NOTHING,
    CLI_RESULT_REFERENCE, /* the new address, with the last number that was given as its size */
};

struct cli_option {
    const char *name;  /* without the dashes */
    const char *value; /* for the help; NULL where it has none */
    char letter;       /* of the value, as below */
    const char *key;   /* of the method's option; NULL where it is not sent as such */
    char short_name;   /* one that is written with one dash; 0: none */
};

/* The help has a heading for each. */
enum cli_group {
    CLI_BLOBS,
    CLI_BLOCKS,
    CLI_QUESTIONS,
    CLI_REGIONS,
    CLI_SERVER,
    CLI_LINES, /* only in the shell and in scripts */
};

struct cli_command {
    const char *name;       /* the method's name in kebab case, where it has a method */
    const char *short_name; /* NULL: none */
    const char *usage;      /* the arguments */
    const char *help;       /* one sentence */
    size_t count_min;
    size_t count_max;
    /* 0, or an exit code with the reason printed. */
    int (*run)(struct cli *cli, const struct cli_arguments *arguments);

    /* For commands that are one method (cli_method.h). Letters: R the region (no argument),
     * G a region as argument, F a reference, S a size or address, N a number, M a time, T a text,
     * P the path of a file. */
    const char *method;
    const char *letters;
    enum cli_result result;

    const struct cli_option *options; /* ends with a NULL name; NULL: none */
    enum cli_group group;
};

/* Ends with a NULL name. */
extern const struct cli_command cli_commands[];

/* By either name; NULL when there is none. */
const struct cli_command *cli_command_find(const char *name);

/* The option that a word such as "--name=value" or "-nvalue" is, with *ret_value behind the = or
 * the letter, NULL where there is none. NULL: none of these, which may be NULL. */
const struct cli_option *cli_option_find(const struct cli_option *options, const char *word,
                                         const char **ret_value);

/* Takes a command and its arguments apart; items, which has room for count of them, becomes
 * arguments->items. 0, or CLI_USAGE with the reason printed. count > 0. */
int cli_command_take(const struct cli *cli, char *const *words, size_t count, char **items,
                     struct cli_arguments *arguments);

/* Runs words[0] with the rest as its arguments, and flushes what it printed. 0, or an exit code
 * with the reason printed. count > 0. */
int cli_command_run(struct cli *cli, char *const *words, size_t count);

/* A line for a shell, for the command's help; NULL where there is none. */
const char *cli_command_example(const struct cli_command *command);

/* All commands, for --help. (For cli_terminal_print, which has something to pass on.) */
void cli_command_list(FILE *file, const void *nothing);

#endif
