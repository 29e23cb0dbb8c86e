/* libmregion against servers that misbehave: slow, closing, talking nonsense, out of order. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support_fake.h"
#include "tests/support_main.h"

static struct fake fake;
static struct mregion_error error;

static struct mregion *connect_with(fake_script *script, void *context,
                                    const struct mregion_options *options)
{
    struct mregion *connection;

    fake_start(&fake, script, context);
    ck_assert_msg(mregion_connect(fake.address, options, &connection, &error) == 0, "%s",
                  error.text);
    return connection;
}

static void finish(struct mregion *connection)
{
    mregion_close(connection);
    fake_stop(&fake);
}

/* ---- Addresses ---- */

START_TEST(bad_addresses_are_refused)
{
    static const char *const bad[] = {
        "",         "unix:",       "tcp:",     "tcp:localhost", "tcp::7420",   "tcp:h:",
        "tcp:h:0",  "tcp:h:65536", "tcp:h:x",  "tcp:h:-1",      "tcp:::1:7",   "tcp:[::1:7420",
        "http:h:1", "/run/s",      "tcp:[]:1", "tcp:h:+1",      "tcp:h:7420 ",
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mregion *connection = NULL;

        ck_assert_msg(mregion_connect(bad[i], NULL, &connection, &error) == MREGION_ERR_ARGUMENT,
                      "%s", bad[i]);
        ck_assert_ptr_null(connection);
    }
    ck_assert_int_eq(mregion_connect(NULL, NULL, &(struct mregion *){NULL}, NULL),
                     MREGION_ERR_ARGUMENT);
}
END_TEST

START_TEST(nobody_listens)
{
    struct mregion *connection;

    ck_assert_int_eq(mregion_connect("unix:/nonexistent/s", NULL, &connection, &error),
                     MREGION_ERR_CONNECT);
    ck_assert_int_eq(error.code, MREGION_ERR_CONNECT);
    ck_assert_ptr_nonnull(strstr(error.text, "unix:/nonexistent/s"));
    ck_assert_ptr_nonnull(strstr(error.text, "No such file"));
    ck_assert_int_eq(mregion_connect("tcp:127.0.0.1:1", NULL, &connection, &error),
                     MREGION_ERR_CONNECT);
    ck_assert_int_eq(mregion_connect("tcp:[::1]:1", NULL, &connection, &error),
                     MREGION_ERR_CONNECT);
    mregion_close(NULL);
}
END_TEST

/* ---- Answers ---- */

static void answer_byte_by_byte(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;
    uint8_t answer[] = {0x94, 1, 0xcd, 0, 0, 0xc0, 0xcf, 1, 2, 3, 4, 5, 6, 7, 8};

    (void)number;
    while (fake_read(server, fd, &request)) {
        answer[3] = (uint8_t)(request.rpc.msgid >> 8);
        answer[4] = (uint8_t)request.rpc.msgid;
        for (size_t i = 0; i < sizeof answer; i++) {
            (void)poll(NULL, 0, 1);
            (void)fake_write(fd, answer + i, 1);
        }
        fake_drop(&request);
    }
}

START_TEST(an_answer_trickles_in)
{
    struct mregion *connection = connect_with(answer_byte_by_byte, NULL, NULL);
    uint64_t number = 0;

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(mregion_size(connection, "main", &number, &error), 0);
        ck_assert_uint_eq(number, 0x0102030405060708);
    }
    finish(connection);
}
END_TEST

/* Gathers three requests and answers them backwards, in one piece. */
static void answer_backwards(struct fake *server, int fd, unsigned number)
{
    struct fake_request requests[3];

    (void)number;
    for (int i = 0; i < 3; i++)
        if (!fake_read(server, fd, &requests[i]))
            return;
    for (int i = 2; i >= 0; i--) {
        (void)fake_answer_uint(fd, requests[i].rpc.msgid, requests[i].params[1].number * 10);
        fake_drop(&requests[i]);
    }
    (void)fake_read(server, fd, &requests[0]);
    fake_drop(&requests[0]);
}

START_TEST(answers_come_in_any_order)
{
    struct mregion *connection = connect_with(answer_backwards, NULL, NULL);
    mregion_ticket tickets[3];
    uint64_t address;

    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(mregion_submit_allocate(connection, "main", i + 1, &tickets[i], &error),
                         0);
    ck_assert_int_eq(mregion_collect_uint(connection, tickets[1], &address, &error), 0);
    ck_assert_uint_eq(address, 20);
    ck_assert_int_eq(mregion_collect_uint(connection, tickets[0], &address, &error), 0);
    ck_assert_uint_eq(address, 10);
    ck_assert_int_eq(mregion_collect_uint(connection, tickets[0], &address, &error),
                     MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_collect_uint(connection, tickets[2], &address, &error), 0);
    ck_assert_uint_eq(address, 30);
    ck_assert_int_eq(mregion_collect_uint(connection, 4711, &address, &error),
                     MREGION_ERR_ARGUMENT);
    finish(connection);
}
END_TEST

struct bytes {
    const char *bytes;
    size_t size;
};

/* Answers whatever comes with the context's bytes. */
static void answer_with_bytes(struct fake *server, int fd, unsigned number)
{
    const struct bytes *answer = server->context;
    struct fake_request request;

    (void)number;
    while (fake_read(server, fd, &request)) {
        (void)fake_write(fd, answer->bytes, answer->size);
        fake_drop(&request);
    }
}

#define BYTES(text)                                                                                \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }

START_TEST(nonsense_is_a_protocol_error)
{
    static struct bytes answers[] = {
        BYTES("\xc1"),                             /* no MessagePack */
        BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"), /* small integers */
        BYTES("\x90"),                             /* an empty message */
        BYTES("\x94\x00\x01\xa4ping\x90"),         /* a request */
        BYTES("\x93\x01\x01\xc0"),                 /* too short */
        BYTES("\x94\x01\x02\xc0\x05"),             /* a message id that nobody waits for */
        BYTES("\x94\x01\xff\xc0\x05"),             /* a negative one */
        BYTES("\x94\x01\x01\xc0\xa1x"),            /* a result of another type */
        BYTES("\x94\x01\x01\x05\xc0"),             /* an error that is no string */
        BYTES("\xdd\xff\xff\xff\xff"),             /* four billion elements */
        BYTES("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"),
    };
    struct mregion *connection = connect_with(answer_with_bytes, &answers[_i], NULL);
    uint64_t number;

    ck_assert_msg(mregion_size(connection, "main", &number, &error) == MREGION_ERR_PROTOCOL,
                  "%d: %s: %s", _i, mregion_code_name(error.code), error.text);
    finish(connection);
}
END_TEST

START_TEST(notifications_from_the_server_are_left_out)
{
    struct bytes answer = BYTES("\x93\x02\xa4news\x90\x94\x01\x01\xc0\x07");
    struct mregion *connection = connect_with(answer_with_bytes, &answer, NULL);
    uint64_t number;

    ck_assert_int_eq(mregion_size(connection, "main", &number, &error), 0);
    ck_assert_uint_eq(number, 7);
    finish(connection);
}
END_TEST

static void answer_with_error(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    (void)number;
    while (fake_read(server, fd, &request)) {
        (void)fake_answer_error(fd, request.rpc.msgid, server->context);
        fake_drop(&request);
    }
}

START_TEST(errors_keep_code_and_sentence)
{
    static const struct {
        const char *sent;
        int code;
        const char *text;
    } cases[] = {
        {"no_space: the disk is full", MREGION_ERR_NO_SPACE, "the disk is full"},
        {"not_allocated: a: b", MREGION_ERR_NOT_ALLOCATED, "a: b"},
        {"internal: x", MREGION_ERR_INTERNAL, "x"},
        {"quota: of a later version", MREGION_ERR_UNKNOWN, "quota: of a later version"},
        {"no colon", MREGION_ERR_UNKNOWN, "no colon"},
        {"busy", MREGION_ERR_BUSY, ""},
        {"", MREGION_ERR_UNKNOWN, ""},
    };
    struct mregion *connection =
        connect_with(answer_with_error, (void *)(uintptr_t)cases[_i].sent, NULL);

    ck_assert_int_eq(mregion_clear(connection, "main", &error), cases[_i].code);
    ck_assert_int_eq(error.code, cases[_i].code);
    ck_assert_str_eq(error.text, cases[_i].text);
    ck_assert_int_eq(mregion_clear(connection, "main", NULL), cases[_i].code);
    finish(connection);
    ck_assert_uint_eq(fake.connections, 1);
}
END_TEST

/* ---- Time ---- */

/* The first connection gets no answer, later ones do. */
static void answer_on_the_second(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    while (fake_read(server, fd, &request)) {
        if (number > 0)
            (void)fake_answer_uint(fd, request.rpc.msgid, 5);
        fake_drop(&request);
    }
}

START_TEST(no_answer_in_time)
{
    struct mregion_options options = {.timeout_ms = 50};
    struct mregion *connection = connect_with(answer_on_the_second, NULL, &options);
    uint64_t number;

    ck_assert_int_eq(mregion_size(connection, "main", &number, &error), MREGION_ERR_TIMEOUT);
    /* The connection that did not answer is not asked again. */
    mregion_set_timeout(connection, MREGION_NO_TIMEOUT);
    ck_assert_int_eq(mregion_size(connection, "main", &number, &error), 0);
    ck_assert_uint_eq(number, 5);
    finish(connection);
    ck_assert_uint_eq(fake.connections, 2);
}
END_TEST

/* Answers the first request only after a second one has come. */
static void answer_late(struct fake *server, int fd, unsigned number)
{
    struct fake_request first, second;

    (void)number;
    if (!fake_read(server, fd, &first))
        return;
    if (fake_read(server, fd, &second)) {
        (void)fake_answer_uint(fd, first.rpc.msgid, 1);
        (void)fake_answer_uint(fd, second.rpc.msgid, 2);
        fake_drop(&second);
        (void)fake_read(server, fd, &second);
    }
    fake_drop(&first);
    fake_drop(&second);
}

START_TEST(a_ticket_outlives_a_timeout)
{
    struct mregion_options options = {.timeout_ms = 50};
    struct mregion *connection = connect_with(answer_late, NULL, &options);
    mregion_ticket ticket;
    uint64_t number;

    ck_assert_int_eq(mregion_submit_allocate(connection, "main", 1, &ticket, &error), 0);
    ck_assert_int_eq(mregion_collect_uint(connection, ticket, &number, &error),
                     MREGION_ERR_TIMEOUT);
    mregion_set_timeout(connection, 60000);
    ck_assert_int_eq(mregion_size(connection, "main", &number, &error), 0);
    ck_assert_uint_eq(number, 2);
    ck_assert_int_eq(mregion_collect_uint(connection, ticket, &number, &error), 0);
    ck_assert_uint_eq(number, 1);
    finish(connection);
}
END_TEST

START_TEST(a_call_that_timed_out_leaves_open_tickets_alone)
{
    struct mregion_options options = {.timeout_ms = 50};
    struct mregion *connection = connect_with(answer_late, NULL, &options);
    mregion_ticket ticket;
    uint64_t number;

    /* The call is the first request, so that it is answered once the ticket's request is there. */
    ck_assert_int_eq(mregion_submit_allocate(connection, "main", 1, &ticket, &error), 0);
    mregion_forget(connection, ticket);
    ck_assert_int_eq(mregion_flush(connection, &error), 0);
    ck_assert_int_eq(mregion_submit_allocate(connection, "main", 1, &ticket, &error), 0);
    mregion_set_timeout(connection, 60000);
    ck_assert_int_eq(mregion_collect_uint(connection, ticket, &number, &error), 0);
    ck_assert_uint_eq(number, 2);
    finish(connection);
    ck_assert_uint_eq(fake.connections, 1);
}
END_TEST

/* Reads nothing before the context says so, and answers everything then. */
static void answer_when_told(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    (void)number;
    while (!__atomic_load_n((bool *)server->context, __ATOMIC_ACQUIRE))
        (void)poll(NULL, 0, 1);
    while (fake_read(server, fd, &request)) {
        (void)fake_answer_uint(fd, request.rpc.msgid, 5);
        fake_drop(&request);
    }
}

/* What is gathered by then goes on, and its answer is nobody's. */
START_TEST(a_submit_that_timed_out_leaves_open_tickets_alone)
{
    enum { COUNT = 1000 };
    static const uint8_t blob[16000];
    bool is_told = false;
    struct mregion_options options = {.timeout_ms = 200};
    struct mregion *connection = connect_with(answer_when_told, &is_told, &options);
    mregion_ticket tickets[COUNT];
    unsigned count = 0;
    uint64_t number;
    int code;

    while ((code = mregion_submit_add(connection, "main", blob, sizeof blob, &tickets[count],
                                      &error)) == MREGION_OK)
        ck_assert_uint_lt(++count, COUNT);
    ck_assert_int_eq(code, MREGION_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(error.text, "may have happened"));
    __atomic_store_n(&is_told, true, __ATOMIC_RELEASE);
    mregion_set_timeout(connection, MREGION_NO_TIMEOUT);
    for (unsigned i = 0; i < count; i++)
        ck_assert_msg(mregion_collect_uint(connection, tickets[i], &number, &error) == 0, "%s",
                      error.text);
    ck_assert_int_eq(mregion_size(connection, "main", &number, &error), 0);
    finish(connection);
    ck_assert_uint_eq(fake.connections, 1);
    ck_assert_uint_eq(fake.requests, count + 2);
}
END_TEST

/* A socket that takes what is gathered in front of a large message, and not a byte more. */
static bool is_narrow;

__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message,
                                                       int flags)
{
    static ssize_t (*next)(int, const struct msghdr *, int);
    struct msghdr first = *message;

    if (next == NULL)
        next = (__typeof__(next))dlsym(RTLD_NEXT, "sendmsg");
    if (!is_narrow)
        return next(fd, message, flags);
    first.msg_iovlen = 1;
    if (first.msg_iov[0].iov_len > 0)
        return next(fd, &first, flags);
    errno = EAGAIN;
    return -1;
}

/* serverInfo, or a number. */
static void answer_at_once(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    (void)number;
    while (fake_read(server, fd, &request)) {
        if (strcmp(request.method, "serverInfo") == 0)
            (void)fake_answer_info(fd, request.rpc.msgid, 64 << 20);
        else
            (void)fake_answer_uint(fd, request.rpc.msgid, 5);
        fake_drop(&request);
    }
}

/* Nothing of what has left is sent once more: least of all a change that has no token. */
START_TEST(a_submit_that_timed_out_behind_what_was_gathered)
{
    static const uint8_t blob[100000];
    struct mregion_options options = {.timeout_ms = 200};
    struct mregion *connection = connect_with(answer_at_once, NULL, &options);
    mregion_ticket ticket, large;
    void *result;
    size_t size;
    uint64_t number;

    ck_assert_int_eq(mregion_add(connection, "main", blob, sizeof blob, &number, &error), 0);
    ck_assert_int_eq(mregion_submit(connection, "grow", "\x92\xa4main\x01", 7, &ticket, &error), 0);
    is_narrow = true;
    ck_assert_int_eq(mregion_submit_add(connection, "main", blob, sizeof blob, &large, &error),
                     MREGION_ERR_TIMEOUT);
    is_narrow = false;
    mregion_set_timeout(connection, MREGION_NO_TIMEOUT);
    ck_assert_msg(mregion_size(connection, "main", &number, &error) == 0, "%s", error.text);
    ck_assert_msg(mregion_collect(connection, ticket, &result, &size, &error) == 0, "%s",
                  error.text);
    mregion_free(result);
    finish(connection);
    ck_assert_uint_eq(fake.connections, 1);
    ck_assert_uint_eq(fake.requests, 4);
}
END_TEST

/* Answers serverInfo, and any load with a blob, all of it as fast as it is read. */
static void answer_loads(struct fake *server, int fd, unsigned number)
{
    static const uint8_t blob[4 << 20];
    struct fake_request request;

    (void)number;
    while (fake_read(server, fd, &request)) {
        if (strcmp(request.method, "serverInfo") == 0)
            (void)fake_answer_info(fd, request.rpc.msgid, 64 << 20);
        else
            (void)fake_answer_bin(fd, request.rpc.msgid, blob, request.params[2].number);
        fake_drop(&request);
    }
}

static int be_slow(uint64_t done, uint64_t total, void *context)
{
    (void)total;
    if (context != NULL)
        *(uint64_t *)context = done;
    (void)poll(NULL, 0, 30);
    return 0;
}

/* There is always something to read, and still the time is up at some point. */
START_TEST(a_server_that_never_stops_sending)
{
    struct mregion_options options = {.timeout_ms = 100};
    struct mregion *connection = connect_with(answer_loads, NULL, &options);
    static uint8_t buffer[4 << 20];

    mregion_set_progress(connection, be_slow, NULL);
    ck_assert_int_eq(mregion_load(connection, "main", 0, sizeof buffer, buffer, &error),
                     MREGION_ERR_TIMEOUT);
    finish(connection);
}
END_TEST

/* And always something to send. */
START_TEST(a_server_that_never_stops_reading)
{
    struct mregion_options options = {.timeout_ms = 100};
    struct mregion *connection = connect_with(answer_at_once, NULL, &options);
    static uint8_t buffer[8 << 20];
    uint64_t address, done = 0;

    mregion_set_progress(connection, be_slow, &done);
    ck_assert_int_eq(mregion_add(connection, "main", buffer, sizeof buffer, &address, &error),
                     MREGION_ERR_TIMEOUT);
    ck_assert_uint_lt(done, sizeof buffer);
    mregion_set_progress(connection, NULL, NULL);
    mregion_set_timeout(connection, MREGION_NO_TIMEOUT);
    ck_assert_int_eq(mregion_add(connection, "main", buffer, sizeof buffer, &address, &error), 0);
    finish(connection);
}
END_TEST

/* A socket in which there is always something more. */
static _Thread_local bool is_never_dry;

__attribute__((visibility("default"))) ssize_t recv(int fd, void *room, size_t size, int flags)
{
    static ssize_t (*next)(int, void *, size_t, int);

    if (next == NULL)
        next = (__typeof__(next))dlsym(RTLD_NEXT, "recv");
    return next(fd, room, size, is_never_dry ? flags & ~MSG_DONTWAIT : flags);
}

/* HelloRequest, which means nothing to who has said hello already, as many in a record as there is
 * room for, until the client has had enough. */
static void *greet_without_end(void *data)
{
    static uint8_t record[5 + 16384] = {0x16, 3, 3, 0x40, 0};
    int fd = accept(*(int *)data, NULL, NULL);

    ck_assert_int_ge(fd, 0);
    while (send(fd, record, sizeof record, MSG_NOSIGNAL) > 0)
        ;
    (void)close(fd);
    return NULL;
}

START_TEST(a_server_that_never_stops_shaking_hands)
{
    struct mregion_tls tls = {.no_verification = true};
    struct mregion_options options = {.connect_timeout_ms = 200, .tls = &tls};
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct mregion *connection;
    char address[64];
    pthread_t thread;

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&name, &length), 0);
    (void)snprintf(address, sizeof address, "tls:127.0.0.1:%u", ntohs(name.sin_port));
    ck_assert_int_eq(pthread_create(&thread, NULL, greet_without_end, &listener), 0);
    is_never_dry = true;
    ck_assert_int_eq(mregion_connect(address, &options, &connection, &error), MREGION_ERR_CONNECT);
    is_never_dry = false;
    ck_assert_ptr_nonnull(strstr(error.text, "timed out"));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    (void)close(listener);
}
END_TEST

/* ["main", 4 MiB] */
static void *pack_large(size_t *ret_size)
{
    static const uint8_t head[] = {0x92, 0xa4, 'm', 'a', 'i', 'n', 0xc6, 0, 0x40, 0, 0};
    uint8_t *bytes = calloc(1, sizeof head + (4 << 20));

    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, head, sizeof head);
    *ret_size = sizeof head + (4 << 20);
    return bytes;
}

START_TEST(a_call_that_timed_out_half_sent)
{
    bool is_told = false;
    struct mregion_options options = {.timeout_ms = 200};
    struct mregion *connection = connect_with(answer_when_told, &is_told, &options);
    size_t size, result_size;
    void *params = pack_large(&size), *result;
    uint64_t number;

    ck_assert_int_eq(
        mregion_call(connection, "addBlob", params, size, &result, &result_size, &error),
        MREGION_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(error.text, "may have happened"));
    free(params);
    __atomic_store_n(&is_told, true, __ATOMIC_RELEASE);
    mregion_set_timeout(connection, MREGION_NO_TIMEOUT);
    for (int i = 0; i < 2; i++)
        ck_assert_msg(mregion_size(connection, "main", &number, &error) == 0, "%s", error.text);
    finish(connection);
}
END_TEST

/* ---- Loss ---- */

/* Closes after the first request of each of the first two connections. */
static void close_twice(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    while (fake_read(server, fd, &request)) {
        bool closes = number < 2;

        if (!closes)
            (void)fake_answer_uint(fd, request.rpc.msgid, 9);
        fake_drop(&request);
        if (closes)
            return;
    }
}

START_TEST(a_question_is_sent_until_it_is_answered)
{
    struct mregion *connection = connect_with(close_twice, NULL, NULL);
    uint64_t number;

    ck_assert_int_eq(mregion_size(connection, "main", &number, &error), 0);
    ck_assert_uint_eq(number, 9);
    finish(connection);
    ck_assert_uint_eq(fake.requests, 3);
    ck_assert_uint_eq(fake.connections, 3);
}
END_TEST

START_TEST(no_reconnect_when_it_is_off)
{
    struct mregion_options options = {.no_reconnect = true};
    struct mregion *connection = connect_with(close_twice, NULL, &options);
    uint64_t number;

    ck_assert_int_eq(mregion_size(connection, "main", &number, &error), MREGION_ERR_LOST);
    ck_assert_int_eq(mregion_size(connection, "main", &number, &error), MREGION_ERR_LOST);
    finish(connection);
    ck_assert_uint_eq(fake.connections, 1);
}
END_TEST

/* One answer a connection, then the server closes, and says so in the context. */
static void answer_once(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    if (!fake_read(server, fd, &request))
        return;
    (void)fake_answer_uint(fd, request.rpc.msgid, number);
    (void)shutdown(fd, SHUT_RDWR);
    __atomic_add_fetch((unsigned *)server->context, 1, __ATOMIC_SEQ_CST);
    fake_drop(&request);
}

START_TEST(a_loss_that_shows_beforehand_costs_nothing)
{
    unsigned closed = 0;
    struct mregion *connection = connect_with(answer_once, &closed, NULL);
    uint64_t number;

    for (unsigned i = 0; i < 4; i++) {
        ck_assert_msg(mregion_allocate(connection, "main", 1, &number, &error) == 0, "%s",
                      error.text);
        ck_assert_uint_eq(number, i);
        while (__atomic_load_n(&closed, __ATOMIC_SEQ_CST) <= i)
            (void)poll(NULL, 0, 1);
    }
    finish(connection);
}
END_TEST

/* As a server does with a message that it cannot take: says why, closes, reads no more. */
static void refuse_and_close(struct fake *server, int fd, unsigned number)
{
    uint8_t some[64];

    (void)server;
    (void)number;
    if (recv(fd, some, sizeof some, 0) > 0)
        (void)fake_answer_error(fd, 1, "too_large: the message is too large");
    (void)shutdown(fd, SHUT_WR);
    (void)poll(NULL, 0, 100);
}

START_TEST(the_reason_for_closing_is_told)
{
    struct mregion *connection = connect_with(refuse_and_close, NULL, NULL);
    static uint8_t params[8 << 20] = {0x91, 0xc6, 0, 0x7f, 0xff, 0xf9};
    void *result;
    size_t size;

    ck_assert_int_eq(
        mregion_call(connection, "addBlob", params, 6 + 0x7ffff9, &result, &size, &error),
        MREGION_ERR_TOO_LARGE);
    finish(connection);
}
END_TEST

START_TEST(open_tickets_fail_when_the_connection_is_lost)
{
    struct mregion_options options = {.no_tokens = _i == 0, .no_reconnect = _i == 1};
    struct mregion *connection = connect_with(close_twice, NULL, &options);
    mregion_ticket tickets[10];
    uint64_t number;

    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(mregion_submit_allocate(connection, "main", 1, &tickets[i], &error), 0);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(mregion_collect_uint(connection, tickets[i], &number, &error),
                         MREGION_ERR_LOST);
    finish(connection);
}
END_TEST

/* ---- Bounds ---- */

START_TEST(tickets_are_bounded)
{
    struct mregion_options options = {.tickets_max = 3};
    struct mregion *connection = connect_with(answer_backwards, NULL, &options);
    mregion_ticket tickets[4];
    uint64_t number;

    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(mregion_submit_allocate(connection, "main", i, &tickets[i], &error), 0);
    ck_assert_int_eq(mregion_submit_allocate(connection, "main", 4, &tickets[3], &error),
                     MREGION_ERR_FULL);
    ck_assert_int_eq(mregion_collect_uint(connection, tickets[0], &number, &error), 0);
    ck_assert_int_eq(mregion_submit_allocate(connection, "main", 4, &tickets[3], &error), 0);
    finish(connection);
}
END_TEST

static void load_script(struct fake *server, int fd, unsigned number)
{
    uint8_t *bytes = calloc(1, 1 << 20);
    struct fake_request request;

    (void)number;
    while (fake_read(server, fd, &request)) {
        bool done = strcmp(request.method, "serverInfo") == 0
                        ? fake_answer_info(fd, request.rpc.msgid, 64 << 20)
                        : fake_answer_bin(fd, request.rpc.msgid, bytes, 1 << 20);

        fake_drop(&request);
        if (!done)
            break;
    }
    free(bytes);
}

START_TEST(kept_answers_are_bounded)
{
    static const uint8_t params[] = {0x93, 0xa1, 'm', 0, 0};
    struct mregion_options options = {.kept_max = 2 << 20};
    struct mregion *connection = connect_with(load_script, NULL, &options);
    mregion_ticket tickets[6], more;
    void *result;
    size_t size;

    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(
            mregion_submit(connection, "loadBlob", params, sizeof params, &tickets[i], &error), 0);
    ck_assert_int_eq(mregion_collect(connection, tickets[5], &result, &size, &error), 0);
    ck_assert_uint_eq(size, (1 << 20) + 5);
    mregion_free(result);
    /* Five answers of a MiB are kept now. */
    ck_assert_int_eq(mregion_submit(connection, "loadBlob", params, sizeof params, &more, &error),
                     MREGION_ERR_FULL);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(mregion_collect(connection, tickets[i], &result, &size, &error), 0);
        mregion_free(result);
    }
    mregion_forget(connection, tickets[3]);
    ck_assert_int_eq(mregion_submit(connection, "loadBlob", params, sizeof params, &more, &error),
                     0);
    finish(connection);
}
END_TEST

/* Writes each answer to its end before it reads on: with a client that writes all before it reads,
 * both would wait for ever. */
START_TEST(both_directions_full)
{
    enum { COUNT = 40 };
    struct mregion *connection = connect_with(load_script, NULL, NULL);
    static uint8_t blob[512 << 10], buffers[COUNT][1 << 20];
    mregion_ticket tickets[2 * COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_int_eq(
            mregion_submit_load(connection, "m", 0, 1 << 20, buffers[i], &tickets[2 * i], &error),
            0);
        /* The fake answers this with a blob as well, which is kept. */
        ck_assert_int_eq(mregion_submit_store(connection, "m", 0, blob, sizeof blob,
                                              &tickets[2 * i + 1], &error),
                         0);
    }
    for (unsigned i = 0; i < 2 * COUNT; i++)
        ck_assert_int_eq(mregion_collect_done(connection, tickets[2 * COUNT - 1 - i], &error), 0);
    finish(connection);
}
END_TEST

/* ---- Buffers that are taken away ---- */

/* Half of a blob of a MiB; the other half when the next request has come, which is answered too. */
static void answer_in_halves(struct fake *server, int fd, unsigned number)
{
    uint8_t header[RPC_BIN_HEADER_MAX], *bytes = malloc(1 << 20);
    struct fake_request request;
    size_t half = 1 << 19;

    (void)number;
    memset(bytes, 7, 1 << 20);
    if (fake_read(server, fd, &request)) {
        (void)fake_answer_info(fd, request.rpc.msgid, 64 << 20);
        fake_drop(&request);
    }
    if (fake_read(server, fd, &request)) {
        (void)fake_write(fd, header, rpc_bin_header(header, request.rpc.msgid, 1 << 20));
        (void)fake_write(fd, bytes, half);
        fake_drop(&request);
    }
    if (fake_read(server, fd, &request)) {
        (void)fake_write(fd, bytes, half);
        (void)fake_answer_uint(fd, request.rpc.msgid, 3);
        fake_drop(&request);
        (void)fake_read(server, fd, &request);
        fake_drop(&request);
    }
    free(bytes);
}

START_TEST(a_forgotten_buffer_is_not_written_any_more)
{
    struct mregion *connection = connect_with(answer_in_halves, NULL, NULL);
    uint8_t *buffer = calloc(1, 1 << 20);
    mregion_ticket ticket;
    uint64_t number;

    ck_assert_int_eq(mregion_submit_load(connection, "m", 0, 1 << 20, buffer, &ticket, &error), 0);
    mregion_set_timeout(connection, 20);
    while (buffer[1000] == 0)
        ck_assert_int_eq(mregion_collect_done(connection, ticket, &error), MREGION_ERR_TIMEOUT);
    mregion_forget(connection, ticket);
    memset(buffer, 0, 1 << 20);
    mregion_set_timeout(connection, 0);
    ck_assert_int_eq(mregion_size(connection, "m", &number, &error), 0);
    ck_assert_uint_eq(number, 3);
    for (size_t i = 0; i < 1 << 20; i++)
        ck_assert_uint_eq(buffer[i], 0);
    free(buffer);
    finish(connection);
}
END_TEST

/* ---- Arguments ---- */

START_TEST(arguments_are_checked_before_anything_is_sent)
{
    struct mregion *connection = connect_with(answer_on_the_second, NULL, NULL);
    static char long_name[300];
    uint64_t number;
    void *result;
    size_t size;

    memset(long_name, 'a', sizeof long_name - 1);
    ck_assert_int_eq(mregion_size(connection, NULL, &number, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_size(connection, "", &number, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_size(connection, "#", &number, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_size(connection, "#1x", &number, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_size(connection, long_name, &number, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_add(connection, "m", NULL, 5, &number, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_load(connection, "m", 0, 5, NULL, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_call(connection, "", NULL, 0, &result, &size, &error),
                     MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_call(connection, "ping", "\x91", 1, &result, &size, &error),
                     MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_call(connection, "ping", "\x90\x90", 2, &result, &size, &error),
                     MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_call(connection, "ping", "\x05", 1, &result, &size, &error),
                     MREGION_ERR_ARGUMENT);
    finish(connection);
    ck_assert_uint_eq(fake.requests, 0);
}
END_TEST

static void check_id(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    (void)number;
    while (fake_read(server, fd, &request)) {
        bool is_id = request.params[0].type == VALUE_UINT;

        (void)fake_answer_uint(fd, request.rpc.msgid, is_id ? request.params[0].number : 0);
        fake_drop(&request);
    }
}

START_TEST(a_region_by_id)
{
    struct mregion *connection = connect_with(check_id, NULL, NULL);
    uint64_t number;

    ck_assert_int_eq(mregion_size(connection, "#70000", &number, &error), 0);
    ck_assert_uint_eq(number, 70000);
    ck_assert_int_eq(mregion_size(connection, "70000", &number, &error), 0);
    ck_assert_uint_eq(number, 0);
    finish(connection);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/connection");
    TCase *tcase = tcase_create("connection");

    tcase_add_test(tcase, bad_addresses_are_refused);
    tcase_add_test(tcase, nobody_listens);
    tcase_add_test(tcase, an_answer_trickles_in);
    tcase_add_test(tcase, answers_come_in_any_order);
    tcase_add_loop_test(tcase, nonsense_is_a_protocol_error, 0, 11);
    tcase_add_test(tcase, notifications_from_the_server_are_left_out);
    tcase_add_loop_test(tcase, errors_keep_code_and_sentence, 0, 7);
    tcase_add_test(tcase, no_answer_in_time);
    tcase_add_test(tcase, a_ticket_outlives_a_timeout);
    tcase_add_test(tcase, a_call_that_timed_out_leaves_open_tickets_alone);
    tcase_add_test(tcase, a_submit_that_timed_out_leaves_open_tickets_alone);
    tcase_add_test(tcase, a_submit_that_timed_out_behind_what_was_gathered);
    tcase_add_test(tcase, a_call_that_timed_out_half_sent);
    tcase_add_test(tcase, a_server_that_never_stops_sending);
    tcase_add_test(tcase, a_server_that_never_stops_reading);
    tcase_add_test(tcase, a_server_that_never_stops_shaking_hands);
    tcase_add_test(tcase, a_question_is_sent_until_it_is_answered);
    tcase_add_test(tcase, no_reconnect_when_it_is_off);
    tcase_add_test(tcase, a_loss_that_shows_beforehand_costs_nothing);
    tcase_add_test(tcase, the_reason_for_closing_is_told);
    tcase_add_loop_test(tcase, open_tickets_fail_when_the_connection_is_lost, 0, 2);
    tcase_add_test(tcase, tickets_are_bounded);
    tcase_add_test(tcase, kept_answers_are_bounded);
    tcase_add_test(tcase, both_directions_full);
    tcase_add_test(tcase, a_forgotten_buffer_is_not_written_any_more);
    tcase_add_test(tcase, arguments_are_checked_before_anything_is_sent);
    tcase_add_test(tcase, a_region_by_id);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
