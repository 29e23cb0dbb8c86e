/* What may come where a line of mrcli is being typed: for the shell here, and for bash, zsh and
 * fish, whose scripts ask "mrcli completion words". */
#ifndef MREGION_CLIENT_CLI_COMPLETE_H
#define MREGION_CLIENT_CLI_COMPLETE_H

#include "client/cli_command.h"

/* Called with each candidate, and what it is (which may be ""). Both are borrowed. */
typedef void cli_candidate(void *context, const char *candidate, const char *sentence);

/* The names of the regions that there are, as mregion_list_regions gives them; NULL where they
 * cannot be had. Asked for once. */
typedef char *const *cli_region_names(void *context, size_t *ret_count);

struct cli_completion {
    struct cli *cli; /* takes over the options that stand in front of the command */
    bool is_line;    /* in the shell and in scripts: without these options */
    cli_candidate *add;
    cli_region_names *regions;
    void *context;                         /* of both */
    char prefix[CLI_OPTION_NAME_SIZE + 4]; /* goes in front of every candidate; "" */
};

/* Finds what the last word may become; the others are in front of it. True where it may be the name
 * of a file. count > 0. */
bool cli_complete(const struct cli_completion *completion, char *const *words, size_t count);

int cli_complete_run(struct cli *cli, const struct cli_arguments *arguments);

#endif
