/* A list of data pages as runs: appended to in any order, tidied once into ascending, disjoint
 * runs. Appending needs no memory once it is reserved, so it cannot fail. */
#ifndef MREGION_CORE_PAGERUNS_H
#define MREGION_CORE_PAGERUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/extent.h"
#include "core/record.h"

struct page_runs {
    struct page_run *items;
    size_t count, capacity;
};

/* Room for so many more runs. -ENOMEM. */
int page_runs_reserve(struct page_runs *runs, size_t more);
/* Appends; a run that begins in or right behind the last one is joined to it. */
void page_runs_add(struct page_runs *runs, struct page_run run);
/* Ascending, disjoint, neighbours joined. */
void page_runs_tidy(struct page_runs *runs);

/* The pages that have any byte of the extent, which is not empty. */
static inline struct page_run pages_around(struct extent extent)
{
    uint64_t first = extent.address / DATA_PAGE;
    return (struct page_run){first, (extent_end(extent) - 1) / DATA_PAGE - first + 1};
}

static inline struct extent bytes_of(struct page_run run)
{
    return (struct extent){run.first * DATA_PAGE, run.count * DATA_PAGE};
}

static inline uint64_t run_end(struct page_run run)
{
    return run.first + run.count;
}

#endif
