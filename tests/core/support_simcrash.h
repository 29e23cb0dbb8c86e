/* Which subsets of the pending changes a power cut is tried with. */
#ifndef MREGION_TESTS_SUPPORT_SIMCRASH_H
#define MREGION_TESTS_SUPPORT_SIMCRASH_H

#include <stddef.h>
#include <stdio.h>

#include "support_simdisk.h"

/* Few pending changes: every subset. Many: every prefix, every single one, every all-but-one (an
 * even sample of each where there are more than sample), every choice of whole files and
 * directories, and random subsets. In both cases some of these again with a torn sector. */
struct simcrash_plan {
    size_t exhaustive_max; /* pending changes up to which every subset is tried */
    size_t sample;         /* at most so many prefixes, singles and all-but-ones each */
    size_t random_subsets;
    size_t tears;
};

struct simcrash_case {
    const struct simdisk *before; /* the disk at the power cut */
    const bool *kept;
    struct tear tear;
};

/* Called for every state; the disk is freed afterwards. Non-zero stops the enumeration. */
typedef int simcrash_visit(void *context, struct simdisk *crashed, const struct simcrash_case *how);

/* Returns what visit returned last. Adds the number of states to *states. */
int simcrash_enumerate(const struct simdisk *disk, const struct simcrash_plan *plan,
                       struct rng *rng, simcrash_visit *visit, void *context, uint64_t *states);

/* What was pending, and what of it reached the disk. */
void simcrash_print(const struct simcrash_case *how, FILE *out);

#endif
