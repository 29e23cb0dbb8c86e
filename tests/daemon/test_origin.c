/* daemon/origin: who counts as one, and that each has an origin for as long as it has connections;
 * also where every allocation fails in turn. */
#include "daemon/origin.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support_failing_memory.h"
#include "tests/support_main.h"

static struct origins origins;

static void setup(void)
{
    origins = (struct origins){0};
}

static struct origin_key key_of(const char *host)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } address = {.in4 = {.sin_family = AF_INET, .sin_port = htons(7420)}};
    if (inet_pton(AF_INET, host, &address.in4.sin_addr) == 1)
        return origin_key_of_address(&address.any);
    address.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(7421)};
    ck_assert_int_eq(inet_pton(AF_INET6, host, &address.in6.sin6_addr), 1);
    return origin_key_of_address(&address.any);
}

static bool are_one(const char *a, const char *b)
{
    struct origin_key first = key_of(a), second = key_of(b);
    return memcmp(&first, &second, sizeof first) == 0;
}

START_TEST(addresses)
{
    ck_assert(are_one("192.0.2.1", "192.0.2.1"));
    ck_assert(!are_one("192.0.2.1", "192.0.2.2"));
    ck_assert(are_one("::ffff:192.0.2.1", "192.0.2.1"));
    ck_assert(!are_one("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    ck_assert(are_one("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
    ck_assert(!are_one("2001:db8:0:1::1", "2001:db8:0:2::1"));
    ck_assert(!are_one("::1", "127.0.0.1"));
}
END_TEST

START_TEST(users)
{
    int pair[2];
    struct origin_key here, address = key_of("127.0.0.1");
    uint32_t uid = getuid();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    here = origin_key_of_socket(pair[0]);
    ck_assert_int_eq(memcmp(here.bytes + 1, &uid, sizeof uid), 0);
    ck_assert_int_ne(here.bytes[0], address.bytes[0]);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

START_TEST(counts)
{
    struct origin *a = origins_enter(&origins, key_of("192.0.2.1"));
    struct origin *b = origins_enter(&origins, key_of("192.0.2.2"));
    ck_assert_ptr_ne(a, b);
    ck_assert_ptr_eq(origins_enter(&origins, key_of("192.0.2.1")), a);
    ck_assert_uint_eq(a->conns, 2);
    ck_assert_uint_eq(b->conns, 1);
    origins_leave(&origins, a);
    ck_assert_uint_eq(a->conns, 1);
    origins_leave(&origins, a);
    origins_leave(&origins, NULL);
    ck_assert_ptr_eq(origins.all, b);
    ck_assert_uint_eq(HASH_COUNT(origins.all), 1);
    origins_leave(&origins, b);
    ck_assert_ptr_null(origins.all);
}
END_TEST

/* Hundreds of them, so that the table has to grow, and whatever fails leaves those that there are.
 */
START_TEST(without_memory)
{
    struct origin *entered[600];
    char host[32];
    for (uint32_t i = 0; i < 600; i++) {
        snprintf(host, sizeof host, "198.51.%u.%u", i / 250, i % 250);
        struct origin_key key = key_of(host);
        for (countdown = i % 3; (entered[i] = origins_enter(&origins, key)) == NULL;) {
            ck_assert_uint_eq(HASH_COUNT(origins.all), i);
            countdown = -1;
        }
        countdown = -1;
        ck_assert_uint_eq(entered[i]->conns, 1);
    }
    ck_assert(has_failed);
    for (uint32_t i = 0; i < 600; i++)
        origins_leave(&origins, entered[i]);
    ck_assert_ptr_null(origins.all);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("origin");
    TCase *tcase = tcase_create("origin");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, addresses);
    tcase_add_test(tcase, users);
    tcase_add_test(tcase, counts);
    tcase_add_test(tcase, without_memory);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
