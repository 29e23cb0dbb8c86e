/* A naive model of free space, one byte per byte, and what tests with random operations share. */
#ifndef MREGION_TESTS_CORE_SUPPORT_MODEL_H
#define MREGION_TESTS_CORE_SUPPORT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/extent.h"

/* Random numbers that are the same in every run (splitmix64). */
uint64_t random_next(uint64_t *state);
/* In [low, high]. */
uint64_t random_in(uint64_t *state, uint64_t low, uint64_t high);
/* Brings the items of an array into random order. */
void random_shuffle(uint64_t *state, uint64_t *items, size_t count);

struct model {
    bool *free; /* of each byte; the caller sets them through model_set alone */
    uint64_t size;
};

void model_init(struct model *model, uint64_t size);
void model_release(struct model *model);
void model_set(struct model *model, struct extent extent, bool is_free);
/* Whether every byte of the extent is so. */
bool model_all(const struct model *model, struct extent extent, bool is_free);
/* The first run of bytes that are so and ends after from; size 0 when there is none. It is clipped
 * to [from, to). */
struct extent model_run(const struct model *model, uint64_t from, uint64_t to, bool is_free);
/* The first free block with at least size bytes, and the largest one, lowest address on a tie;
 * size 0 when there is none. */
struct extent model_first_fit(const struct model *model, uint64_t size);
struct extent model_largest(const struct model *model);

#endif
