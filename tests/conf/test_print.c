/* conf/print: what is printed reads back to the same, and the shipped file is what is printed. */
#include <errno.h>
#include <string.h>

#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"

#define HASH                                                                                       \
    "$argon2id$v=19$m=8,t=1,p=1$f/QgEQ2BMi0dHjRMlRh+1w"                                            \
    "$pGZkLlKKR56GS5NG6OpJimgjfmZUQpqgwFFUj/Nt7v4"

/* Prints, reads back and compares; returns the text, to be freed. */
static char *assert_round_trip(const struct conf *conf)
{
    char *text = print_conf(conf);
    char *again;
    struct conf back = parse_conf(text);

    assert_conf_eq(conf, &back);
    again = print_conf(&back);
    ck_assert_str_eq(text, again);
    free(again);
    conf_release(&back);
    return text;
}

START_TEST(defaults)
{
    struct conf conf = default_conf();
    char *text = assert_round_trip(&conf);

    free(text);
    conf_release(&conf);
}
END_TEST

START_TEST(everything_else)
{
    struct conf conf =
        parse_conf("data_dir: './my data'\n"
                   "listen: [{unix: /a, mode: 0}, {unix: 'b c'}, {tcp: '[::1]:0'}, {tcp: "
                   "'localhost:1'}]\n"
                   "max_message: 65537\nmax_connections: 100000\nmax_pipeline: 1\n"
                   "max_buffered: 16TiB\nlog_level: error\nlog_format: json\nmax_batch: "
                   "32768\nmigrate: refuse\n"
                   "users: [{name: a@b.c, password_hash: '" HASH "', uid: 0},\n"
                   "  {name: '5', certificate: 'CN=x, O=\"y\"', grants: [{regions: '*', access: "
                   "admin}]},\n"
                   "  {name: '0x1', uid: 4294967294, gid: 0, grants: [{regions: a?-*.b_, access: "
                   "read},\n"
                   "    {access: write, regions: '5'}]}, {name: last, gid: 7, grants: []}]\n"
                   "max_uploads: 4096\nupload_timeout: 24h\nmax_regions: 65536\n"
                   "max_connections_per_peer: 100000\nidle_timeout: 168h\n"
                   "message_timeout: 0ms\nmax_unread: 1GiB\nstall_timeout: 1h\n"
                   "user: '0'\nsandbox: off\n"
                   "http: [{tcp: '[::1]:9421'}, {unix: /h, mode: 0666}]\n"
                   "regions: [{name: '2024', durability: none, flush_interval: 1ms, fit: lowest},\n"
                   "  {name: 'null', durability: interval, flush_interval: 1h, fit: largest},\n"
                   "  {name: '1e5', max_size: 4194304TiB, journal_size: 64GiB, checksum: off,\n"
                   "   token_window: 1, discard: 0, scrub_interval: 1h, scrub_rate: 0},\n"
                   "  {name: '0.5', max_size: 1, journal_size: 16777217}]\n");
    char *text = assert_round_trip(&conf);

    ck_assert_ptr_nonnull(strstr(text, "\ndata_dir: \"./my data\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n    mode: 0000\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n  - tcp: \"[::1]:0\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n  - tcp: localhost:1\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nmax_message: 65537\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n  - name: \"1e5\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n    flush_interval: 1h\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n    journal_size: 16777217\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n  - name: \"0x1\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n    uid: 4294967294\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n      - regions: \"*\"\n"));
    ck_assert_ptr_null(strstr(text, "18446744073709551615"));
    ck_assert_ptr_nonnull(strstr(text, "\n  - tcp: \"[::1]:9421\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n  - unix: /h\n    mode: 0666\n"));
    ck_assert_uint_eq(conf.users_count, 4);
    ck_assert_uint_eq(conf.users[2].grants_count, 2);
    ck_assert_int_eq(conf.users[2].grants[1].access, ACCESS_WRITE);
    free(text);
    conf_release(&conf);
}
END_TEST

START_TEST(empty_lists)
{
    struct conf conf = parse_conf("listen: []\nregions: []\n");
    char *text = assert_round_trip(&conf);

    ck_assert_uint_eq(conf.listens_count + conf.regions_count, 0);
    ck_assert_ptr_nonnull(strstr(text, "\nlisten: []\n"));
    ck_assert_ptr_nonnull(strstr(text, "\nregions: []\n"));
    free(text);
    conf_release(&conf);
}
END_TEST

START_TEST(options)
{
    struct conf conf = default_conf();
    char *text;

    ck_assert_int_eq(conf_set_data_dir(&conf, "d", NULL), 0);
    ck_assert_int_eq(conf_add_listen(&conf, "tcp:127.0.0.1:0", NULL), 0);
    ck_assert_int_eq(conf_add_region(&conf, "x", NULL), 0);
    text = assert_round_trip(&conf);
    ck_assert_ptr_nonnull(strstr(text, "\nlisten:\n"));
    ck_assert_ptr_null(strstr(text, "unix: /run"));
    free(text);
    conf_release(&conf);
}
END_TEST

START_TEST(difficult_paths)
{
    static const char *const paths[] = {"null",
                                        "~",
                                        "true",
                                        "5",
                                        "0x10",
                                        ".5",
                                        "-",
                                        "--- a",
                                        "...",
                                        "a: b",
                                        "a:",
                                        "a #b",
                                        "#a",
                                        "'a'",
                                        "\"a\"",
                                        "a\\b",
                                        " a",
                                        "a ",
                                        "a  b",
                                        "a\nb",
                                        "a\n",
                                        "\na",
                                        "a\tb",
                                        "\t",
                                        "a\r\nb",
                                        "[a]",
                                        "{a}",
                                        "*a",
                                        "&a",
                                        "!a",
                                        "%a",
                                        "@a",
                                        "`a",
                                        "|",
                                        ">",
                                        "? a",
                                        ",",
                                        "a,b",
                                        "=",
                                        "<<",
                                        "\xc3\xa9",
                                        "a\xc2\x85g",
                                        "\xe2\x80\xa8",
                                        "\xe2\x80\xa9",
                                        "\xf0\x9f\x98\x80",
                                        "\xc2\xa0",
                                        "a b c: d # e"};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct conf conf = default_conf();
        char *text;

        ck_assert_msg(conf_set_data_dir(&conf, paths[i], NULL) == 0, "%s", paths[i]);
        text = assert_round_trip(&conf);
        free(text);
        conf_release(&conf);
    }
}
END_TEST

START_TEST(longest_path)
{
    struct conf conf = default_conf();
    char *path = repeat("", "\t", CONF_DATA_DIR_MAX - 2, "\xc2\x85");
    char *text;

    ck_assert_int_eq(conf_set_data_dir(&conf, path, NULL), 0);
    text = assert_round_trip(&conf);
    free(text);
    free(path);
    conf_release(&conf);
}
END_TEST

START_TEST(escaped_characters)
{
    struct conf conf = parse_conf("data_dir: \"\\x01\\e\\x7f\\u200b\\ufeff\\uffff\\U0010ffff\"\n");
    char *text = assert_round_trip(&conf);

    ck_assert_str_eq(conf.data_dir, "\x01\x1b\x7f\xe2\x80\x8b\xef\xbb\xbf\xef\xbf\xbf\xf4\x8f\xbf"
                                    "\xbf");
    free(text);
    conf_release(&conf);
}
END_TEST

START_TEST(tls_files)
{
    struct conf conf = parse_conf("listen: [{tls: '[::]:7421'}, {tcp: 'localhost:1'}]\n"
                                  "tls_certificate: \"none\"\n"
                                  "tls_key: '${CREDENTIALS_DIRECTORY}/key'\n"
                                  "tls_ca: '/ca: 1'\ntls_clients: required\ntls_minimum: '1.3'\n");
    char *text = assert_round_trip(&conf);

    ck_assert_str_eq(conf.tls.certificate, "none");
    ck_assert_ptr_nonnull(strstr(text, "\n  - tls: \"[::]:7421\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\ntls_certificate: \"none\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\ntls_key: \"${CREDENTIALS_DIRECTORY}/key\"\n"));
    ck_assert_ptr_nonnull(strstr(text, "\ntls_clients: required\n"));
    free(text);
    conf_release(&conf);
}
END_TEST

START_TEST(stream_errors)
{
    struct conf conf = default_conf();
    FILE *to = fopen("/dev/full", "we");

    ck_assert_ptr_nonnull(to);
    ck_assert_int_eq(conf_print(&conf, to), -EIO);
    (void)fclose(to);
    conf_release(&conf);
}
END_TEST

START_TEST(shipped_file_is_what_is_printed)
{
    char *shipped = read_source("conf/mregiond.yaml");
    struct conf built_in = default_conf();
    struct conf conf = parse_conf(shipped);
    char *printed = print_conf(&built_in);

    assert_conf_eq(&conf, &built_in);
    ck_assert_str_eq(shipped, printed);
    free(shipped);
    free(printed);
    conf_release(&conf);
    conf_release(&built_in);
}
END_TEST

/* Takes out every line that is a comment. */
static void strip_comments(char *text)
{
    char *to = text;

    for (char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");

        length += line[length] == '\n';
        if (line[strspn(line, " ")] != '#') {
            memmove(to, line, length);
            to += length;
        }
        line += length;
    }
    *to = '\0';
}

START_TEST(shipped_file_without_comments)
{
    char *shipped = read_source("conf/mregiond.yaml");
    struct conf built_in = default_conf();
    struct conf conf;

    strip_comments(shipped);
    ck_assert_ptr_null(strchr(shipped, '#'));
    conf = parse_conf(shipped);
    assert_conf_eq(&conf, &built_in);
    free(shipped);
    conf_release(&conf);
    conf_release(&built_in);
}
END_TEST

RUN_SUITE("conf/print", defaults, everything_else, empty_lists, options, difficult_paths,
          longest_path, escaped_characters, tls_files, stream_errors,
          shipped_file_is_what_is_printed, shipped_file_without_comments)
