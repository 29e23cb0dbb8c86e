#include <errno.h>

#include "core/maxtree_node.h"

/* Nodes are filled to seven eighths: dense, and yet the first insertions do not split each. */
#define FILL ((size_t)MAXTREE_FANOUT / 8 * 7)

static bool are_blocks(const struct extent *extents, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!extent_is_valid(extents[i]))
            return false;
        if (i > 0 && extents[i].address <= extent_end(extents[i - 1]))
            return false;
    }
    return true;
}

static struct maxtree_node *build_leaf(struct maxtree *tree, const struct extent *extents,
                                       size_t count)
{
    struct maxtree_node *leaf = node_new(tree, false);
    if (!leaf)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        leaf->keys[i] = extents[i].address;
        leaf->sizes[i] = extents[i].size;
        tree->bytes += extents[i].size;
    }
    leaf->count = (unsigned)count;
    tree->blocks += count;
    return leaf;
}

/* A subtree over count extents, its root on the given level; a node of that level takes up to holds
 * of them. Children get even shares, so each is at least half of FILL. NULL when there is no
 * memory: then nothing of the subtree is left. */
static struct maxtree_node *build_below(struct maxtree *tree, unsigned level, size_t holds,
                                        const struct extent *extents, size_t count)
{
    if (level == 0)
        return build_leaf(tree, extents, count);
    struct maxtree_node *node = node_new(tree, true);
    if (!node)
        return NULL;
    size_t child_holds = holds / FILL;
    size_t children = (count + child_holds - 1) / child_holds;
    size_t from = 0;
    for (size_t i = 0; i < children; i++) {
        size_t share = count / children + (i < count % children);
        struct maxtree_node *child =
            build_below(tree, level - 1, child_holds, extents + from, share);
        if (!child) {
            node_free_below(tree, node, level);
            return NULL;
        }
        from += share;
        node->children[i] = child;
        node->sizes[i] = node_max(child);
        if (from < count)
            node->keys[i] = extents[from].address;
        node->count++;
    }
    return node;
}

int maxtree_build(struct maxtree *tree, const struct extent *extents, size_t count)
{
    if (tree->root || !are_blocks(extents, count))
        return -EINVAL;
    if (count == 0)
        return 0;
    unsigned height = 1;
    size_t holds = FILL;
    while (holds < count) {
        holds *= FILL;
        height++;
    }
    tree->root = build_below(tree, height - 1, holds, extents, count);
    if (!tree->root) {
        maxtree_init(tree);
        return -ENOMEM;
    }
    tree->height = height;
    return 0;
}
