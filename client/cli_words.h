/* A line of a script or of the shell, cut into words.
 *
 * Words are separated by blanks. '...' takes everything as it is; in "..." a backslash makes the
 * next '"' or '\' plain and is itself anywhere else; outside of quotes it makes any next character
 * plain. Quoted and unquoted parts that touch are one word. '#' where a word could begin starts a
 * comment. Nothing is expanded. */
#ifndef MREGION_CLIENT_CLI_WORDS_H
#define MREGION_CLIENT_CLI_WORDS_H

#include <stddef.h>

struct cli_words {
    char **items; /* count of them, then NULL */
    size_t count;
    char *storage;
};

enum cli_words_status {
    CLI_WORDS_OK,
    CLI_WORDS_OPEN_QUOTE,  /* ' or " without its end */
    CLI_WORDS_OPEN_ESCAPE, /* a backslash at the end of the line */
    CLI_WORDS_OUT_OF_MEMORY,
};

/* Give *words to cli_words_release; on failure there is nothing to release. */
enum cli_words_status cli_words_split(const char *line, struct cli_words *words);
void cli_words_release(struct cli_words *words);

#endif
