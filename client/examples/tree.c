/* A map of strings that is durable: a search tree of one's own in a region, which is always whole.
 * Its root is a reference in the region's first 16 bytes; a reference is an address and a size, and
 * a node is
 *
 *     bytes 0-15    reference of the left child, little-endian; all zero: there is none
 *     bytes 16-31   reference of the right child
 *     bytes 32-39   length of the key
 *     bytes 40-     the key, then the value
 *
 * It is a treap: ordered by key from left to right, and from top to bottom by a hash of the key,
 * which keeps it shallow. A new node is added first, and then everything that points to something
 * else afterwards is stored in one batch: the server makes all of those changes or none, whenever
 * whoever dies. At worst there is a node that nobody points to; sweep frees it.
 *
 *     cc tree.c $(pkg-config --cflags --libs mregion) -o tree
 *     ./tree unix:/run/mregiond/mregiond.sock main put KEY VALUE
 *     ./tree unix:/run/mregiond/mregiond.sock main get|remove KEY
 *     ./tree unix:/run/mregiond/mregiond.sock main list|sweep */
#include <inttypes.h>
#include <mregion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT 0
#define LEFT 0
#define RIGHT 16
#define REFERENCE 16
#define HEADER 40

struct node {
    struct mregion_block block; /* where it is */
    struct mregion_block left, right;
    const char *key;
    size_t key_length;
    const char *value;
    size_t value_length;
    uint8_t *bytes;
};

static struct mregion *connection;
static const char *region;
static struct mregion_error error;
static const struct mregion_block nothing;

static void must(int code)
{
    if (code == MREGION_OK)
        return;
    fprintf(stderr, "tree: %s: %s\n", mregion_code_name(error.code), error.text);
    exit(EXIT_FAILURE);
}

/* ---- References and nodes ---- */

static void put_number(uint8_t *bytes, uint64_t number)
{
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (8 * i));
}

static uint64_t get_number(const uint8_t *bytes)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < 8; i++)
        number |= (uint64_t)bytes[i] << (8 * i);
    return number;
}

static void put_reference(uint8_t *bytes, struct mregion_block block)
{
    put_number(bytes, block.address);
    put_number(bytes + 8, block.size);
}

static struct mregion_block get_reference(const uint8_t *bytes)
{
    return (struct mregion_block){get_number(bytes), get_number(bytes + 8)};
}

static struct node load(struct mregion_block block)
{
    struct node node = {.block = block};
    void *bytes;

    must(mregion_load_new(connection, region, block.address, block.size, &bytes, &error));
    node.bytes = bytes;
    node.left = get_reference(node.bytes + LEFT);
    node.right = get_reference(node.bytes + RIGHT);
    node.key_length = (size_t)get_number(node.bytes + 2 * REFERENCE);
    node.key = (const char *)node.bytes + HEADER;
    node.value = node.key + node.key_length;
    node.value_length = (size_t)block.size - HEADER - node.key_length;
    return node;
}

static void drop(struct node *node)
{
    mregion_free(node->bytes);
}

/* The region's first blob, unless it is there. */
static struct mregion_block load_root(void)
{
    uint8_t bytes[REFERENCE] = {0};
    uint64_t size, address;

    must(mregion_size(connection, region, &size, &error));
    if (size == 0)
        must(mregion_add(connection, region, bytes, sizeof bytes, &address, &error));
    else
        must(mregion_load(connection, region, ROOT, sizeof bytes, bytes, &error));
    return get_reference(bytes);
}

/* ---- Order ---- */

static int compare(const char *key, const struct node *node)
{
    size_t length = strlen(key), shorter = length < node->key_length ? length : node->key_length;
    int order = memcmp(key, node->key, shorter);

    if (order != 0)
        return order;
    return length < node->key_length ? -1 : length > node->key_length;
}

/* FNV-1a. */
static uint64_t hash(const char *key, size_t length)
{
    uint64_t sum = 14695981039346656037U;

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ (uint8_t)key[i]) * 1099511628211U;
    return sum;
}

static uint64_t height_of(const struct node *node)
{
    return hash(node->key, node->key_length);
}

/* ---- Changes ---- */

/* What the batch is to store: references, in the nodes (or the root) that have others now. */
static struct mregion_batch *batch;

static void point(uint64_t slot, struct mregion_block block)
{
    uint8_t bytes[REFERENCE];

    put_reference(bytes, block);
    must(mregion_batch_store(batch, slot, bytes, sizeof bytes, NULL, &error));
}

static struct mregion_block add_node(const char *key, const char *value, struct mregion_block left,
                                     struct mregion_block right)
{
    size_t key_length = strlen(key), value_length = strlen(value);
    struct mregion_block block = {0, HEADER + key_length + value_length};
    uint8_t *bytes = malloc((size_t)block.size);

    if (bytes == NULL)
        exit(EXIT_FAILURE);
    put_reference(bytes + LEFT, left);
    put_reference(bytes + RIGHT, right);
    put_number(bytes + 2 * REFERENCE, key_length);
    memcpy(bytes + HEADER, key, key_length);
    memcpy(bytes + HEADER + key_length, value, value_length);
    must(mregion_add(connection, region, bytes, block.size, &block.address, &error));
    free(bytes);
    return block;
}

/* Takes the tree apart at the key, for a node that comes above it: what is smaller hangs on the
 * left of that, what is larger on the right. */
static void split(struct mregion_block tree, const char *key, struct mregion_block *ret_left,
                  struct mregion_block *ret_right)
{
    uint64_t left_slot = 0, right_slot = 0; /* 0: the new node's own, which is not stored yet */

    *ret_left = *ret_right = nothing;
    while (tree.size > 0) {
        struct node node = load(tree);

        if (compare(key, &node) > 0) {
            if (left_slot == 0)
                *ret_left = tree;
            else
                point(left_slot, tree);
            left_slot = node.block.address + RIGHT;
            tree = node.right;
        } else {
            if (right_slot == 0)
                *ret_right = tree;
            else
                point(right_slot, tree);
            right_slot = node.block.address + LEFT;
            tree = node.left;
        }
        drop(&node);
    }
    if (left_slot != 0)
        point(left_slot, nothing);
    if (right_slot != 0)
        point(right_slot, nothing);
}

static void put(const char *key, const char *value)
{
    uint64_t slot = ROOT, height = hash(key, strlen(key));
    struct mregion_block tree = load_root(), old = nothing, left = nothing, right = nothing;

    while (tree.size > 0) {
        struct node node = load(tree);
        int order = compare(key, &node);

        left = node.left;
        right = node.right;
        if (order == 0)
            old = tree;
        else if (height_of(&node) < height)
            order = 0; /* the new one comes above it */
        drop(&node);
        if (order == 0)
            break;
        slot = tree.address + (order < 0 ? LEFT : RIGHT);
        tree = order < 0 ? left : right;
    }
    if (old.size == 0)
        split(tree, key, &left, &right);
    else
        must(mregion_batch_deallocate(batch, old.address, old.size, NULL, &error));
    point(slot, add_node(key, value, left, right));
    must(mregion_batch_commit(batch, NULL, &error));
}

/* Puts both trees together in the slot; all of left is smaller than all of right. */
static void merge(uint64_t slot, struct mregion_block left, struct mregion_block right)
{
    while (left.size > 0 && right.size > 0) {
        struct node a = load(left), b = load(right);

        if (height_of(&a) > height_of(&b)) {
            point(slot, left);
            slot = left.address + RIGHT;
            left = a.right;
        } else {
            point(slot, right);
            slot = right.address + LEFT;
            right = b.left;
        }
        drop(&a);
        drop(&b);
    }
    point(slot, left.size > 0 ? left : right);
}

/* The slot that refers to the key's node, which is loaded; false where there is none. */
static int find(const char *key, uint64_t *ret_slot, struct node *ret_node)
{
    struct mregion_block tree = load_root();

    *ret_slot = ROOT;
    while (tree.size > 0) {
        int order;

        *ret_node = load(tree);
        order = compare(key, ret_node);
        if (order == 0)
            return 1;
        *ret_slot = tree.address + (order < 0 ? LEFT : RIGHT);
        tree = order < 0 ? ret_node->left : ret_node->right;
        drop(ret_node);
    }
    fprintf(stderr, "tree: there is no %s\n", key);
    return 0;
}

static int take(const char *key)
{
    struct node node;
    uint64_t slot;

    if (!find(key, &slot, &node))
        return EXIT_FAILURE;
    merge(slot, node.left, node.right);
    must(mregion_batch_deallocate(batch, node.block.address, node.block.size, NULL, &error));
    must(mregion_batch_commit(batch, NULL, &error));
    drop(&node);
    return EXIT_SUCCESS;
}

/* ---- Questions ---- */

static int get(const char *key)
{
    struct node node;
    uint64_t slot;

    if (!find(key, &slot, &node))
        return EXIT_FAILURE;
    printf("%.*s\n", (int)node.value_length, node.value);
    drop(&node);
    return EXIT_SUCCESS;
}

typedef void visit_function(const struct node *node);

static void walk(struct mregion_block tree, visit_function *visit)
{
    struct node node;

    if (tree.size == 0)
        return;
    node = load(tree);
    walk(node.left, visit);
    visit(&node);
    walk(node.right, visit);
    drop(&node);
}

static void print(const struct node *node)
{
    printf("%.*s=%.*s\n", (int)node->key_length, node->key, (int)node->value_length, node->value);
}

/* ---- Sweep ---- */

static struct mregion_block *blocks;
static size_t blocks_count;

static void collect(const struct node *node)
{
    blocks = realloc(blocks, (blocks_count + 1) * sizeof *blocks);
    if (blocks == NULL)
        exit(EXIT_FAILURE);
    blocks[blocks_count++] = node->block;
}

static int by_address(const void *a, const void *b)
{
    uint64_t first = ((const struct mregion_block *)a)->address;
    uint64_t second = ((const struct mregion_block *)b)->address;

    return first < second ? -1 : first > second;
}

/* Frees what is in use between the nodes. */
static void sweep(void)
{
    uint64_t size, freed, all = 0, at = REFERENCE;

    walk(load_root(), collect);
    must(mregion_size(connection, region, &size, &error));
    if (blocks_count > 0)
        qsort(blocks, blocks_count, sizeof *blocks, by_address);
    for (size_t i = 0; i <= blocks_count; i++) {
        uint64_t end = i < blocks_count ? blocks[i].address : size;

        if (end > at) {
            must(mregion_deallocate_range(connection, region, at, end, &freed, &error));
            all += freed;
        }
        at = i < blocks_count ? end + blocks[i].size : end;
    }
    printf("%" PRIu64 " bytes freed\n", all);
    free(blocks);
}

static int run(int argc, char **argv)
{
    const char *command = argc > 3 ? argv[3] : "";

    if (argc == 6 && strcmp(command, "put") == 0)
        put(argv[4], argv[5]);
    else if (argc == 5 && strcmp(command, "get") == 0)
        return get(argv[4]);
    else if (argc == 5 && strcmp(command, "remove") == 0)
        return take(argv[4]);
    else if (argc == 4 && strcmp(command, "list") == 0)
        walk(load_root(), print);
    else if (argc == 4 && strcmp(command, "sweep") == 0)
        sweep();
    else
        return -1;
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    int status;

    if (argc < 4) {
        fprintf(stderr, "usage: tree ADDRESS REGION COMMAND...\n");
        return EXIT_FAILURE;
    }
    region = argv[2];
    must(mregion_connect(argv[1], NULL, &connection, &error));
    must(mregion_batch_begin(connection, region, &batch, &error));
    status = run(argc, argv);
    if (status < 0)
        fprintf(stderr, "tree: put KEY VALUE, get KEY, remove KEY, list, or sweep\n");
    mregion_batch_close(batch);
    mregion_close(connection);
    return status == EXIT_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
