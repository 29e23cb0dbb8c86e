#include "core/maxtree_node.h"

/* What a walk in order has seen so far. */
struct walk {
    uint64_t blocks;
    uint64_t bytes;
    uint64_t leaves;
    uint64_t inner_nodes;
    uint64_t end; /* of the last block */
};

static const char *check_node(const struct maxtree_node *node, bool inner, bool root,
                              bool right_edge)
{
    unsigned least = right_edge ? 1 : NODE_MIN;
    if (root)
        least = inner ? 2 : 1;
    if (node->count < least)
        return "a node has too few entries";
    if (node->count > MAXTREE_FANOUT)
        return "a node has too many entries";
    for (unsigned i = inner ? node->count - 1 : node->count; i < MAXTREE_FANOUT; i++) {
        if (node->keys[i] != KEY_NONE)
            return "a node's keys are not padded";
    }
    for (unsigned i = node->count; i < MAXTREE_FANOUT; i++) {
        if (node->sizes[i] != 0)
            return "a node's sizes are not padded";
    }
    return NULL;
}

static const char *check_leaf(const struct maxtree_node *leaf, uint64_t low, uint64_t high,
                              struct walk *walk)
{
    for (unsigned i = 0; i < leaf->count; i++) {
        struct extent block = {leaf->keys[i], leaf->sizes[i]};
        if (!extent_is_valid(block))
            return "a block is empty or ends past the limit of a region";
        if (block.address < low || extent_end(block) > high)
            return "a block crosses a fence of its leaf";
        if (walk->blocks > 0 && block.address <= walk->end)
            return "blocks are out of order, overlap or touch";
        walk->end = extent_end(block);
        walk->bytes += block.size;
        walk->blocks++;
    }
    return NULL;
}

/* Checks everything below a node, whose blocks must lie within [low, high). */
static const char *check_below(const struct maxtree *tree, const struct maxtree_node *node,
                               unsigned level, uint64_t low, uint64_t high, struct walk *walk)
{
    bool right_edge = high == KEY_NONE;
    if (level > 0)
        walk->inner_nodes++;
    else
        walk->leaves++;
    const char *wrong = check_node(node, level > 0, node == tree->root, right_edge);
    if (wrong)
        return wrong;
    if (level == 0)
        return check_leaf(node, low, high, walk);
    for (unsigned i = 0; i < node->count; i++) {
        uint64_t fence = i + 1 < node->count ? node->keys[i] : high;
        if (fence < low || fence > high)
            return "fences are out of order";
        wrong = check_below(tree, node->children[i], level - 1, low, fence, walk);
        if (wrong)
            return wrong;
        if (node->sizes[i] != node_max(node->children[i]))
            return "a cached maximum is not the largest block below";
        low = fence;
    }
    return NULL;
}

const char *maxtree_check(const struct maxtree *tree)
{
    struct walk walk = {0};
    if (!tree->root != (tree->height == 0) || tree->height > MAXTREE_HEIGHT_MAX)
        return "the height is wrong";
    if (tree->root) {
        const char *wrong = check_below(tree, tree->root, tree->height - 1, 0, KEY_NONE, &walk);
        if (wrong)
            return wrong;
    }
    if (walk.blocks != tree->blocks)
        return "the counter of blocks is wrong";
    if (walk.bytes != tree->bytes)
        return "the counter of bytes is wrong";
    if (walk.leaves != tree->leaves || walk.inner_nodes != tree->inner_nodes)
        return "the counter of nodes is wrong";
    return NULL;
}
