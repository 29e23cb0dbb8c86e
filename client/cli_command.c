#include "client/cli_command.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli_backup.h"
#include "client/cli_batch.h"
#include "client/cli_bench.h"
#include "client/cli_blob.h"
#include "client/cli_change.h"
#include "client/cli_check.h"
#include "client/cli_complete.h"
#include "client/cli_config.h"
#include "client/cli_connections.h"
#include "client/cli_events.h"
#include "client/cli_export.h"
#include "client/cli_list.h"
#include "client/cli_map.h"
#include "client/cli_method.h"
#include "client/cli_nearest.h"
#include "client/cli_options.h"
#include "client/cli_output.h"
#include "client/cli_password.h"
#include "client/cli_stats.h"
#include "client/cli_terminal.h"

/* ---- Commands of our own ---- */

static int run_help(struct cli *cli, const struct cli_arguments *arguments);

static int run_use(struct cli *cli, const struct cli_arguments *arguments)
{
    return cli_set_region(cli, arguments->items[0]);
}

static int run_quit(struct cli *cli, const struct cli_arguments *arguments)
{
    (void)arguments;
    cli->is_ended = true;
    return CLI_OK;
}

/* ---- The table ---- */

#define OWN(in_group, long_name, short, arguments, sentence, least, most, function, list)          \
    {.name = long_name,                                                                            \
     .short_name = short,                                                                          \
     .usage = arguments,                                                                           \
     .help = sentence,                                                                             \
     .count_min = least,                                                                           \
     .count_max = most,                                                                            \
     .run = function,                                                                              \
     .options = list,                                                                              \
     .group = in_group},
#define CHANGE(in_group, long_name, short, arguments, sentence, number, called, list, kind)        \
    {.name = long_name,                                                                            \
     .short_name = short,                                                                          \
     .usage = arguments,                                                                           \
     .help = sentence,                                                                             \
     .count_min = number,                                                                          \
     .count_max = number,                                                                          \
     .run = cli_change_run,                                                                        \
     .method = called,                                                                             \
     .letters = list,                                                                              \
     .result = kind,                                                                               \
     .group = in_group},
#define METHOD(in_group, long_name, short, arguments, sentence, number, called, list, kind)        \
    {.name = long_name,                                                                            \
     .short_name = short,                                                                          \
     .usage = arguments,                                                                           \
     .help = sentence,                                                                             \
     .count_min = number,                                                                          \
     .count_max = number,                                                                          \
     .run = cli_method_run,                                                                        \
     .method = called,                                                                             \
     .letters = list,                                                                              \
     .result = kind,                                                                               \
     .group = in_group},

const struct cli_command cli_commands[] = {
#include "client/cli_commands.def"
    {.name = NULL},
};
#undef OWN
#undef METHOD
#undef CHANGE

const struct cli_command *cli_command_find(const char *name)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0 ||
            (command->short_name != NULL && strcmp(command->short_name, name) == 0))
            return command;
    }
    return NULL;
}

/* ---- Help ---- */

#define USAGE_WIDTH 28

static const char *const headings[] = {
    [CLI_BLOBS] = "Blobs",     [CLI_BLOCKS] = "Blocks", [CLI_QUESTIONS] = "Questions",
    [CLI_REGIONS] = "Regions", [CLI_SERVER] = "Server", [CLI_LINES] = "In the shell and in scripts",
};

static const char *shown_name(const struct cli_command *command)
{
    return command->short_name != NULL && command->group != CLI_LINES ? command->short_name
                                                                      : command->name;
}

void cli_command_list(FILE *file, const void *nothing)
{
    const struct cli_command *before = NULL;

    (void)nothing;
    for (const struct cli_command *command = cli_commands; command->name != NULL;
         before = command, command++) {
        char usage[64];
        bool is_long;

        if (before == NULL || before->group != command->group)
            (void)fprintf(file, "%s%s:\n", before == NULL ? "" : "\n", headings[command->group]);
        (void)snprintf(usage, sizeof usage, "%s %s", shown_name(command), command->usage);
        is_long = strlen(usage) > USAGE_WIDTH;
        if (is_long)
            (void)fprintf(file, "  %s\n", usage);
        (void)fprintf(file, "  %-*s %s\n", USAGE_WIDTH, is_long ? "" : usage, command->help);
    }
}

static void print_usage(FILE *file, const struct cli_command *command)
{
    (void)fprintf(file, "usage: %s", shown_name(command));
    if (command->options != NULL)
        (void)fputs(" [OPTION]...", file);
    (void)fprintf(file, "%s%s\n", command->usage[0] == '\0' ? "" : " ", command->usage);
}

const char *cli_command_example(const struct cli_command *command)
{
#define EXAMPLE(name, example) {name, example},
    static const char *const examples[][2] = {
#include "client/cli_examples.def"
    };
#undef EXAMPLE

    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        if (strcmp(examples[i][0], command->name) == 0)
            return examples[i][1];
    }
    return NULL;
}

static void print_option(FILE *file, const struct cli_option *option)
{
    (void)fputs("  ", file);
    if (option->short_name != '\0')
        (void)fprintf(file, "-%c, ", option->short_name);
    (void)fprintf(file, "--%s%s%s\n", option->name, option->value != NULL ? " " : "",
                  option->value != NULL ? option->value : "");
}

static void print_help(FILE *file, const void *context)
{
    const struct cli_command *command = context;

    print_usage(file, command);
    (void)fprintf(file, "  %s\n", command->help);
    if (command->short_name != NULL)
        (void)fprintf(file, "  also written %s\n",
                      shown_name(command) == command->name ? command->short_name : command->name);
    for (const struct cli_option *option = command->options; option != NULL && option->name != NULL;
         option++)
        print_option(file, option);
    if (command->group != CLI_LINES)
        (void)fputs("  and those of mrcli itself, such as -o json (mrcli --help)\n", file);
    if (cli_command_example(command) != NULL)
        (void)fprintf(file, "example:\n  $ %s\n", cli_command_example(command));
    (void)fputs("mrcli(1) says more.\n", file);
}

static int fail_unknown(const struct cli *cli, const char *name)
{
    struct cli_nearest nearest;
    const char *found;

    cli_nearest_begin(&nearest, name);
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        cli_nearest_try(&nearest, command->name);
        if (command->short_name != NULL)
            cli_nearest_try(&nearest, command->short_name);
    }
    found = cli_nearest_found(&nearest);
    return cli_fail(cli, CLI_USAGE, "no such command: %s (%s%s%s%s lists them)", name,
                    found != NULL ? "did you mean " : "", found != NULL ? found : "",
                    found != NULL ? "? " : "",
                    cli->is_shell || cli->is_script ? "help" : "mrcli help");
}

static int run_help(struct cli *cli, const struct cli_arguments *arguments)
{
    const struct cli_command *command;

    if (arguments->count == 0) {
        return cli_terminal_print(cli_command_list, NULL) ? CLI_OK : cli_no_memory(cli);
    }
    command = cli_command_find(arguments->items[0]);
    if (command == NULL)
        return fail_unknown(cli, arguments->items[0]);
    return cli_terminal_print(print_help, command) ? CLI_OK : cli_no_memory(cli);
}

/* ---- Running ---- */

static int fail_usage(const struct cli *cli, const struct cli_command *command, const char *problem)
{
    return cli_fail(cli, CLI_USAGE, "%s: %s; usage: %s%s%s%s", shown_name(command), problem,
                    shown_name(command), command->options != NULL ? " [OPTION]..." : "",
                    command->usage[0] == '\0' ? "" : " ", command->usage);
}

const struct cli_option *cli_option_find(const struct cli_option *options, const char *word,
                                         const char **ret_value)
{
    bool is_long = word[1] == '-';
    const char *name = word + 1 + is_long;
    size_t length = is_long ? strcspn(name, "=") : 1;

    *ret_value = is_long && name[length] == '=' ? name + length + 1 : NULL;
    if (!is_long && name[1] != '\0')
        *ret_value = name + 1;
    for (const struct cli_option *option = options; option != NULL && option->name != NULL;
         option++) {
        if (is_long ? strlen(option->name) == length && memcmp(option->name, name, length) == 0
                    : option->short_name == name[0])
            return option;
    }
    return NULL;
}

static int fail_option(const struct cli *cli, const struct cli_command *command, const char *word)
{
    bool is_long = word[1] == '-';
    struct cli_nearest nearest;
    char name[CLI_NEAREST_MAX + 2];
    const char *found;

    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 1 + is_long, "="),
                   word + 1 + is_long);
    cli_nearest_begin(&nearest, name);
    for (const struct cli_option *option = command->options;
         is_long && option != NULL && option->name != NULL; option++)
        cli_nearest_try(&nearest, option->name);
    for (const struct cli_option *option = cli_options; is_long && option->name != NULL; option++)
        cli_nearest_try(&nearest, option->name);
    found = cli_nearest_found(&nearest);
    if (found != NULL)
        return cli_fail(cli, CLI_USAGE, "%s: no such option: %s (did you mean --%s?)",
                        shown_name(command), word, found);
    return cli_fail(cli, CLI_USAGE, "%s: no such option: %s (a file of this name follows a --)",
                    shown_name(command), word);
}

/* One of mrcli itself, behind the command; NULL: none that may stand there. */
static const struct cli_option *find_common(const struct cli_command *command, const char *word,
                                            const char **ret_value)
{
    const struct cli_option *option = cli_option_find(cli_options, word, ret_value);

    return option == NULL || option - cli_options == OPTION_VERSION || command->group == CLI_LINES
               ? NULL
               : option;
}

/* "--name value", "--name=value", "-n value" or "-nvalue" at *index of words, which is moved to its
 * last word. What both have is the command's. */
static int take_option(const struct cli *cli, struct cli_arguments *arguments, char *const *words,
                       size_t count, size_t *index)
{
    const struct cli_command *command = arguments->command;
    const char *value, **place;
    const struct cli_option *option = cli_option_find(command->options, words[*index], &value);

    if (option != NULL) {
        place = &arguments->options[option - command->options];
    } else {
        option = find_common(command, words[*index], &value);
        if (option == NULL)
            return fail_option(cli, command, words[*index]);
        place = &arguments->common[option - cli_options];
    }
    if (option->value == NULL && value != NULL)
        return cli_fail(cli, CLI_USAGE, "%s: --%s takes no value", shown_name(command),
                        option->name);
    if (option->value != NULL && value == NULL && *index + 1 == count)
        return cli_fail(cli, CLI_USAGE, "%s: --%s needs a value: %s", shown_name(command),
                        option->name, option->value);
    if (option->value == NULL)
        value = "";
    else if (value == NULL)
        value = words[++*index];
    *place = value;
    return CLI_OK;
}

/* Sorts words[1...] into arguments and options; items has room for count of them. *ret_is_help:
 * the command is only to be explained. */
static int take_arguments(const struct cli *cli, char *const *words, size_t count, char **items,
                          struct cli_arguments *arguments, bool *ret_is_help)
{
    bool is_options = true;
    int status = CLI_OK;

    for (size_t i = 1; i < count && status == CLI_OK; i++) {
        const char *word = words[i];

        if (!is_options || word[0] != '-' || word[1] == '\0') {
            items[arguments->count++] = words[i];
        } else if (strcmp(word, "--") == 0) {
            is_options = false;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *ret_is_help = true;
        } else {
            status = take_option(cli, arguments, words, count, &i);
        }
    }
    return status;
}

static int check_count(const struct cli *cli, const struct cli_arguments *arguments)
{
    const struct cli_command *command = arguments->command;

    if (arguments->count < command->count_min)
        return fail_usage(cli, command, "something is missing");
    if (arguments->count > command->count_max)
        return fail_usage(cli, command, "too many arguments");
    return CLI_OK;
}

static int run(struct cli *cli, struct cli_arguments *arguments)
{
    const struct cli_command *command = arguments->command;
    struct cli_options_held held;
    int status;

    if (command->group == CLI_LINES && !cli->is_script && !cli->is_shell)
        return cli_fail(cli, CLI_USAGE, "%s is for the shell and for scripts", command->name);
    status = check_count(cli, arguments);
    if (status == CLI_OK)
        status = cli_options_begin(cli, arguments->common, &held);
    if (status != CLI_OK)
        return status;
    status = command->run(cli, arguments);
    cli_options_end(cli, &held);
    return status;
}

int cli_command_take(const struct cli *cli, char *const *words, size_t count, char **items,
                     struct cli_arguments *arguments)
{
    bool is_help = false;
    int status;

    *arguments = (struct cli_arguments){.command = cli_command_find(words[0]), .items = items};
    if (arguments->command == NULL)
        return fail_unknown(cli, words[0]);
    status = take_arguments(cli, words, count, items, arguments, &is_help);
    if (status == CLI_OK && is_help)
        status = fail_usage(cli, arguments->command, "no help here");
    for (size_t i = 0; status == CLI_OK && i < CLI_COMMON_MAX; i++) {
        if (arguments->common[i] != NULL)
            status =
                fail_usage(cli, arguments->command, "options of mrcli itself are none of a change");
    }
    return status != CLI_OK ? status : check_count(cli, arguments);
}

int cli_command_run(struct cli *cli, char *const *words, size_t count)
{
    struct cli_arguments arguments = {.command = cli_command_find(words[0])};
    bool is_help = false;
    char **items;
    int status, flushed;

    if (arguments.command == NULL)
        return fail_unknown(cli, words[0]);
    items = calloc(count, sizeof *items);
    if (items == NULL)
        return cli_no_memory(cli);
    arguments.items = items;
    status = take_arguments(cli, words, count, items, &arguments, &is_help);
    if (status == CLI_OK && is_help)
        status = cli_terminal_print(print_help, arguments.command) ? CLI_OK : cli_no_memory(cli);
    else if (status == CLI_OK)
        status = run(cli, &arguments);
    flushed = cli_output_flush(cli);
    free(items);
    return status != CLI_OK ? status : flushed;
}
