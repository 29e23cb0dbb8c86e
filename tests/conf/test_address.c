/* conf/address: what may be listened on, and what it means. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "conf/address.h"
#include "tests/conf/support_run.h"

static struct conf_listen parse(const char *text)
{
    struct conf_listen listen = {0};
    char problem[ADDRESS_PROBLEM_SIZE] = "";

    ck_assert_msg(address_parse(text, strlen(text), &listen, problem) == 0, "%s: %s", text,
                  problem);
    ck_assert_str_eq(listen.address, text);
    return listen;
}

static void assert_tcp(const char *text, const char *host, unsigned port)
{
    struct conf_listen listen = parse(text);

    ck_assert(!listen.is_unix);
    ck_assert_str_eq(listen.host, host);
    ck_assert_uint_eq(listen.port, port);
    ck_assert_ptr_null(listen.path);
    address_release(&listen);
}

START_TEST(tcp)
{
    assert_tcp("tcp:127.0.0.1:7420", "127.0.0.1", 7420);
    assert_tcp("tcp:127.255.3.4:0", "127.255.3.4", 0);
    assert_tcp("tcp:[::1]:65535", "::1", 65535);
    assert_tcp("tcp:[0:0:0:0:0:0:0:1]:1", "0:0:0:0:0:0:0:1", 1);
    assert_tcp("tcp:localhost:80", "localhost", 80);
    assert_tcp("tcp:LocalHost:80", "LocalHost", 80);
}
END_TEST

START_TEST(unix_sockets)
{
    struct conf_listen listen = parse("unix:/run/a:b.sock");

    ck_assert(listen.is_unix);
    ck_assert_str_eq(listen.path, "/run/a:b.sock");
    ck_assert_uint_eq(listen.mode, 0660);
    ck_assert_ptr_null(listen.host);
    address_release(&listen);
    listen = parse("unix:./@relative");
    ck_assert_str_eq(listen.path, "./@relative");
    address_release(&listen);
}
END_TEST

static bool lets_strangers_in(const char *text, unsigned mode, char problem[ADDRESS_PROBLEM_SIZE])
{
    struct conf_listen listen = parse(text);
    const struct conf_tls tls = {.clients = TLS_CLIENTS_OPTIONAL};
    bool lets_in;

    if (listen.is_unix)
        listen.mode = mode;
    lets_in = address_lets_strangers_in(&listen, &tls, problem);
    address_release(&listen);
    return lets_in;
}

static void assert_problem(const char *text, const char *sentence)
{
    struct conf_listen listen = {.mode = 7};
    char problem[ADDRESS_PROBLEM_SIZE] = "";

    ck_assert_int_eq(address_parse(text, strlen(text), &listen, problem), -EINVAL);
    ck_assert_str_eq(problem, sentence);
    ck_assert_uint_eq(listen.mode, 7);
    ck_assert_ptr_null(listen.address);
}

START_TEST(not_loopback)
{
    static const char *const hosts[] = {
        "0.0.0.0", "10.0.0.1",           "128.0.0.1", "126.255.255.255", "[::]",
        "[::2]",   "[::ffff:127.0.0.1]", "[fe80::1]", "8.8.8.8"};

    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        size_t brackets = hosts[i][0] == '[';
        char problem[ADDRESS_PROBLEM_SIZE];
        char text[64];
        char sentence[ADDRESS_PROBLEM_SIZE];

        (void)snprintf(text, sizeof text, "tcp:%s:7420", hosts[i]);
        (void)snprintf(sentence, sizeof sentence,
                       "the address \"%.*s\" is not on loopback, and whoever reaches it may do "
                       "everything as long as there are no users: bind a loopback address "
                       "(127.0.0.0/8, ::1, localhost), or configure users",
                       (int)(strlen(hosts[i]) - 2 * brackets), hosts[i] + brackets);
        ck_assert(lets_strangers_in(text, 0, problem));
        ck_assert_str_eq(problem, sentence);
    }
}
END_TEST

START_TEST(strangers)
{
    char problem[ADDRESS_PROBLEM_SIZE] = "";

    ck_assert(!lets_strangers_in("tcp:127.0.0.1:1", 0, problem));
    ck_assert(!lets_strangers_in("tcp:[::1]:1", 0, problem));
    ck_assert(!lets_strangers_in("tcp:localhost:1", 0, problem));
    ck_assert(!lets_strangers_in("unix:/a", 0660, problem));
    ck_assert(
        !lets_strangers_in("unix:/a", 0775, problem)); /* to connect takes the right to write */
    ck_assert(lets_strangers_in("unix:/a", 0602, problem));
    ck_assert_str_eq(problem, "mode 0602 lets more than owner and group connect, who may do "
                              "everything as long as there are no users: take 0660, or configure "
                              "users");
}
END_TEST

START_TEST(not_an_address)
{
    assert_problem("", "an address is tcp:HOST:PORT, tls:HOST:PORT or unix:PATH, not \"\"");
    assert_problem("127.0.0.1:1",
                   "an address is tcp:HOST:PORT, tls:HOST:PORT or unix:PATH, not \"127.0.0.1:1\"");
    assert_problem(
        "TCP:127.0.0.1:1",
        "an address is tcp:HOST:PORT, tls:HOST:PORT or unix:PATH, not \"TCP:127.0.0.1:1\"");
    assert_problem("tcp:127.0.0.1",
                   "a TCP address is HOST:PORT, such as 127.0.0.1:7420, not \"127.0.0.1\"");
    assert_problem("tcp::7420",
                   "a TCP address is HOST:PORT, such as 127.0.0.1:7420, not \":7420\"");
    assert_problem("tcp:", "a TCP address is HOST:PORT, such as 127.0.0.1:7420, not \"\"");
    assert_problem("tcp:::1:7420",
                   "an IPv6 address needs brackets, such as [::1]:7420, not \"::1:7420\"");
    assert_problem("tcp:[::1]", "a TCP address is HOST:PORT, such as [::1]:7420, not \"[::1]\"");
    assert_problem("tcp:[::1]7", "a TCP address is HOST:PORT, such as [::1]:7420, not \"[::1]7\"");
    assert_problem("tcp:[::1", "a TCP address is HOST:PORT, such as [::1]:7420, not \"[::1\"");
    assert_problem("tcp:[127.0.0.1]:7",
                   "brackets are for IPv6 addresses, such as [::1]:7420, not \"[127.0.0.1]:7\"");
}
END_TEST

START_TEST(not_a_host)
{
    static const char format[] =
        "a TCP host is a numeric address or localhost, not the name \"%s\"";
    static const char *const names[] = {
        "example.org", "127.1",
        "127.0.0.1 ",  "0x7f000001",
        "localhost.",  "127.0.0.256",
        "*",           "longer-than-any-address-that-there-ever-was-in-ipv6"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[128];
        char sentence[ADDRESS_PROBLEM_SIZE];

        (void)snprintf(text, sizeof text, "tcp:%s:1", names[i]);
        (void)snprintf(sentence, sizeof sentence, format, names[i]);
        assert_problem(text, sentence);
    }
}
END_TEST

START_TEST(not_a_port)
{
    static const char *const ports[] = {
        "", "65536", "-1", "http", "1 ", "0x50", "99999999999999999999", "080"};

    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        char text[64];
        char sentence[ADDRESS_PROBLEM_SIZE];

        (void)snprintf(text, sizeof text, "tcp:127.0.0.1:%s", ports[i]);
        (void)snprintf(sentence, sizeof sentence,
                       "a TCP port is a number between 0 and 65535, not \"%s\"", ports[i]);
        assert_problem(text, sentence);
    }
}
END_TEST

START_TEST(not_a_socket_path)
{
    char text[200] = "unix:/";
    char sentence[ADDRESS_PROBLEM_SIZE];
    struct conf_listen listen;

    assert_problem("unix:", "the path of a Unix socket must not be empty");
    assert_problem("unix:@a", "abstract sockets are not supported, as they have no permissions: "
                              "\"@a\"; for a file of that name put ./ in front");
    assert_problem("unix:/run/",
                   "the path of a Unix socket must name a file, not the directory \"/run/\"");
    memset(text + 6, 'a', 106);
    listen = parse(text); /* 107 bytes: just fits */
    ck_assert_uint_eq(strlen(listen.path), sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
    address_release(&listen);
    text[5 + 107] = 'a';
    (void)snprintf(sentence, sizeof sentence,
                   "the path of a Unix socket has at most 107 bytes, but \"%.100s...\" has 108; a "
                   "relative path may be shorter",
                   text + 5);
    assert_problem(text, sentence);
}
END_TEST

static bool same(const char *a, const char *b)
{
    struct conf_listen left = parse(a);
    struct conf_listen right = parse(b);
    bool is_same = address_is_same(&left, &right);

    ck_assert_int_eq(address_is_same(&right, &left), is_same);
    address_release(&left);
    address_release(&right);
    return is_same;
}

START_TEST(sameness)
{
    ck_assert(same("tcp:127.0.0.1:1", "tcp:127.0.0.1:1"));
    ck_assert(same("tcp:127.0.0.1:1", "tcp:localhost:1"));
    ck_assert(same("tcp:[::1]:1", "tcp:[0::0:1]:1"));
    ck_assert(same("unix:/a", "unix:/a"));
    ck_assert(!same("tcp:127.0.0.1:1", "tcp:127.0.0.1:2"));
    ck_assert(!same("tcp:127.0.0.1:1", "tcp:127.0.0.2:1"));
    ck_assert(!same("tcp:127.0.0.1:1", "tcp:[::1]:1"));
    ck_assert(!same("tcp:127.0.0.1:0", "tcp:127.0.0.1:0"));
    ck_assert(!same("unix:/a", "unix:/ab"));
    ck_assert(!same("unix:/a", "tcp:127.0.0.1:1"));
}
END_TEST

START_TEST(socket_addresses)
{
    struct sockaddr_storage address;
    socklen_t length;
    struct conf_listen listen = parse("tcp:localhost:7420");
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address;

    address_to_socket(&listen, &address, &length);
    ck_assert_uint_eq(length, sizeof *four);
    ck_assert_int_eq(four->sin_family, AF_INET);
    ck_assert_uint_eq(ntohl(four->sin_addr.s_addr), INADDR_LOOPBACK);
    ck_assert_uint_eq(ntohs(four->sin_port), 7420);
    address_release(&listen);
    listen = parse("tcp:[::1]:1");
    address_to_socket(&listen, &address, &length);
    ck_assert_uint_eq(length, sizeof *six);
    ck_assert_int_eq(six->sin6_family, AF_INET6);
    ck_assert(IN6_IS_ADDR_LOOPBACK(&six->sin6_addr));
    ck_assert_uint_eq(ntohs(six->sin6_port), 1);
    address_release(&listen);
    listen = parse("unix:/run/a");
    address_to_socket(&listen, &address, &length);
    ck_assert_int_eq(un->sun_family, AF_UNIX);
    ck_assert_str_eq(un->sun_path, "/run/a");
    ck_assert_uint_eq(length, offsetof(struct sockaddr_un, sun_path) + sizeof "/run/a");
    address_release(&listen);
}
END_TEST

RUN_SUITE("conf/address", tcp, unix_sockets, not_loopback, strangers, not_an_address, not_a_host,
          not_a_port, not_a_socket_path, sameness, socket_addresses)
