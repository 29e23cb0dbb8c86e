#include "core/pageruns.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/array.h"
#include "core/bytes.h"

int page_runs_reserve(struct page_runs *runs, size_t more)
{
    struct page_run *items =
        array_grown(runs->items, &runs->capacity, runs->count + more, sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    runs->items = items;
    return 0;
}

/* Whether b, which does not begin before a, could be joined to a; joins it. */
static bool join(struct page_run *a, struct page_run b)
{
    if (b.first < a->first || b.first > run_end(*a))
        return false;
    a->count = max_u64(run_end(*a), run_end(b)) - a->first;
    return true;
}

void page_runs_add(struct page_runs *runs, struct page_run run)
{
    if (run.count == 0 || (runs->count > 0 && join(&runs->items[runs->count - 1], run)))
        return;
    assert(runs->count < runs->capacity);
    runs->items[runs->count++] = run;
}

static int by_first(const void *a, const void *b)
{
    uint64_t one = ((const struct page_run *)a)->first;
    uint64_t two = ((const struct page_run *)b)->first;
    return (one > two) - (one < two);
}

static bool is_ascending(const struct page_runs *runs)
{
    for (size_t i = 1; i < runs->count; i++)
        if (runs->items[i].first <= runs->items[i - 1].first)
            return false;
    return true;
}

void page_runs_tidy(struct page_runs *runs)
{
    size_t kept = 0;
    if (runs->count < 2)
        return;
    if (!is_ascending(runs))
        qsort(runs->items, runs->count, sizeof runs->items[0], by_first);
    for (size_t i = 1; i < runs->count; i++)
        if (!join(&runs->items[kept], runs->items[i]))
            runs->items[++kept] = runs->items[i];
    runs->count = kept + 1;
}
