#include "core/maxtree_node.h"

#include <stdlib.h>

void *(*maxtree_node_memory)(size_t alignment, size_t size) = aligned_alloc;

struct maxtree_node *node_new(struct maxtree *tree, bool inner)
{
    struct maxtree_node *node =
        maxtree_node_memory(alignof(struct maxtree_node), node_bytes(inner));
    if (!node)
        return NULL;
    node->count = 0;
    for (unsigned i = 0; i < MAXTREE_FANOUT; i++) {
        node->keys[i] = KEY_NONE;
        node->sizes[i] = 0;
    }
    if (inner)
        tree->inner_nodes++;
    else
        tree->leaves++;
    return node;
}

void node_free(struct maxtree *tree, struct maxtree_node *node, bool inner)
{
    if (inner)
        tree->inner_nodes--;
    else
        tree->leaves--;
    free(node);
}

void node_free_below(struct maxtree *tree, struct maxtree_node *node, unsigned level)
{
    if (level > 0) {
        for (unsigned i = 0; i < node->count; i++)
            node_free_below(tree, node->children[i], level - 1);
    }
    node_free(tree, node, level > 0);
}

size_t maxtree_memory(const struct maxtree *tree)
{
    return tree->leaves * node_bytes(false) + tree->inner_nodes * node_bytes(true);
}
