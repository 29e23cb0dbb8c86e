/* conf/read: keys, shapes, lists and what holds across them, with the exact position and sentence
 * of every refusal; and files that are right. */
#include <string.h>

#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"

START_TEST(keys)
{
    static const struct refusal cases[] = {
        {"regions:\n  - name: a\n    durabilty: sync\n",
         "f:3:5: unknown key \"durabilty\" in a region; did you mean \"durability\"?"},
        {"foo: 1\n", "f:1:1: unknown key \"foo\"; there are " TOP_KEYS},
        {"data_dri: /a\n", "f:1:1: unknown key \"data_dri\"; did you mean \"data_dir\"?"},
        {"Data_Dir: /a\n", "f:1:1: unknown key \"Data_Dir\"; did you mean \"data_dir\"?"},
        {"fit: tight\n", "f:1:1: unknown key \"fit\"; there are " TOP_KEYS},
        {"listen:\n- path: /a\n",
         "f:2:3: unknown key \"path\" in a listener; there are unix, mode, tcp, tls"},
        {"listen:\n- unix: /a\n  moed: 0600\n",
         "f:3:3: unknown key \"moed\" in a listener; did you mean \"mode\"?"},
        {"\"a\\nb\": 1\n", "f:1:1: unknown key \"a\\nb\"; there are " TOP_KEYS},
        {"<<: {data_dir: /a}\n", "f:1:1: unknown key \"<<\"; there are " TOP_KEYS},
        {"'': 1\n", "f:1:1: unknown key \"\"; there are " TOP_KEYS},
        {"# c\n\ndata_dir: /a\n\nlisten: []\ndata_dir: /b\n",
         "f:6:1: duplicate key \"data_dir\"; it stands on line 3 already"},
        {"regions:\n- fit: tight\n  name: a\n  fit: tight\n",
         "f:4:3: duplicate key \"fit\" in a region; it stands on line 2 already"},
        {"listen:\n- {unix: /a, unix: /b}\n",
         "f:2:14: duplicate key \"unix\" in a listener; it stands on line 2 already"},
        {"? [a]\n: b\n", "f:1:3: a key must be a word, not a list"},
        {"? {a: b}\n: c\n", "f:1:3: a key must be a word, not a mapping"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

START_TEST(shapes)
{
    static const struct refusal cases[] = {
        {"[a]\n", "f:1:1: the file must hold keys and values such as \"data_dir: "
                  "/var/lib/mregiond\", not a list"},
        {"hello\n", "f:1:1: the file must hold keys and values such as \"data_dir: "
                    "/var/lib/mregiond\", not \"hello\""},
        {"~\n", "f:1:1: the file must hold keys and values such as \"data_dir: "
                "/var/lib/mregiond\", not an empty value"},
        {"listen: /a\n",
         "f:1:9: listen must be a list such as \"- unix: /path/of/socket\", not \"/a\""},
        {"listen:\n  unix: /a\n",
         "f:2:3: listen must be a list such as \"- unix: /path/of/socket\", not a mapping"},
        {"listen:\nlog_level: info\n",
         "f:1:8: listen must be a list such as \"- unix: /path/of/socket\", not an empty value"},
        {"listen:\n- tcp:127.0.0.1:7420\n",
         "f:2:3: each item of listen must be a mapping such as \"unix: /path/of/socket\", not "
         "\"tcp:127.0.0.1:7420\""},
        {"listen: [[]]\n", "f:1:10: each item of listen must be a mapping such as \"unix: "
                           "/path/of/socket\", not a list"},
        {"regions: main\n",
         "f:1:10: regions must be a list such as \"- name: main\", not \"main\""},
        {"regions: {main: {}}\n",
         "f:1:10: regions must be a list such as \"- name: main\", not a mapping"},
        {"regions: [main]\n",
         "f:1:11: each item of regions must be a mapping such as \"name: main\", not \"main\""},
        {"max_message: [1]\n", "f:1:14: max_message must be a size such as 64MiB, not a list"},
        {"max_connections: {}\n", "f:1:18: max_connections must be a whole number, not a mapping"},
        {"log_level: []\n", "f:1:12: log_level must be a word, not a list"},
        {"data_dir: [/a]\n", "f:1:11: data_dir must be a path, not a list"},
        {"regions: [{name: []}]\n", "f:1:18: name must be a region's name, not a list"},
        {"regions: [{name: a, flush_interval: {}}]\n",
         "f:1:37: flush_interval must be a time such as 100ms, not a mapping"},
        {"listen: [{unix: []}]\n", "f:1:17: unix must be a path, not a list"},
        {"listen: [{unix: /a, mode: []}]\n",
         "f:1:27: mode must be octal permissions such as 0660 (digits 0 to 7), not a list"},
        {"listen:\n- tcp: [::1]:7420\n",
         "f:2:8: tcp must be HOST:PORT, such as 127.0.0.1:7420 or, in quotes, \"[::1]:7420\", not "
         "a list"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

START_TEST(listeners)
{
    static const struct refusal cases[] = {
        {"listen:\n- tcp: 0.0.0.0:7420\n",
         "f:2:8: the address \"0.0.0.0\" is not on loopback, and whoever reaches it may do "
         "everything as long as there are no users: bind a loopback address (127.0.0.0/8, ::1, "
         "localhost), or configure users"},
        {"users: []\nlisten:\n- tcp: 127.0.0.1:1\n- {mode: 0666, unix: /a}\n- tcp: '[::]:1'\n",
         "f:4:10: mode 0666 lets more than owner and group connect, who may do everything as long "
         "as there are no users: take 0660, or configure users"},
        {"listen:\n- tcp: ::1:7420\n",
         "f:2:8: an IPv6 address needs brackets, such as [::1]:7420, not \"::1:7420\""},
        {"listen:\n- tcp: 127.0.0.1:70000\n",
         "f:2:8: a TCP port is a number between 0 and 65535, not \"70000\""},
        {"listen:\n- unix: ''\n", "f:2:9: the path of a Unix socket must not be empty"},
        {"listen:\n- mode: 0660\n", "f:2:3: a listener needs a key unix, tcp or tls"},
        {"listen:\n- unix: /a\n  tcp: 127.0.0.1:1\n",
         "f:3:3: a listener is only one of unix, tcp and tls; make one for each"},
        {"listen:\n- {tcp: 127.0.0.1:1, unix: /a}\n",
         "f:2:22: a listener is only one of unix, tcp and tls; make one for each"},
        {"listen:\n- mode: 0660\n  tcp: 127.0.0.1:1\n",
         "f:2:3: mode is for unix listeners; TCP has no permissions"},
        {"listen:\n- unix: /a\n  mode: 0680\n",
         "f:3:9: mode must be octal permissions such as 0660 (digits 0 to 7), not the number 0680"},
        {"listen:\n- unix: /a\n  mode: rw-rw----\n",
         "f:3:9: mode must be octal permissions such as 0660 (digits 0 to 7), not \"rw-rw----\""},
        {"listen:\n- unix: /a\n  mode: 01777\n",
         "f:3:9: mode must be between 0000 and 0777, not 01777"},
        {"listen:\n- tcp: localhost:1\n- unix: /a\n- tcp: 127.0.0.1:1\n",
         "f:4:3: a second listener on tcp:127.0.0.1:1; the first is on line 2"},
        {"listen:\n- unix: /a\n- unix: /a\n",
         "f:3:3: a second listener on unix:/a; the first is on line 2"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

START_TEST(tls_keys)
{
    static const struct refusal cases[] = {
        {"tls_key: /k\n",
         "f:1:1: tls_certificate and tls_key go together: the key is that of the certificate"},
        {"data_dir: /d\ntls_certificate: /c\n",
         "f:2:1: tls_certificate and tls_key go together: the key is that of the certificate"},
        {"tls_ca: /a\n", "f:1:1: tls_ca has no effect without tls_clients: optional or required"},
        {"tls_clients: optional\n", "f:1:1: tls_clients: optional needs tls_ca, the authority "
                                    "whose certificates are accepted"},
        {"tls_clients: require\n", "f:1:14: tls_clients must be none, optional or required, not "
                                   "\"require\"; did you mean \"required\"?"},
        {"tls_minimum: 1.1\n", "f:1:14: tls_minimum must be 1.2 or 1.3, not the number 1.1; did "
                               "you mean \"1.2\"?"},
        {"tls_key: ''\n", "f:1:10: tls_key must be a path, not \"\""},
        {"tls_handshake: 99ms\n", "f:1:16: tls_handshake must be between 100ms and 5m, not 99ms"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

#define TLS_FILES "tls_certificate: /c\ntls_key: /k\n"
#define TLS_STRANGERS                                                                              \
    ", and whoever reaches it may do everything as long as there are no users: bind a loopback "   \
    "address (127.0.0.0/8, ::1, localhost), or configure users, or tls_clients: required with a "  \
    "tls_ca"

START_TEST(tls_listeners)
{
    static const struct refusal cases[] = {
        {"listen:\n- unix: /a\n- tls: 127.0.0.1:1\n",
         "f:3:3: tls:127.0.0.1:1 needs tls_certificate and tls_key: files with a certificate and "
         "its private key, in PEM"},
        {TLS_FILES "listen: [tls: 192.0.2.1:1]\n",
         "f:3:10: the address \"192.0.2.1\" is not on loopback" TLS_STRANGERS},
        {TLS_FILES "tls_clients: optional\ntls_ca: /a\nlisten: [tls: '[::]:1']\n",
         "f:5:10: the address \"::\" is not on loopback" TLS_STRANGERS},
        {TLS_FILES "listen: [tls: 'example.org:1']\n",
         "f:3:15: a TCP host is a numeric address or localhost, not the name \"example.org\""},
        {TLS_FILES "listen:\n- tls: 127.0.0.1:1\n  mode: 0600\n",
         "f:5:3: mode is for unix listeners; TCP has no permissions"},
        {TLS_FILES "listen:\n- tls: 127.0.0.1:1\n- tcp: 127.0.0.1:1\n",
         "f:5:3: a second listener on tcp:127.0.0.1:1; the first is on line 4"},
    };
    struct conf conf =
        parse_conf("listen: [{tls: 0.0.0.0:7421}, {tls: 'localhost:7421'}]\n" TLS_FILES
                   "tls_clients: required\ntls_ca: '${CREDENTIALS_DIRECTORY}/ca'\n"
                   "tls_minimum: 1.3\ntls_handshake: 1s\n");

    ASSERT_REFUSALS(cases);
    ck_assert_uint_eq(conf.listens_count, 2);
    ck_assert(conf.listens[0].is_tls);
    ck_assert(conf.listens[1].is_tls);
    ck_assert_str_eq(conf.listens[0].address, "tls:0.0.0.0:7421");
    ck_assert_str_eq(conf.tls.certificate, "/c");
    ck_assert_str_eq(conf.tls.ca, "${CREDENTIALS_DIRECTORY}/ca");
    ck_assert_int_eq(conf.tls.clients, TLS_CLIENTS_REQUIRED);
    ck_assert_int_eq(conf.tls.minimum, TLS_MINIMUM_1_3);
    ck_assert_uint_eq(conf.tls.handshake_ms, 1000);
    conf_release(&conf);
    /* With users any address will do, wherever they stand. */
    conf = parse_conf("listen: [tls: 0.0.0.0:7421]\n" TLS_FILES "users: [{name: a, uid: 1}]\n");
    ck_assert_int_eq(conf.tls.clients, TLS_CLIENTS_NONE);
    conf_release(&conf);
}
END_TEST

START_TEST(http)
{
    static const struct refusal cases[] = {
        {"http: 127.0.0.1:9421\n",
         "f:1:7: http must be a list such as \"- tcp: 127.0.0.1:9421\", not \"127.0.0.1:9421\""},
        {"http: [tls: '127.0.0.1:1']\n",
         "f:1:8: http has no TLS: take tcp on loopback, or unix, and put a proxy in front that has "
         "it"},
        {"http:\n- tcp: 192.0.2.1:1\n",
         "f:2:8: http is for this machine only, and \"192.0.2.1\" is not on loopback: take "
         "127.0.0.1 or ::1, or unix, and for others put a proxy in front"},
        {"users: [{name: a, uid: 1}]\nhttp:\n- tcp: '[::]:1'\n",
         "f:3:8: http is for this machine only, and \"::\" is not on loopback: take 127.0.0.1 or "
         "::1, or unix, and for others put a proxy in front"},
        {"http:\n- tcp: 127.0.0.1:1\n  mode: 0600\n",
         "f:3:3: mode is for unix listeners; TCP has no permissions"},
        {"http:\n- tcp: 127.0.0.1:1\n- tcp: localhost:1\n",
         "f:3:3: a second listener of http on tcp:localhost:1; the first is on line 2"},
        {"http: [tcp: '[::1]:1']\nlisten: [tcp: '[0:0::1]:1']\n",
         "f:1:8: tcp:[::1]:1 is one of listen's; take another one for http"},
        {"http:\n- mode: 0600\n", "f:2:3: a listener needs a key unix, tcp or tls"},
    };
    struct conf conf = parse_conf("http: [{tcp: '127.0.0.1:9421'}, {unix: /h, mode: 0666}]\n");

    ASSERT_REFUSALS(cases);
    ck_assert_uint_eq(conf.http_count, 2);
    ck_assert_str_eq(conf.http[0].address, "tcp:127.0.0.1:9421");
    ck_assert_str_eq(conf.http[1].path, "/h");
    ck_assert_uint_eq(conf.http[1].mode, 0666);
    conf_release(&conf);
}
END_TEST

START_TEST(file_paths)
{
    struct conf_error error;
    char *path;

    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1), 0);
    path = conf_file_path("${CREDENTIALS_DIRECTORY}/key.pem", &error);
    ck_assert_str_eq(path, "/run/credentials/x/key.pem");
    free(path);
    path = conf_file_path("/${CREDENTIALS_DIRECTORY}/key.pem", &error);
    ck_assert_str_eq(path, "/${CREDENTIALS_DIRECTORY}/key.pem");
    free(path);
    ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    ck_assert_ptr_null(conf_file_path("${CREDENTIALS_DIRECTORY}/key.pem", &error));
    ck_assert_str_eq(error.text, "${CREDENTIALS_DIRECTORY}/key.pem: CREDENTIALS_DIRECTORY is not "
                                 "set; systemd sets it where the unit has "
                                 "LoadCredential=key.pem:/the/file");
}
END_TEST

/* A list of count regions with names of their own. */
static char *many_regions(size_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    ck_assert_ptr_nonnull(to);
    (void)fputs("regions:\n", to);
    for (size_t i = 0; i < count; i++)
        (void)fprintf(to, "- name: r%zu\n", i);
    ck_assert_int_eq(fclose(to), 0);
    return text;
}

START_TEST(most_regions)
{
    char *text = many_regions(CONF_REGIONS_MAX);
    struct conf conf = parse_conf(text);

    ck_assert_uint_eq(conf.regions_count, CONF_REGIONS_MAX);
    ck_assert_str_eq(conf.regions[CONF_REGIONS_MAX - 1].name, "r4095");
    conf_release(&conf);
    free(text);
    text = many_regions(CONF_REGIONS_MAX + 1);
    assert_refused(text, strlen(text), "f:4098:3: regions has at most 4096 items");
    free(text);
}
END_TEST

START_TEST(most_listeners)
{
    char *text = repeat("listen:\n", "- tcp: 127.0.0.1:0\n", CONF_LISTENS_MAX, "");
    struct conf conf = parse_conf(text);

    ck_assert_uint_eq(conf.listens_count, CONF_LISTENS_MAX);
    conf_release(&conf);
    free(text);
    assert_repeated_refused("listen:\n", "- tcp: 127.0.0.1:0\n", CONF_LISTENS_MAX + 1,
                            "f:66:3: listen has at most 64 items");
}
END_TEST

START_TEST(file_size)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};
    char *text = repeat("data_dir: /a\n", "#\n", (CONF_FILE_MAX - 13) / 2, "#");

    ck_assert_uint_eq(strlen(text), CONF_FILE_MAX);
    ck_assert_int_eq(conf_parse(&conf, text, CONF_FILE_MAX, "f", &error), 0);
    ck_assert_str_eq(conf.data_dir, "/a");
    free(text);
    text = repeat("data_dir: /b\n", "#\n", (CONF_FILE_MAX - 13) / 2, "#\n");
    ck_assert_int_lt(conf_parse(&conf, text, CONF_FILE_MAX + 1, "f", &error), 0);
    ck_assert_str_eq(error.text, "f: a configuration has at most 1048576 bytes");
    ck_assert_uint_eq(error.line, 0);
    ck_assert_str_eq(conf.data_dir, "/a");
    free(text);
    conf_release(&conf);
}
END_TEST

START_TEST(empty_files)
{
    static const char *const texts[] = {
        "",           "\n",   "# only a comment\n", "---\n",
        "---\n...\n", "{}\n", "\xef\xbb\xbf",       "%YAML 1.1\n---\n"};
    struct conf defaults = default_conf();

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct conf conf = parse_conf(texts[i]);

        assert_conf_eq(&conf, &defaults);
        conf_release(&conf);
    }
    conf_release(&defaults);
}
END_TEST

START_TEST(whole_file)
{
    struct conf conf = parse_conf("# Everything differs from the defaults.\n"
                                  "data_dir: './my data'\n"
                                  "listen:\n"
                                  "  - mode: 600\n"
                                  "    unix: \"/tmp/a b\"\n"
                                  "  - {unix: /tmp/c}\n"
                                  "  - tcp: \"[::1]:0\"\n"
                                  "max_message: 1048576\n"
                                  "max_connections: 7\n"
                                  "max_pipeline: 8\n"
                                  "max_buffered: '9GiB'\n"
                                  "log_level: debug\n"
                                  "regions:\n"
                                  "  - {name: \"2024\", durability: interval, flush_interval: 2s}\n"
                                  "  - name: b\n"
                                  "    fit: largest\n"
                                  "    durability: \"none\"\n"
                                  "    max_size: 3TiB\n"
                                  "    journal_size: 17MiB\n");

    ck_assert_str_eq(conf.data_dir, "./my data");
    ck_assert_uint_eq(conf.listens_count, 3);
    ck_assert_str_eq(conf.listens[0].address, "unix:/tmp/a b");
    ck_assert_uint_eq(conf.listens[0].mode, 0600);
    ck_assert_uint_eq(conf.listens[0].line, 4);
    ck_assert_str_eq(conf.listens[1].path, "/tmp/c");
    ck_assert_uint_eq(conf.listens[1].mode, 0660);
    ck_assert_str_eq(conf.listens[2].address, "tcp:[::1]:0");
    ck_assert_str_eq(conf.listens[2].host, "::1");
    ck_assert_uint_eq(conf.max_message, MIB);
    ck_assert_uint_eq(conf.max_connections, 7);
    ck_assert_uint_eq(conf.max_pipeline, 8);
    ck_assert_uint_eq(conf.max_buffered, 9 * GIB);
    ck_assert_int_eq(conf.log_level, LOG_LEVEL_DEBUG);
    ck_assert_uint_eq(conf.regions_count, 2);
    ck_assert_str_eq(conf.regions[0].name, "2024");
    ck_assert_int_eq(conf.regions[0].options.durability, DURABILITY_INTERVAL);
    ck_assert_uint_eq(conf.regions[0].options.flush_interval_ms, 2000);
    ck_assert_int_eq(conf.regions[0].options.fit, FIT_TIGHT);
    ck_assert_uint_eq(conf.regions[0].line, 14);
    ck_assert_int_eq(conf.regions[1].options.durability, DURABILITY_NONE);
    ck_assert_int_eq(conf.regions[1].options.fit, FIT_LARGEST);
    ck_assert_uint_eq(conf.regions[1].options.max_size, 3 * TIB);
    ck_assert_uint_eq(conf.regions[1].options.journal_size, 17 * MIB);
    conf_release(&conf);
}
END_TEST

START_TEST(buffered_grows_with_messages)
{
    struct conf conf = parse_conf("max_message: 1GiB\n");

    ck_assert_uint_eq(conf.max_buffered, GIB);
    conf_release(&conf);
    conf = parse_conf("max_message: 64KiB\nmax_buffered: 64KiB\n");
    ck_assert_uint_eq(conf.max_buffered, 64 * KIB);
    conf_release(&conf);
}
END_TEST

RUN_SUITE("conf/read", keys, shapes, listeners, tls_keys, tls_listeners, http, file_paths,
          most_regions, most_listeners, file_size, empty_files, whole_file,
          buffered_grows_with_messages)
