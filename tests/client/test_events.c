/* Subscriptions, against a server that does as it is told: what comes is told once and in order,
 * and what may be missing is told too. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support_fake.h"
#include "tests/support_main.h"

static struct mregion_error error;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)
#define FAILS(wanted, call) ck_assert_str_eq(mregion_code_name(call), mregion_code_name(wanted))

/* ---- The server ---- */

/* What each connection does once it is subscribed. */
static struct {
    unsigned events;     /* "created" of regions r0, r1..., in one write with the answer */
    bool ends_after;     /* then it is closed */
    bool falls_silent;   /* then nothing is answered any more; from the second one on it is */
    const char *refusal; /* of subscribe */
    size_t filling;      /* bytes in each, of a key that nobody knows */
    const char *raw;     /* is sent in front of the events, so many bytes */
    size_t raw_size;
} server;
static unsigned subscriptions;
static struct fake fake;
static struct mregion *connection;

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str(packer, strlen(text));
    msgpack_pack_str_body(packer, text, strlen(text));
}

static void pack_event(msgpack_packer *packer, unsigned number)
{
    char region[64];

    (void)snprintf(region, sizeof region, "r%u", number);
    msgpack_pack_array(packer, 3);
    msgpack_pack_uint8(packer, 2);
    pack_text(packer, "event");
    msgpack_pack_array(packer, 1);
    msgpack_pack_map(packer, server.filling > 0 ? 4 : 3);
    if (server.filling > 0) {
        char *filling = calloc(1, server.filling);

        pack_text(packer, "filling");
        msgpack_pack_bin(packer, server.filling);
        msgpack_pack_bin_body(packer, filling, server.filling);
        free(filling);
    }
    pack_text(packer, "event");
    pack_text(packer, "created");
    pack_text(packer, "region");
    pack_text(packer, region);
    pack_text(packer, "id");
    msgpack_pack_uint64(packer, number);
}

static bool subscribe(int fd, uint32_t msgid)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    bool is_written;

    __atomic_add_fetch(&subscriptions, 1, __ATOMIC_RELEASE);
    if (server.refusal != NULL)
        return fake_answer_error(fd, msgid, server.refusal);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_uint8(&packer, 1);
    msgpack_pack_uint32(&packer, msgid);
    msgpack_pack_nil(&packer);
    msgpack_pack_nil(&packer);
    if (server.raw != NULL)
        (void)msgpack_sbuffer_write(&buffer, server.raw, server.raw_size);
    for (unsigned i = 0; i < server.events; i++)
        pack_event(&packer, i);
    is_written = fake_write(fd, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return is_written;
}

static void script(struct fake *self, int fd, unsigned number)
{
    struct fake_request request;
    bool is_silent = false, goes_on = true;

    while (goes_on && fake_read(self, fd, &request)) {
        if (!is_silent && strcmp(request.method, "subscribe") == 0) {
            goes_on = subscribe(fd, request.rpc.msgid) && !(server.ends_after && number == 0);
            is_silent = server.falls_silent && number == 0;
        } else if (!is_silent) {
            goes_on = fake_answer_uint(fd, request.rpc.msgid, 7);
        }
        fake_drop(&request);
    }
}

static void start(const struct mregion_options *options)
{
    fake_start(&fake, script, NULL);
    OK(mregion_open(fake.address, options, &connection, &error));
}

static void finish(void)
{
    mregion_close(connection);
    fake_stop(&fake);
    memset(&server, 0, sizeof server);
    subscriptions = 0;
}

/* ---- What is heard ---- */

#define HEARD_MAX 64
static struct {
    enum mregion_event_kind kind;
    enum mregion_code code;
    char name[64], region[64], text[128];
    uint64_t lost;
} heard[HEARD_MAX];
static unsigned heard_count;
static struct mregion_events *subscription;
static unsigned close_at; /* in the callback of the event of this number */

static void note(const struct mregion_event *event)
{
    ck_assert_uint_lt(heard_count, HEARD_MAX);
    heard[heard_count].kind = event->kind;
    heard[heard_count].code = event->code;
    heard[heard_count].lost = event->lost;
    (void)snprintf(heard[heard_count].name, 64, "%s", event->name);
    (void)snprintf(heard[heard_count].region, 64, "%s", event->region);
    (void)snprintf(heard[heard_count].text, 128, "%s", event->text);
    heard_count++;
}

static void on_event(struct mregion *self, const struct mregion_event *event, void *data)
{
    ck_assert_ptr_eq(self, connection);
    ck_assert_ptr_eq(data, &fake);
    if (heard_count + 1 == close_at)
        mregion_events_close(subscription);
    note(event); /* which is still there */
}

static void listen_in(void)
{
    heard_count = close_at = 0;
    OK(mregion_async_events(connection, on_event, &fake, &subscription, &error));
}

static void turn_until(unsigned count)
{
    struct pollfd waiting = {.events = POLLIN};

    OK(mregion_fd(connection, &waiting.fd, &error));
    while (heard_count < count) {
        ck_assert_int_eq(poll(&waiting, 1, -1), 1);
        mregion_process(connection);
    }
    ck_assert_uint_eq(heard_count, count);
}

static const struct mregion_event *next(void)
{
    const struct mregion_event *event = NULL;

    OK(mregion_events_next(subscription, MREGION_NO_TIMEOUT, &event, &error));
    return event;
}

/* ---- Tests ---- */

START_TEST(in_order_and_between_answers)
{
    uint64_t size;

    server.events = 3;
    start(NULL);
    OK(mregion_events_open(connection, &subscription, &error));
    OK(mregion_size(connection, "m", &size, &error));
    ck_assert_uint_eq(size, 7);
    for (unsigned i = 0; i < 3; i++) {
        const struct mregion_event *event = next();

        ck_assert_int_eq(event->kind, MREGION_EVENT_CREATED);
        ck_assert_str_eq(event->name, "created");
        ck_assert_int_eq(event->region[1], '0' + (int)i);
        ck_assert_uint_eq(event->region_id, i);
        ck_assert_uint_gt(event->map_size, 20);
    }
    FAILS(MREGION_ERR_TIMEOUT,
          mregion_events_next(subscription, 1, &(const struct mregion_event *){NULL}, &error));
    ck_assert_str_eq(error.text, "no event in time");
    mregion_events_close(subscription);
    finish();
}
END_TEST

/* A subscription that is made again is told before what came over it, in one packet with it. */
START_TEST(told_when_some_may_be_missing)
{
    server.events = 1;
    server.ends_after = true;
    start(NULL);
    OK(mregion_events_open(connection, &subscription, &error));
    ck_assert_int_eq(next()->kind, MREGION_EVENT_CREATED);
    ck_assert_int_eq(next()->kind, MREGION_EVENT_SUBSCRIBED);
    ck_assert_int_eq(next()->kind, MREGION_EVENT_CREATED);
    finish();
    ck_assert_uint_eq(fake.connections, 2);
}
END_TEST

START_TEST(the_same_by_callback)
{
    static const enum mregion_event_kind kinds[] = {
        MREGION_EVENT_SUBSCRIBED, MREGION_EVENT_CREATED, MREGION_EVENT_CREATED,
        MREGION_EVENT_SUBSCRIBED, MREGION_EVENT_CREATED, MREGION_EVENT_CREATED};

    server.events = 2;
    server.ends_after = true;
    start(NULL);
    listen_in();
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_events(connection, on_event, NULL, NULL, &error));
    FAILS(MREGION_ERR_ARGUMENT,
          mregion_events_next(subscription, 0, &(const struct mregion_event *){NULL}, &error));
    turn_until(6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(heard[i].kind, kinds[i]);
    finish();
}
END_TEST

START_TEST(closed_in_its_callback)
{
    server.events = 5;
    start(NULL);
    listen_in();
    close_at = 3;
    turn_until(3);
    mregion_process(connection);
    ck_assert_uint_eq(heard_count, 3);
    ck_assert_str_eq(heard[2].region, "r1");
    /* And another one, on the same connection. */
    listen_in();
    turn_until(6);
    ck_assert_int_eq(heard[0].kind, MREGION_EVENT_SUBSCRIBED);
    finish();
}
END_TEST

static void on_event_close(struct mregion *self, const struct mregion_event *event, void *data)
{
    (void)data;
    note(event);
    mregion_close(self);
}

START_TEST(the_connection_is_closed_in_a_callback)
{
    struct pollfd waiting = {.events = POLLIN};

    server.events = 5;
    start(NULL);
    heard_count = 0;
    OK(mregion_fd(connection, &waiting.fd, &error));
    OK(mregion_async_events(connection, on_event_close, NULL, NULL, &error));
    while (heard_count == 0) {
        ck_assert_int_eq(poll(&waiting, 1, -1), 1);
        mregion_process(connection);
    }
    ck_assert_uint_eq(heard_count, 1);
    connection = NULL;
    finish();
}
END_TEST

START_TEST(what_nobody_takes_is_counted)
{
    static const struct mregion_options options = {.timeout_ms = 40};
    const struct mregion_event *event = NULL;
    unsigned events = 0;
    uint64_t size;

    server.events = 40;
    server.filling = 64 << 10;
    start(&options);
    mregion_set_timeout(connection, 60000);
    OK(mregion_events_open(connection, &subscription, &error));
    OK(mregion_size(connection, "m", &size, &error));
    /* Those that are kept; those that come when it is asked again say how many were not. */
    do {
        event = next();
        events += event->lost == 0;
    } while (event->lost == 0);
    ck_assert_uint_ge(events, 10);
    ck_assert_uint_lt(events, 16);
    ck_assert_uint_eq(event->lost, 40 - events);
    finish();
}
END_TEST

START_TEST(what_is_no_event_is_ignored)
{
    /* [2, "other", [1]], [2, "event", []], [2, "event", [5]], [2, "event", [{1: 2}]],
     * [2, "event", [{"event": 3, "region": 4, "id": "x"}]], [2, "event", 7] */
    static const char raw[] = "\x93\x02\xa5other\x91\x01"
                              "\x93\x02\xa5"
                              "event\x90"
                              "\x93\x02\xa5"
                              "event\x91\x05"
                              "\x93\x02\xa5"
                              "event\x91\x81\x01\x02"
                              "\x93\x02\xa5"
                              "event\x91\x83\xa5"
                              "event\x03\xa6region\x04\xa2id\xa1x"
                              "\x93\x02\xa5"
                              "event\x07";

    server.events = 1;
    server.raw = raw;
    server.raw_size = sizeof raw - 1;
    start(NULL);
    OK(mregion_events_open(connection, &subscription, &error));
    for (unsigned i = 0; i < 2; i++) {
        const struct mregion_event *event = next();

        ck_assert_int_eq(event->kind, MREGION_EVENT_OTHER);
        ck_assert_str_eq(event->name, "");
        ck_assert_str_eq(event->region, "");
    }
    ck_assert_int_eq(next()->kind, MREGION_EVENT_CREATED);
    finish();
}
END_TEST

START_TEST(a_server_that_does_not_know_it)
{
    server.refusal = "no_such_method: there is no method \"subscribe\"";
    start(NULL);
    FAILS(MREGION_ERR_NO_SUCH_METHOD, mregion_events_open(connection, &subscription, &error));
    listen_in();
    turn_until(1);
    ck_assert_int_eq(heard[0].kind, MREGION_EVENT_ENDED);
    ck_assert_int_eq(heard[0].code, MREGION_ERR_NO_SUCH_METHOD);
    ck_assert_ptr_nonnull(strstr(heard[0].text, "there is no method"));
    mregion_process(connection);
    ck_assert_uint_eq(heard_count, 1);
    mregion_events_close(subscription);
    /* The connection is as it was. */
    FAILS(MREGION_ERR_NO_SUCH_METHOD, mregion_events_open(connection, &subscription, &error));
    finish();
    ck_assert_uint_eq(fake.connections, 1);
}
END_TEST

START_TEST(without_reconnecting_it_ends)
{
    static const struct mregion_options options = {.no_reconnect = true};
    const struct mregion_event *event;

    server.events = 1;
    server.ends_after = true;
    start(&options);
    OK(mregion_events_open(connection, &subscription, &error));
    ck_assert_int_eq(next()->kind, MREGION_EVENT_CREATED);
    FAILS(MREGION_ERR_LOST, mregion_events_next(subscription, 10000, &event, &error));
    FAILS(MREGION_ERR_LOST, mregion_events_next(subscription, 10000, &event, &error));
    finish();
    server.events = 1;
    server.ends_after = true;
    start(&options);
    listen_in();
    turn_until(3);
    ck_assert_int_eq(heard[2].kind, MREGION_EVENT_ENDED);
    ck_assert_int_eq(heard[2].code, MREGION_ERR_LOST);
    finish();
}
END_TEST

/* Who only looks what is there hears of the next connection, too. */
START_TEST(looked_for_without_waiting)
{
    const struct mregion_event *event = NULL;
    int code = MREGION_ERR_TIMEOUT;

    server.events = 1;
    server.ends_after = true;
    start(NULL);
    OK(mregion_events_open(connection, &subscription, &error));
    ck_assert_int_eq(next()->kind, MREGION_EVENT_CREATED);
    while (code == MREGION_ERR_TIMEOUT || code == MREGION_ERR_CONNECT) {
        code = mregion_events_next(subscription, 0, &event, &error);
        (void)poll(NULL, 0, 1);
    }
    OK(code);
    ck_assert_int_eq(event->kind, MREGION_EVENT_SUBSCRIBED);
    finish();
}
END_TEST

START_TEST(nobody_listens)
{
    OK(mregion_open("unix:/nonexistent/socket", NULL, &connection, &error));
    mregion_set_timeout(connection, 30);
    FAILS(MREGION_ERR_CONNECT, mregion_events_open(connection, &subscription, &error));
    mregion_close(connection);
}
END_TEST

/* Who only listens finds out that nobody is there any more, blocking and not. */
START_TEST(a_server_that_falls_silent)
{
    static const struct mregion_options options = {.timeout_ms = 40};

    server.falls_silent = true;
    start(&options);
    listen_in();
    turn_until(2);
    ck_assert_int_eq(heard[1].kind, MREGION_EVENT_SUBSCRIBED);
    finish();
    ck_assert_uint_ge(fake.connections, 2);
    server.falls_silent = true;
    start(&options);
    OK(mregion_events_open(connection, &subscription, &error));
    ck_assert_int_eq(next()->kind, MREGION_EVENT_SUBSCRIBED);
    finish();
}
END_TEST

/* Nothing is asked without end, and nothing turns, while nothing happens. */
START_TEST(nothing_happens)
{
    struct pollfd waiting = {.events = POLLIN};

    start(NULL);
    listen_in();
    turn_until(1);
    OK(mregion_fd(connection, &waiting.fd, &error));
    mregion_process(connection);
    ck_assert_int_eq(poll(&waiting, 1, 20), 0);
    ck_assert_uint_eq(__atomic_load_n(&subscriptions, __ATOMIC_ACQUIRE), 1);
    finish();
}
END_TEST

/* What a blocking call has received meanwhile shows at the descriptor. */
START_TEST(events_that_a_blocking_call_has_received)
{
    struct pollfd waiting = {.events = POLLIN};
    uint64_t size;

    server.events = 2;
    start(NULL);
    listen_in();
    OK(mregion_fd(connection, &waiting.fd, &error));
    OK(mregion_size(connection, "m", &size, &error));
    ck_assert_uint_eq(heard_count, 0);
    turn_until(3);
    finish();
}
END_TEST

START_TEST(a_pool_does_not_keep_it)
{
    struct mregion_pool *pool;
    uint64_t size;

    fake_start(&fake, script, NULL);
    OK(mregion_pool_new(fake.address, NULL, NULL, &pool, &error));
    OK(mregion_pool_take(pool, &connection, &error));
    OK(mregion_events_open(connection, &subscription, &error));
    mregion_events_close(subscription);
    mregion_pool_give(pool, connection);
    OK(mregion_pool_take(pool, &connection, &error));
    OK(mregion_size(connection, "m", &size, &error));
    mregion_pool_give(pool, connection);
    mregion_pool_free(pool);
    connection = NULL;
    finish();
    ck_assert_uint_eq(fake.connections, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("events");
    TCase *tests = tcase_create("events");

    tcase_add_test(tests, in_order_and_between_answers);
    tcase_add_test(tests, told_when_some_may_be_missing);
    tcase_add_test(tests, the_same_by_callback);
    tcase_add_test(tests, closed_in_its_callback);
    tcase_add_test(tests, the_connection_is_closed_in_a_callback);
    tcase_add_test(tests, what_nobody_takes_is_counted);
    tcase_add_test(tests, what_is_no_event_is_ignored);
    tcase_add_test(tests, a_server_that_does_not_know_it);
    tcase_add_test(tests, without_reconnecting_it_ends);
    tcase_add_test(tests, looked_for_without_waiting);
    tcase_add_test(tests, nobody_listens);
    tcase_add_test(tests, a_server_that_falls_silent);
    tcase_add_test(tests, nothing_happens);
    tcase_add_test(tests, events_that_a_blocking_call_has_received);
    tcase_add_test(tests, a_pool_does_not_keep_it);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
