#include "core/maxtree.h"

#include <errno.h>

#include "core/limits.h"
#include "core/maxtree_path.h"

void maxtree_init(struct maxtree *tree)
{
    *tree = (struct maxtree){0};
}

void maxtree_release(struct maxtree *tree)
{
    if (tree->root)
        node_free_below(tree, tree->root, tree->height - 1);
    maxtree_init(tree);
}

static int add_first(struct maxtree *tree, struct extent extent)
{
    struct maxtree_node *leaf = node_new(tree, false);
    if (!leaf)
        return -ENOMEM;
    leaf->count = 1;
    leaf->keys[0] = extent.address;
    leaf->sizes[0] = extent.size;
    tree->root = leaf;
    tree->height = 1;
    tree->blocks = 1;
    tree->bytes = extent.size;
    return 0;
}

/* Entry `at` of the path's leaf got larger. */
static inline void grown(struct maxtree *tree, struct path *path, unsigned at)
{
    path_raise(path, tree, 0, path->step[0].node->sizes[at]);
}

/* Drops entry `at` of the path's leaf and sets right what hangs on it. The path is spent. */
SCAN void drop(struct maxtree *tree, struct path *path, unsigned at)
{
    struct maxtree_node *leaf = path->step[0].node;
    uint64_t size = leaf->sizes[at];
    node_close(leaf, false, at);
    tree->blocks--;
    path_lower(path, tree, size);
    if (leaf->count < NODE_MIN)
        path_rebalance(path, tree);
}

/* An extent to be added, and how it lies between its neighbors in the leaf of its path. */
struct place {
    struct extent extent;
    unsigned at;       /* the first entry behind it */
    bool touches_left; /* entry at - 1 ends where it begins */
};

static int insert(struct maxtree *tree, struct path *path, const struct place *place)
{
    struct maxtree_node *leaf = path->step[0].node;
    if (leaf->count < MAXTREE_FANOUT) {
        node_put(leaf, place->at, place->extent.address, place->extent.size, NULL);
        path_raise(path, tree, 0, place->extent.size);
        tree->blocks++;
        return 0;
    }
    struct spares spares;
    int error = path_reserve(path, tree, &spares);
    if (error)
        return error;
    path->step[0].at = place->at;
    path_insert(path, tree, &spares, place->extent);
    return 0;
}

/* The extent lies behind the last block of its leaf, the path's, and touches the first block of the
 * next leaf, next's: brings that block over to the left leaf, or lets it grow downwards. */
static void merge_over_fence(struct maxtree *tree, struct path *path, struct path *next,
                             uint64_t *fence, const struct place *place)
{
    struct maxtree_node *left = path->step[0].node;
    struct maxtree_node *right = next->step[0].node;
    if (place->touches_left) {
        *fence = right->keys[0] + right->sizes[0];
        left->sizes[place->at - 1] += place->extent.size + right->sizes[0];
        grown(tree, path, place->at - 1);
        drop(tree, next, 0);
    } else {
        *fence = place->extent.address;
        right->keys[0] = place->extent.address;
        right->sizes[0] += place->extent.size;
        grown(tree, next, 0);
    }
}

/* Adds an extent behind the last block of its leaf, where the next leaf has a say too. */
static int add_at_end(struct maxtree *tree, struct path *path, const struct place *place)
{
    uint64_t end = extent_end(place->extent);
    uint64_t *fence = path_fence(path, tree);
    if (fence && end >= *fence) {
        struct path next = *path;
        path_next_leaf(&next, tree);
        uint64_t behind = next.step[0].node->keys[0];
        if (behind < end)
            return -EEXIST;
        if (behind == end) {
            merge_over_fence(tree, path, &next, fence, place);
            return 0;
        }
        /* Sound even if the insertion fails: no block lies between the old fence and this one. */
        *fence = end;
    }
    if (!place->touches_left)
        return insert(tree, path, place);
    path->step[0].node->sizes[place->at - 1] += place->extent.size;
    grown(tree, path, place->at - 1);
    return 0;
}

/* Adds an extent in front of a block of its leaf. */
static int add_inside(struct maxtree *tree, struct path *path, const struct place *place)
{
    struct maxtree_node *leaf = path->step[0].node;
    unsigned at = place->at;
    if (leaf->keys[at] < extent_end(place->extent))
        return -EEXIST;
    bool touches_right = leaf->keys[at] == extent_end(place->extent);
    if (place->touches_left) {
        leaf->sizes[at - 1] += place->extent.size + (touches_right ? leaf->sizes[at] : 0);
        grown(tree, path, at - 1);
        if (touches_right)
            drop(tree, path, at);
    } else if (touches_right) {
        leaf->keys[at] = place->extent.address;
        leaf->sizes[at] += place->extent.size;
        grown(tree, path, at);
    } else {
        return insert(tree, path, place);
    }
    return 0;
}

int maxtree_add(struct maxtree *tree, struct extent extent)
{
    if (!extent_is_valid(extent))
        return -EINVAL;
    if (!tree->root)
        return add_first(tree, extent);

    struct path path;
    const struct maxtree_node *leaf = path_find(&path, tree, extent.address);
    unsigned at = node_rank(leaf, extent.address);
    uint64_t left_end = at > 0 ? leaf->keys[at - 1] + leaf->sizes[at - 1] : 0;
    if (left_end > extent.address)
        return -EEXIST;
    struct place place = {extent, at, at > 0 && left_end == extent.address};
    int error =
        at < leaf->count ? add_inside(tree, &path, &place) : add_at_end(tree, &path, &place);
    if (!error)
        tree->bytes += extent.size;
    return error;
}

/* Takes size bytes off the low end of entry `at` of the path's leaf. The path is spent. */
SCAN void take_low(struct maxtree *tree, struct path *path, unsigned at, uint64_t size)
{
    struct maxtree_node *leaf = path->step[0].node;
    uint64_t had = leaf->sizes[at];
    if (had == size) {
        drop(tree, path, at);
    } else {
        leaf->keys[at] += size;
        leaf->sizes[at] -= size;
        path_lower(path, tree, had);
    }
}

/* Takes size bytes off the high end of entry `at` of the path's leaf, which is larger than that. */
SCAN void take_high(struct maxtree *tree, struct path *path, unsigned at, uint64_t size)
{
    struct maxtree_node *leaf = path->step[0].node;
    uint64_t had = leaf->sizes[at];
    leaf->sizes[at] -= size;
    path_lower(path, tree, had);
}

int maxtree_remove(struct maxtree *tree, struct extent extent)
{
    if (!extent_is_valid(extent))
        return -EINVAL;
    if (!tree->root)
        return -ENOENT;

    struct path path;
    struct maxtree_node *leaf = path_find(&path, tree, extent.address + 1);
    unsigned behind = node_rank(leaf, extent.address + 1);
    if (behind == 0)
        return -ENOENT;
    unsigned at = behind - 1;
    uint64_t block_end = leaf->keys[at] + leaf->sizes[at];
    if (block_end < extent_end(extent))
        return -ENOENT;

    if (leaf->keys[at] == extent.address) {
        take_low(tree, &path, at, extent.size);
    } else {
        struct extent rest = {extent_end(extent), block_end - extent_end(extent)};
        struct spares spares;
        if (rest.size > 0 && path_reserve(&path, tree, &spares))
            return -ENOMEM;
        take_high(tree, &path, at, block_end - extent.address);
        if (rest.size > 0) {
            path.step[0].at = behind;
            path_insert(&path, tree, &spares, rest);
        }
    }
    tree->bytes -= extent.size;
    return 0;
}

/* Sizes that can be asked for; the scans rely on it. */
static bool can_fit(const struct maxtree *tree, uint64_t size)
{
    return size > 0 && size <= tree->bytes;
}

/* Has the keys of a leaf fetched while its sizes are still being searched. */
SCAN void prefetch_keys(const struct maxtree_node *leaf)
{
    __builtin_prefetch(&leaf->count);
    for (unsigned i = 0; i < MAXTREE_FANOUT; i += 8)
        __builtin_prefetch(&leaf->keys[i]);
}

#ifdef MAXTREE_WIDE
#define HAS_WIDE __builtin_cpu_supports("avx512f")
#else
#define HAS_WIDE false
#define node_tightest_wide node_tightest
#define node_two_tightest_wide node_two_tightest
#endif

SCAN unsigned tightest(const struct maxtree_node *node, uint64_t size)
{
    return HAS_WIDE ? node_tightest_wide(node, size) : node_tightest(node, size);
}

/* Takes size bytes off the low end of the block at the end of the path. */
SCAN bool take_at(struct maxtree *tree, struct path *path, uint64_t size, uint64_t *ret_address)
{
    unsigned at = path->step[0].at;
    *ret_address = path->step[0].node->keys[at];
    take_low(tree, path, at, size);
    tree->bytes -= size;
    return true;
}

/* Moves the path from its entry at `level`, above the leaves, to the tightest one below it. */
SCAN void step_tight(struct path *path, unsigned level, uint64_t size)
{
    struct maxtree_node *node = path->step[level].node->children[path->step[level].at];
    if (level == 1)
        prefetch_keys(node);
    path->step[level - 1].node = node;
    path->step[level - 1].at = tightest(node, size);
}

static uint64_t path_size(const struct path *path)
{
    return path->step[0].node->sizes[path->step[0].at];
}

/* Sets out on two paths from an inner root, which may be the same; false when nothing fits. */
SCAN bool start_tight(const struct maxtree *tree, uint64_t size, struct path paths[2])
{
    unsigned top = tree->height - 1, at[2];
    if (HAS_WIDE)
        node_two_tightest_wide(tree->root, size, at);
    else
        node_two_tightest(tree->root, size, at);
    for (unsigned i = 0; i < 2; i++) {
        paths[i].step[top].node = tree->root;
        paths[i].step[top].at = at[i] < MAXTREE_FANOUT ? at[i] : at[1 - i];
    }
    return paths[0].step[top].at < MAXTREE_FANOUT;
}

SCAN bool take_tight_leaf(struct maxtree *tree, uint64_t size, uint64_t *ret_address)
{
    struct path path;
    path.step[0].node = tree->root;
    path.step[0].at = tightest(tree->root, size);
    return path.step[0].at < MAXTREE_FANOUT && take_at(tree, &path, size, ret_address);
}

/* The root's maxima are the largest of thousands of blocks and say little about what else is below
 * them, so there are two ways down, side by side, and what is found at their ends decides. */
SCANS bool maxtree_take_tight(struct maxtree *tree, uint64_t size, uint64_t *ret_address)
{
    struct path paths[2];
    if (!can_fit(tree, size))
        return false;
    if (tree->height == 1)
        return take_tight_leaf(tree, size, ret_address);
    if (!start_tight(tree, size, paths))
        return false;
    for (unsigned level = tree->height - 1; level > 0; level--) {
        step_tight(&paths[0], level, size);
        step_tight(&paths[1], level, size);
    }
    bool is_second = path_size(&paths[1]) < path_size(&paths[0]);
    return take_at(tree, &paths[is_second], size, ret_address);
}

SCANS bool maxtree_take_lowest(struct maxtree *tree, uint64_t size, uint64_t *ret_address)
{
    if (!can_fit(tree, size))
        return false;
    struct path path;
    struct maxtree_node *node = tree->root;
    for (unsigned level = tree->height - 1;; level--) {
        unsigned at = node_first_fit(node, size);
        if (at == MAXTREE_FANOUT)
            return false; /* known at the root, since every maximum is exact */
        path.step[level].node = node;
        path.step[level].at = at;
        if (level == 0)
            return take_at(tree, &path, size, ret_address);
        node = node->children[at];
        if (level == 1)
            prefetch_keys(node);
    }
}

SCANS bool maxtree_take_largest(struct maxtree *tree, uint64_t size, uint64_t *ret_address)
{
    uint64_t largest = maxtree_largest(tree);
    if (!can_fit(tree, size) || largest < size)
        return false;
    struct path path;
    struct maxtree_node *node = tree->root;
    for (unsigned level = tree->height - 1;; level--) {
        path.step[level].node = node;
        path.step[level].at = node_first_of(node, largest);
        if (level == 0)
            break;
        node = node->children[path.step[level].at];
    }
    unsigned at = path.step[0].at;
    *ret_address = node->keys[at] + largest - size;
    if (largest == size)
        drop(tree, &path, at);
    else
        take_high(tree, &path, at, size);
    tree->bytes -= size;
    return true;
}

SCANS uint64_t maxtree_largest(const struct maxtree *tree)
{
    return tree->root ? node_max(tree->root) : 0;
}

/* Finds the first block that ends after address; false when there is none. */
static bool seek(const struct maxtree *tree, uint64_t address, struct path *path)
{
    if (!tree->root || address >= REGION_SIZE_MAX)
        return false;
    const struct maxtree_node *leaf = path_find(path, tree, address + 1);
    unsigned at = node_rank(leaf, address + 1);
    if (at > 0 && leaf->keys[at - 1] + leaf->sizes[at - 1] > address)
        at--;
    path->step[0].at = at;
    return at < leaf->count || path_next_leaf(path, tree);
}

bool maxtree_seek(const struct maxtree *tree, uint64_t address, struct extent *ret_block)
{
    return maxtree_scan(tree, address, ret_block, 1) == 1;
}

bool maxtree_last(const struct maxtree *tree, struct extent *ret_block)
{
    const struct maxtree_node *node = tree->root;
    if (!node)
        return false;
    for (unsigned level = tree->height - 1; level > 0; level--)
        node = node->children[node->count - 1];
    *ret_block = (struct extent){node->keys[node->count - 1], node->sizes[node->count - 1]};
    return true;
}

size_t maxtree_scan(const struct maxtree *tree, uint64_t address, struct extent *blocks,
                    size_t limit)
{
    struct path path;
    size_t got = 0;
    if (limit == 0 || !seek(tree, address, &path))
        return 0;
    do {
        const struct maxtree_node *leaf = path.step[0].node;
        for (unsigned i = path.step[0].at; i < leaf->count && got < limit; i++)
            blocks[got++] = (struct extent){leaf->keys[i], leaf->sizes[i]};
    } while (got < limit && path_next_leaf(&path, tree));
    return got;
}
