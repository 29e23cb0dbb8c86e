/* A Max B+tree: extents ordered by address, every node knowing the largest size below each of its
 * children. It holds the free blocks of a region: disjoint, and never adjacent (neighbors are
 * merged). Finding a block by address, by fit, merging and splitting are all O(log n) in one
 * descent.
 *
 * Nodes are parallel arrays (keys, sizes or maxima, children) of MAXTREE_FANOUT entries, so that a
 * search touches few cache lines.
 *
 * Memory: nodes come from the heap. An operation that would need a node and cannot get it returns
 * -ENOMEM and leaves the tree as it was. Not thread-safe; the caller owns the struct. */
#ifndef MREGION_CORE_MAXTREE_H
#define MREGION_CORE_MAXTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/extent.h"

/* Tests build the tree with less, to have many levels over few blocks. */
#ifndef MAXTREE_FANOUT
#define MAXTREE_FANOUT 64
#endif

struct maxtree_node;

struct maxtree {
    struct maxtree_node *root; /* NULL when empty */
    unsigned height;           /* levels, 0 when empty, 1 when the root is a leaf */
    uint64_t blocks;           /* extents held */
    uint64_t bytes;            /* sum of their sizes */
    uint64_t leaves;           /* nodes on the heap */
    uint64_t inner_nodes;      /* likewise */
};

/* An empty tree. */
void maxtree_init(struct maxtree *tree);
/* Frees every node; the tree is empty afterwards and may be used again. */
void maxtree_release(struct maxtree *tree);

/* Fills an empty tree from count extents in ascending order, disjoint and not adjacent, in O(n).
 * -EINVAL when they are not so or the tree is not empty, -ENOMEM; the tree is as before then. */
int maxtree_build(struct maxtree *tree, const struct extent *extents, size_t count);

/* Adds an extent and merges it with the neighbors it touches; where it touches one, it needs no
 * memory. -EINVAL when it is empty or ends past REGION_SIZE_MAX; -EEXIST when any byte of it is in
 * the tree already; -ENOMEM. */
int maxtree_add(struct maxtree *tree, struct extent extent);

/* Takes exactly this extent out of the block that holds it, which shrinks, splits or vanishes.
 * -EINVAL when it is empty or ends past REGION_SIZE_MAX; -ENOENT when not every byte of it is in
 * the tree; -ENOMEM, which only a split can meet: the extent then begins and ends inside the
 * block. */
int maxtree_remove(struct maxtree *tree, struct extent extent);

/* Takes size bytes from the block that the policy chooses; returns false when no block is large
 * enough, or size is 0. None of them ever needs memory.
 *   tight    from the root on two ways down, through the tightest of its even and of its odd
 *            children, that is the one whose largest block is the smallest that still fits; so on
 *            each at every level, to the smallest block that fits in the leaf; of these two blocks
 *            the smaller. The first on a tie. Hands out its low end
 *   lowest   the first block by address that fits (first fit); hands out its low end
 *   largest  the largest block, lowest address on a tie; hands out its high end */
bool maxtree_take_tight(struct maxtree *tree, uint64_t size, uint64_t *ret_address);
bool maxtree_take_lowest(struct maxtree *tree, uint64_t size, uint64_t *ret_address);
bool maxtree_take_largest(struct maxtree *tree, uint64_t size, uint64_t *ret_address);

/* The size of the largest block, 0 when empty. O(fanout). */
uint64_t maxtree_largest(const struct maxtree *tree);

/* The first block that ends after address (the block that holds it, or else the next one). */
bool maxtree_seek(const struct maxtree *tree, uint64_t address, struct extent *ret_block);
/* The last block. */
bool maxtree_last(const struct maxtree *tree, struct extent *ret_block);

/* Copies up to limit blocks that end after address, in order, into blocks; returns how many. A
 * scan goes on from the end of the last block it got. O(log n + limit). */
size_t maxtree_scan(const struct maxtree *tree, uint64_t address, struct extent *blocks,
                    size_t limit);

/* Heap bytes held by the tree. */
size_t maxtree_memory(const struct maxtree *tree);

/* Proves order, gaps, fill, height, every cached maximum and the counters; returns NULL or a
 * sentence that says what is wrong. For tests and `mregiond --check`. */
const char *maxtree_check(const struct maxtree *tree);

#endif
