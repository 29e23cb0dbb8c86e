/* daemon/peers: who has failed often waits, longer each time; everybody is forgotten in the end. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <string.h>

#include "daemon/peers.h"
#include "tests/support_main.h"

static struct peers peers;

static void setup(void)
{
    peers = (struct peers){0};
}

static void teardown(void)
{
    peers_release(&peers);
    ck_assert_uint_eq(peers.count, 0);
}

static struct origin_key key_of(const char *host)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, host, &in4.sin_addr) == 1)
        return origin_key_of_address((const struct sockaddr *)&in4);
    ck_assert_int_eq(inet_pton(AF_INET6, host, &in6.sin6_addr), 1);
    return origin_key_of_address((const struct sockaddr *)&in6);
}

static bool is_same(struct origin_key a, struct origin_key b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

START_TEST(keys)
{
    ck_assert(is_same(key_of("192.0.2.1"), key_of("::ffff:192.0.2.1")));
    ck_assert(!is_same(key_of("192.0.2.1"), key_of("192.0.2.2")));
    ck_assert(is_same(key_of("2001:db8::1"), key_of("2001:db8::ffff:2")));
    ck_assert(!is_same(key_of("2001:db8::1"), key_of("2001:db8:0:1::1")));
    ck_assert(!is_same(origin_key_of_uid(0), key_of("0.0.0.0")));
    ck_assert(!is_same(origin_key_of_uid(0), origin_key_of_uid(1)));
    ck_assert(is_same(origin_key_of_uid(7), origin_key_of_uid(7)));
}
END_TEST

START_TEST(each_failure_doubles_the_delay)
{
    static const uint64_t delays[] = {0, 0, 0, 100, 200, 400, 800, 1600, 3200, 4000, 4000};
    uint64_t at_ms = 1000;
    struct peer *peer = peers_get(&peers, key_of("192.0.2.1"), at_ms);
    ck_assert_uint_eq(peer_delay_ms(peer, at_ms), 0);
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        peer_begins(peer, at_ms);
        peer_failed(peer, at_ms);
        ck_assert_uint_eq(peer_delay_ms(peer, at_ms), delays[i]);
        ck_assert_uint_eq(peer->due_ms, at_ms + delays[i]);
        at_ms += delays[i];
    }
    for (int i = 0; i < 100000; i++) /* without end */
        peer_failed(peer, at_ms);
    ck_assert_uint_eq(peer_delay_ms(peer, at_ms), PEER_DELAY_MAX_MS);
    ck_assert_uint_eq(peer_delay_ms(peers_get(&peers, key_of("192.0.2.2"), at_ms), at_ms), 0);
}
END_TEST

START_TEST(failures_are_forgotten_by_halves)
{
    struct peer *peer = peers_get(&peers, origin_key_of_uid(5), 0);
    for (int i = 0; i < 8; i++)
        peer_failed(peer, 0);
    ck_assert_uint_eq(peer_delay_ms(peer, PEER_FORGET_MS - 1), 1600);
    ck_assert_uint_eq(peer_delay_ms(peer, PEER_FORGET_MS), 100); /* 4 failures */
    ck_assert_uint_eq(peer_delay_ms(peer, 2 * PEER_FORGET_MS - 1), 100);
    ck_assert_uint_eq(peer_delay_ms(peer, 2 * PEER_FORGET_MS), 0);
    ck_assert_uint_eq(peer->failures, 2);
    ck_assert_uint_eq(peer_delay_ms(peer, 100 * PEER_FORGET_MS), 0);
    ck_assert_uint_eq(peer->failures, 0);
    peer_failed(peer, 200 * PEER_FORGET_MS); /* counts from anew */
    ck_assert_uint_eq(peer->failures, 1);
}
END_TEST

static struct peer *get_uid(uint32_t uid, uint64_t at_ms)
{
    return peers_get(&peers, origin_key_of_uid(uid), at_ms);
}

START_TEST(who_has_failed_least_makes_room)
{
    for (uint32_t uid = 0; uid < PEERS_MAX; uid++) {
        struct peer *peer = get_uid(uid, 0);
        ck_assert_ptr_nonnull(peer);
        for (unsigned i = 0; i < (uid == 77 ? 1U : 5U); i++)
            peer_failed(peer, 0);
    }
    ck_assert_uint_eq(peers.count, PEERS_MAX);
    ck_assert_ptr_nonnull(get_uid(PEERS_MAX, 0));
    ck_assert_uint_eq(peers.count, PEERS_MAX);
    ck_assert_uint_eq(get_uid(76, 0)->failures, 5);
    ck_assert_uint_eq(get_uid(78, 0)->failures, 5);
    ck_assert_uint_eq(peers.count, PEERS_MAX);
    /* In the end there is nothing to be remembered of anybody. */
    ck_assert_ptr_nonnull(get_uid(PEERS_MAX + 1, 1000 * PEER_FORGET_MS));
    ck_assert_uint_eq(peers.count, 1);
}
END_TEST

START_TEST(who_waits_stays)
{
    for (uint32_t uid = 0; uid < PEERS_MAX; uid++)
        get_uid(uid, 0)->waiting = 1;
    ck_assert_ptr_null(get_uid(PEERS_MAX, 0));
    ck_assert_ptr_nonnull(get_uid(5, 0));
    get_uid(5, 0)->waiting = 0;
    ck_assert_ptr_nonnull(get_uid(PEERS_MAX, 0));
    ck_assert_uint_eq(peers.count, PEERS_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peers");
    TCase *tcase = tcase_create("peers");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, keys);
    tcase_add_test(tcase, each_failure_doubles_the_delay);
    tcase_add_test(tcase, failures_are_forgotten_by_halves);
    tcase_add_test(tcase, who_has_failed_least_makes_room);
    tcase_add_test(tcase, who_waits_stays);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
