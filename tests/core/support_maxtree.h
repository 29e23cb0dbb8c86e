/* What the tests of the tree assert in loops, where a passed assertion of Check, which costs a
 * system call, would take most of the time. */
#ifndef MREGION_TESTS_CORE_SUPPORT_MAXTREE_H
#define MREGION_TESTS_CORE_SUPPORT_MAXTREE_H

#include "core/maxtree.h"
#include "support_model.h"

/* maxtree_check finds nothing wrong. */
void assert_sound(const struct maxtree *tree);
void assert_block(struct extent block, uint64_t address, uint64_t size);
void assert_result(int got, int expected);
/* The tree is sound, and its blocks are the model's runs of free bytes, no more and no less. */
void assert_equals(const struct maxtree *tree, const struct model *model);

#endif
