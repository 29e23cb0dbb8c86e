/* client/cli_histogram: what has been added since, and its percentiles. */
#include <check.h>
#include <string.h>

#include "client/cli_histogram.h"
#include "tests/support_main.h"

static struct cli_histogram histogram;

/* Adds or subtracts what the JSON-like bytes of MessagePack hold. */
static void change(const char *bytes, size_t size, bool is_earlier)
{
    msgpack_unpacked unpacked;

    msgpack_unpacked_init(&unpacked);
    ck_assert_int_eq(msgpack_unpack_next(&unpacked, bytes, size, NULL), MSGPACK_UNPACK_SUCCESS);
    if (is_earlier)
        cli_histogram_subtract(&histogram, &unpacked.data);
    else
        cli_histogram_add(&histogram, &unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
}
#define ADD(bytes) change(bytes, sizeof bytes - 1, false)
#define SUBTRACT(bytes) change(bytes, sizeof bytes - 1, true)

static void setup(void)
{
    histogram = (struct cli_histogram){0};
}

START_TEST(percentiles)
{
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 0.5), 0);
    ADD("\x92\x92\x0a\x01\x92\x14\x63"); /* [[10, 1], [20, 99]] */
    ck_assert_uint_eq(histogram.count, 100);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 0), 10);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 0.01), 10);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 0.011), 20);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 1), 20);
    ADD("\x92\x92\x05\x64\x92\x1e\x01"); /* [[5, 100], [30, 1]]: before, and behind */
    ck_assert_uint_eq(histogram.size, 4);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 0.49), 5);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 0.999), 30);
}
END_TEST

START_TEST(what_was_before)
{
    ADD("\x92\x92\x0a\x05\x92\x14\x63");
    SUBTRACT("\x91\x92\x14\x62"); /* [[20, 98]] */
    ck_assert_uint_eq(histogram.count, 6);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 0.5), 10);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 1), 20);
    /* More than there is: a server that was started anew. */
    SUBTRACT("\x92\x92\x0a\x64\x92\x19\x64");
    ck_assert_uint_eq(histogram.count, 1);
    ck_assert_uint_eq(cli_histogram_percentile(&histogram, 0), 20);
}
END_TEST

START_TEST(what_is_none)
{
    ADD("\x07");
    ADD("\x95\x01\x91\x01\x92\xff\x01\x92\x01\xa1x\xc0");
    cli_histogram_add(&histogram, NULL);
    cli_histogram_subtract(&histogram, NULL);
    ck_assert_uint_eq(histogram.count, 0);
    ck_assert_uint_eq(histogram.size, 0);
    for (unsigned i = 0; i < CLI_HISTOGRAM_MAX + 9; i++) {
        char bytes[] = "\x91\x92\xcd\x00\x00\x01";

        bytes[3] = (char)(i >> 8);
        bytes[4] = (char)i;
        change(bytes, sizeof bytes - 1, false);
    }
    ck_assert_uint_eq(histogram.size, CLI_HISTOGRAM_MAX);
    ck_assert_uint_eq(histogram.count, CLI_HISTOGRAM_MAX);
}
END_TEST

START_TEST(times)
{
    static const struct {
        uint64_t us;
        const char *text;
    } table[] = {{0, "-"},          {1, "1us"},
                 {999, "999us"},    {1000, "1.0ms"},
                 {9949, "9.9ms"},   {10000, "10ms"},
                 {999000, "999ms"}, {1000000, "1.0s"},
                 {61000000, "61s"}, {UINT64_MAX, "10000000s"}};
    char text[CLI_HISTOGRAM_TIME_SIZE];

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        cli_histogram_format(table[i].us, text);
        ck_assert_str_eq(text, table[i].text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_histogram");
    TCase *tcase = tcase_create("histogram");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, percentiles);
    tcase_add_test(tcase, what_was_before);
    tcase_add_test(tcase, what_is_none);
    tcase_add_test(tcase, times);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
