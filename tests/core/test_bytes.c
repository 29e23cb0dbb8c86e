#include "core/bytes.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support_main.h"

START_TEST(least_significant_byte_first)
{
    uint8_t at[8];
    put_u16(at, 0x1234);
    ck_assert_mem_eq(at, "\x34\x12", 2);
    put_u32(at, 0x89abcdef);
    ck_assert_mem_eq(at, "\xef\xcd\xab\x89", 4);
    put_u64(at, 0x0123456789abcdef);
    ck_assert_mem_eq(at, "\xef\xcd\xab\x89\x67\x45\x23\x01", 8);
}
END_TEST

START_TEST(read_what_was_put)
{
    static const uint64_t values[] = {0,      1,          0x7f,       0x80,      0xff,
                                      0x8000, 0xffffffff, 1ull << 63, UINT64_MAX};
    uint8_t at[9];
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        put_u64(at + 1, values[i]); /* unaligned on purpose */
        ck_assert_uint_eq(get_u64(at + 1), values[i]);
        put_u32(at + 1, (uint32_t)values[i]);
        ck_assert_uint_eq(get_u32(at + 1), (uint32_t)values[i]);
        put_u16(at + 1, (uint16_t)values[i]);
        ck_assert_uint_eq(get_u16(at + 1), (uint16_t)values[i]);
    }
}
END_TEST

START_TEST(neighbors_are_left_alone)
{
    uint8_t at[10];
    memset(at, 0xee, sizeof at);
    put_u64(at + 1, 0);
    ck_assert_uint_eq(at[0], 0xee);
    ck_assert_uint_eq(at[9], 0xee);
}
END_TEST

START_TEST(rounding)
{
    ck_assert_uint_eq(round_down(0, 4096), 0);
    ck_assert_uint_eq(round_down(4095, 4096), 0);
    ck_assert_uint_eq(round_down(4096, 4096), 4096);
    ck_assert_uint_eq(round_up(0, 4096), 0);
    ck_assert_uint_eq(round_up(1, 4096), 4096);
    ck_assert_uint_eq(round_up(4096, 4096), 4096);
    ck_assert_uint_eq(round_up(7, 3), 9);
    ck_assert_uint_eq(min_u64(1, UINT64_MAX), 1);
    ck_assert_uint_eq(max_u64(1, UINT64_MAX), UINT64_MAX);
}
END_TEST

/* Every length, at the end of what may be read; then every byte another. */
START_TEST(names_are_the_same_in_every_byte)
{
    for (size_t size = 0; size <= 40; size++) {
        uint8_t *a = malloc(size + 1), *b = malloc(size + 1);
        ck_assert(a != NULL && b != NULL);
        memset(a, 'x', size + 1);
        memset(b, 'x', size + 1);
        a[0] = 'y'; /* is before it */
        ck_assert(is_same_name(a + 1, b + 1, size));
        for (size_t i = 1; i <= size; i++) {
            b[i] ^= 0x80;
            ck_assert(!is_same_name(a + 1, b + 1, size));
            b[i] ^= 0x80;
        }
        free(a);
        free(b);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bytes");
    TCase *tests = tcase_create("bytes");
    tcase_add_test(tests, least_significant_byte_first);
    tcase_add_test(tests, read_what_was_put);
    tcase_add_test(tests, neighbors_are_left_alone);
    tcase_add_test(tests, rounding);
    tcase_add_test(tests, names_are_the_same_in_every_byte);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
