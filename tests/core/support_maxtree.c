#include "support_maxtree.h"

#include <check.h>
#include <inttypes.h>

void assert_sound(const struct maxtree *tree)
{
    const char *wrong = maxtree_check(tree);
    if (wrong)
        ck_abort_msg("%s", wrong);
}

void assert_block(struct extent block, uint64_t address, uint64_t size)
{
    if (block.address != address || block.size != size)
        ck_abort_msg("got block [%" PRIu64 ", +%" PRIu64 "), not [%" PRIu64 ", +%" PRIu64 ")",
                     block.address, block.size, address, size);
}

void assert_result(int got, int expected)
{
    if (got != expected)
        ck_abort_msg("got %d, not %d", got, expected);
}

void assert_equals(const struct maxtree *tree, const struct model *model)
{
    assert_sound(tree);
    struct extent run = model_run(model, 0, model->size, true);
    struct extent blocks[100];
    uint64_t from = 0;
    size_t found;
    while ((found = maxtree_scan(tree, from, blocks, 100)) > 0) {
        for (size_t i = 0; i < found; i++) {
            assert_block(blocks[i], run.address, run.size);
            run = model_run(model, extent_end(run), model->size, true);
        }
        from = extent_end(blocks[found - 1]);
    }
    ck_assert_uint_eq(run.size, 0);
    ck_assert_uint_eq(maxtree_largest(tree), model_largest(model).size);
}
