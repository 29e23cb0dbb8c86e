/* The tree against a model of bytes, under random operations. Built twice, like test_maxtree.c. */
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

static void setup(void)
{
    maxtree_init(&tree);
    seed = 42;
}

static void teardown(void)
{
    maxtree_release(&tree);
}

/* The tightest of every `stride`th entry from `from` on; MAXTREE_FANOUT when none fits. */
static unsigned expect_entry(const struct maxtree_node *node, uint64_t size, unsigned from,
                             unsigned stride)
{
    unsigned best = MAXTREE_FANOUT;
    for (unsigned i = from; i < node->count; i += stride) {
        if (node->sizes[i] >= size &&
            (best == MAXTREE_FANOUT || node->sizes[i] < node->sizes[best]))
            best = i;
    }
    return best;
}

/* The tight rule once more, entry by entry. */
static bool expect_tight(uint64_t size, struct extent *ret_block)
{
    unsigned ways = tree.height > 1 ? 2 : 1;
    bool fits = false;
    for (unsigned way = 0; tree.root != NULL && way < ways; way++) {
        const struct maxtree_node *node = tree.root;
        unsigned at = expect_entry(node, size, way, ways);
        if (at == MAXTREE_FANOUT)
            continue;
        for (unsigned level = tree.height - 1; level > 0; level--) {
            node = node->children[at];
            at = expect_entry(node, size, 0, 1);
        }
        if (!fits || node->sizes[at] < ret_block->size)
            *ret_block = (struct extent){node->keys[at], node->sizes[at]};
        fits = true;
    }
    return fits;
}

#ifdef MAXTREE_WIDE
/* What is found with wide vectors is what is found entry by entry, wherever it is and however many
 * entries fit, also at the ends of what a size can be. */
START_TEST(test_wide_is_plain)
{
    if (!node_has_wide())
        return;
    struct maxtree_node *node = node_new(&tree, false);
    ck_assert_ptr_nonnull(node);
    for (unsigned turn = 0; turn < 20000; turn++) {
        uint64_t largest = turn % 3 == 0 ? 4 : turn % 3 == 1 ? 100 : REGION_SIZE_MAX;
        unsigned two[2], wide[2];
        node->count = (unsigned)random_in(&seed, 0, FANOUT);
        for (unsigned i = 0; i < MAXTREE_FANOUT; i++)
            node->sizes[i] = i < node->count ? random_in(&seed, 1, largest) : 0;
        uint64_t size = turn % 7 == 0 ? largest : random_in(&seed, 1, largest);
        unsigned expected = expect_entry(node, size, 0, 1);
        assert_result(node_tightest_wide(node, size) == expected, true);
        assert_result(node_tightest(node, size) == expected, true);
        node_two_tightest(node, size, two);
        node_two_tightest_wide(node, size, wide);
        for (unsigned way = 0; way < 2; way++) {
            assert_result(two[way] == expect_entry(node, size, way, 2), true);
            assert_result(two[way] == wide[way], true);
        }
    }
    node_free(&tree, node, false);
}
END_TEST
#endif

/* The tightest way from the root ends at a block that is less tight than another's. */
START_TEST(test_second_way)
{
    struct extent blocks[16 * MAXTREE_FANOUT];
    uint64_t address = 0;
    size_t count = sizeof blocks / sizeof blocks[0];
    for (size_t i = 0; i < count; i++)
        blocks[i] = (struct extent){100 * i, 1};
    ck_assert_int_eq(maxtree_build(&tree, blocks, count), 0);
    ck_assert_uint_ge(tree.root->count, 2);
    uint64_t behind = tree.root->keys[0];
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){2, 30}), 0);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){behind + 2, 40}), 0);
    ck_assert_int_eq(maxtree_add(&tree, (struct extent){behind + 102, 21}), 0);
    ck_assert(maxtree_take_tight(&tree, 20, &address));
    ck_assert_uint_eq(address, behind + 102);
    ck_assert(maxtree_take_tight(&tree, 20, &address));
    ck_assert_uint_eq(address, 2);
}
END_TEST

enum policy { TIGHT, LOWEST, LARGEST };

static void random_take(struct model *model, enum policy policy, uint64_t size)
{
    struct extent block = {0, 0};
    uint64_t address = 0;
    bool took = false;
    if (policy == TIGHT) {
        struct extent expected = {0, 0};
        bool fits = expect_tight(size, &expected);
        assert_result(fits, model_largest(model).size >= size);
        took = maxtree_take_tight(&tree, size, &address);
        block = expected;
    } else if (policy == LOWEST) {
        block = model_first_fit(model, size);
        took = maxtree_take_lowest(&tree, size, &address);
    } else {
        block = model_largest(model);
        took = maxtree_take_largest(&tree, size, &address);
    }
    assert_result(took, model_largest(model).size >= size);
    if (!took)
        return;
    assert_block((struct extent){address, size},
                 policy == LARGEST ? extent_end(block) - size : block.address, size);
    assert_result(model_all(model, (struct extent){address, size}, true), true);
    model_set(model, (struct extent){address, size}, false);
}

static void random_change(struct model *model, bool add, struct extent extent)
{
    bool possible = model_all(model, extent, !add);
    int error = add ? maxtree_add(&tree, extent) : maxtree_remove(&tree, extent);
    assert_result(error, possible ? 0 : add ? -EEXIST : -ENOENT);
    if (possible)
        model_set(model, extent, add);
}

static void random_seek(const struct model *model, uint64_t address)
{
    struct extent block;
    struct extent run = model_run(model, address, model->size, true);
    assert_result(maxtree_seek(&tree, address, &block), run.size > 0);
    if (run.size == 0)
        return;
    bool same_start = block.address == run.address || run.address == address;
    assert_result(same_start && extent_end(block) == extent_end(run), true);
}

/* Phases that fill and drain, so that trees grow, shrink and go through every height. */
static void run_against_model(enum policy policy, uint64_t size, unsigned steps,
                              unsigned compare_every)
{
    struct model model;
    model_init(&model, size);
    for (unsigned step = 0; step < steps; step++) {
        uint64_t add_percent = step / (steps / 8) % 2 == 0 ? 75 : 25;
        uint64_t largest = random_in(&seed, 0, 9) == 0 ? 40 : 4;
        struct extent extent = {random_in(&seed, 0, size - 40), random_in(&seed, 1, largest)};
        if (random_in(&seed, 0, 99) < add_percent)
            random_change(&model, true, extent);
        else if (random_in(&seed, 0, 1) == 0)
            random_change(&model, false, extent);
        else
            random_take(&model, policy, random_in(&seed, 1, largest));
        random_seek(&model, random_in(&seed, 0, size - 1));
        if (step % compare_every == 0)
            assert_equals(&tree, &model);
    }
    assert_equals(&tree, &model);
    model_release(&model);
}

START_TEST(test_model_small)
{
    run_against_model((enum policy)_i, 60 * FANOUT, 16000, 1);
}
END_TEST

START_TEST(test_model_large)
{
    run_against_model((enum policy)_i, 1000 * FANOUT, 40000, 500);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("maxtree_model");
    TCase *cases = tcase_create("model");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, test_model_small, TIGHT, LARGEST + 1);
    tcase_add_loop_test(cases, test_model_large, TIGHT, LARGEST + 1);
#ifdef MAXTREE_WIDE
    tcase_add_test(cases, test_wide_is_plain);
#endif
    tcase_add_test(cases, test_second_way);
    suite_add_tcase(suite, cases);
    return suite_main(suite);
}
