#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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
    log_audit(NULL, "audit: user=%s", "a\\x0a");
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

/* ---- As JSON ---- */

/* What is behind the time, which begins each line. */
static const char *behind_time(const char *line)
{
    static const char pattern[] = "{\"time\":\"0000-00-00T00:00:00.000Z\",";
    for (size_t i = 0; i < strlen(pattern); i++)
        ck_assert_msg(pattern[i] == '0' ? line[i] >= '0' && line[i] <= '9' : line[i] == pattern[i],
                      "%s", line);
    return line + strlen(pattern);
}

START_TEST(lines_of_json)
{
    const struct log_about about = {.region = "main", .peer = "a \"peer\"", .error = "corrupt"};
    log_set_format(LOG_FORMAT_JSON);
    log_info("started %d", 1);
    ck_assert_str_eq(behind_time(logged()), "\"level\":\"info\",\"message\":\"started 1\"}\n");
    log_write_about(LOG_LEVEL_ERROR, &about, "a \"quote\"\nand a line");
    ck_assert_str_eq(behind_time(logged()),
                     "\"level\":\"error\",\"message\":\"a \\\"quote\\\"\\\\x0aand a line\","
                     "\"region\":\"main\",\"peer\":\"a \\\"peer\\\"\",\"error\":\"corrupt\"}\n");
    log_set_format(LOG_FORMAT_TEXT);
}
END_TEST

START_TEST(a_long_line_of_json_is_cut)
{
    static char text[3 * LOG_LINE_MAX];
    memset(text, '\n', sizeof text - 1);
    log_set_format(LOG_FORMAT_JSON);
    log_info("%s", text);
    const char *line = logged();
    ck_assert_uint_le(strlen(line), 4096);
    ck_assert_ptr_nonnull(strstr(line, "\\\\x0a\"}\n"));
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xbc", 2);
    for (size_t shift = 0; shift < 2; shift++) {
        log_info("%s%s", shift == 0 ? "" : "x", text);
        ck_assert_ptr_nonnull(strstr(logged(), "\xc3\xbc\"}\n"));
    }
    log_set_format(LOG_FORMAT_TEXT);
}
END_TEST

/* ---- As entries of the journal ---- */

static int journal_reader;

static void use_journal(void)
{
    int ends[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
    journal_reader = ends[0];
    log_use_journal(ends[1]);
}

static const char *entry(void)
{
    static char text[8192];
    ssize_t size = recv(journal_reader, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

START_TEST(entries_of_the_journal)
{
    const struct log_about about = {
        .region = "main", .peer = "p", .user = "u", .method = "loadBlob", .error = "corrupt"};
    use_journal();
    log_error("cannot start");
    ck_assert_str_eq(logged(), "error: cannot start\n");
    log_running(true);
    log_warning("careful\nMESSAGE=forged");
    ck_assert_str_eq(
        entry(), "SYSLOG_IDENTIFIER=mregiond\nPRIORITY=4\nMESSAGE=careful\\x0aMESSAGE=forged\n");
    log_write_about(LOG_LEVEL_ERROR, &about, "broken");
    ck_assert_str_eq(entry(), "SYSLOG_IDENTIFIER=mregiond\nPRIORITY=3\nMESSAGE=broken\n"
                              "MREGION_REGION=main\nMREGION_PEER=p\nMREGION_USER=u\n"
                              "MREGION_METHOD=loadBlob\nMREGION_ERROR=corrupt\n");
    ck_assert_str_eq(logged(), "");
    close(journal_reader);
    log_error("the journal is gone");
    ck_assert_str_eq(logged(), "error: the journal is gone\n");
    log_running(false);
    log_use_journal(-1);
}
END_TEST

START_TEST(a_full_journal_does_not_block)
{
    unsigned sent = 0, found = 0;
    use_journal();
    for (; sent < 10000; sent++)
        log_info("line %u", sent);
    while (entry()[0] != '\0')
        found++;
    ck_assert_uint_lt(found, sent);
    log_info("room again");
    char lost[80];
    snprintf(lost, sizeof lost, "MESSAGE=%u log lines were lost", sent - found);
    ck_assert_ptr_nonnull(strstr(entry(), lost));
    ck_assert_ptr_nonnull(strstr(entry(), "MESSAGE=room again\n"));
    close(journal_reader);
    log_use_journal(-1);
}
END_TEST

/* ---- Places ---- */

static unsigned lines_with(const char *text, const char *word)
{
    unsigned count = 0;
    for (; (text = strstr(text, word)) != NULL; text++)
        count++;
    return count;
}

START_TEST(a_place_is_limited_and_others_are_not)
{
    log_running(true);
    for (unsigned i = 0; i < 20 * LOG_PLACE_LINES; i++)
        log_info("again and again");
    log_info("another place");
    const char *text = logged();
    ck_assert_uint_ge(lines_with(text, "again and again\n"), LOG_PLACE_LINES);
    ck_assert_uint_lt(lines_with(text, "again and again\n"), 20 * LOG_PLACE_LINES);
    ck_assert_uint_eq(lines_with(text, "another place\n"), 1);
    log_running(false);
    for (unsigned i = 0; i < 2 * LOG_PLACE_LINES; i++)
        log_info("at the start");
    ck_assert_uint_eq(lines_with(logged(), "at the start\n"), 2 * LOG_PLACE_LINES);
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
    tcase_add_test(tcase, lines_of_json);
    tcase_add_test(tcase, a_long_line_of_json_is_cut);
    tcase_add_test(tcase, entries_of_the_journal);
    tcase_add_test(tcase, a_full_journal_does_not_block);
    tcase_add_test(tcase, a_place_is_limited_and_others_are_not);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
