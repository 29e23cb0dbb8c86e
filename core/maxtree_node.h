/* The nodes of the Max B+tree and the scans over one node. Private to core/maxtree*.c and their
 * tests.
 *
 * A leaf and an inner node have one layout, so that one set of scans and shifts serves both:
 *
 *              leaf, entry i                  inner node, entry i
 *   keys       address of the block           fence: upper bound of child i
 *   sizes      size of the block              maximum: size of the largest block below child i
 *   children   (not allocated)                child i
 *
 * Fences. Every block below child i lies wholly between fence i - 1 and fence i: it starts at or
 * above the one and ends at or below the other. The last child has no fence of its own (KEY_NONE);
 * the fence of an ancestor bounds it. A fence may be loose: blocks shrink away from it and it
 * stays. A block that grows beyond its upper fence raises it, so that handing out the block's low
 * end, which moves its key up, can never carry the key past the fence.
 *
 * Padding. Entries at count and beyond have key KEY_NONE and size 0, so that scans run over the
 * whole node without a branch: no address searched for is above KEY_NONE, no size searched for fits
 * in 0. */
#ifndef MREGION_CORE_MAXTREE_NODE_H
#define MREGION_CORE_MAXTREE_NODE_H

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/maxtree.h"

/* Above every address. */
#define KEY_NONE UINT64_MAX

/* A node below NODE_MIN merges with a sibling if both fit in NODE_MERGED, or else shares evenly.
 * The distance between the two, and to the full node, keeps splits and merges from alternating. */
#define NODE_MIN ((unsigned)MAXTREE_FANOUT / 4)
#define NODE_MERGED ((unsigned)MAXTREE_FANOUT * 3 / 4)

/* All nodes but those at the right edge have NODE_MIN entries or more, so that 16 levels hold 16^16
 * blocks, more than a region has bytes. */
#define MAXTREE_HEIGHT_MAX 16

static_assert(MAXTREE_FANOUT >= 8 && MAXTREE_FANOUT % 8 == 0, "scans go by eight entries");

struct maxtree_node {
    unsigned count;
    alignas(64) uint64_t keys[MAXTREE_FANOUT];
    uint64_t sizes[MAXTREE_FANOUT];
    struct maxtree_node *children[]; /* MAXTREE_FANOUT of them in an inner node */
};

static inline size_t node_bytes(bool inner)
{
    return sizeof(struct maxtree_node) +
           (inner ? MAXTREE_FANOUT * sizeof(struct maxtree_node *) : 0);
}

/* Functions that look at all sizes of a node are compiled once per instruction set, SCANS, and
 * chosen when the program is loaded; what they call must be SCAN, to be compiled along. The plain
 * form stands alone: it is what other compilers and machines get, and what runs under
 * AddressSanitizer, whose set-up comes too late for the resolvers. On the way to an address there
 * is nothing to gain: counting with compare and add-with-carry is faster than summing up vectors.
 *
 * With MAXTREE_PLAIN each is there once, so that its branches can be counted. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(MAXTREE_PLAIN)
#define SCANS __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define SCANS
#endif
#ifdef MAXTREE_PLAIN
#define SCAN static inline
#else
#define SCAN static inline __attribute__((always_inline))
#endif

/* Where the tightest entry is found with AVX-512 by hand, which gains another quarter. The machine
 * is asked at each call, one branch that never changes its mind. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(MAXTREE_PLAIN)
#define MAXTREE_WIDE
/* Whether this machine can; the others may be called only then. */
bool node_has_wide(void);
/* The same as node_tightest() and node_two_tightest(). */
unsigned node_tightest_wide(const struct maxtree_node *node, uint64_t size);
void node_two_tightest_wide(const struct maxtree_node *node, uint64_t size, unsigned ret_at[2]);
#endif

#define RANK_GROUP 8 /* keys in a cache line */

/* How many keys are below address: first in how many groups all are (the last group is not asked),
 * then in the one group behind them. */
SCAN unsigned node_rank(const struct maxtree_node *node, uint64_t address)
{
    unsigned groups = 0;
#pragma GCC unroll 8
    for (unsigned i = RANK_GROUP - 1; i + RANK_GROUP < MAXTREE_FANOUT; i += RANK_GROUP)
        groups += node->keys[i] < address;
    unsigned below = groups * RANK_GROUP;
    const uint64_t *group = node->keys + below;
#pragma GCC unroll 8
    for (unsigned i = 0; i < RANK_GROUP; i++)
        below += group[i] < address;
    return below;
}

/* The largest of the sizes. Signed, here and below, because AVX2 compares no other way; sizes are
 * below 2^63. */
SCAN uint64_t node_max(const struct maxtree_node *node)
{
    int64_t max = 0;
    for (unsigned i = 0; i < MAXTREE_FANOUT; i++)
        max = (int64_t)node->sizes[i] > max ? (int64_t)node->sizes[i] : max;
    return (uint64_t)max;
}

/* The first entry whose size is at least size; MAXTREE_FANOUT when there is none. */
SCAN unsigned node_first_fit(const struct maxtree_node *node, uint64_t size)
{
    for (unsigned i = 0; i < MAXTREE_FANOUT; i++) {
        if (node->sizes[i] >= size)
            return i;
    }
    return MAXTREE_FANOUT;
}

/* The first entry with exactly this size, which must be there. */
SCAN unsigned node_first_of(const struct maxtree_node *node, uint64_t size)
{
    unsigned at = 0;
    while (node->sizes[at] != size)
        at++;
    return at;
}

/* The first entry with the smallest size that is at least size; MAXTREE_FANOUT when there is
 * none. */
SCAN unsigned node_tightest(const struct maxtree_node *node, uint64_t size)
{
    /* Moved so that sizes that fit become negative, in order, and smaller ones wrap around to
     * positive. */
    const uint64_t shift = ((uint64_t)1 << 63) - size;
    int64_t best = INT64_MAX;
    for (unsigned i = 0; i < MAXTREE_FANOUT; i++) {
        int64_t moved = (int64_t)(node->sizes[i] + shift);
        best = moved < best ? moved : best;
    }
    return best < 0 ? node_first_of(node, (uint64_t)best - shift) : MAXTREE_FANOUT;
}

/* The tightest among the even entries, and among the odd ones. */
SCAN void node_two_tightest(const struct maxtree_node *node, uint64_t size, unsigned ret_at[2])
{
    const uint64_t shift = ((uint64_t)1 << 63) - size;
    int64_t even = INT64_MAX, odd = INT64_MAX;
    for (unsigned i = 0; i < MAXTREE_FANOUT; i += 2) {
        int64_t moved = (int64_t)(node->sizes[i] + shift);
        even = moved < even ? moved : even;
        moved = (int64_t)(node->sizes[i + 1] + shift);
        odd = moved < odd ? moved : odd;
    }
    for (unsigned parity = 0; parity < 2; parity++) {
        int64_t best = parity == 0 ? even : odd;
        unsigned at = parity;
        while (best < 0 && node->sizes[at] != (uint64_t)best - shift)
            at += 2;
        ret_at[parity] = best < 0 ? at : MAXTREE_FANOUT;
    }
}

/* Puts an entry at `at`, where those at and behind it move up; the node is not full. child is NULL
 * in a leaf. */
static inline void node_put(struct maxtree_node *node, unsigned at, uint64_t key, uint64_t size,
                            struct maxtree_node *child)
{
    size_t behind = node->count - at;
    memmove(node->keys + at + 1, node->keys + at, behind * sizeof node->keys[0]);
    memmove(node->sizes + at + 1, node->sizes + at, behind * sizeof node->sizes[0]);
    node->keys[at] = key;
    node->sizes[at] = size;
    if (child) {
        memmove(node->children + at + 1, node->children + at, behind * sizeof(void *));
        node->children[at] = child;
    }
    node->count++;
}

/* Drops entry at by moving those behind it down. */
static inline void node_close(struct maxtree_node *node, bool inner, unsigned at)
{
    size_t behind = --node->count - at;
    memmove(node->keys + at, node->keys + at + 1, behind * sizeof node->keys[0]);
    memmove(node->sizes + at, node->sizes + at + 1, behind * sizeof node->sizes[0]);
    if (inner)
        memmove(node->children + at, node->children + at + 1, behind * sizeof node->children[0]);
    node->keys[node->count] = KEY_NONE;
    node->sizes[node->count] = 0;
}

/* Where every node comes from, NULL when there is no memory; nodes go back with free(). A variable
 * so that tests can make the nth allocation fail. */
extern void *(*maxtree_node_memory)(size_t alignment, size_t size);

/* A node without entries, counted in the tree; NULL when there is no memory. */
struct maxtree_node *node_new(struct maxtree *tree, bool inner);
/* Gives one node back; what its children point to is left alone. */
void node_free(struct maxtree *tree, struct maxtree_node *node, bool inner);
/* Gives back a node of that level and everything below it. */
void node_free_below(struct maxtree *tree, struct maxtree_node *node, unsigned level);

#endif
