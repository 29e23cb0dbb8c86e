/* What other stores keep their free space in, to measure the Max B+tree against: two ordinary
 * B-trees, one by address to merge and one by size for best fit. Abseil's, which are as good as
 * such trees get. Sizes and addresses are in bytes. */
#ifndef MREGION_TESTS_BENCH_PAIR_H
#define MREGION_TESTS_BENCH_PAIR_H

#include <stddef.h>
#include <stdint.h>

#include "core/extent.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pair;

struct pair *pair_new(void);
void pair_free(struct pair *pair);
/* Finds room for each extent's size, the tightest block or the end, and sets its address. */
void pair_take_all(struct pair *pair, struct extent *extents, size_t count);
void pair_give_all(struct pair *pair, const struct extent *extents, size_t count);
/* Free blocks. */
size_t pair_blocks(const struct pair *pair);

#ifdef __cplusplus
}
#endif

#endif
