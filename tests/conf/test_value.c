/* conf/value: units, whole numbers, overflow, and the way back. */
#include <string.h>

#include "conf/value.h"
#include "core/limits.h"
#include "tests/conf/support_run.h"

static enum value_error size_of(const char *text, uint64_t *ret)
{
    return value_parse_size(text, strlen(text), ret);
}

static enum value_error time_of(const char *text, uint64_t *ret)
{
    return value_parse_time(text, strlen(text), ret);
}

START_TEST(good_sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"0", 0},
        {"1", 1},
        {"4096", 4096},
        {"1KiB", KIB},
        {"64MiB", 64 * MIB},
        {"3GiB", 3 * GIB},
        {"16TiB", 16 * TIB},
        {"0TiB", 0},
        {"18446744073709551615", UINT64_MAX},
        {"16777215TiB", 16777215 * TIB},
        {"18014398509481983KiB", UINT64_MAX - 1023},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 7;

        ck_assert_msg(size_of(cases[i].text, &bytes) == VALUE_OK, "%s", cases[i].text);
        ck_assert_uint_eq(bytes, cases[i].bytes);
    }
}
END_TEST

START_TEST(wrong_sizes)
{
    static const struct {
        const char *text;
        enum value_error error;
    } cases[] = {
        {"", VALUE_MALFORMED},
        {"MiB", VALUE_MALFORMED},
        {" 1", VALUE_MALFORMED},
        {"+1", VALUE_MALFORMED},
        {"-", VALUE_MALFORMED},
        {".5", VALUE_MALFORMED},
        {"lots", VALUE_MALFORMED},
        {"-1", VALUE_NEGATIVE},
        {"-64MiB", VALUE_NEGATIVE},
        {"1.5GiB", VALUE_FRACTION},
        {"1.", VALUE_FRACTION},
        {"1e6", VALUE_FRACTION},
        {"1E+6", VALUE_FRACTION},
        {"010", VALUE_LEADING_ZERO},
        {"00", VALUE_LEADING_ZERO},
        {"0x10", VALUE_UNIT},
        {"1 ", VALUE_UNIT},
        {"1 MiB", VALUE_UNIT},
        {"1MB", VALUE_UNIT},
        {"1mib", VALUE_UNIT},
        {"1MiBs", VALUE_UNIT},
        {"1Mi", VALUE_UNIT},
        {"1_000", VALUE_UNIT},
        {"1,000", VALUE_UNIT},
        {"1e", VALUE_UNIT},
        {"18446744073709551616", VALUE_OVERFLOW},
        {"99999999999999999999999999999999", VALUE_OVERFLOW},
        {"16777216TiB", VALUE_OVERFLOW},
        {"18014398509481984KiB", VALUE_OVERFLOW},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes = 7;

        ck_assert_msg(size_of(cases[i].text, &bytes) == cases[i].error, "%s", cases[i].text);
        ck_assert_uint_eq(bytes, 7);
    }
}
END_TEST

START_TEST(good_and_wrong_times)
{
    uint64_t ms = 7;

    ck_assert_int_eq(time_of("100ms", &ms), VALUE_OK);
    ck_assert_uint_eq(ms, 100);
    ck_assert_int_eq(time_of("2s", &ms), VALUE_OK);
    ck_assert_uint_eq(ms, 2000);
    ck_assert_int_eq(time_of("3m", &ms), VALUE_OK);
    ck_assert_uint_eq(ms, 180000);
    ck_assert_int_eq(time_of("1h", &ms), VALUE_OK);
    ck_assert_uint_eq(ms, 3600000);
    ck_assert_int_eq(time_of("0s", &ms), VALUE_OK);
    ck_assert_uint_eq(ms, 0);
    ms = 7;
    ck_assert_int_eq(time_of("100", &ms), VALUE_NO_UNIT);
    ck_assert_int_eq(time_of("0", &ms), VALUE_NO_UNIT);
    ck_assert_int_eq(time_of("1MS", &ms), VALUE_UNIT);
    ck_assert_int_eq(time_of("1d", &ms), VALUE_UNIT);
    ck_assert_int_eq(time_of("1h30m", &ms), VALUE_UNIT);
    ck_assert_int_eq(time_of("1.5s", &ms), VALUE_FRACTION);
    ck_assert_int_eq(time_of("-1s", &ms), VALUE_NEGATIVE);
    ck_assert_int_eq(time_of("ms", &ms), VALUE_MALFORMED);
    ck_assert_int_eq(time_of("5124095576030432h", &ms), VALUE_OVERFLOW);
    ck_assert_uint_eq(ms, 7);
}
END_TEST

START_TEST(counts)
{
    uint64_t count = 7;

    ck_assert_int_eq(value_parse_count("1024", 4, &count), VALUE_OK);
    ck_assert_uint_eq(count, 1024);
    ck_assert_int_eq(value_parse_count("0", 1, &count), VALUE_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(value_parse_count("12", 1, &count), VALUE_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(value_parse_count("1k", 2, &count), VALUE_UNIT);
    ck_assert_int_eq(value_parse_count("1KiB", 4, &count), VALUE_UNIT);
    ck_assert_int_eq(value_parse_count("x", 1, &count), VALUE_MALFORMED);
    ck_assert_int_eq(value_parse_count("1\0", 2, &count), VALUE_UNIT);
    ck_assert_uint_eq(count, 1);
}
END_TEST

START_TEST(modes)
{
    unsigned mode = 7;

    ck_assert_int_eq(value_parse_mode("0660", 4, &mode), VALUE_OK);
    ck_assert_uint_eq(mode, 0660);
    ck_assert_int_eq(value_parse_mode("660", 3, &mode), VALUE_OK);
    ck_assert_uint_eq(mode, 0660);
    ck_assert_int_eq(value_parse_mode("0", 1, &mode), VALUE_OK);
    ck_assert_uint_eq(mode, 0);
    ck_assert_int_eq(value_parse_mode("0777", 4, &mode), VALUE_OK);
    ck_assert_uint_eq(mode, 0777);
    ck_assert_int_eq(value_parse_mode("1000", 4, &mode), VALUE_OVERFLOW);
    ck_assert_int_eq(value_parse_mode("1777", 4, &mode), VALUE_OVERFLOW);
    ck_assert_int_eq(value_parse_mode("00660", 5, &mode), VALUE_OVERFLOW);
    ck_assert_int_eq(value_parse_mode("77777777777777777777777", 23, &mode), VALUE_OVERFLOW);
    ck_assert_int_eq(value_parse_mode("0680", 4, &mode), VALUE_MALFORMED);
    ck_assert_int_eq(value_parse_mode("0690", 4, &mode), VALUE_MALFORMED);
    ck_assert_int_eq(value_parse_mode("0o660", 5, &mode), VALUE_MALFORMED);
    ck_assert_int_eq(value_parse_mode("-660", 4, &mode), VALUE_MALFORMED);
    ck_assert_int_eq(value_parse_mode("rw", 2, &mode), VALUE_MALFORMED);
    ck_assert_int_eq(value_parse_mode("", 0, &mode), VALUE_MALFORMED);
    ck_assert_uint_eq(mode, 0777);
}
END_TEST

START_TEST(formats_parse_back)
{
    static const uint64_t sizes[] = {0,
                                     1,
                                     1023,
                                     KIB,
                                     1025,
                                     1536 * KIB,
                                     64 * MIB,
                                     5 * GIB,
                                     4194304 * TIB,
                                     UINT64_MAX,
                                     UINT64_MAX - 1023};
    static const uint64_t times[] = {0,     1,       100,     999,     1000,
                                     60000, 3599999, 3600000, 5400000, UINT64_MAX};
    char text[VALUE_TEXT_SIZE];
    uint64_t back;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        value_format_size(sizes[i], text);
        ck_assert_int_eq(size_of(text, &back), VALUE_OK);
        ck_assert_uint_eq(back, sizes[i]);
    }
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        value_format_time(times[i], text);
        ck_assert_int_eq(time_of(text, &back), VALUE_OK);
        ck_assert_uint_eq(back, times[i]);
    }
}
END_TEST

START_TEST(formats_are_short)
{
    char text[VALUE_TEXT_SIZE];

    value_format_size(64 * MIB, text);
    ck_assert_str_eq(text, "64MiB");
    value_format_size(1536 * MIB, text);
    ck_assert_str_eq(text, "1536MiB");
    value_format_size(1000, text);
    ck_assert_str_eq(text, "1000");
    value_format_size(0, text);
    ck_assert_str_eq(text, "0");
    value_format_time(90000, text);
    ck_assert_str_eq(text, "90s");
    value_format_time(7200000, text);
    ck_assert_str_eq(text, "2h");
    value_format_time(0, text);
    ck_assert_str_eq(text, "0ms");
}
END_TEST

START_TEST(guesses)
{
    ck_assert_str_eq(value_guess_size_unit("64MB", 4), "MiB");
    ck_assert_str_eq(value_guess_size_unit("64m", 3), "MiB");
    ck_assert_str_eq(value_guess_size_unit("64  gib", 7), "GiB");
    ck_assert_str_eq(value_guess_size_unit("1ki", 3), "KiB");
    ck_assert_ptr_null(value_guess_size_unit("1PiB", 4));
    ck_assert_ptr_null(value_guess_size_unit("1 ", 2));
    ck_assert_str_eq(value_guess_time_unit("1 second", 8), "s");
    ck_assert_str_eq(value_guess_time_unit("1MS", 3), "ms");
    ck_assert_str_eq(value_guess_time_unit("5min", 4), "m");
    ck_assert_str_eq(value_guess_time_unit("2H", 2), "h");
    ck_assert_ptr_null(value_guess_time_unit("1d", 2));
}
END_TEST

RUN_SUITE("conf/value", good_sizes, wrong_sizes, good_and_wrong_times, counts, modes,
          formats_parse_back, formats_are_short, guesses)
