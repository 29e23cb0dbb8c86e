#include "client/cli_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char character)
{
    return character == ' ' || character == '\t' || character == '\r' || character == '\n';
}

static const char *skip_blanks(const char *at)
{
    while (is_blank(*at))
        at++;
    return at;
}

/* Copies what is quoted by *at to *out and moves both behind it. */
static enum cli_words_status copy_quoted(const char **at, char **out)
{
    char quote = *(*at)++;

    for (; **at != quote; (*at)++) {
        if (**at == '\0')
            return CLI_WORDS_OPEN_QUOTE;
        if (quote == '"' && **at == '\\' && ((*at)[1] == '"' || (*at)[1] == '\\'))
            (*at)++;
        *(*out)++ = **at;
    }
    (*at)++;
    return CLI_WORDS_OK;
}

/* Copies one word with its terminator. */
static enum cli_words_status copy_word(const char **at, char **out)
{
    enum cli_words_status status = CLI_WORDS_OK;

    while (status == CLI_WORDS_OK && **at != '\0' && !is_blank(**at)) {
        if (**at == '\'' || **at == '"') {
            status = copy_quoted(at, out);
        } else {
            if (**at == '\\' && *++(*at) == '\0')
                return CLI_WORDS_OPEN_ESCAPE;
            *(*out)++ = *(*at)++;
        }
    }
    *(*out)++ = '\0';
    return status;
}

enum cli_words_status cli_words_split(const char *line, struct cli_words *words)
{
    size_t length = strlen(line);
    enum cli_words_status status = CLI_WORDS_OK;
    char *out;

    /* A word takes two bytes of the line at least, but for the last; copied, it is no longer than
     * in the line, and its terminator stands where a blank was. */
    words->items = calloc(length / 2 + 2, sizeof *words->items);
    words->storage = malloc(length + 2);
    words->count = 0;
    if (words->items == NULL || words->storage == NULL) {
        cli_words_release(words);
        return CLI_WORDS_OUT_OF_MEMORY;
    }
    out = words->storage;
    line = skip_blanks(line);
    while (status == CLI_WORDS_OK && *line != '\0' && *line != '#') {
        words->items[words->count++] = out;
        status = copy_word(&line, &out);
        line = skip_blanks(line);
    }
    if (status != CLI_WORDS_OK)
        cli_words_release(words);
    return status;
}

void cli_words_release(struct cli_words *words)
{
    free(words->items);
    free(words->storage);
    *words = (struct cli_words){0};
}
