/* A small seeded generator (splitmix64): the same seed gives the same test everywhere. */
#ifndef MREGION_TESTS_SUPPORT_RANDOM_H
#define MREGION_TESTS_SUPPORT_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t rng_next(struct rng *rng)
{
    rng->state += 0x9e3779b97f4a7c15u;
    return rng_mix(rng->state);
}

/* A number below limit, 0 when limit is 0. The bias of the remainder does not matter here. */
static inline uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return limit == 0 ? 0 : rng_next(rng) % limit;
}

static inline uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
    return low + rng_below(rng, high - low + 1);
}

static inline bool rng_chance(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

#endif
