/* daemon/stats: buckets, what is answered at once, what waits, errors. */
#include <check.h>
#include <string.h>
#include <uv.h>

#include "daemon/stats.h"
#include "tests/support_main.h"

static struct stats stats;

static void setup(void)
{
    memset(&stats, 0, sizeof stats);
}

/* ---- Histograms ---- */

START_TEST(each_bucket_begins_where_the_one_before_it_ends)
{
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t upper = histogram_upper_us(i);
        ck_assert_uint_eq(histogram_bucket(upper - 1), i);
        ck_assert_uint_eq(histogram_bucket(upper), i + 1);
    }
    ck_assert_uint_eq(histogram_bucket(0), 0);
}
END_TEST

START_TEST(a_bucket_is_an_eighth_wide)
{
    for (unsigned i = HISTOGRAM_STEPS; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t lower = histogram_upper_us(i - 1), upper = histogram_upper_us(i);
        ck_assert_uint_gt(upper, lower);
        ck_assert_uint_le((upper - lower) * HISTOGRAM_STEPS, lower);
    }
    ck_assert_uint_ge(histogram_upper_us(HISTOGRAM_BUCKETS - 1), 60000000);
}
END_TEST

START_TEST(what_is_too_long_is_in_the_last_one)
{
    struct histogram histogram = {0};
    histogram_add(&histogram, histogram_upper_us(HISTOGRAM_BUCKETS - 1), 1);
    histogram_add(&histogram, UINT64_MAX / 4, 2);
    ck_assert_uint_eq(histogram.counts[HISTOGRAM_BUCKETS - 1], 3);
    ck_assert_uint_eq(histogram_count(&histogram), 3);
}
END_TEST

START_TEST(the_sum_is_of_all)
{
    struct histogram histogram = {0};
    histogram_add(&histogram, 10, 3);
    histogram_add(&histogram, 1000, 1);
    ck_assert_uint_eq(histogram.sum_us, 1030);
    ck_assert_uint_eq(histogram_count(&histogram), 4);
}
END_TEST

/* ---- Requests ---- */

static uint64_t recorded(unsigned kind)
{
    return histogram_count(&stats.by_kind[kind].latency);
}

static void execute(unsigned kind, uint64_t waited_ns)
{
    stats_begin(&stats, waited_ns);
    stats_executed(&stats, kind, 10);
}

START_TEST(what_is_answered_at_once_is_recorded_at_the_end_of_the_turn)
{
    execute(METHOD_PING, 0);
    execute(METHOD_PING, 0);
    execute(METHOD_SIZE, 0);
    ck_assert_uint_eq(recorded(METHOD_PING), 0);
    static struct stats copy;
    stats_copy(&copy, &stats);
    ck_assert_uint_eq(stats_requests(&copy), 3);
    stats_end_turn(&stats);
    ck_assert_uint_eq(recorded(METHOD_PING), 2);
    ck_assert_uint_eq(recorded(METHOD_SIZE), 1);
    ck_assert_uint_eq(stats.by_kind[METHOD_PING].requests, 2);
    ck_assert_uint_eq(stats_requests(&stats), 3);
    ck_assert_uint_eq(stats.received_bytes, 30);
    stats_end_turn(&stats);
    ck_assert_uint_eq(recorded(METHOD_PING), 2);
}
END_TEST

START_TEST(a_turn_begins_with_its_first_request)
{
    execute(METHOD_PING, 0);
    uint64_t first = stats.turn_ns;
    execute(METHOD_PING, 0);
    ck_assert_uint_eq(stats.turn_ns, first);
    ck_assert_uint_gt(first, 0);
    stats_end_turn(&stats);
    ck_assert_uint_eq(stats.turn_ns, 0);
}
END_TEST

START_TEST(what_waits_is_recorded_when_it_is_answered)
{
    stats_begin(&stats, 0);
    uint64_t begun_ns = stats.begun_ns;
    stats.is_waiting = true; /* as request_new says */
    stats_executed(&stats, METHOD_ADD_BLOB, 10);
    stats_end_turn(&stats);
    ck_assert_uint_eq(recorded(METHOD_ADD_BLOB), 0);
    ck_assert_uint_eq(stats.by_kind[METHOD_ADD_BLOB].requests, 1);
    stats_answered(&stats, METHOD_ADD_BLOB, begun_ns);
    stats_end_turn(&stats);
    ck_assert_uint_eq(recorded(METHOD_ADD_BLOB), 1);
}
END_TEST

START_TEST(what_was_parked_has_waited_since_its_turn_came)
{
    uint64_t hour_ago_ns = uv_hrtime() - (uint64_t)3600 * 1000000000;
    execute(METHOD_SIZE, hour_ago_ns);
    execute(METHOD_SIZE, 0);
    stats_end_turn(&stats);
    ck_assert_uint_eq(recorded(METHOD_SIZE), 2);
    ck_assert_uint_eq(stats.by_kind[METHOD_SIZE].latency.counts[HISTOGRAM_BUCKETS - 1], 1);
}
END_TEST

/* More kinds and turns than are kept apart. */
START_TEST(no_answer_is_lost_however_they_are_mixed)
{
    uint64_t now_ns = uv_hrtime();
    for (unsigned round = 0; round < 100; round++)
        for (unsigned kind = 0; kind < STATS_KINDS; kind++)
            stats_answered(&stats, kind, now_ns - 1 - round);
    stats_end_turn(&stats);
    for (unsigned kind = 0; kind < STATS_KINDS; kind++)
        ck_assert_uint_eq(recorded(kind), 100);
}
END_TEST

START_TEST(errors_count_by_kind_and_code)
{
    stats_error(&stats, METHOD_LOAD_BLOB, ERR_CORRUPT);
    stats_error(&stats, METHODS, ERR_NO_SUCH_METHOD);
    ck_assert_uint_eq(stats.by_kind[METHOD_LOAD_BLOB].errors, 1);
    ck_assert_uint_eq(stats.error_codes[ERR_CORRUPT], 1);
    ck_assert_uint_eq(stats_errors(&stats), 2);
    ck_assert_str_eq(stats_kind_name(METHODS), "unknown");
    ck_assert_str_eq(stats_kind_name(METHOD_LOAD_BLOB), "loadBlob");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats");
    TCase *histograms = tcase_create("histograms");
    tcase_add_test(histograms, each_bucket_begins_where_the_one_before_it_ends);
    tcase_add_test(histograms, a_bucket_is_an_eighth_wide);
    tcase_add_test(histograms, what_is_too_long_is_in_the_last_one);
    tcase_add_test(histograms, the_sum_is_of_all);
    suite_add_tcase(suite, histograms);
    TCase *requests = tcase_create("requests");
    tcase_add_checked_fixture(requests, setup, NULL);
    tcase_add_test(requests, what_is_answered_at_once_is_recorded_at_the_end_of_the_turn);
    tcase_add_test(requests, a_turn_begins_with_its_first_request);
    tcase_add_test(requests, what_waits_is_recorded_when_it_is_answered);
    tcase_add_test(requests, what_was_parked_has_waited_since_its_turn_came);
    tcase_add_test(requests, no_answer_is_lost_however_they_are_mixed);
    tcase_add_test(requests, errors_count_by_kind_and_code);
    suite_add_tcase(suite, requests);
    return suite_main(suite);
}
