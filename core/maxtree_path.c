#include "core/maxtree_path.h"

#include <assert.h>
#include <errno.h>

bool path_next_leaf(struct path *path, const struct maxtree *tree)
{
    unsigned level = 1;
    while (level < tree->height && path->step[level].at + 1 == path->step[level].node->count)
        level++;
    if (level >= tree->height)
        return false;
    path->step[level].at++;
    while (level > 0) {
        struct maxtree_node *child = path->step[level].node->children[path->step[level].at];
        level--;
        path->step[level].node = child;
        path->step[level].at = 0;
    }
    return true;
}

uint64_t *path_fence(const struct path *path, const struct maxtree *tree)
{
    for (unsigned level = 1; level < tree->height; level++) {
        struct maxtree_node *node = path->step[level].node;
        if (path->step[level].at + 1 < node->count)
            return &node->keys[path->step[level].at];
    }
    return NULL;
}

int path_reserve(const struct path *path, struct maxtree *tree, struct spares *spares)
{
    spares->count = 0;
    unsigned level = 0;
    while (level < tree->height && path->step[level].node->count == MAXTREE_FANOUT) {
        struct maxtree_node *node = node_new(tree, level > 0);
        if (!node)
            goto give_back;
        spares->node[spares->count++] = node;
        level++;
    }
    if (level > 0 && level == tree->height) { /* the root splits too: a new one above it */
        struct maxtree_node *root = node_new(tree, true);
        if (!root)
            goto give_back;
        spares->node[spares->count++] = root;
    }
    return 0;

give_back:
    while (spares->count > 0) {
        spares->count--;
        node_free(tree, spares->node[spares->count], spares->count > 0);
    }
    return -ENOMEM;
}

/* Drops the entries at `count` and behind it. */
static void cut(struct maxtree_node *node, unsigned count)
{
    for (unsigned i = count; i < node->count; i++) {
        node->keys[i] = KEY_NONE;
        node->sizes[i] = 0;
    }
    node->count = count;
}

/* Moves the entries at `at` and behind it from one node to the end of another that has room. */
static void move_tail(struct maxtree_node *from, unsigned at, struct maxtree_node *to, bool inner)
{
    unsigned count = from->count - at;
    memcpy(to->keys + to->count, from->keys + at, count * sizeof to->keys[0]);
    memcpy(to->sizes + to->count, from->sizes + at, count * sizeof to->sizes[0]);
    if (inner)
        memcpy(to->children + to->count, from->children + at, count * sizeof to->children[0]);
    to->count += count;
    cut(from, at);
}

/* Where to split a full node that gets an entry at `at`. Keys that arrive in order leave full, or
 * nearly full, nodes behind them; at the tree's right edge the new node may begin with one. */
static unsigned split_point(unsigned at, bool right_edge)
{
    if (at == MAXTREE_FANOUT)
        return right_edge ? MAXTREE_FANOUT : NODE_MERGED;
    if (at == 0)
        return MAXTREE_FANOUT - NODE_MERGED;
    return MAXTREE_FANOUT / 2;
}

/* One entry to be put into a node. */
struct entry {
    uint64_t key;
    uint64_t size;
    struct maxtree_node *child; /* NULL in a leaf */
};

static void put_entry(struct maxtree_node *node, unsigned at, struct entry entry)
{
    node_put(node, at, entry.key, entry.size, entry.child);
}

/* Splits the full node left in two, puts the entry into the half where it belongs and returns the
 * fence between them. */
static uint64_t split(struct maxtree_node *left, struct maxtree_node *right, unsigned at,
                      bool right_edge, struct entry entry)
{
    bool inner = entry.child != NULL;
    unsigned point = split_point(at, right_edge);
    move_tail(left, point, right, inner);
    if (at < point)
        put_entry(left, at, entry);
    else
        put_entry(right, at - point, entry);
    if (!inner)
        return right->keys[0];
    uint64_t fence = left->keys[left->count - 1];
    left->keys[left->count - 1] = KEY_NONE;
    return fence;
}

static void add_root(struct path *path, struct maxtree *tree, struct maxtree_node *root)
{
    assert(tree->height < MAXTREE_HEIGHT_MAX);
    root->count = 1;
    root->children[0] = tree->root;
    path->step[tree->height].node = root;
    path->step[tree->height].at = 0;
    tree->root = root;
    tree->height++;
}

static uint64_t max_below(const struct maxtree_node *node)
{
    return node_max(node);
}

void path_insert(struct path *path, struct maxtree *tree, struct spares *spares,
                 struct extent block)
{
    bool right_edge = path_fence(path, tree) == NULL;
    struct entry entry = {block.address, block.size, NULL};
    unsigned level = 0;
    unsigned used = 0;
    while (path->step[level].node->count == MAXTREE_FANOUT) {
        struct maxtree_node *left = path->step[level].node;
        struct maxtree_node *right = spares->node[used++];
        uint64_t fence = split(left, right, path->step[level].at, right_edge, entry);
        if (level + 1 == tree->height)
            add_root(path, tree, spares->node[used++]);
        level++;
        /* right takes over the upper fence of left, and stands behind it */
        struct maxtree_node *parent = path->step[level].node;
        unsigned at = path->step[level].at;
        entry = (struct entry){parent->keys[at], max_below(right), right};
        parent->keys[at] = fence;
        parent->sizes[at] = max_below(left);
        path->step[level].at = at + 1;
    }
    assert(used == spares->count);
    put_entry(path->step[level].node, path->step[level].at, entry);
    path_raise(path, tree, level, block.size);
    tree->blocks++;
}

/* Merges child at + 1 of the parent into child at. */
static void merge(struct maxtree *tree, struct maxtree_node *parent, unsigned at, bool inner)
{
    struct maxtree_node *left = parent->children[at];
    struct maxtree_node *right = parent->children[at + 1];
    if (inner)
        left->keys[left->count - 1] = parent->keys[at];
    move_tail(right, 0, left, inner);
    node_free(tree, right, inner);
    parent->children[at + 1] = left; /* which takes over the upper fence of right */
    if (parent->sizes[at + 1] < parent->sizes[at])
        parent->sizes[at + 1] = parent->sizes[at];
    node_close(parent, true, at);
}

/* Moves count entries from the front of right to the end of left. */
static void move_front(struct maxtree_node *right, unsigned count, struct maxtree_node *left,
                       bool inner)
{
    unsigned rest = right->count - count;
    memcpy(left->keys + left->count, right->keys, count * sizeof left->keys[0]);
    memcpy(left->sizes + left->count, right->sizes, count * sizeof left->sizes[0]);
    memmove(right->keys, right->keys + count, rest * sizeof left->keys[0]);
    memmove(right->sizes, right->sizes + count, rest * sizeof left->sizes[0]);
    if (inner) {
        memcpy(left->children + left->count, right->children, count * sizeof left->children[0]);
        memmove(right->children, right->children + count, rest * sizeof left->children[0]);
    }
    left->count += count;
    cut(right, rest);
}

/* Moves count entries from the end of left to the front of right. */
static void move_back(struct maxtree_node *left, unsigned count, struct maxtree_node *right,
                      bool inner)
{
    unsigned had = right->count;
    memmove(right->keys + count, right->keys, had * sizeof left->keys[0]);
    memmove(right->sizes + count, right->sizes, had * sizeof left->sizes[0]);
    if (inner)
        memmove(right->children + count, right->children, had * sizeof left->children[0]);
    right->count = 0; /* the gap is as wide as what comes */
    move_tail(left, left->count - count, right, inner);
    right->count = had + count;
}

/* Shares the entries of children at and at + 1 of the parent evenly between them. */
static void even_out(struct maxtree_node *parent, unsigned at, bool inner)
{
    struct maxtree_node *left = parent->children[at];
    struct maxtree_node *right = parent->children[at + 1];
    unsigned half = (left->count + right->count) / 2;
    if (inner)
        left->keys[left->count - 1] = parent->keys[at];
    if (left->count < half)
        move_front(right, half - left->count, left, inner);
    else
        move_back(left, left->count - half, right, inner);
    if (inner) {
        parent->keys[at] = left->keys[left->count - 1];
        left->keys[left->count - 1] = KEY_NONE;
    } else {
        parent->keys[at] = right->keys[0];
    }
    parent->sizes[at] = max_below(left);
    parent->sizes[at + 1] = max_below(right);
}

/* Merges or evens out the poor child `at` of the parent with a sibling, of which it has at least
 * one. */
static void join_child(struct maxtree *tree, struct maxtree_node *parent, unsigned at, bool inner)
{
    unsigned count = parent->children[at]->count;
    bool has_left = at > 0;
    bool has_right = at + 1 < parent->count;
    if (has_left && parent->children[at - 1]->count + count <= NODE_MERGED)
        merge(tree, parent, at - 1, inner);
    else if (has_right && parent->children[at + 1]->count + count <= NODE_MERGED)
        merge(tree, parent, at, inner);
    else
        even_out(parent, has_left ? at - 1 : at, inner);
}

/* The root may be poor, but an inner one needs two children and a leaf one entry. */
static void shorten(struct maxtree *tree)
{
    while (tree->height > 1 && tree->root->count == 1) {
        struct maxtree_node *child = tree->root->children[0];
        node_free(tree, tree->root, true);
        tree->root = child;
        tree->height--;
    }
    if (tree->root->count == 0) {
        node_free(tree, tree->root, false);
        tree->root = NULL;
        tree->height = 0;
    }
}

/* Drops the empty last child of the parent. */
static void drop_child(struct maxtree *tree, struct maxtree_node *parent, bool inner)
{
    unsigned last = parent->count - 1;
    assert(parent->children[last]->count == 0);
    node_free(tree, parent->children[last], inner);
    node_close(parent, true, last);
    if (last > 0)
        parent->keys[last - 1] = KEY_NONE; /* which is the last child now, without a fence */
}

void path_rebalance(struct path *path, struct maxtree *tree)
{
    unsigned top = tree->height - 1;
    for (unsigned level = 0; level < top; level++) {
        struct maxtree_node *node = path->step[level].node;
        struct maxtree_node *parent = path->step[level + 1].node;
        if (node->count >= NODE_MIN)
            break;
        if (node->count == 0) /* only at the right edge are nodes as poor as that */
            drop_child(tree, parent, level > 0);
        else if (parent->count > 1)
            join_child(tree, parent, path->step[level + 1].at, level > 0);
    }
    shorten(tree);
}
