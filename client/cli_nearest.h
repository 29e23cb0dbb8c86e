/* What somebody may have meant who has mistyped a name. */
#ifndef MREGION_CLIENT_CLI_NEAREST_H
#define MREGION_CLIENT_CLI_NEAREST_H

#include <stddef.h>

#define CLI_NEAREST_MAX 40

struct cli_nearest {
    const char *word;
    const char *best;
    size_t distance; /* of the best */
};

/* word and what is tried are borrowed. */
void cli_nearest_begin(struct cli_nearest *nearest, const char *word);
void cli_nearest_try(struct cli_nearest *nearest, const char *name);

/* The nearest of what was tried, the first one where there are several; NULL where none is so near
 * that it is worth to be told: a third of the word may be wrong. */
const char *cli_nearest_found(const struct cli_nearest *nearest);

/* In how many places two words differ: letters that are missing, too many, others, or in the place
 * of their neighbors. SIZE_MAX where one has more than CLI_NEAREST_MAX. */
size_t cli_nearest_distance(const char *a, const char *b);

#endif
