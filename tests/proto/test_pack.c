/* proto/pack: the same bytes as msgpack-c's. */
#include "proto/pack.h"

#include <check.h>
#include <msgpack.h>

#include "tests/support_main.h"

static msgpack_sbuffer expected;
static msgpack_packer packer;

static void setup(void)
{
    msgpack_sbuffer_init(&expected);
    msgpack_packer_init(&packer, &expected, msgpack_sbuffer_write);
}

static void teardown(void)
{
    msgpack_sbuffer_destroy(&expected);
}

static void assert_same(const uint8_t *bytes, const uint8_t *end, size_t most)
{
    ck_assert_uint_eq((size_t)(end - bytes), expected.size);
    ck_assert_uint_le(expected.size, most);
    ck_assert_mem_eq(bytes, expected.data, expected.size);
    msgpack_sbuffer_clear(&expected);
}

/* Each power of two, and its neighbors. */
START_TEST(numbers_and_headers)
{
    uint8_t bytes[PACK_UINT_MAX];

    for (unsigned bit = 0; bit <= 64; bit++) {
        uint64_t power = bit < 64 ? (uint64_t)1 << bit : 0;

        for (uint64_t number = power - 2; number != power + 3; number++) {
            msgpack_pack_uint64(&packer, number);
            assert_same(bytes, pack_uint(bytes, number), PACK_UINT_MAX);
            if (number > UINT32_MAX)
                continue;
            msgpack_pack_array(&packer, number);
            assert_same(bytes, pack_array_header(bytes, (uint32_t)number), PACK_HEADER_MAX);
            msgpack_pack_map(&packer, number);
            assert_same(bytes, pack_map_header(bytes, (uint32_t)number), PACK_HEADER_MAX);
            msgpack_pack_str(&packer, number);
            assert_same(bytes, pack_str_header(bytes, (uint32_t)number), PACK_HEADER_MAX);
            msgpack_pack_bin(&packer, number);
            assert_same(bytes, pack_bin_header(bytes, (uint32_t)number), PACK_HEADER_MAX);
        }
    }
}
END_TEST

START_TEST(nil)
{
    uint8_t bytes[1];

    msgpack_pack_nil(&packer);
    assert_same(bytes, pack_nil(bytes), 1);
}
END_TEST

START_TEST(booleans)
{
    uint8_t bytes[1];

    msgpack_pack_true(&packer);
    assert_same(bytes, pack_bool(bytes, true), 1);
    msgpack_pack_false(&packer);
    assert_same(bytes, pack_bool(bytes, false), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto/pack");
    TCase *tcase = tcase_create("pack");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, numbers_and_headers);
    tcase_add_test(tcase, nil);
    tcase_add_test(tcase, booleans);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
