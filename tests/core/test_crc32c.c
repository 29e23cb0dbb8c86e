#include "core/crc32c.h"

#include <check.h>
#include <string.h>

#include "tests/support_main.h"

/* The check value of the standard, and RFC 3720's examples for iSCSI. */
START_TEST(standard_values)
{
    uint8_t bytes[32];
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, sizeof bytes);
    ck_assert_uint_eq(crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    ck_assert_uint_eq(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(crc32c(0, bytes, sizeof bytes), 0x46dd794e);
}
END_TEST

START_TEST(nothing_changes_nothing)
{
    ck_assert_uint_eq(crc32c(0, "", 0), 0);
    ck_assert_uint_eq(crc32c(0x12345678, "", 0), 0x12345678);
}
END_TEST

START_TEST(pieces_equal_the_whole)
{
    uint8_t bytes[300];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37);
    uint32_t whole = crc32c(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++)
        ck_assert_uint_eq(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
}
END_TEST

START_TEST(every_single_bit_matters)
{
    uint8_t bytes[64] = {1, 2, 3};
    uint32_t whole = crc32c(0, bytes, sizeof bytes);
    for (unsigned bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_uint_ne(crc32c(0, bytes, sizeof bytes), whole);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crc32c");
    TCase *tests = tcase_create("crc32c");
    tcase_add_test(tests, standard_values);
    tcase_add_test(tests, nothing_changes_nothing);
    tcase_add_test(tests, pieces_equal_the_whole);
    tcase_add_test(tests, every_single_bit_matters);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
