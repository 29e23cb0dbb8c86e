#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "core/freespace.h"
#include "core/limits.h"
#include "core/maxtree_node.h"
#include "support_model.h"
#include "tests/support_main.h"

static struct freespace space;
static uint64_t seed;

static void *no_memory(size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    return NULL;
}

static void setup(void)
{
    freespace_init(&space, FIT_TIGHT);
    seed = 7;
    maxtree_node_memory = aligned_alloc;
}

static void teardown(void)
{
    freespace_release(&space);
}

/* In loops, a passed assertion of Check costs a system call; this costs nothing. */
static void expect(bool holds, const char *what, uint64_t step)
{
    if (!holds)
        ck_abort_msg("%s, step %" PRIu64, what, step);
}

static uint64_t take(uint64_t size)
{
    uint64_t address;
    ck_assert_int_eq(freespace_take(&space, size, REGION_SIZE_MAX, &address), 0);
    return address;
}

static void give(uint64_t address, uint64_t size)
{
    ck_assert_int_eq(freespace_give(&space, (struct extent){address, size}), 0);
}

static void assert_free(uint64_t address, uint64_t size)
{
    struct extent extent = {address, size};
    struct extent found[2];
    ck_assert(freespace_is_free(&space, extent));
    ck_assert_uint_eq(freespace_free_in(&space, 0, UINT64_MAX, found, 2), 1);
    ck_assert_uint_eq(found[0].address, address);
    ck_assert_uint_eq(found[0].size, size);
}

START_TEST(test_take_grows_then_reuses)
{
    ck_assert_uint_eq(take(100), 0);
    ck_assert_uint_eq(take(50), 100);
    ck_assert_uint_eq(take(1), 150);
    ck_assert_uint_eq(space.size, 151);
    give(100, 50);
    ck_assert_uint_eq(space.size, 151);
    ck_assert_uint_eq(take(51), 151); /* does not fit the hole */
    ck_assert_uint_eq(take(50), 100);
    ck_assert_uint_eq(space.size, 202);
    ck_assert_uint_eq(space.tree.blocks, 0);
}
END_TEST

/* Holes of 30, 10 and 20 bytes. */
START_TEST(test_policies)
{
    const uint64_t expected[] = {[FIT_TIGHT] = 40, [FIT_LOWEST] = 0, [FIT_LARGEST] = 21};
    for (enum fit fit = FIT_TIGHT; fit <= FIT_LARGEST; fit++) {
        freespace_release(&space);
        freespace_init(&space, fit);
        take(100);
        give(0, 30);
        give(40, 10);
        give(60, 20);
        ck_assert_uint_eq(take(9), expected[fit]);
        ck_assert_uint_eq(space.size, 100);
    }
}
END_TEST

START_TEST(test_take_limit)
{
    uint64_t address = 77;
    ck_assert_int_eq(freespace_take(&space, 0, 100, &address), -EINVAL);
    ck_assert_int_eq(freespace_take(&space, 101, 100, &address), -ENOSPC);
    ck_assert_int_eq(freespace_take(&space, UINT64_MAX, UINT64_MAX, &address), -ENOSPC);
    ck_assert_int_eq(freespace_take(&space, REGION_SIZE_MAX + 1, UINT64_MAX, &address), -ENOSPC);
    ck_assert_uint_eq(address, 77);
    ck_assert_uint_eq(space.size, 0);
    ck_assert_int_eq(freespace_take(&space, 100, 100, &address), 0);
    ck_assert_uint_eq(address, 0);
    ck_assert_int_eq(freespace_take(&space, 1, 100, &address), -ENOSPC);
    give(40, 10);
    ck_assert_int_eq(freespace_take(&space, 11, 100, &address), -ENOSPC);
    ck_assert_int_eq(freespace_take(&space, 11, 50, &address), -ENOSPC); /* below the size */
    ck_assert_int_eq(freespace_take(&space, 10, 50, &address), 0);
    ck_assert_uint_eq(address, 40);
    ck_assert_int_eq(freespace_take(&space, REGION_SIZE_MAX - 100, UINT64_MAX, &address), 0);
    ck_assert_int_eq(freespace_take(&space, 1, UINT64_MAX, &address), -ENOSPC);
    ck_assert_uint_eq(space.size, REGION_SIZE_MAX);
}
END_TEST

START_TEST(test_trailing_hole_is_extended_at_the_limit)
{
    uint64_t address;
    take(100);
    give(90, 10);
    ck_assert_int_eq(freespace_take(&space, 20, 120, &address), 0); /* the end may grow */
    ck_assert_uint_eq(address, 100);
    ck_assert_uint_eq(space.size, 120);
    give(100, 20); /* the hole is [90, 120) */
    maxtree_node_memory = no_memory;
    ck_assert_int_eq(freespace_take(&space, 41, 130, &address), -ENOSPC);
    ck_assert_int_eq(freespace_take(&space, 40, 130, &address), 0);
    ck_assert_uint_eq(address, 90);
    ck_assert_uint_eq(space.size, 130);
    ck_assert_uint_eq(space.tree.blocks, 0);
    maxtree_node_memory = aligned_alloc;
    give(100, 10);
    ck_assert_int_eq(freespace_take(&space, 15, 135, &address), -ENOSPC); /* not at the end */
    give(120, 10);
    ck_assert_int_eq(freespace_take(&space, 15, 119, &address), -ENOSPC); /* limit before it */
    ck_assert_int_eq(freespace_take(&space, 15, 135, &address), 0);
    ck_assert_uint_eq(address, 120);
    ck_assert_uint_eq(space.size, 135);
}
END_TEST

START_TEST(test_give_refuses)
{
    take(100);
    give(50, 10);
    const struct extent wrong[] = {
        {50, 10}, {50, 1},  {59, 1},  {45, 6},          {59, 5},         {40, 30},
        {95, 6},  {100, 1}, {200, 1}, {UINT64_MAX, 10}, {1, UINT64_MAX}, {10, 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(freespace_give(&space, wrong[i]), -EEXIST);
        assert_free(50, 10);
    }
    maxtree_node_memory = no_memory;
    give(60, 40); /* merging needs none */
    ck_assert_uint_eq(space.size, 100);
    freespace_release(&space);
    space.size = 100;
    ck_assert_int_eq(freespace_give(&space, (struct extent){0, 1}), -ENOMEM);
    ck_assert_uint_eq(space.tree.blocks, 0);
}
END_TEST

/* Nothing, or what ends where no address is: neither is marked, whatever a journal says. */
START_TEST(test_marks_refuse)
{
    static const struct extent wrong[] = {{0, 0}, {10, 0}, {UINT64_MAX, 2}, {2, UINT64_MAX}};
    struct freespace own;
    uint64_t address;
    freespace_init(&own, FIT_TIGHT);
    ck_assert_int_eq(freespace_take(&own, 100, UINT64_MAX, &address), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(freespace_mark_used(&own, wrong[i]), -EINVAL);
        ck_assert_int_eq(freespace_mark_free(&own, wrong[i]), -EINVAL);
        ck_assert_int_eq(freespace_take_exact(&own, wrong[i]), -EINVAL);
        ck_assert_uint_eq(own.size, 100);
        ck_assert_uint_eq(own.tree.blocks, 0);
    }
    freespace_release(&own);
}
END_TEST

START_TEST(test_take_exact)
{
    const struct extent too_far = {REGION_SIZE_MAX, 1};
    ck_assert_int_eq(freespace_take_exact(&space, too_far), -EINVAL);
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){10, 0}), -EINVAL);
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){40, 10}), 0); /* skips 40 */
    ck_assert_uint_eq(space.size, 50);
    assert_free(0, 40);
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){50, 10}), 0);
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){59, 10}), -EEXIST);
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){35, 10}), -EEXIST);
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){45, 100}), -EEXIST);
    ck_assert_uint_eq(space.size, 60);
    assert_free(0, 40);
    give(50, 10);
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){55, 20}), 0);
    ck_assert_uint_eq(space.size, 75);
    ck_assert(freespace_is_free(&space, (struct extent){50, 5}));
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){10, 20}), 0); /* splits */
    ck_assert_uint_eq(space.tree.blocks, 3);
    ck_assert_uint_eq(space.tree.bytes, 25);
}
END_TEST

START_TEST(test_no_memory_changes_nothing)
{
    maxtree_node_memory = no_memory;
    const struct extent far = {40, 10};
    ck_assert_int_eq(freespace_take_exact(&space, far), -ENOMEM);
    ck_assert_int_eq(freespace_mark_used(&space, far), -ENOMEM);
    ck_assert_int_eq(freespace_mark_free(&space, far), -ENOMEM);
    ck_assert_uint_eq(space.size, 0);
    maxtree_node_memory = aligned_alloc;

    take(10000); /* one leaf that is full */
    for (uint64_t i = 0; i < MAXTREE_FANOUT; i++)
        give(10 * i, 5);
    maxtree_node_memory = no_memory;
    ck_assert_int_eq(freespace_take_exact(&space, (struct extent){1, 2}), -ENOMEM);
    ck_assert_int_eq(freespace_mark_used(&space, (struct extent){1, 2}), -ENOMEM);
    ck_assert_int_eq(freespace_mark_free(&space, (struct extent){7, 2}), -ENOMEM);
    ck_assert_int_eq(freespace_mark_used(&space, (struct extent){10010, 1}), -ENOMEM);
    ck_assert_uint_eq(space.tree.bytes, 5 * MAXTREE_FANOUT);
    ck_assert_uint_eq(space.size, 10000);
    /* what overlaps several blocks never needs any */
    ck_assert_int_eq(freespace_mark_free(&space, (struct extent){3, 100}), 0);
    ck_assert_int_eq(freespace_mark_used(&space, (struct extent){3, 600}), 0);
    ck_assert_ptr_null(maxtree_check(&space.tree));
}
END_TEST

START_TEST(test_is_used_or_free)
{
    take(100);
    give(50, 10);
    ck_assert(freespace_is_used(&space, (struct extent){0, 50}));
    ck_assert(freespace_is_used(&space, (struct extent){60, 40}));
    ck_assert(!freespace_is_used(&space, (struct extent){60, 41}));
    ck_assert(!freespace_is_used(&space, (struct extent){45, 6}));
    ck_assert(!freespace_is_used(&space, (struct extent){45, 30}));
    ck_assert(!freespace_is_used(&space, (struct extent){59, 2}));
    ck_assert(!freespace_is_used(&space, (struct extent){10, 0}));
    ck_assert(!freespace_is_used(&space, (struct extent){UINT64_MAX, 2}));
    ck_assert(freespace_is_free(&space, (struct extent){50, 10}));
    ck_assert(freespace_is_free(&space, (struct extent){55, 1}));
    ck_assert(!freespace_is_free(&space, (struct extent){55, 6}));
    ck_assert(!freespace_is_free(&space, (struct extent){49, 2}));
    ck_assert(!freespace_is_free(&space, (struct extent){10, 10}));
    ck_assert(!freespace_is_free(&space, (struct extent){55, 0}));
    ck_assert(!freespace_is_free(&space, (struct extent){100, 1}));
    ck_assert(!freespace_is_free(&space, (struct extent){2, UINT64_MAX}));
}
END_TEST

enum { UNIVERSE = 3000 };

/* The region's bytes in the model: those past its size are neither free nor used. */
static void assert_listed(const struct model *model, uint64_t start, uint64_t end, size_t limit,
                          bool is_free, uint64_t step)
{
    struct extent found[UNIVERSE];
    size_t count = is_free ? freespace_free_in(&space, start, end, found, limit)
                           : freespace_used_in(&space, start, end, found, limit);
    uint64_t to = end < space.size ? end : space.size;
    struct extent run = {start, 0};
    for (size_t i = 0; i < count; i++) {
        run = model_run(model, extent_end(run), to, is_free);
        expect(found[i].address == run.address && found[i].size == run.size, "extent", step);
    }
    if (count < limit) {
        run = model_run(model, extent_end(run), to, is_free);
        expect(run.size == 0, "an extent is missing", step);
    }
}

static void compare(const struct model *model, uint64_t step)
{
    const char *wrong = maxtree_check(&space.tree);
    expect(!wrong, wrong, step);
    assert_listed(model, 0, UNIVERSE, UNIVERSE, true, step);
    assert_listed(model, 0, UNIVERSE, UNIVERSE, false, step);
    uint64_t start = random_in(&seed, 0, UNIVERSE);
    uint64_t end = random_in(&seed, 0, UNIVERSE);
    size_t limit = random_in(&seed, 0, 5);
    assert_listed(model, start, end, limit, true, step);
    assert_listed(model, start, end, limit, false, step);
    assert_listed(model, start, UINT64_MAX, limit, false, step);

    struct extent extent = {start, random_in(&seed, 1, 20)};
    bool within = extent_end(extent) <= space.size;
    expect(freespace_is_free(&space, extent) == (within && model_all(model, extent, true)),
           "is_free", step);
    expect(freespace_is_used(&space, extent) == (within && model_all(model, extent, false)),
           "is_used", step);
}

/* One step on the space and on the model, whose bytes past the region's size are false. */
static void random_step(struct model *model, uint64_t step)
{
    struct extent extent = {random_in(&seed, 0, UNIVERSE - 60),
                            random_in(&seed, 1, step % 7 == 0 ? 60 : 6)};
    uint64_t had = space.size;
    uint64_t end = extent_end(extent);
    bool within = end <= had;
    struct extent below = extent; /* the part that was in the region before */
    if (!within)
        below.size = extent.address < had ? had - extent.address : 0;
    bool grows = false;
    bool result = false;
    uint64_t address;
    int error;
    switch (random_in(&seed, 0, 4)) {
    case 0:
        grows = freespace_mark_free(&space, extent) == 0;
        expect(grows, "mark_free", step);
        result = true;
        break;
    case 1:
        grows = freespace_mark_used(&space, extent) == 0;
        expect(grows, "mark_used", step);
        break;
    case 2:
        error = freespace_take_exact(&space, extent);
        grows = model_all(model, below, true);
        expect(error == (grows ? 0 : -EEXIST), "take_exact", step);
        break;
    case 3:
        error = freespace_give(&space, extent);
        grows = within && model_all(model, extent, false);
        expect(error == (grows ? 0 : -EEXIST), "give", step);
        result = true;
        break;
    case 4:
        error = freespace_take(&space, extent.size, UNIVERSE - 60, &address);
        if (!error) {
            extent.address = address;
            below = (struct extent){address, address < had ? extent.size : 0};
            if (extent_end(extent) > had && address < had)
                below.size = had - address;
            expect(model_all(model, below, true), "took what is in use", step);
            grows = true;
        }
        break;
    }
    end = extent_end(extent);
    expect(space.size == (grows && end > had ? end : had), "size", step);
    if (!grows)
        return;
    if (extent.address > had)
        model_set(model, (struct extent){had, extent.address - had}, true);
    model_set(model, extent, result);
}

START_TEST(test_model)
{
    struct model model;
    model_init(&model, UNIVERSE);
    space.fit = (enum fit)_i;
    for (uint64_t step = 0; step < 20000; step++) {
        random_step(&model, step);
        compare(&model, step);
    }
    ck_assert_uint_gt(space.tree.blocks, MAXTREE_FANOUT);
    model_release(&model);
}
END_TEST

/* What a journal says twice is the same as once. */
START_TEST(test_marks_are_idempotent)
{
    struct model model;
    model_init(&model, UNIVERSE);
    for (uint64_t step = 0; step < 5000; step++) {
        struct extent extent = {random_in(&seed, 0, UNIVERSE - 60), random_in(&seed, 1, 60)};
        bool is_free = random_in(&seed, 0, 1) == 0;
        uint64_t had = space.size;
        for (int times = 0; times < 2; times++) {
            int error =
                is_free ? freespace_mark_free(&space, extent) : freespace_mark_used(&space, extent);
            expect(error == 0, "mark", step);
        }
        if (extent.address > had)
            model_set(&model, (struct extent){had, extent.address - had}, true);
        model_set(&model, extent, is_free);
        compare(&model, step);
    }
    model_release(&model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("freespace");
    TCase *cases = tcase_create("freespace");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, test_take_grows_then_reuses);
    tcase_add_test(cases, test_policies);
    tcase_add_test(cases, test_take_limit);
    tcase_add_test(cases, test_trailing_hole_is_extended_at_the_limit);
    tcase_add_test(cases, test_give_refuses);
    tcase_add_test(cases, test_take_exact);
    tcase_add_test(cases, test_no_memory_changes_nothing);
    tcase_add_test(cases, test_marks_refuse);
    tcase_add_test(cases, test_is_used_or_free);
    tcase_add_loop_test(cases, test_model, FIT_TIGHT, FIT_LARGEST + 1);
    tcase_add_test(cases, test_marks_are_idempotent);
    suite_add_tcase(suite, cases);
    return suite_main(suite);
}
