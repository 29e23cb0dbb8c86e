/* The tree against a model of bytes, under random operations. Built twice, like test_maxtree.c. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

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

/* The tight rule once more, entry by entry. */
static bool expect_tight(uint64_t size, struct extent *ret_block)
{
    const struct maxtree_node *node = tree.root;
    for (unsigned level = tree.height; level > 0; level--) {
        unsigned best = MAXTREE_FANOUT;
        for (unsigned i = 0; i < node->count; i++) {
            if (node->sizes[i] >= size &&
                (best == MAXTREE_FANOUT || node->sizes[i] < node->sizes[best]))
                best = i;
        }
        if (best == MAXTREE_FANOUT)
            return false;
        if (level == 1)
            *ret_block = (struct extent){node->keys[best], node->sizes[best]};
        else
            node = node->children[best];
    }
    return tree.root != NULL;
}

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
    suite_add_tcase(suite, cases);
    return suite_main(suite);
}
