#include "core/maxtree_node.h"

#ifdef MAXTREE_WIDE

#include <immintrin.h>

#define LANES 8 /* sizes in a vector */
#define ROWS (MAXTREE_FANOUT / LANES)

static_assert((ROWS & (ROWS - 1)) == 0, "rows are halved until one is left");

#define WIDE __attribute__((target("avx512f")))

bool node_has_wide(void)
{
    return __builtin_cpu_supports("avx512f");
}

/* The smallest of the even lanes in each of these, and of the odd ones. */
WIDE static inline __m512i smallest_by_parity(__m512i lanes)
{
    lanes = _mm512_min_epu64(lanes, _mm512_shuffle_i64x2(lanes, lanes, 0x4e));
    return _mm512_min_epu64(lanes, _mm512_shuffle_i64x2(lanes, lanes, 0xb1));
}

/* What size leaves of each entry, which is past every size where it does not fit, and of these the
 * smallest in each lane. */
WIDE static inline __m512i subtract(const struct maxtree_node *node, uint64_t size,
                                    __m512i rests[ROWS])
{
    const __m512i wanted = _mm512_set1_epi64((long long)size);
    __m512i least[ROWS];
#pragma GCC unroll 8
    for (unsigned i = 0; i < ROWS; i++)
        least[i] = rests[i] =
            _mm512_sub_epi64(_mm512_load_si512(node->sizes + (size_t)LANES * i), wanted);
#pragma GCC unroll 8
    for (unsigned half = ROWS / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < half; i++)
            least[i] = _mm512_min_epu64(least[i], least[i + half]);
    }
    return least[0];
}

/* A bit for each entry whose rest is the one of its lane in `best`. */
WIDE static inline uint64_t equal_bits(const __m512i rests[ROWS], __m512i best)
{
    uint64_t found = 0;
#pragma GCC unroll 8
    for (unsigned i = 0; i < ROWS; i++)
        found |= (uint64_t)_mm512_cmpeq_epi64_mask(rests[i], best) << LANES * i;
    return found;
}

static inline unsigned first_of(uint64_t found, long long best)
{
    return best >= 0 ? (unsigned)__builtin_ctzll(found) : MAXTREE_FANOUT;
}

WIDE unsigned node_tightest_wide(const struct maxtree_node *node, uint64_t size)
{
    __m512i rests[ROWS];
    __m512i best = smallest_by_parity(subtract(node, size, rests));
    best = _mm512_min_epu64(best, _mm512_permutex_epi64(best, 0xb1));
    return first_of(equal_bits(rests, best), _mm_cvtsi128_si64(_mm512_castsi512_si128(best)));
}

WIDE void node_two_tightest_wide(const struct maxtree_node *node, uint64_t size, unsigned ret_at[2])
{
    const uint64_t even = 0x5555555555555555;
    __m512i rests[ROWS];
    __m512i best = smallest_by_parity(subtract(node, size, rests));
    __m128i both = _mm512_castsi512_si128(best);
    uint64_t found = equal_bits(rests, best);
    ret_at[0] = first_of(found & even, _mm_cvtsi128_si64(both));
    ret_at[1] = first_of(found & ~even, _mm_cvtsi128_si64(_mm_unpackhi_epi64(both, both)));
}

#endif
