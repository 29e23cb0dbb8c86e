/* Damaged pages: who meets one is told, and everybody else goes on. */
#include "core/region.h"

#include <check.h>

#include "support_fixture.h"
#include "tests/support_main.h"

/* Another byte at this address, on the disk and in its cache. */
static void damage(uint64_t address)
{
    struct io_file *file;
    uint8_t byte;
    ck_assert_int_eq(io->ops->open(io, "r/data", 0, &file), 0);
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, address), 1);
    byte ^= 0x10;
    struct iovec vector = {&byte, 1};
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, address), 0);
    io->ops->close(io, file);
}

static void expect_damaged(uint64_t address, uint64_t size)
{
    uint64_t damaged, after;
    ck_assert_int_eq(region_load_begin(region, (struct extent){address, size}, &after, &err), 0);
    ck_assert_uint_eq(after, 0);
    ck_assert_int_eq(region_read(region, address, big, size, &damaged, &err), ERR_CORRUPT);
}

struct move {
    struct extent block;
    uint64_t new_size, address;
};

static int stage_move(struct region *of, void *context, struct err *why)
{
    struct move *move = context;
    return region_resize(of, move->block, move->new_size, &move->address, why);
}

static int move_block(uint64_t address, uint64_t size, uint64_t new_size)
{
    struct move move = {{address, size}, new_size, 0};
    return drive_until(region, stage_move, &move, &err);
}

/* Also where a block at the same place moved before. */
START_TEST(a_block_is_verified_each_time_it_moves)
{
    uint64_t a = drive_add(region, small, 3000);
    drive_add(region, small, 3000);
    drive_settle(region);
    ck_assert_int_eq(move_block(a, 3000, 9000), 0);
    drive_settle(region);
    ck_assert_uint_eq(drive_add(region, small, 3000), a);
    drive_settle(region);
    damage(a + 10);
    ck_assert_int_eq(move_block(a, 3000, 9000), ERR_CORRUPT);
    drive_settle(region);
    ck_assert_ptr_null(region_failure(region));
    expect_damaged(a, 3000);
}
END_TEST

/* The same with one that is verified and then not moved after all. */
START_TEST(a_block_is_verified_again_when_it_did_not_move)
{
    uint64_t a = drive_add(region, small, 3000), to;
    drive_add(region, small, 3000);
    drive_settle(region);
    int code = REGION_WAIT;
    while (code == REGION_WAIT) {
        ck_assert_int_eq(region_atomic_begin(region, 0, &err), 0);
        code = region_resize(region, (struct extent){a, 3000}, 9000, &to, &err);
        region_atomic_end(region, false);
        drive_settle(region);
    }
    ck_assert_int_eq(code, 0);
    damage(a + 10);
    ck_assert_int_eq(move_block(a, 3000, 9000), ERR_CORRUPT);
    drive_settle(region);
    ck_assert_ptr_null(region_failure(region));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_block_is_verified_each_time_it_moves,
                                  a_block_is_verified_again_when_it_did_not_move};
    Suite *suite = suite_create("region: verifying");
    TCase *tcase = fixture_tests("verifying", tests, sizeof tests / sizeof tests[0]);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
