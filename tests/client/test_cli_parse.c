/* client/cli_parse: numbers, sizes, references and times, and what is none. */
#include <check.h>

#include "client/cli_parse.h"
#include "tests/support_main.h"

static uint64_t size_of(const char *text)
{
    uint64_t size;

    ck_assert_msg(cli_parse_size(text, &size), "%s", text);
    return size;
}

START_TEST(sizes)
{
    ck_assert_uint_eq(size_of("0"), 0);
    ck_assert_uint_eq(size_of("007"), 7);
    ck_assert_uint_eq(size_of("4096"), 4096);
    ck_assert_uint_eq(size_of("64KiB"), 65536);
    ck_assert_uint_eq(size_of("2MiB"), 2 << 20);
    ck_assert_uint_eq(size_of("3GiB"), 3ull << 30);
    ck_assert_uint_eq(size_of("1TiB"), 1ull << 40);
    ck_assert_uint_eq(size_of("18446744073709551615"), UINT64_MAX);
    ck_assert_uint_eq(size_of("16777215TiB"), 16777215ull << 40);
}
END_TEST

START_TEST(no_sizes)
{
    static const char *const texts[] = {
        "",
        "KiB",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1 KiB",
        "1kib",
        "1KB",
        "1K",
        "1.5MiB",
        "0x10",
        "1e3",
        "1KiBx",
        "1TiBB",
        "18446744073709551616",
        "16777216TiB",
        "99999999999999999999999999",
        "1\n",
    };
    uint64_t size = 77;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!cli_parse_size(texts[i], &size), "%s", texts[i]);
    ck_assert_uint_eq(size, 77);
}
END_TEST

START_TEST(numbers_take_no_unit)
{
    uint64_t number;

    ck_assert(cli_parse_number("16", &number));
    ck_assert_uint_eq(number, 16);
    ck_assert(!cli_parse_number("16KiB", &number));
    ck_assert(!cli_parse_number("", &number));
}
END_TEST

START_TEST(references)
{
    struct mregion_block block;

    ck_assert(cli_parse_reference("0+0", &block));
    ck_assert_uint_eq(block.address, 0);
    ck_assert_uint_eq(block.size, 0);
    ck_assert(cli_parse_reference("18446744073709551615+18446744073709551615", &block));
    ck_assert_uint_eq(block.address, UINT64_MAX);
    ck_assert_uint_eq(block.size, UINT64_MAX);
    ck_assert(cli_parse_reference("64KiB+1MiB", &block));
    ck_assert_uint_eq(block.address, 65536);
    ck_assert_uint_eq(block.size, 1 << 20);
}
END_TEST

START_TEST(no_references)
{
    static const char *const texts[] = {
        "",
        "+",
        "1",
        "1+",
        "+1",
        "1++1",
        "1+2+3",
        "1 + 2",
        "1+2 ",
        "a+b",
        "1-2",
        "1+-2",
        "18446744073709551616+1",
        "1+18446744073709551616",
    };
    struct mregion_block block = {7, 8};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!cli_parse_reference(texts[i], &block), "%s", texts[i]);
    ck_assert_uint_eq(block.address, 7);
    ck_assert_uint_eq(block.size, 8);
}
END_TEST

START_TEST(times)
{
    uint64_t time;

    ck_assert(cli_parse_time("1ms", &time));
    ck_assert_uint_eq(time, 1);
    ck_assert(cli_parse_time("5s", &time));
    ck_assert_uint_eq(time, 5000);
    ck_assert(cli_parse_time("2m", &time));
    ck_assert_uint_eq(time, 120000);
    ck_assert(cli_parse_time("1h", &time));
    ck_assert_uint_eq(time, 3600000);
    ck_assert(!cli_parse_time("5", &time));
    ck_assert(!cli_parse_time("", &time));
    ck_assert(!cli_parse_time("1d", &time));
    ck_assert(!cli_parse_time("18446744073709551615s", &time));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_parse");
    TCase *tcase = tcase_create("parse");

    tcase_add_test(tcase, sizes);
    tcase_add_test(tcase, no_sizes);
    tcase_add_test(tcase, numbers_take_no_unit);
    tcase_add_test(tcase, references);
    tcase_add_test(tcase, no_references);
    tcase_add_test(tcase, times);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
