#include "client/cli_complete.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli_options.h"

static void try(const struct cli_completion *completion, const char *word, const char *candidate,
                const char *sentence)
{
    char whole[256];

    if (strncmp(candidate, word, strlen(word)) != 0)
        return;
    (void)snprintf(whole, sizeof whole, "%s%s", completion->prefix, candidate);
    completion->add(completion->context, whole, sentence);
}

/* Each word of a text such as "sync, interval or none", or "bash|zsh|fish". */
static void try_words(const struct cli_completion *completion, const char *word, const char *text)
{
    char name[64];

    while (*text != '\0') {
        size_t length = strcspn(text, ", |");

        if (length > 0 && length < sizeof name && strncmp(text, "or ", 3) != 0) {
            memcpy(name, text, length);
            name[length] = '\0';
            try(completion, word, name, "");
        }
        text += length + strspn(text + length, ", |");
        if (strncmp(text, "or ", 3) == 0)
            text += 3;
    }
}

static void try_regions(const struct cli_completion *completion, const char *word)
{
    size_t count = 0;
    char *const *names = completion->regions(completion->context, &count);

    for (size_t i = 0; names != NULL && i < count; i++)
        try(completion, word, names[i], "");
}

static void try_commands(const struct cli_completion *completion, const char *word)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        if (command->group == CLI_LINES && !completion->is_line)
            continue;
        try(completion, word, command->name, command->help);
        if (command->short_name != NULL)
            try(completion, word, command->short_name, command->help);
    }
}

static void try_methods(const struct cli_completion *completion, const char *word)
{
#define METHOD(symbol, name, parameters, names, options, result, access)                           \
    try(completion, word, name, names);
#include "proto/methods.def"
#undef METHOD
}

static void try_options(const struct cli_completion *completion, const char *word,
                        const struct cli_option *options)
{
    char name[CLI_OPTION_NAME_SIZE + 2];

    for (; options != NULL && options->name != NULL; options++) {
        (void)snprintf(name, sizeof name, "--%s", options->name);
        try(completion, word, name, options->value != NULL ? options->value : "");
    }
}

static bool complete_value(const struct cli_completion *completion, const char *word,
                           const struct cli_option *option)
{
    if (option->letter == 'T')
        try_words(completion, word, option->value);
    else if (option->letter == 'G')
        try_regions(completion, word);
    return option->letter == 'P';
}

/* Options, and the value of one behind its =. */
static void complete_option(const struct cli_completion *completion, const char *word,
                            const struct cli_option *options)
{
    struct cli_completion within = *completion;
    const char *value;
    const struct cli_option *option = cli_option_find(options, word, &value);

    if (word[1] != '-' || option == NULL || value == NULL || option->value == NULL) {
        try_options(completion, word, options);
        return;
    }
    (void)snprintf(within.prefix, sizeof within.prefix, "--%s=", option->name);
    (void)complete_value(&within, value, option);
}

/* ---- Arguments ---- */

/* The part of a usage that is about an argument; the last may be about all further ones. */
static const char *usage_of(const char *usage, size_t argument, size_t *ret_length)
{
    const char *at = usage + strspn(usage, " [");

    for (; argument > 0; argument--) {
        const char *next = at + strcspn(at, " ");

        next += strspn(next, " [");
        if (*next == '\0')
            break;
        at = next;
    }
    *ret_length = strcspn(at, " ].");
    if (argument > 0 && strstr(at, "...") == NULL)
        *ret_length = 0;
    return at;
}

static bool complete_argument(const struct cli_completion *completion, const char *word,
                              const struct cli_command *command, size_t argument)
{
    size_t length;
    const char *usage = usage_of(command->usage, argument, &length);
    bool takes_region = (command->letters != NULL && strchr(command->letters, 'G') != NULL) ||
                        strcmp(command->name, "use") == 0 ||
                        strcmp(command->name, "set-region") == 0;
    char words[64];

    if (length == 4 && memcmp(usage, "FILE", length) == 0)
        return true;
    if ((length == 4 && memcmp(usage, "NAME", length) == 0 && takes_region) ||
        (length == 7 && memcmp(usage, "PATTERN", length) == 0))
        try_regions(completion, word);
    else if (length == 7 && memcmp(usage, "COMMAND", length) == 0)
        try_commands(completion, word);
    else if (length == 6 && memcmp(usage, "METHOD", length) == 0)
        try_methods(completion, word);
    else if (length < sizeof words && memchr(usage, '|', length) != NULL) {
        memcpy(words, usage, length);
        words[length] = '\0';
        try_words(completion, word, words);
    }
    return false;
}

/* ---- The line ---- */

/* Behind an option that has its value in the next word. */
static bool wants_value(const struct cli_option *option, const char *value)
{
    return option != NULL && option->value != NULL && value == NULL;
}

/* What is said about server and region is where names are looked for. */
static void take_common(const struct cli_completion *completion, const struct cli_option *option,
                        const char *value)
{
    if (!completion->is_line && value != NULL)
        (void)cli_options_set(completion->cli, (enum cli_option_symbol)(option - cli_options),
                              value);
}

static bool complete_command(const struct cli_completion *completion, char *const *words,
                             size_t count)
{
    const struct cli_command *command = cli_command_find(words[0]);
    const char *last = words[count - 1], *value;
    bool is_options = true;
    size_t argument = 0;

    if (command == NULL)
        return false;
    for (size_t i = 1; i < count - 1; i++) {
        const struct cli_option *option;
        bool is_common;

        if (!is_options || words[i][0] != '-' || words[i][1] == '\0') {
            argument++;
            continue;
        }
        is_options = strcmp(words[i], "--") != 0;
        option = cli_option_find(command->options, words[i], &value);
        is_common = option == NULL;
        if (is_common)
            option = cli_option_find(cli_options, words[i], &value);
        if (wants_value(option, value)) {
            if (++i == count - 1)
                return complete_value(completion, last, option);
            value = words[i];
        }
        if (is_common && option != NULL)
            take_common(completion, option, value);
    }
    if (is_options && last[0] == '-' && last[1] != '\0') {
        complete_option(completion, last, command->options);
        /* There are many, which nobody wants to see who has asked for the command's. */
        if (last[1] == '-' && last[2] != '\0')
            complete_option(completion, last, cli_options);
        else
            try(completion, last, "--help", "");
        return false;
    }
    if (is_options && strcmp(last, "-") == 0)
        try_options(completion, last, command->options);
    return complete_argument(completion, last, command, argument);
}

bool cli_complete(const struct cli_completion *completion, char *const *words, size_t count)
{
    const char *last = words[count - 1], *value;
    size_t i = 0;

    while (!completion->is_line && i < count - 1 && words[i][0] == '-') {
        const struct cli_option *option = cli_option_find(cli_options, words[i++], &value);

        if (option == NULL)
            continue;
        if (wants_value(option, value)) {
            if (i == count - 1)
                return complete_value(completion, last, option);
            value = words[i++];
        }
        take_common(completion, option, value);
    }
    if (i < count - 1)
        return complete_command(completion, words + i, count - i);
    if (!completion->is_line && last[0] == '-')
        complete_option(completion, last, cli_options);
    else
        try_commands(completion, last);
    return false;
}
