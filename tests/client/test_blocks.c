/* Lists of blocks from a server that is not to be trusted. */
#include <check.h>

#include "support_fake.h"
#include "tests/support_main.h"

/* As many as the library asks for at a time. */
#define PAGE 3000

static struct mregion_error error;

static bool answer_blocks(int fd, uint32_t msgid, uint64_t address, uint64_t step, uint64_t size)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    bool is_sent;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    ck_assert_int_eq(rpc_pack_result(&packer, msgid), 0);
    (void)msgpack_pack_array(&packer, PAGE);
    for (unsigned i = 0; i < PAGE; i++) {
        (void)msgpack_pack_array(&packer, 2);
        (void)msgpack_pack_uint64(&packer, address + i * step);
        (void)msgpack_pack_uint64(&packer, size);
    }
    is_sent = fake_write(fd, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return is_sent;
}

struct lie {
    uint64_t address, step, size;
};

/* The same page for every request, whatever it asks for. */
static void lie(struct fake *server, int fd, unsigned number)
{
    const struct lie *what = server->context;
    struct fake_request request;

    (void)number;
    while (fake_read(server, fd, &request)) {
        (void)answer_blocks(fd, request.rpc.msgid, what->address, what->step, what->size);
        fake_drop(&request);
    }
}

static const struct lie lies[] = {
    {0, 10, 5},                         /* a page that comes again and again */
    {1000, 0, 5},                       /* one block, many times */
    {0, 1, 2},                          /* they overlap */
    {0, 10, 0},                         /* empty */
    {UINT64_MAX - 10, 0, 11},           /* past the end of all addresses */
    {UINT64_MAX - PAGE + 1, 1, 1},      /* up to there */
    {UINT64_MAX / 2, (uint64_t)-10, 1}, /* backwards */
};

START_TEST(a_list_without_end)
{
    struct lie what = lies[_i];
    struct mregion_block *blocks = NULL, few[PAGE + 1];
    struct mregion *connection;
    struct fake fake;
    size_t count;

    fake_start(&fake, lie, &what);
    ck_assert_int_eq(mregion_connect(fake.address, NULL, &connection, &error), 0);
    ck_assert_int_eq(mregion_free_memory_all(connection, "m", &blocks, &count, &error),
                     MREGION_ERR_PROTOCOL);
    ck_assert_ptr_null(blocks);
    ck_assert_int_eq(mregion_allocated_blocks_in_range(connection, "m", 0, UINT64_MAX, PAGE + 1,
                                                       few, &count, &error),
                     MREGION_ERR_PROTOCOL);
    mregion_close(connection);
    fake_stop(&fake);
}
END_TEST

/* Who asks for a range has room for its bytes. */
START_TEST(a_block_beyond_the_range)
{
    struct lie what = {0, 10, 5};
    const uint64_t end = (PAGE - 1) * what.step + what.size;
    static struct mregion_block blocks[PAGE];
    struct mregion *connection;
    struct fake fake;
    size_t count = 0;

    fake_start(&fake, lie, &what);
    ck_assert_int_eq(mregion_connect(fake.address, NULL, &connection, &error), 0);
    ck_assert_int_eq(
        mregion_allocated_blocks_in_range(connection, "m", 0, end, PAGE, blocks, &count, &error),
        MREGION_OK);
    ck_assert_uint_eq(count, PAGE);
    ck_assert_int_eq(mregion_allocated_blocks_in_range(connection, "m", 0, end - 1, PAGE, blocks,
                                                       &count, &error),
                     MREGION_ERR_PROTOCOL);
    ck_assert_int_eq(mregion_deallocated_blocks_in_range(connection, "m", 0, end - 1, PAGE, blocks,
                                                         &count, &error),
                     MREGION_ERR_PROTOCOL);
    mregion_close(connection);
    fake_stop(&fake);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blocks");
    TCase *tcase = tcase_create("blocks");

    tcase_add_loop_test(tcase, a_list_without_end, 0, sizeof lies / sizeof *lies);
    tcase_add_test(tcase, a_block_beyond_the_range);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
