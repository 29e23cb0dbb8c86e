/* How far one word is from another: what was perhaps meant by a misspelled one. */
#ifndef MREGION_CONF_EDIT_H
#define MREGION_CONF_EDIT_H

#include <stdbool.h>
#include <stddef.h>

/* How many single-character insertions, deletions, replacements and swaps of neighbors turn one
 * word into the other; SIZE_MAX when either is longer than any word of ours. */
size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length);

/* Whether so many edits of a word of that length are likely a slip. */
bool edit_is_slip(size_t distance, size_t length);

#endif
