#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/log.h"
#include "tests/support_main.h"

static int saved_stderr;
static int reader; /* of what is logged */

/* stderr becomes a pipe. */
static void setup(void)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    reader = ends[0];
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    ck_assert_int_eq(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
    unsetenv("JOURNAL_STREAM");
    log_init(LOG_LEVEL_INFO);
}

static void teardown(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(reader);
}

static const char *logged(void)
{
    static char text[1 << 18];
    ssize_t size = read(reader, text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

START_TEST(levels)
{
    log_debug("not shown");
    log_info("started %d", 1);
    log_warning("careful");
    log_error("broken");
    ck_assert_str_eq(logged(), "started 1\nwarning: careful\nerror: broken\n");
    log_set_level(LOG_LEVEL_ERROR);
    log_warning("not shown");
    log_print("ready");
    ck_assert_str_eq(logged(), "ready\n");
}
END_TEST

START_TEST(a_line_stays_a_line)
{
    log_info("peer %s", "a\nerror: forged\r\x1b[31m\x7f\\");
    ck_assert_str_eq(logged(), "peer a\\x0aerror: forged\\x0d\\x1b[31m\\x7f\\x5c\n");
    log_info("gr\xc3\xbc\xc3\x9f"
             "e \xff \xc3");
    ck_assert_str_eq(logged(), "gr\xc3\xbc\xc3\x9f"
                               "e \\xff \\xc3\n");
}
END_TEST

START_TEST(an_audit_line_is_written_as_it_is)
{
    log_set_level(LOG_LEVEL_ERROR);
    log_audit("audit: user=%s", "a\\x0a");
    ck_assert_str_eq(logged(), "audit: user=a\\x0a\n");
    log_set_level(LOG_LEVEL_INFO);
}
END_TEST

START_TEST(a_long_line_is_cut)
{
    static char text[3 * LOG_LINE_MAX];
    memset(text, '\n', sizeof text - 1); /* grows four times when it is escaped */
    log_error("%s", text);
    const char *line = logged();
    ck_assert_uint_le(strlen(line), LOG_LINE_MAX);
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

START_TEST(priorities_for_the_journal)
{
    struct stat stat;
    char stream[64];
    ck_assert_int_eq(fstat(STDERR_FILENO, &stat), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)stat.st_dev,
             (unsigned long long)stat.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init(LOG_LEVEL_DEBUG);
    log_debug("d");
    log_info("i");
    log_warning("w");
    log_error("e");
    ck_assert_str_eq(logged(), "<7>d\n<6>i\n<4>w\n<3>e\n");
    setenv("JOURNAL_STREAM", "1:2", 1); /* inherited, but stderr goes elsewhere */
    log_init(LOG_LEVEL_DEBUG);
    log_error("e");
    ck_assert_str_eq(logged(), "error: e\n");
    unsetenv("JOURNAL_STREAM");
}
END_TEST

START_TEST(a_full_pipe_does_not_block)
{
    for (int i = 0; i < 20000; i++)
        log_info("line %d", i);
    ck_assert_uint_gt(strlen(logged()), 0);
    log_info("after");
    const char *text = logged();
    ck_assert_ptr_nonnull(strstr(text, "log lines were lost"));
    ck_assert_ptr_nonnull(strstr(text, "\nafter\n"));
}
END_TEST

START_TEST(a_flood_is_limited)
{
    struct log_limit limit = {0};
    int allowed = 0;
    for (int i = 0; i < 100000; i++)
        allowed += log_allow(&limit, "floods");
    ck_assert_int_ge(allowed, LOG_LIMIT_LINES);
    ck_assert_int_lt(allowed, 100000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, levels);
    tcase_add_test(tcase, a_line_stays_a_line);
    tcase_add_test(tcase, an_audit_line_is_written_as_it_is);
    tcase_add_test(tcase, a_long_line_is_cut);
    tcase_add_test(tcase, priorities_for_the_journal);
    tcase_add_test(tcase, a_full_pipe_does_not_block);
    tcase_add_test(tcase, a_flood_is_limited);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
