/* daemon/metrics, textbuf: numbers, the two formats, which one is wanted. The formats as a whole
 * are for the parsers of others (tests/e2e/test_http.py). */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/metrics.h"
#include "tests/support_main.h"

static struct snapshot snapshot;
static struct snapshot_region regions[2];

static void setup(void)
{
    memset(&snapshot, 0, sizeof snapshot);
    memset(regions, 0, sizeof regions);
    strcpy(regions[0].name, "main");
    strcpy(regions[1].name, "x.y-z_0");
    regions[1].info.allocated = UINT64_MAX;
    regions[1].operations[METHOD_LOAD_BLOB] = 7;
    snapshot.regions = regions;
    snapshot.count = 2;
}

static char *written(bool is_open)
{
    struct textbuf text = {0};
    metrics_write(&snapshot, is_open, &text);
    textbuf_add(&text, "", 1);
    ck_assert(!text.has_failed);
    return text.bytes;
}

static void assert_has(bool is_open, const char *line)
{
    char *text = written(is_open), *found = strstr(text, line);
    ck_assert_msg(found != NULL, "not there: %s", line);
    ck_assert(found == text || found[-1] == '\n');
    free(text);
}

START_TEST(numbers)
{
    static const struct {
        uint64_t number;
        const char *text;
    } cases[] = {{0, "0"},        {1, "0.000001"},   {10, "0.00001"},
                 {1000000, "1"},  {1250000, "1.25"}, {33554432, "33.554432"},
                 {100000, "0.1"}, {60000000, "60"},  {UINT64_MAX, "18446744073709.551615"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct textbuf text = {0};
        textbuf_millionths(&text, cases[i].number);
        textbuf_add(&text, "", 1);
        ck_assert_str_eq(text.bytes, cases[i].text);
        textbuf_release(&text);
    }
}
END_TEST

START_TEST(strings_of_json)
{
    struct textbuf text = {0};
    textbuf_json(&text, "a\"b\\c\n\x01z");
    textbuf_add(&text, "", 1);
    ck_assert_str_eq(text.bytes, "\"a\\\"b\\\\c\\u000a\\u0001z\"");
    textbuf_release(&text);
}
END_TEST

START_TEST(counters_end_in_total)
{
    assert_has(false, "# TYPE mregion_requests_total counter\n");
    assert_has(true, "# TYPE mregion_requests counter\n");
    assert_has(false, "mregion_requests_total{method=\"addBlob\"} 0\n");
    assert_has(true, "mregion_requests_total{method=\"addBlob\"} 0\n");
}
END_TEST

START_TEST(units_and_the_end_are_for_one_format)
{
    assert_has(true, "# UNIT mregion_region_size_bytes bytes\n");
    assert_has(true, "# TYPE mregion_build info\n");
    assert_has(true, "# EOF\n");
    assert_has(false, "# TYPE mregion_build_info gauge\n");
    char *text = written(false);
    ck_assert_ptr_null(strstr(text, "# UNIT"));
    ck_assert_ptr_null(strstr(text, "# EOF"));
    free(text);
}
END_TEST

START_TEST(each_region_has_a_line)
{
    assert_has(false, "mregion_region_allocated_bytes{region=\"main\"} 0\n");
    assert_has(false, "mregion_region_allocated_bytes{region=\"x.y-z_0\"} 18446744073709551615\n");
    assert_has(false,
               "mregion_region_operations_total{region=\"x.y-z_0\",method=\"loadBlob\"} 7\n");
    char *text = written(false);
    ck_assert_ptr_null(strstr(text, "operations_total{region=\"main\""));
    free(text);
}
END_TEST

START_TEST(histograms_add_up)
{
    struct histogram *latency = &snapshot.stats.by_kind[METHOD_PING].latency;
    snapshot.stats.by_kind[METHOD_PING].requests = 6;
    histogram_add(latency, 15, 1);
    histogram_add(latency, 16, 2);
    histogram_add(latency, 1000, 2);
    histogram_add(latency, 3600000000, 1);
    assert_has(true,
               "mregion_request_duration_seconds_bucket{method=\"ping\",le=\"0.000016\"} 1\n");
    assert_has(true,
               "mregion_request_duration_seconds_bucket{method=\"ping\",le=\"0.000032\"} 3\n");
    assert_has(true,
               "mregion_request_duration_seconds_bucket{method=\"ping\",le=\"0.000512\"} 3\n");
    assert_has(true,
               "mregion_request_duration_seconds_bucket{method=\"ping\",le=\"0.001024\"} 5\n");
    assert_has(true,
               "mregion_request_duration_seconds_bucket{method=\"ping\",le=\"33.554432\"} 5\n");
    assert_has(true, "mregion_request_duration_seconds_bucket{method=\"ping\",le=\"+Inf\"} 6\n");
    assert_has(true, "mregion_request_duration_seconds_count{method=\"ping\"} 6\n");
    assert_has(true, "mregion_request_duration_seconds_sum{method=\"ping\"} 3600.002047\n");
}
END_TEST

START_TEST(which_one_is_wanted)
{
    static const struct {
        const char *accept;
        bool is_open;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"*/*", false},
        {"text/html,application/xhtml+xml,*/*;q=0.8", false},
        {"text/plain", false},
        {"application/openmetrics-text", true},
        {"Application/OpenMetrics-Text; version=1.0.0", true},
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
         "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         true},
        {"application/openmetrics-text;q=0.2,text/plain;q=0.5", false},
        {"text/plain;q=0.5, application/openmetrics-text; q=0.6", true},
        {"application/openmetrics-text;q=0", false},
        {",,,", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_msg(metrics_wants_open(cases[i].accept) == cases[i].is_open, "%s",
                      cases[i].accept);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, numbers);
    tcase_add_test(tests, strings_of_json);
    tcase_add_test(tests, counters_end_in_total);
    tcase_add_test(tests, units_and_the_end_are_for_one_format);
    tcase_add_test(tests, each_region_has_a_line);
    tcase_add_test(tests, histograms_add_up);
    tcase_add_test(tests, which_one_is_wanted);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
