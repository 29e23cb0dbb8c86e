/* A way from the root of a Max B+tree to one entry of a leaf, and the changes of shape that start
 * at that leaf: splitting full nodes, merging poor ones. Private to core/maxtree*.c. */
#ifndef MREGION_CORE_MAXTREE_PATH_H
#define MREGION_CORE_MAXTREE_PATH_H

#include "core/maxtree_node.h"

/* Level 0 is the leaf, level tree->height - 1 the root. On inner levels `at` is the child that the
 * path goes through, on level 0 an entry or the place for one. */
struct path {
    struct {
        struct maxtree_node *node;
        unsigned at;
    } step[MAXTREE_HEIGHT_MAX];
};

/* Goes down to the first leaf whose upper fence is at or above address; step[0].at is not set. A
 * block that ends at address, or that holds the byte before it, is in that leaf. The tree is not
 * empty. */
SCAN struct maxtree_node *path_find(struct path *path, const struct maxtree *tree, uint64_t address)
{
    struct maxtree_node *node = tree->root;
    for (unsigned level = tree->height - 1; level > 0; level--) {
        unsigned at = node_rank(node, address);
        path->step[level].node = node;
        path->step[level].at = at;
        node = node->children[at];
    }
    path->step[0].node = node;
    return node;
}

/* Moves to the first entry of the next leaf. Returns false, and leaves the path alone, when there
 * is none. */
bool path_next_leaf(struct path *path, const struct maxtree *tree);

/* The upper fence of the path's leaf, in the lowest ancestor that has one; NULL when the leaf is
 * the last. */
uint64_t *path_fence(const struct path *path, const struct maxtree *tree);

/* Raises the cached maxima above `level` after an entry there grew to, or appeared with, size. */
static inline void path_raise(const struct path *path, const struct maxtree *tree, unsigned level,
                              uint64_t size)
{
    while (++level < tree->height) {
        uint64_t *maximum = &path->step[level].node->sizes[path->step[level].at];
        if (*maximum >= size)
            break;
        *maximum = size;
    }
}

/* Lowers the cached maxima after an entry of the leaf that had this size shrank or went. */
SCAN void path_lower(const struct path *path, const struct maxtree *tree, uint64_t size)
{
    for (unsigned level = 1; level < tree->height; level++) {
        uint64_t *maximum = &path->step[level].node->sizes[path->step[level].at];
        if (*maximum > size)
            break;
        uint64_t lowered = node_max(path->step[level - 1].node);
        if (lowered == *maximum)
            break;
        *maximum = lowered;
    }
}

/* Nodes set aside for one operation, so that it cannot fail half-way. */
struct spares {
    struct maxtree_node *node[MAXTREE_HEIGHT_MAX + 1];
    unsigned count;
};

/* Sets aside the nodes that an insertion at the path's leaf needs, none unless the leaf is full.
 * -ENOMEM: nothing was taken. */
int path_reserve(const struct path *path, struct maxtree *tree, struct spares *spares);

/* Inserts a block before entry step[0].at of the leaf, splitting full nodes with the spares, and
 * raises the maxima. The path is spent afterwards. */
void path_insert(struct path *path, struct maxtree *tree, struct spares *spares,
                 struct extent block);

/* After an entry of the leaf was dropped and maxima were lowered: merges or evens out nodes that
 * became too poor, and shortens the tree where its root has one child left. Needs no memory. The
 * path is spent afterwards. */
void path_rebalance(struct path *path, struct maxtree *tree);

#endif
