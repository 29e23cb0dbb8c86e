#include "support_model.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_in(uint64_t *state, uint64_t low, uint64_t high)
{
    return low + random_next(state) % (high - low + 1);
}

void random_shuffle(uint64_t *state, uint64_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)random_in(state, 0, i - 1);
        uint64_t item = items[i - 1];
        items[i - 1] = items[other];
        items[other] = item;
    }
}

void model_init(struct model *model, uint64_t size)
{
    model->free = calloc(size, sizeof *model->free);
    ck_assert_ptr_nonnull(model->free);
    model->size = size;
}

void model_release(struct model *model)
{
    free(model->free);
}

void model_set(struct model *model, struct extent extent, bool is_free)
{
    if (extent.size > model->size || extent.address > model->size - extent.size)
        ck_abort_msg("the model is too small for the test");
    memset(model->free + extent.address, is_free, extent.size);
}

bool model_all(const struct model *model, struct extent extent, bool is_free)
{
    for (uint64_t i = extent.address; i < extent_end(extent); i++) {
        if (model->free[i] != is_free)
            return false;
    }
    return true;
}

struct extent model_run(const struct model *model, uint64_t from, uint64_t to, bool is_free)
{
    while (from < to && model->free[from] != is_free)
        from++;
    uint64_t end = from;
    while (end < to && model->free[end] == is_free)
        end++;
    return (struct extent){from, end - from};
}

struct extent model_first_fit(const struct model *model, uint64_t size)
{
    struct extent run = model_run(model, 0, model->size, true);
    while (run.size > 0 && run.size < size)
        run = model_run(model, extent_end(run), model->size, true);
    return run;
}

struct extent model_largest(const struct model *model)
{
    struct extent largest = {0, 0};
    struct extent run = model_run(model, 0, model->size, true);
    while (run.size > 0) {
        if (run.size > largest.size)
            largest = run;
        run = model_run(model, extent_end(run), model->size, true);
    }
    return largest;
}
