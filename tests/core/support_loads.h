/* Loads under way: each sees exactly what was staged before it began, whatever is staged, committed
 * or freed while it waits and reads. */
#ifndef MREGION_TESTS_SUPPORT_LOADS_H
#define MREGION_TESTS_SUPPORT_LOADS_H

#include <stdbool.h>

#include "core/region.h"
#include "support_random.h"
#include "support_shadow.h"

struct load;

struct loads { /* all zero = none */
    struct load *first;
    bool may_fail; /* the disk fails reads: their errors are no complaint */
};

bool loads_any(const struct loads *loads);

/* The functions return NULL, or a complaint. */

/* Begins a load of a random block, mostly one in use. */
const char *loads_begin(struct loads *loads, struct region *region, const struct shadow *shadow,
                        struct rng *rng);
/* To be called after every job: reads what waited for its ticket. After a failure of the region
 * those that still wait are given up. */
const char *loads_serve(struct loads *loads, struct region *region, bool failed);
/* A worker comes back with the rest of some load; or one whose pages are held lets them go. */
const char *loads_finish_one(struct loads *loads, struct region *region, struct rng *rng);
void loads_release(struct loads *loads, struct region *region);

#endif
