/* client/cli_latencies, client/cli_bench_plan: percentiles of what was measured, and what is asked
 * for. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_bench.h"
#include "tests/support_main.h"

static struct latencies *latencies;

static void setup(void)
{
    latencies = calloc(1, sizeof *latencies);
}

static void teardown(void)
{
    free(latencies);
}

/* Never too low, and at most a sixty-fourth too high. */
START_TEST(precision)
{
    static const uint64_t values[] = {0,
                                      1,
                                      63,
                                      64,
                                      65,
                                      127,
                                      128,
                                      129,
                                      1000,
                                      1000003,
                                      999999999,
                                      1ull << 40,
                                      (1ull << 40) + 1,
                                      UINT64_MAX / 2,
                                      UINT64_MAX - 1,
                                      UINT64_MAX};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint64_t found;

        memset(latencies, 0, sizeof *latencies);
        latencies_add(latencies, values[i]);
        ck_assert_uint_eq(latencies_percentile(latencies, 1), values[i]); /* the most, exactly */
        latencies_add(latencies, UINT64_MAX);
        found = latencies_percentile(latencies, 0.5);
        ck_assert_uint_ge(found, values[i]);
        ck_assert_uint_le(found - values[i], values[i] / 64);
    }
}
END_TEST

START_TEST(percentiles)
{
    struct latencies *other = calloc(1, sizeof *other);

    ck_assert_uint_eq(latencies_percentile(latencies, 0.5), 0);
    for (uint64_t i = 1; i <= 9999; i++)
        latencies_add(i % 2 == 0 ? latencies : other, 10);
    latencies_add(other, 50);
    latencies_merge(latencies, other);
    ck_assert_uint_eq(latencies->count, 10000);
    ck_assert_uint_eq(latencies_percentile(latencies, 0), 10);
    ck_assert_uint_eq(latencies_percentile(latencies, 0.9999), 10);
    ck_assert_uint_eq(latencies_percentile(latencies, 0.99991), 50);
    ck_assert_uint_eq(latencies->most_ns, 50);
    free(other);
}
END_TEST

static int parse(const char *option, const char *value, struct bench_plan *ret_plan)
{
    char name[32], text[64];
    char *const words[] = {(char[]){"bench"}, name, text};
    struct cli_arguments arguments;
    struct cli cli;
    char *items[3];
    int status;

    (void)snprintf(name, sizeof name, "--%s", option);
    (void)snprintf(text, sizeof text, "%s", value);
    cli_init(&cli);
    ck_assert_int_eq(cli_command_take(&cli, words, 3, items, &arguments), CLI_OK);
    status = bench_parse(&cli, &arguments, ret_plan);
    cli_release(&cli);
    return status;
}

START_TEST(plans)
{
    static const char *const bad[][2] = {
        {"mix", ""},          {"mix", "add"},      {"mix", "add="},      {"mix", "add=0"},
        {"mix", "add=x"},     {"mix", "sub=1"},    {"mix", "add=10001"}, {"mix", "add=1;load=1"},
        {"size", "0"},        {"size", "9-8"},     {"size", "17MiB"},    {"size", "-"},
        {"size", "1-"},       {"size", "x"},       {"connections", "0"}, {"connections", "1025"},
        {"pipeline", "1025"}, {"rate", "0"},       {"rate", "-1"},       {"duration", "10"},
        {"duration", "0s"},   {"duration", "25h"}, {"count", "0"},       {"blobs", "0"},
        {"blobs", "x"},
    };
    struct bench_plan plan;

    ck_assert_int_eq(parse("mix", "load=3,remove=4,add=0,load=5", &plan), CLI_OK);
    ck_assert_uint_eq(plan.mix[BENCH_ADD], 0);
    ck_assert_uint_eq(plan.mix[BENCH_LOAD], 5);
    ck_assert_uint_eq(plan.mix[BENCH_STORE], 0);
    ck_assert_uint_eq(plan.mix[BENCH_REMOVE], 4);
    ck_assert_int_eq(parse("size", "1KiB-16MiB", &plan), CLI_OK);
    ck_assert_uint_eq(plan.size_min, 1024);
    ck_assert_uint_eq(plan.size_max, 16 << 20);
    ck_assert_int_eq(parse("duration", "250ms", &plan), CLI_OK);
    ck_assert_uint_eq(plan.duration_ms, 250);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(parse(bad[i][0], bad[i][1], &plan) == CLI_USAGE, "--%s %s", bad[i][0],
                      bad[i][1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_latencies");
    TCase *tcase = tcase_create("latencies");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, precision);
    tcase_add_test(tcase, percentiles);
    tcase_add_test(tcase, plans);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
