/* Built twice: with the tree's own fanout, and with 8 entries a node, so that a few hundred blocks
 * make many levels. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "core/limits.h"
#include "core/maxtree.h"
#include "core/maxtree_node.h"
#include "support_maxtree.h"
#include "support_model.h"
#include "tests/support_main.h"

#define FANOUT ((uint64_t)MAXTREE_FANOUT)

static struct maxtree tree;
static uint64_t seed;

/* The allocation that fails next: the nth from now, 0 for none. */
static unsigned fail_nth;

static void *fail_memory(size_t alignment, size_t size)
{
    if (fail_nth > 0 && --fail_nth == 0)
        return NULL;
    return aligned_alloc(alignment, size);
}

static void *no_memory(size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    return NULL;
}

static void setup(void)
{
    maxtree_init(&tree);
    seed = 42;
    fail_nth = 0;
    maxtree_node_memory = fail_memory;
}

static void teardown(void)
{
    maxtree_release(&tree);
    ck_assert_uint_eq(tree.leaves + tree.inner_nodes, 0);
}

/* Block i is [10 i, 10 i + 5). */
static struct extent spaced(uint64_t i)
{
    return (struct extent){10 * i, 5};
}

static void add_spaced(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_result(maxtree_add(&tree, spaced(i)), 0);
}

START_TEST(test_empty)
{
    struct extent block;
    uint64_t address;
    assert_sound(&tree);
    ck_assert(!maxtree_seek(&tree, 0, &block));
    ck_assert(!maxtree_last(&tree, &block));
    ck_assert_uint_eq(maxtree_scan(&tree, 0, &block, 1), 0);
    ck_assert_uint_eq(maxtree_largest(&tree), 0);
    ck_assert_uint_eq(maxtree_memory(&tree), 0);
    ck_assert(!maxtree_take_tight(&tree, 1, &address));
    ck_assert(!maxtree_take_lowest(&tree, 1, &address));
    ck_assert(!maxtree_take_largest(&tree, 1, &address));
    ck_assert_int_eq(maxtree_remove(&tree, (struct extent){0, 1}), -ENOENT);
    ck_assert_int_eq(maxtree_build(&tree, NULL, 0), 0);
    assert_sound(&tree);
}
END_TEST

START_TEST(test_bounds)
{
    struct extent whole = {0, REGION_SIZE_MAX};
    struct extent last = {REGION_SIZE_MAX - 1, 1};
    struct extent block;
    uint64_t address;
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){5, 0}), -EINVAL);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){1, REGION_SIZE_MAX}), -EINVAL);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){UINT64_MAX, 2}), -EINVAL);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){2, UINT64_MAX}), -EINVAL);
    ck_assert_int_eq(maxtree_add(&tree, whole), 0);
    assert_sound(&tree);
    ck_assert_int_eq(maxtree_remove(&tree, (struct extent){5, 0}), -EINVAL);
    ck_assert_int_eq(maxtree_remove(&tree, (struct extent){UINT64_MAX, 2}), -EINVAL);
    ck_assert_int_eq(maxtree_remove(&tree, last), 0);
    ck_assert(!maxtree_take_tight(&tree, UINT64_MAX, &address));
    ck_assert(!maxtree_take_lowest(&tree, UINT64_MAX, &address));
    ck_assert(!maxtree_take_largest(&tree, UINT64_MAX, &address));
    ck_assert(!maxtree_take_tight(&tree, 0, &address));
    ck_assert(!maxtree_take_lowest(&tree, 0, &address));
    ck_assert(!maxtree_take_largest(&tree, 0, &address));
    ck_assert(!maxtree_seek(&tree, REGION_SIZE_MAX - 1, &block));
    ck_assert(!maxtree_seek(&tree, UINT64_MAX, &block));
    ck_assert(maxtree_seek(&tree, REGION_SIZE_MAX - 2, &block));
    assert_block(block, 0, REGION_SIZE_MAX - 1);
    ck_assert(maxtree_take_tight(&tree, REGION_SIZE_MAX - 1, &address));
    ck_assert_uint_eq(address, 0);
    ck_assert_uint_eq(tree.blocks, 0);
}
END_TEST

START_TEST(test_add_merges)
{
    struct extent block;
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){100, 10}), 0);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){120, 10}), 0);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){110, 4}), 0); /* left */
    ck_assert(maxtree_seek(&tree, 0, &block));
    assert_block(block, 100, 14);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){116, 4}), 0); /* right */
    ck_assert(maxtree_seek(&tree, 114, &block));
    assert_block(block, 116, 14);
    ck_assert_uint_eq(tree.blocks, 2);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){114, 2}), 0); /* both */
    ck_assert(maxtree_last(&tree, &block));
    assert_block(block, 100, 30);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){98, 1}), 0); /* none */
    ck_assert_uint_eq(tree.blocks, 2);
    ck_assert_uint_eq(tree.bytes, 31);
    assert_sound(&tree);
}
END_TEST

START_TEST(test_overlaps_are_refused)
{
    const uint64_t count = 5 * FANOUT;
    add_spaced(count);
    for (uint64_t i = 0; i < count; i++) {
        for (uint64_t from = 10 * i; from < 10 * i + 10; from++) {
            for (uint64_t size = 1; size <= 12; size++) {
                struct extent extent = {from, size};
                bool free = from + size <= 10 * i + 5;
                if (from < 10 * i + 5 || (from + size > 10 * i + 10 && i + 1 < count))
                    assert_result(maxtree_add(&tree, extent), -EEXIST);
                if (!free)
                    assert_result(maxtree_remove(&tree, extent), -ENOENT);
            }
        }
    }
    ck_assert_uint_eq(tree.blocks, count);
    ck_assert_uint_eq(tree.bytes, 5 * count);
    assert_sound(&tree);
}
END_TEST

START_TEST(test_ascending_leaves_full_nodes)
{
    const uint64_t count = 40 * FANOUT + 1;
    for (uint64_t i = 0; i < count; i++) {
        assert_result(maxtree_add(&tree, spaced(i)), 0);
        assert_sound(&tree);
    }
    ck_assert_uint_eq(tree.leaves, 41);
    ck_assert_uint_eq(maxtree_memory(&tree),
                      41 * node_bytes(false) + tree.inner_nodes * node_bytes(true));
    for (uint64_t i = 0; i < count; i++) {
        assert_result(maxtree_remove(&tree, spaced(i)), 0);
        assert_sound(&tree);
    }
    ck_assert_uint_eq(maxtree_memory(&tree), 0);
}
END_TEST

START_TEST(test_descending)
{
    const uint64_t count = 40 * FANOUT;
    for (uint64_t i = count; i > 0; i--) {
        assert_result(maxtree_add(&tree, spaced(i)), 0);
        assert_sound(&tree);
    }
    ck_assert_uint_le(tree.leaves, 40 * 4 / 3 + 1);
    for (uint64_t i = count; i > 0; i--) {
        assert_result(maxtree_remove(&tree, spaced(i)), 0);
        assert_sound(&tree);
    }
    ck_assert_uint_eq(maxtree_memory(&tree), 0);
}
END_TEST

/* Ascending at the end of a leaf that is not the last. */
START_TEST(test_ascending_inside)
{
    const uint64_t count = 40 * FANOUT;
    add_spaced(FANOUT);
    for (uint64_t i = count + 1; i <= count + 4 * FANOUT; i++)
        assert_result(maxtree_add(&tree, spaced(i)), 0);
    for (uint64_t i = FANOUT; i < count; i++) {
        assert_result(maxtree_add(&tree, spaced(i)), 0);
        assert_sound(&tree);
    }
    ck_assert_uint_le(tree.leaves, (40 + 4) * 4 / 3 + 2);
}
END_TEST

/* Blocks come and go at the end: the right edge, where nodes may be poor, at every height. */
START_TEST(test_right_edge)
{
    const uint64_t count = FANOUT * FANOUT + FANOUT;
    uint64_t length = 0;
    for (int turn = 0; turn < 20; turn++) {
        uint64_t target = turn % 4 == 0   ? count
                          : turn % 4 == 2 ? random_in(&seed, 0, 3)
                                          : random_in(&seed, 0, count);
        for (; length < target; length++)
            assert_result(maxtree_add(&tree, spaced(length)), 0);
        while (length > target)
            assert_result(maxtree_remove(&tree, spaced(--length)), 0);
        assert_sound(&tree);
    }
}
END_TEST

/* Nodes of every level are full, or one off, and one block comes and goes at the end. */
START_TEST(test_one_more_and_away)
{
    for (uint64_t full = FANOUT; full <= 4096; full *= FANOUT) {
        for (uint64_t length = full - 1; length <= full + 1; length++) {
            add_spaced(length);
            for (int times = 0; times < 2; times++) {
                assert_result(maxtree_add(&tree, spaced(length)), 0);
                assert_sound(&tree);
                assert_result(maxtree_remove(&tree, spaced(length)), 0);
                assert_sound(&tree);
            }
            for (uint64_t i = length; i > 0; i--) {
                assert_result(maxtree_remove(&tree, spaced(i - 1)), 0);
                assert_sound(&tree);
            }
            ck_assert_uint_eq(maxtree_memory(&tree), 0);
        }
    }
}
END_TEST

static uint64_t *shuffled(uint64_t count)
{
    uint64_t *items = malloc(count * sizeof *items);
    ck_assert_ptr_nonnull(items);
    for (uint64_t i = 0; i < count; i++)
        items[i] = i;
    random_shuffle(&seed, items, count);
    return items;
}

START_TEST(test_random_order)
{
    const uint64_t count = 60 * FANOUT;
    uint64_t *order = shuffled(count);
    for (uint64_t i = 0; i < count; i++) {
        assert_result(maxtree_add(&tree, spaced(order[i])), 0);
        assert_sound(&tree);
    }
    ck_assert_uint_eq(tree.blocks, count);
    random_shuffle(&seed, order, count);
    for (uint64_t i = 0; i < count; i++) {
        assert_result(maxtree_remove(&tree, spaced(order[i])), 0);
        assert_sound(&tree);
    }
    ck_assert_uint_eq(tree.blocks, 0);
    ck_assert_uint_eq(maxtree_memory(&tree), 0);
    free(order);
}
END_TEST

/* Every gap is filled, so that blocks merge over every edge of a leaf, from both sides. */
START_TEST(test_merge_over_edges)
{
    const uint64_t count = 30 * FANOUT;
    for (int way = 0; way < 3; way++) {
        add_spaced(count);
        uint64_t *order = shuffled(count - 1);
        for (uint64_t i = 0; i + 1 < count; i++) {
            struct extent gap = {10 * order[i] + 5, 5};
            struct extent low = {gap.address, 2};
            struct extent high = {gap.address + 2, 3};
            if (way == 0)
                assert_result(maxtree_add(&tree, gap), 0);
            if (way == 1)
                assert_result(maxtree_add(&tree, low), 0); /* raises fences */
            if (way > 0)
                assert_result(maxtree_add(&tree, high), 0); /* lowers keys */
            if (way == 2)
                assert_result(maxtree_add(&tree, low), 0);
            assert_sound(&tree);
        }
        ck_assert_uint_eq(tree.blocks, 1);
        ck_assert_uint_eq(maxtree_largest(&tree), 10 * count - 5);
        free(order);
        maxtree_release(&tree);
    }
}
END_TEST

/* A block grows over what was its leaf's fence; then its low end is handed out beyond that. */
START_TEST(test_key_moves_past_old_fence)
{
    const uint64_t count = 20 * FANOUT;
    add_spaced(count);
    for (uint64_t i = 0; i < count; i++) {
        assert_result(maxtree_add(&tree, (struct extent){10 * i + 5, 4}), 0);
        assert_result(maxtree_remove(&tree, (struct extent){10 * i, 8}), 0);
        assert_sound(&tree);
        struct extent block;
        assert_result(maxtree_seek(&tree, 10 * i, &block), true);
        assert_block(block, 10 * i + 8, 1);
    }
    for (uint64_t i = 0; i < count; i++) {
        assert_result(maxtree_add(&tree, (struct extent){10 * i, 8}), 0);
        assert_sound(&tree);
    }
}
END_TEST

enum policy { TIGHT, LOWEST, LARGEST };

START_TEST(test_build_equals_insertion)
{
    const uint64_t counts[] = {0, 1, 2, 7, 8, 55, 56, 57, 63, 64, 65, 448, 3136, 3137, 20000};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        uint64_t count = counts[c];
        struct extent *extents = calloc(count + 1, sizeof *extents);
        struct extent *found = calloc(count + 1, sizeof *found);
        for (uint64_t i = 0; i < count; i++)
            extents[i] = (struct extent){20 * i, random_in(&seed, 1, 19)};
        ck_assert_int_eq(maxtree_build(&tree, extents, count), 0);
        assert_sound(&tree);
        struct maxtree inserted;
        maxtree_init(&inserted);
        for (uint64_t i = 0; i < count; i++)
            assert_result(maxtree_add(&inserted, extents[i]), 0);
        ck_assert_uint_eq(tree.blocks, inserted.blocks);
        ck_assert_uint_eq(tree.bytes, inserted.bytes);
        ck_assert_uint_eq(maxtree_scan(&tree, 0, found, count + 1), count);
        ck_assert(memcmp(extents, found, count * sizeof *found) == 0);
        ck_assert_uint_eq(maxtree_scan(&inserted, 0, found, count + 1), count);
        ck_assert(memcmp(extents, found, count * sizeof *found) == 0);
        maxtree_release(&inserted);
        for (uint64_t i = 0; i < count; i += 2)
            assert_result(maxtree_remove(&tree, extents[i]), 0);
        assert_sound(&tree);
        maxtree_release(&tree);
        free(extents);
        free(found);
    }
}
END_TEST

START_TEST(test_build_refusals)
{
    const struct extent wrong[][2] = {
        {{0, 5}, {5, 5}},  /* touch */
        {{0, 5}, {4, 5}},  /* overlap */
        {{10, 5}, {0, 5}}, /* out of order */
        {{0, 0}, {10, 5}}, {{0, 5}, {REGION_SIZE_MAX, 1}}, {{0, 5}, {UINT64_MAX, 5}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(maxtree_build(&tree, wrong[i], 2), -EINVAL);
        assert_sound(&tree);
        ck_assert_uint_eq(tree.blocks, 0);
    }
    struct extent fine = {0, 5};
    ck_assert_int_eq(maxtree_build(&tree, &fine, 1), 0);
    ck_assert_int_eq(maxtree_build(&tree, &fine, 1), -EINVAL);
    ck_assert_uint_eq(tree.blocks, 1);
}
END_TEST

START_TEST(test_scan_pages)
{
    const uint64_t count = 10 * FANOUT;
    add_spaced(count);
    for (size_t limit = 1; limit < 4 * FANOUT; limit += 7) {
        struct extent blocks[4 * MAXTREE_FANOUT];
        uint64_t from = 0;
        uint64_t seen = 0;
        size_t found;
        while ((found = maxtree_scan(&tree, from, blocks, limit)) > 0) {
            for (size_t i = 0; i < found; i++, seen++)
                assert_block(blocks[i], 10 * seen, 5);
            from = extent_end(blocks[found - 1]);
        }
        ck_assert_uint_eq(seen, count);
    }
    struct extent block;
    ck_assert_uint_eq(maxtree_scan(&tree, 0, &block, 0), 0);
    ck_assert_uint_eq(maxtree_scan(&tree, 10 * count - 6, &block, 1), 1);
    ck_assert_uint_eq(maxtree_scan(&tree, 10 * count - 5, &block, 1), 0);
    ck_assert(maxtree_last(&tree, &block));
    assert_block(block, 10 * (count - 1), 5);
}
END_TEST

/* Full nodes on every level: the next block splits them all and needs a new root. */
static uint64_t add_full_levels(void)
{
    const uint64_t count = FANOUT * FANOUT;
    add_spaced(count);
    ck_assert_uint_eq(tree.height, 2);
    ck_assert_uint_eq(tree.leaves, FANOUT);
    return count;
}

static unsigned failures_until_success(bool add, struct extent extent)
{
    const struct maxtree before = tree;
    for (unsigned n = 1;; n++) {
        fail_nth = n;
        int error = add ? maxtree_add(&tree, extent) : maxtree_remove(&tree, extent);
        assert_sound(&tree);
        if (!error) {
            ck_assert_uint_gt(fail_nth, 0); /* it asked for fewer */
            fail_nth = 0;
            return n - 1;
        }
        ck_assert_int_eq(error, -ENOMEM);
        ck_assert_ptr_eq(tree.root, before.root);
        ck_assert_uint_eq(tree.height, before.height);
        ck_assert_uint_eq(tree.blocks, before.blocks);
        for (uint64_t i = 0; i < before.blocks; i++) {
            struct extent block;
            assert_result(maxtree_seek(&tree, 10 * i, &block), true);
            assert_block(block, 10 * i, 5);
        }
    }
}

START_TEST(test_no_memory_leaves_all_as_it_was)
{
    ck_assert_uint_eq(failures_until_success(true, spaced(0)), 1);
    maxtree_release(&tree);

    uint64_t count = add_full_levels();
    ck_assert_uint_eq(failures_until_success(true, spaced(count)), 3);
    maxtree_release(&tree);

    add_full_levels(); /* between two leaves, past the fence */
    ck_assert_uint_eq(failures_until_success(true, (struct extent){10 * FANOUT - 4, 2}), 3);
    maxtree_release(&tree);

    count = add_full_levels();
    ck_assert_uint_eq(failures_until_success(false, (struct extent){10 * (count / 2) + 1, 3}), 3);
    maxtree_release(&tree);

    add_spaced(2 * FANOUT); /* the leaf is full, the root is not */
    ck_assert_uint_eq(failures_until_success(false, (struct extent){1, 3}), 1);
}
END_TEST

START_TEST(test_build_without_memory)
{
    const uint64_t count = 4 * FANOUT;
    struct extent extents[4 * MAXTREE_FANOUT];
    for (uint64_t i = 0; i < count; i++)
        extents[i] = spaced(i);
    unsigned n = 1;
    for (;; n++) {
        fail_nth = n;
        int error = maxtree_build(&tree, extents, count);
        if (!error)
            break;
        ck_assert_int_eq(error, -ENOMEM);
        ck_assert_uint_eq(tree.blocks + tree.bytes + tree.leaves + tree.inner_nodes, 0);
        assert_sound(&tree);
    }
    ck_assert_uint_eq(n - 1, tree.leaves + tree.inner_nodes);
    assert_sound(&tree);
}
END_TEST

START_TEST(test_taking_and_merging_need_no_memory)
{
    const uint64_t count = 20 * FANOUT;
    for (int policy = TIGHT; policy <= LARGEST; policy++) {
        maxtree_node_memory = fail_memory;
        add_spaced(count);
        maxtree_node_memory = no_memory;
        for (uint64_t i = 0; i + 1 < count; i += 3)
            assert_result(maxtree_add(&tree, (struct extent){10 * i + 5, i % 2 ? 5 : 2}), 0);
        uint64_t bytes = tree.bytes;
        uint64_t address;
        for (; tree.blocks > 0; bytes -= 1) {
            assert_result(policy == TIGHT    ? maxtree_take_tight(&tree, 1, &address)
                          : policy == LOWEST ? maxtree_take_lowest(&tree, 1, &address)
                                             : maxtree_take_largest(&tree, 1, &address),
                          true);
            assert_result(tree.bytes == bytes - 1, true);
        }
        assert_sound(&tree);
    }
}
END_TEST

/* Damages *word, expects the check to see it, and puts it right. */
static void assert_detected(void *word, size_t size, uint64_t damage)
{
    uint64_t before = 0;
    memcpy(&before, word, size);
    memcpy(word, &damage, size);
    ck_assert_ptr_nonnull(maxtree_check(&tree));
    memcpy(word, &before, size);
    assert_sound(&tree);
}

START_TEST(test_check_finds_damage)
{
    const uint64_t count = 5 * FANOUT;
    add_spaced(count);
    struct maxtree_node *root = tree.root;
    struct maxtree_node *leaf = root->children[1];
    assert_detected(&tree.blocks, 8, count + 1);
    assert_detected(&tree.bytes, 8, 5 * count - 1);
    assert_detected(&tree.leaves, 8, 6);
    assert_detected(&tree.inner_nodes, 8, 0);
    assert_detected(&tree.height, 4, 0);
    assert_detected(&root->sizes[1], 8, 6);                   /* maximum too large */
    assert_detected(&root->sizes[1], 8, 4);                   /* too small */
    assert_detected(&root->keys[0], 8, leaf->keys[0] + 1);    /* fence inside a block */
    assert_detected(&root->keys[0], 8, leaf->keys[0] - 6);    /* before the end of one */
    assert_detected(&root->keys[4], 8, root->keys[3] + 1000); /* the last child has no fence */
    assert_detected(&root->sizes[6], 8, 1);                   /* padding */
    assert_detected(&leaf->sizes[3], 8, 0);                   /* empty block */
    assert_detected(&leaf->sizes[3], 8, 10);                  /* touches the next */
    assert_detected(&leaf->keys[3], 8, leaf->keys[2] + 5);    /* touches the one before */
    assert_detected(&leaf->keys[3], 8, leaf->keys[4] + 1);    /* out of order */
    assert_detected(&leaf->count, 4, NODE_MIN - 1);           /* poor */
    assert_detected(&root->count, 4, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("maxtree");
    TCase *basics = tcase_create("basics");
    tcase_add_checked_fixture(basics, setup, teardown);
    tcase_add_test(basics, test_empty);
    tcase_add_test(basics, test_bounds);
    tcase_add_test(basics, test_add_merges);
    tcase_add_test(basics, test_overlaps_are_refused);
    tcase_add_test(basics, test_build_refusals);
    tcase_add_test(basics, test_scan_pages);
    tcase_add_test(basics, test_check_finds_damage);
    suite_add_tcase(suite, basics);

    TCase *shape = tcase_create("shape");
    tcase_add_checked_fixture(shape, setup, teardown);
    tcase_add_test(shape, test_ascending_leaves_full_nodes);
    tcase_add_test(shape, test_descending);
    tcase_add_test(shape, test_ascending_inside);
    tcase_add_test(shape, test_right_edge);
    tcase_add_test(shape, test_one_more_and_away);
    tcase_add_test(shape, test_random_order);
    tcase_add_test(shape, test_merge_over_edges);
    tcase_add_test(shape, test_key_moves_past_old_fence);
    tcase_add_test(shape, test_build_equals_insertion);
    suite_add_tcase(suite, shape);

    TCase *memory = tcase_create("memory");
    tcase_add_checked_fixture(memory, setup, teardown);
    tcase_add_test(memory, test_no_memory_leaves_all_as_it_was);
    tcase_add_test(memory, test_build_without_memory);
    tcase_add_test(memory, test_taking_and_merging_need_no_memory);
    suite_add_tcase(suite, memory);

    return suite_main(suite);
}
