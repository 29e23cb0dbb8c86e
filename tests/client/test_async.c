/* Requests without blocking, against a server that does as it is told: each has its callback once,
 * whatever happens. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support_fake.h"
#include "tests/support_main.h"

static struct mregion_error error;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)
#define FAILS(wanted, call) ck_assert_str_eq(mregion_code_name(call), mregion_code_name(wanted))

/* ---- The server ---- */

#define SEEN_MAX 256

static struct {
    bool is_silent;      /* executes and does not answer */
    bool is_deaf;        /* does not even read */
    unsigned cut_at;     /* connections end at the request of this number, unanswered; 0: none */
    const char *refusal; /* of authenticate */
    const char *refused_method, *reason; /* one that is answered with this error */
    uint64_t max_message;                /* of serverInfo */
    char methods[SEEN_MAX][64];
    uint8_t tokens[SEEN_MAX][16];
    unsigned count; /* of requests, serverInfo left out */
    unsigned answered;
} server;

static struct fake fake;
static struct mregion *connection;

static bool flag(const bool *which)
{
    return __atomic_load_n(which, __ATOMIC_ACQUIRE);
}

static void set_flag(bool *which, bool value)
{
    __atomic_store_n(which, value, __ATOMIC_RELEASE);
}

static bool answer(int fd, const struct fake_request *request)
{
    static uint8_t bytes[100000];
    uint32_t msgid = request->rpc.msgid;

    if (strcmp(request->method, "serverInfo") == 0)
        return fake_answer_info(fd, msgid, server.max_message);
    if (server.refused_method != NULL && strcmp(request->method, server.refused_method) == 0)
        return fake_answer_error(fd, msgid, server.reason);
    if (strcmp(request->method, "authenticate") == 0)
        return server.refusal != NULL ? fake_answer_error(fd, msgid, server.refusal)
                                      : fake_answer_nil(fd, msgid);
    if (strcmp(request->method, "loadBlob") == 0) {
        memset(bytes, (int)request->params[1].number, sizeof bytes);
        return fake_answer_bin(fd, msgid, bytes, request->params[2].number);
    }
    if (strcmp(request->method, "deallocate") == 0)
        return fake_answer_error(fd, msgid, "not_allocated: nothing is there");
    return fake_answer_uint(fd, msgid, server.count);
}

static void script(struct fake *self, int fd, unsigned number)
{
    struct fake_request request;
    bool goes_on = true;

    (void)number;
    while (goes_on) {
        while (flag(&server.is_deaf))
            (void)poll(NULL, 0, 1);
        if (!fake_read(self, fd, &request))
            return;
        if (strcmp(request.method, "serverInfo") != 0) {
            const uint8_t *token = fake_token(&request);

            ck_assert_uint_lt(server.count, SEEN_MAX);
            (void)snprintf(server.methods[server.count], sizeof server.methods[0], "%s",
                           request.method);
            if (token != NULL)
                memcpy(server.tokens[server.count], token, 16);
            __atomic_add_fetch(&server.count, 1, __ATOMIC_RELEASE);
        }
        goes_on = server.cut_at == 0 || server.count != server.cut_at;
        while (goes_on && flag(&server.is_silent))
            (void)poll(NULL, 0, 1);
        if (goes_on)
            goes_on = answer(fd, &request);
        fake_drop(&request);
    }
}

/* ---- The client ---- */

struct heard {
    unsigned count;
    enum mregion_code code;
    char text[256];
    uint64_t number;
    unsigned turn; /* the how-manieth of all it was */
};

#define HEARD_MAX 128
static struct heard heard[HEARD_MAX];
static unsigned heard_count, rooms;
static bool is_inside; /* something that must not call back */

static void on_answer(struct mregion *self, const struct mregion_answer *what, void *data)
{
    struct heard *one = data;

    ck_assert(!is_inside);
    ck_assert_ptr_eq(self, connection);
    one->count++;
    one->code = what->code;
    one->number = what->number;
    one->turn = heard_count++;
    (void)snprintf(one->text, sizeof one->text, "%s", what->text);
}

static struct mregion_async to(unsigned index, uint32_t timeout_ms)
{
    return (struct mregion_async){
        .on_answer = on_answer, .data = &heard[index], .timeout_ms = timeout_ms};
}

static int add(unsigned index, uint32_t timeout_ms, mregion_ticket *ret_ticket)
{
    struct mregion_async async = to(index, timeout_ms);
    int code;

    is_inside = true;
    code = mregion_async_add(connection, "m", "x", 1, &async, ret_ticket, &error);
    is_inside = false;
    return code;
}

static void start(const struct mregion_options *options)
{
    memset(&server, 0, sizeof server);
    memset(heard, 0, sizeof heard);
    heard_count = rooms = 0;
    server.max_message = 100000;
    fake_start(&fake, script, NULL);
    OK(mregion_open(fake.address, options, &connection, &error));
}

static void finish(void)
{
    set_flag(&server.is_silent, false);
    set_flag(&server.is_deaf, false);
    mregion_close(connection);
    fake_stop(&fake);
}

static int descriptor(void)
{
    int fd = -1;

    OK(mregion_fd(connection, &fd, &error));
    return fd;
}

/* One turn of a loop. */
static void turn(void)
{
    struct pollfd waiting = {.fd = descriptor(), .events = POLLIN};

    ck_assert_int_eq(poll(&waiting, 1, -1), 1);
    mregion_process(connection);
}

static void turn_until(unsigned count)
{
    while (heard_count < count)
        turn();
    ck_assert_uint_eq(heard_count, count);
}

static void wait_for_requests(unsigned count)
{
    while (__atomic_load_n(&server.count, __ATOMIC_ACQUIRE) < count)
        (void)poll(NULL, 0, 1);
}

static void expect(unsigned index, enum mregion_code code, const char *part)
{
    ck_assert_uint_eq(heard[index].count, 1);
    ck_assert_str_eq(mregion_code_name(heard[index].code), mregion_code_name(code));
    ck_assert_msg(strstr(heard[index].text, part) != NULL, "%s", heard[index].text);
}

/* ---- Answers ---- */

START_TEST(each_answer_once_and_in_order)
{
    int fd;

    start(NULL);
    fd = descriptor();
    for (unsigned i = 0; i < 100; i++)
        OK(add(i, 0, NULL));
    turn_until(100);
    for (unsigned i = 0; i < 100; i++) {
        expect(i, MREGION_OK, "");
        ck_assert_uint_eq(heard[i].turn, i);
        ck_assert_uint_eq(heard[i].number, i + 1);
    }
    ck_assert_int_eq(fd, descriptor());
    ck_assert_uint_eq(fake.connections, 1);
    finish();
}
END_TEST

/* Else a program would turn for nothing. */
START_TEST(nothing_to_do_is_not_readable)
{
    struct pollfd waiting = {.events = POLLIN};

    start(NULL);
    waiting.fd = descriptor();
    ck_assert_int_eq(poll(&waiting, 1, 0), 0);
    OK(add(0, 0, NULL));
    turn_until(1);
    mregion_process(connection);
    ck_assert_int_eq(poll(&waiting, 1, 0), 0);
    set_flag(&server.is_silent, true);
    OK(add(1, 0, NULL));
    turn();
    wait_for_requests(2);
    ck_assert_int_eq(poll(&waiting, 1, 0), 0);
    finish();
    ck_assert_uint_eq(heard_count, 2);
}
END_TEST

START_TEST(blobs_errors_and_nobody)
{
    struct mregion_async first = to(0, 0), second = to(1, 0), third = to(2, 0);
    static uint8_t buffer[90000], byte;

    start(NULL);
    OK(mregion_async_load(connection, "m", 7, sizeof buffer, buffer, &first, NULL, &error));
    OK(mregion_async_deallocate(connection, "m", 1, 2, &second, NULL, &error));
    OK(mregion_async_add(connection, "m", "x", 1, NULL, NULL, &error));
    OK(mregion_async_load(connection, "m", 9, 1, &byte, &third, NULL, &error));
    turn_until(3);
    expect(0, MREGION_OK, "");
    for (size_t i = 0; i < sizeof buffer; i++)
        ck_assert_uint_eq(buffer[i], 7);
    expect(1, MREGION_ERR_NOT_ALLOCATED, "nothing is there");
    ck_assert_uint_eq(byte, 9);
    ck_assert_uint_eq(server.count, 4);
    finish();
}
END_TEST

/* ---- Cancel, and too late ---- */

START_TEST(canceled_before_it_is_sent)
{
    mregion_ticket ticket;

    start(NULL);
    OK(add(0, 0, &ticket));
    is_inside = true;
    mregion_cancel(connection, ticket);
    mregion_cancel(connection, ticket);
    is_inside = false;
    OK(add(1, 0, NULL));
    turn_until(2);
    mregion_cancel(connection, ticket);
    expect(0, MREGION_ERR_CANCELED, "nothing was changed");
    expect(1, MREGION_OK, "");
    finish();
    ck_assert_uint_eq(server.count, 1);
    ck_assert_uint_eq(heard_count, 2);
}
END_TEST

START_TEST(canceled_once_it_is_sent)
{
    mregion_ticket ticket;

    start(NULL);
    set_flag(&server.is_silent, true);
    OK(add(0, 0, &ticket));
    turn();
    wait_for_requests(1);
    mregion_cancel(connection, ticket);
    turn_until(1);
    expect(0, MREGION_ERR_CANCELED, "may have happened");
    set_flag(&server.is_silent, false);
    /* Its answer comes, and is nobody's. */
    OK(add(1, 0, NULL));
    turn_until(2);
    expect(1, MREGION_OK, "");
    ck_assert_uint_eq(fake.connections, 1);
    finish();
}
END_TEST

/* The answer to a canceled one comes before anybody was told, and a cancel behind an answer. */
START_TEST(canceled_and_answered)
{
    mregion_ticket canceled, answered;
    uint64_t address;

    start(NULL);
    set_flag(&server.is_silent, true);
    OK(add(0, 0, &answered));
    OK(add(1, 0, &canceled));
    turn();
    wait_for_requests(1);
    mregion_cancel(connection, canceled);
    set_flag(&server.is_silent, false);
    OK(mregion_add(connection, "m", "y", 1, &address, &error));
    ck_assert_uint_eq(address, 3);
    mregion_cancel(connection, answered);
    turn_until(2);
    expect(0, MREGION_OK, "");
    expect(1, MREGION_ERR_CANCELED, "may have happened");
    ck_assert_uint_eq(heard[0].number, 1);
    OK(add(2, 0, NULL));
    turn_until(3);
    expect(2, MREGION_OK, "");
    finish();
    ck_assert_uint_eq(heard_count, 3);
    ck_assert_uint_eq(fake.connections, 1);
}
END_TEST

/* The rest of it goes on, so that the connection does. */
START_TEST(canceled_in_the_middle_of_its_message)
{
    static uint8_t bytes[8 << 20];
    struct mregion_async async = to(0, 0);
    mregion_ticket ticket;

    start(NULL);
    server.max_message = 16 << 20;
    OK(add(1, 0, NULL));
    turn_until(1);
    OK(mregion_async_add(connection, "m", bytes, sizeof bytes, &async, &ticket, &error));
    turn();
    turn(); /* serverInfo is answered */
    set_flag(&server.is_deaf, true);
    for (int i = 0; i < 20; i++)
        mregion_process(connection);
    mregion_cancel(connection, ticket);
    turn_until(2);
    expect(0, MREGION_ERR_CANCELED, "may have happened");
    memset(bytes, 1, sizeof bytes);
    set_flag(&server.is_deaf, false);
    OK(add(2, 0, NULL));
    turn_until(3);
    expect(2, MREGION_OK, "");
    ck_assert_uint_eq(fake.connections, 1);
    finish();
}
END_TEST

START_TEST(too_late)
{
    start(NULL);
    set_flag(&server.is_silent, true);
    OK(add(0, 30, NULL));
    OK(add(1, 0, NULL));
    turn_until(1);
    expect(0, MREGION_ERR_TIMEOUT, "may have happened");
    set_flag(&server.is_silent, false);
    turn_until(2);
    expect(1, MREGION_OK, "");
    ck_assert_uint_eq(fake.connections, 1);
    finish();
}
END_TEST

START_TEST(nobody_listens)
{
    start(NULL);
    fake_close(&fake);
    OK(add(0, 50, NULL));
    turn_until(1);
    expect(0, MREGION_ERR_CONNECT, "cannot connect to unix:");
    expect(0, MREGION_ERR_CONNECT, "nothing was changed");
    fake_open(&fake);
    OK(add(1, 0, NULL));
    turn_until(2);
    expect(1, MREGION_OK, "");
    finish();
    ck_assert_uint_eq(server.count, 1);
}
END_TEST

START_TEST(one_attempt_where_reconnecting_is_off)
{
    struct mregion_options options = {.no_reconnect = true};

    start(&options);
    fake_close(&fake);
    OK(add(0, 0, NULL));
    turn_until(1);
    expect(0, MREGION_ERR_CONNECT, "cannot connect to unix:");
    fake_open(&fake);
    server.cut_at = 2;
    OK(add(1, 0, NULL));
    OK(add(2, 0, NULL));
    turn_until(3);
    expect(1, MREGION_OK, "");
    expect(2, MREGION_ERR_LOST, "");
    OK(add(3, 0, NULL));
    turn_until(4);
    expect(3, MREGION_ERR_LOST, "");
    finish();
}
END_TEST

/* Nor does what waits for one keep a call that blocks. */
START_TEST(a_flush_where_reconnecting_is_off)
{
    struct mregion_options options = {.no_reconnect = true};

    start(&options);
    server.cut_at = 1;
    OK(add(0, MREGION_NO_TIMEOUT, NULL));
    turn_until(1);
    expect(0, MREGION_ERR_LOST, "");
    OK(add(1, MREGION_NO_TIMEOUT, NULL));
    FAILS(MREGION_ERR_LOST, mregion_flush(connection, &error));
    turn_until(2);
    expect(1, MREGION_ERR_LOST, "nothing was changed");
    finish();
}
END_TEST

START_TEST(a_host_that_does_not_exist)
{
    struct mregion *other;

    start(NULL);
    OK(mregion_open("tcp:no-such-host.invalid:7420", NULL, &other, &error));
    mregion_close(connection);
    connection = other;
    OK(add(0, 300, NULL));
    turn_until(1);
    expect(0, heard[0].code == MREGION_ERR_TIMEOUT ? MREGION_ERR_TIMEOUT : MREGION_ERR_CONNECT,
           "no-such-host.invalid");
    finish();
}
END_TEST

/* ---- Connections that are lost ---- */

START_TEST(sent_again_with_the_same_token)
{
    int fd;

    start(NULL);
    fd = descriptor();
    server.cut_at = 2;
    for (unsigned i = 0; i < 3; i++)
        OK(add(i, 0, NULL));
    turn_until(3);
    for (unsigned i = 0; i < 3; i++)
        expect(i, MREGION_OK, "");
    ck_assert_int_eq(fd, descriptor());
    finish();
    ck_assert_uint_eq(fake.connections, 2);
    ck_assert_uint_eq(server.count, 4);
    ck_assert_mem_eq(server.tokens[1], server.tokens[2], 16);
    ck_assert_mem_ne(server.tokens[0], server.tokens[1], 16);
}
END_TEST

START_TEST(a_change_by_name_is_lost)
{
    static const uint8_t params[] = {0x92, 0xa1, 'm', 0xc4, 1, 5};
    struct mregion_async async = to(0, 0);

    start(NULL);
    server.cut_at = 1;
    OK(mregion_async_call(connection, "addBlob", params, sizeof params, &async, NULL, &error));
    turn_until(1);
    expect(0, MREGION_ERR_LOST, "");
    OK(mregion_async_call(connection, "addBlob", params, sizeof params, &async, NULL, &error));
    turn_until(2);
    ck_assert_str_eq(mregion_code_name(heard[0].code), "ok");
    ck_assert_uint_eq(server.count, 2);
    finish();
}
END_TEST

static void talk_nonsense(struct fake *self, int fd, unsigned number)
{
    struct fake_request request;

    if (number > 0) {
        script(self, fd, number);
    } else if (fake_read(self, fd, &request)) {
        (void)fake_write(fd, "\xc1", 1);
        fake_drop(&request);
    }
}

START_TEST(nonsense_is_the_end_of_what_is_open)
{
    start(NULL);
    fake.script = talk_nonsense;
    OK(add(0, 0, NULL));
    OK(add(1, 0, NULL));
    turn_until(2);
    expect(0, MREGION_ERR_PROTOCOL, "does not speak as mregiond does");
    expect(1, MREGION_ERR_PROTOCOL, "does not speak as mregiond does");
    OK(add(2, 0, NULL));
    turn_until(3);
    expect(2, MREGION_OK, "");
    finish();
}
END_TEST

/* ---- Who asks ---- */

START_TEST(credentials_come_first)
{
    start(NULL);
    OK(mregion_set_user(connection, "ann", "secret", 6, &error));
    OK(add(0, 0, NULL));
    server.cut_at = 2;
    turn_until(1);
    expect(0, MREGION_OK, "");
    finish();
    ck_assert_uint_eq(server.count, 4);
    ck_assert_str_eq(server.methods[0], "authenticate");
    ck_assert_str_eq(server.methods[1], "addBlob");
    ck_assert_str_eq(server.methods[2], "authenticate");
    ck_assert_str_eq(server.methods[3], "addBlob");
}
END_TEST

START_TEST(credentials_that_are_refused)
{
    start(NULL);
    FAILS(MREGION_ERR_ARGUMENT, mregion_set_user(connection, "", "secret", 6, &error));
    OK(mregion_set_user(connection, "ann", "secret", 6, &error));
    server.refusal = "unauthenticated: user or password is wrong";
    OK(add(0, 0, NULL));
    OK(add(1, 0, NULL));
    turn_until(2);
    expect(0, MREGION_ERR_UNAUTHENTICATED, "user or password");
    expect(1, MREGION_ERR_UNAUTHENTICATED, "user or password");
    server.refusal = NULL;
    OK(add(2, 0, NULL));
    turn_until(3);
    expect(2, MREGION_OK, "");
    finish();
}
END_TEST

/* ---- Bounds ---- */

static void on_room(struct mregion *self, void *data)
{
    ck_assert(!is_inside);
    ck_assert_ptr_eq(self, connection);
    ck_assert_ptr_eq(data, &rooms);
    rooms++;
    OK(add(20 + rooms, 0, NULL));
}

START_TEST(full_and_room_again)
{
    struct mregion_options options = {.tickets_max = 10};

    start(&options);
    mregion_set_on_room(connection, on_room, &rooms);
    for (unsigned i = 0; i < 10; i++)
        OK(add(i, 0, NULL));
    FAILS(MREGION_ERR_FULL, add(10, 0, NULL));
    FAILS(MREGION_ERR_FULL, add(10, 0, NULL));
    turn_until(11);
    ck_assert_uint_eq(rooms, 1);
    ck_assert_uint_eq(heard[10].count, 0);
    expect(21, MREGION_OK, "");
    finish();
    ck_assert_uint_eq(server.count, 11);
}
END_TEST

/* What a server does not read stays here, and no more of it than was allowed. */
START_TEST(a_deaf_server_fills_what_is_kept)
{
    struct mregion_options options = {.kept_max = 4 << 20};
    static uint8_t bytes[60000];
    unsigned taken = 0;

    start(&options);
    set_flag(&server.is_deaf, true);
    mregion_set_on_room(connection, NULL, NULL);
    while (mregion_async_add(connection, "m", bytes, sizeof bytes,
                             &(struct mregion_async){.on_answer = on_answer, .data = &heard[0]},
                             NULL, &error) == 0) {
        taken++;
        mregion_process(connection);
    }
    ck_assert_int_eq(error.code, MREGION_ERR_FULL);
    ck_assert_uint_ge(taken, 69);
    ck_assert_uint_le(taken, 70);
    set_flag(&server.is_deaf, false);
    turn_until(taken);
    ck_assert_uint_eq(server.count, taken);
    finish();
}
END_TEST

START_TEST(larger_than_the_server_takes)
{
    static uint8_t bytes[200000];
    struct mregion_async large = to(0, 0), fits = to(1, 0);

    start(NULL);
    OK(mregion_async_add(connection, "m", bytes, sizeof bytes, &large, NULL, &error));
    OK(mregion_async_add(connection, "m", bytes, 90000, &fits, NULL, &error));
    OK(add(2, 0, NULL));
    turn_until(3);
    expect(0, MREGION_ERR_ARGUMENT, "more than the server takes: 100000");
    expect(1, MREGION_OK, "");
    expect(2, MREGION_OK, "");
    finish();
    ck_assert_uint_eq(server.count, 2);
    ck_assert_uint_eq(fake.connections, 1);
}
END_TEST

START_TEST(arguments)
{
    struct mregion_async async = to(0, 0);
    struct mregion *other;

    start(NULL);
    FAILS(MREGION_ERR_ARGUMENT, mregion_open("nonsense", NULL, &other, &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_add(connection, NULL, "x", 1, &async, NULL, &error));
    FAILS(MREGION_ERR_ARGUMENT,
          mregion_async_load(connection, "m", 0, 1, NULL, &async, NULL, &error));
    FAILS(MREGION_ERR_ARGUMENT,
          mregion_async_call(connection, "addBlob", "x", 1, &async, NULL, &error));
    mregion_cancel(connection, 77);
    mregion_process(connection);
    finish();
    ck_assert_uint_eq(heard_count, 0);
}
END_TEST

/* ---- The end, and what callbacks do ---- */

START_TEST(closed_with_requests_under_way)
{
    start(NULL);
    set_flag(&server.is_silent, true);
    OK(add(0, 0, NULL));
    turn();
    wait_for_requests(1);
    OK(add(1, 0, NULL));
    finish();
    ck_assert_uint_eq(heard_count, 2);
    expect(0, MREGION_ERR_CANCELED, "the connection was closed; the change may have happened");
    expect(1, MREGION_ERR_CANCELED, "the connection was closed; nothing was changed");
}
END_TEST

static void on_answer_close(struct mregion *self, const struct mregion_answer *what, void *data)
{
    on_answer(self, what, data);
    mregion_close(self);
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_add(self, "m", "x", 1, NULL, NULL, &error));
}

START_TEST(closed_in_a_callback)
{
    struct mregion_async async = to(0, 0);

    start(NULL);
    async.on_answer = on_answer_close;
    for (unsigned i = 0; i < 3; i++) {
        async.data = &heard[i];
        OK(mregion_async_add(connection, "m", "x", 1, &async, NULL, &error));
    }
    while (heard_count == 0)
        turn();
    fake_stop(&fake);
    ck_assert_uint_eq(heard_count, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(heard[i].count, 1);
    expect(0, MREGION_OK, "");
}
END_TEST

/* One request after the other, and in between a call that blocks. */
static void on_answer_next(struct mregion *self, const struct mregion_answer *what, void *data)
{
    struct mregion_async async = {.on_answer = on_answer_next};
    struct heard *one = data;
    uint64_t address;

    on_answer(self, what, data);
    if (one == &heard[9])
        return;
    async.data = one + 1;
    OK(mregion_async_add(self, "m", "x", 1, &async, NULL, &error));
    if (one == &heard[4])
        OK(mregion_add(self, "m", "y", 1, &address, &error));
    mregion_process(self); /* nothing happens in here */
}

START_TEST(callbacks_may_do_anything)
{
    struct mregion_async async = {.on_answer = on_answer_next, .data = &heard[0]};

    start(NULL);
    OK(mregion_async_add(connection, "m", "x", 1, &async, NULL, &error));
    turn_until(10);
    for (unsigned i = 0; i < 10; i++)
        expect(i, MREGION_OK, "");
    ck_assert_uint_eq(server.count, 11);
    finish();
}
END_TEST

/* Whose answers come while another call waits for its own. */
START_TEST(blocking_calls_hand_nothing_over)
{
    uint64_t address;
    mregion_ticket ticket;

    start(NULL);
    OK(add(0, 0, &ticket));
    is_inside = true;
    OK(mregion_add(connection, "m", "y", 1, &address, &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_collect_done(connection, ticket, &error));
    mregion_forget(connection, ticket);
    is_inside = false;
    ck_assert_uint_eq(heard_count, 0);
    turn_until(1);
    expect(0, MREGION_OK, "");
    ck_assert_uint_eq(heard[0].number, 1);
    ck_assert_uint_eq(address, 2);
    finish();
}
END_TEST

/* The socket is empty then, and says nothing any more. */
START_TEST(what_a_blocking_call_has_received_shows)
{
    struct pollfd waiting = {.events = POLLIN};
    uint64_t address;

    start(NULL);
    waiting.fd = descriptor();
    set_flag(&server.is_silent, true);
    OK(add(0, 0, NULL));
    turn();
    wait_for_requests(1);
    set_flag(&server.is_silent, false);
    OK(mregion_add(connection, "m", "y", 1, &address, &error));
    ck_assert_uint_eq(heard_count, 0);
    ck_assert_int_eq(poll(&waiting, 1, 0), 1);
    turn_until(1);
    mregion_process(connection);
    ck_assert_int_eq(poll(&waiting, 1, 0), 0);
    finish();
}
END_TEST

/* ---- Answers to what was never asked ---- */

/* ---- Uploads ---- */

/* Begin, append and commit, at once; the steps are heard of as 0 and 1. */
static struct mregion_async_upload *start_upload(void)
{
    struct mregion_async_upload *upload;
    struct mregion_async async = to(0, MREGION_NO_TIMEOUT);

    OK(mregion_async_upload_begin(connection, "m", MREGION_UNKNOWN_SIZE, &upload, &error));
    OK(mregion_async_upload_append(upload, "x", 1, &async, NULL, &error));
    async = to(1, MREGION_NO_TIMEOUT);
    OK(mregion_async_upload_commit(upload, &async, NULL, &error));
    return upload;
}

/* What is said to one step is the reason of all, and no loss. */
START_TEST(an_upload_that_is_refused)
{
    static const char *const refused[] = {"beginBlob", "appendBlob"};

    for (unsigned i = 0; i < 2; i++) {
        struct mregion_async_upload *upload;

        start(NULL);
        server.refused_method = refused[i];
        server.reason = "invalid_argument: there is no such thing";
        upload = start_upload();
        turn_until(2);
        expect(0, MREGION_ERR_INVALID_ARGUMENT, "no such thing");
        expect(1, MREGION_ERR_INVALID_ARGUMENT, "no such thing");
        FAILS(MREGION_ERR_INVALID_ARGUMENT,
              mregion_async_upload_append(upload, "x", 1, NULL, NULL, &error));
        mregion_async_upload_close(upload);
        finish();
    }
}
END_TEST

/* Without a token nobody knows what became of it. */
START_TEST(a_commit_that_is_lost)
{
    static const struct mregion_options options = {.no_tokens = true};
    struct mregion_async_upload *upload;

    start(&options);
    server.cut_at = 3;
    upload = start_upload();
    turn_until(2);
    expect(0, MREGION_OK, "");
    expect(1, MREGION_ERR_LOST, "");
    ck_assert_ptr_null(strstr(heard[1].text, "nothing was added"));
    FAILS(MREGION_ERR_LOST, mregion_async_upload_commit(upload, NULL, NULL, &error));
    ck_assert_ptr_null(strstr(error.text, "nothing was added"));
    mregion_async_upload_close(upload);
    finish();
}
END_TEST

/* ---- Forgeries ---- */

#define FORGED_SIZE 65536
#define FORGED_FIRST (FORGED_SIZE - 100)

/* What a server does that guesses message ids: it reads serverInfo, where that is asked, and
 * nothing more, and answers what is not sent yet, in two parts. */
static struct {
    bool asks_info;
    uint32_t msgid;
    bool is_due, is_begun, is_going_on, is_over;
} forged;

static void wait_for_flag(const bool *which)
{
    while (!flag(which))
        (void)poll(NULL, 0, 1);
}

static void forge(struct fake *self, int fd, unsigned number)
{
    static uint8_t bytes[RPC_BIN_HEADER_MAX + FORGED_SIZE];
    struct fake_request request;
    size_t first;

    (void)number;
    if (forged.asks_info) {
        ck_assert(fake_read(self, fd, &request));
        (void)fake_answer_info(fd, request.rpc.msgid, server.max_message);
        fake_drop(&request);
    }
    wait_for_flag(&forged.is_due);
    first = rpc_bin_header(bytes, forged.msgid, FORGED_SIZE) + FORGED_FIRST;
    (void)fake_write(fd, bytes, first);
    set_flag(&forged.is_begun, true);
    wait_for_flag(&forged.is_going_on);
    (void)fake_write(fd, bytes + first, FORGED_SIZE - FORGED_FIRST);
    wait_for_flag(&forged.is_over);
}

static void start_forged(bool asks_info)
{
    start(NULL);
    mregion_close(connection);
    fake_stop(&fake);
    memset(&forged, 0, sizeof forged);
    forged.asks_info = asks_info;
    server.max_message = 16 << 20;
    fake_start(&fake, forge, NULL);
    OK(mregion_open(fake.address, NULL, &connection, &error));
}

static void finish_forged(void)
{
    set_flag(&forged.is_over, true);
    finish();
}

/* Behind a message that the server does not read. */
static mregion_ticket load_unsent(void *buffer)
{
    static uint8_t large[8 << 20];
    struct mregion_async async = to(0, MREGION_NO_TIMEOUT);
    mregion_ticket ticket;

    OK(mregion_async_add(connection, "m", large, sizeof large, &async, NULL, &error));
    async = to(1, MREGION_NO_TIMEOUT);
    OK(mregion_async_load(connection, "m", 0, FORGED_SIZE, buffer, &async, &ticket, &error));
    return ticket;
}

static void forge_answer(mregion_ticket ticket)
{
    forged.msgid = (uint32_t)ticket;
    set_flag(&forged.is_due, true);
    while (!flag(&forged.is_begun)) {
        mregion_process(connection);
        (void)poll(NULL, 0, 1);
    }
}

START_TEST(answered_before_it_is_sent)
{
    static uint8_t buffer[FORGED_SIZE];

    start_forged(true);
    forge_answer(load_unsent(buffer));
    set_flag(&forged.is_going_on, true);
    while (heard_count == 0)
        turn();
    for (unsigned i = 0; i < 2; i++)
        expect(i, MREGION_ERR_PROTOCOL, "a response answers no request");
    finish_forged();
}
END_TEST

/* Its memory is used again by then, and for a smaller blob. */
START_TEST(answered_before_it_is_sent_and_canceled)
{
    struct mregion_async async = to(2, MREGION_NO_TIMEOUT);
    uint8_t *large = malloc(FORGED_SIZE), *small = malloc(64);
    mregion_ticket ticket;

    start_forged(true);
    ticket = load_unsent(large);
    forge_answer(ticket);
    for (unsigned i = 0; i < 20; i++) /* all that has come */
        mregion_process(connection);
    mregion_cancel(connection, ticket);
    turn_until(1);
    expect(1, MREGION_ERR_CANCELED, "canceled");
    OK(mregion_async_load(connection, "m", 0, 64, small, &async, NULL, &error));
    set_flag(&forged.is_going_on, true);
    turn_until(3);
    expect(0, MREGION_ERR_PROTOCOL, "a response answers no request");
    expect(2, MREGION_ERR_PROTOCOL, "a response answers no request");
    finish_forged();
    free(large);
    free(small);
}
END_TEST

/* What waits for the next piece has an id, and is never sent: it would be handed memory in which
 * nothing has arrived. */
START_TEST(a_piece_that_has_not_come)
{
    struct mregion_async_download *download;
    struct mregion_async async = to(0, MREGION_NO_TIMEOUT);
    mregion_ticket ticket;

    start_forged(false);
    OK(mregion_async_download_begin(connection, "m", 0, 1000, &download, &error));
    OK(mregion_async_download_next(download, &async, &ticket, &error));
    forge_answer(ticket);
    set_flag(&forged.is_going_on, true);
    turn_until(1);
    expect(0, MREGION_ERR_PROTOCOL, "a response answers no request");
    mregion_async_download_close(download);
    finish_forged();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("async");
    TCase *tests = tcase_create("async");

    tcase_add_test(tests, each_answer_once_and_in_order);
    tcase_add_test(tests, nothing_to_do_is_not_readable);
    tcase_add_test(tests, blobs_errors_and_nobody);
    tcase_add_test(tests, canceled_before_it_is_sent);
    tcase_add_test(tests, canceled_once_it_is_sent);
    tcase_add_test(tests, canceled_and_answered);
    tcase_add_test(tests, canceled_in_the_middle_of_its_message);
    tcase_add_test(tests, too_late);
    tcase_add_test(tests, nobody_listens);
    tcase_add_test(tests, one_attempt_where_reconnecting_is_off);
    tcase_add_test(tests, a_flush_where_reconnecting_is_off);
    tcase_add_test(tests, a_host_that_does_not_exist);
    tcase_add_test(tests, sent_again_with_the_same_token);
    tcase_add_test(tests, a_change_by_name_is_lost);
    tcase_add_test(tests, nonsense_is_the_end_of_what_is_open);
    tcase_add_test(tests, credentials_come_first);
    tcase_add_test(tests, credentials_that_are_refused);
    tcase_add_test(tests, full_and_room_again);
    tcase_add_test(tests, a_deaf_server_fills_what_is_kept);
    tcase_add_test(tests, larger_than_the_server_takes);
    tcase_add_test(tests, arguments);
    tcase_add_test(tests, closed_with_requests_under_way);
    tcase_add_test(tests, closed_in_a_callback);
    tcase_add_test(tests, callbacks_may_do_anything);
    tcase_add_test(tests, blocking_calls_hand_nothing_over);
    tcase_add_test(tests, what_a_blocking_call_has_received_shows);
    tcase_add_test(tests, an_upload_that_is_refused);
    tcase_add_test(tests, a_commit_that_is_lost);
    tcase_add_test(tests, answered_before_it_is_sent);
    tcase_add_test(tests, answered_before_it_is_sent_and_canceled);
    tcase_add_test(tests, a_piece_that_has_not_come);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
