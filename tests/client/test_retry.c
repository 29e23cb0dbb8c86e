/* What libmregion sends again when a connection is lost, and what not: against a server that knows
 * tokens as mregiond does, and cuts connections where it is told to. */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support_fake.h"
#include "tests/support_main.h"

static struct mregion_error error;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)

/* ---- The server ---- */

enum cut {
    CUT_NOT,
    CUT_BEFORE_READING, /* what has been sent is never looked at */
    CUT_BEFORE_CHANGE,
    CUT_BEFORE_ANSWER, /* the change has happened */
    CUT_IN_ANSWER,
    CUTS
};

#define SEEN_MAX 256

struct seen {
    uint8_t token[16];
    bool has_token;
    bool is_repeated; /* an earlier one with this token was made */
    char method[64];
    uint64_t first; /* the first number behind the region, or the blob's first byte */
    unsigned connection;
    uint64_t answer;
};

static struct {
    enum cut cut;
    unsigned cut_every; /* connections end at so many requests; */
    unsigned cuts;      /* so often */
    bool is_refusing;
    bool is_silent;
    bool is_waiting; /* with its answers, until it is no longer */
    enum { STAY, LEAVE_BEFORE_ANSWER, LEAVE_AFTER_ANSWER } leave; /* at the next request */
    struct seen seen[SEEN_MAX];
    unsigned count;
    unsigned changes; /* made */
    uint64_t address;
} server;

static struct fake fake;
static struct mregion *connection;

static void note(const struct fake_request *request, unsigned number)
{
    struct seen *one = &server.seen[server.count++];
    const uint8_t *token = fake_token(request);
    struct value first = request->params[1];

    ck_assert_uint_lt(server.count, SEEN_MAX);
    *one = (struct seen){.connection = number, .has_token = token != NULL};
    (void)snprintf(one->method, sizeof one->method, "%s", request->method);
    if (first.type == VALUE_UINT)
        one->first = first.number;
    else if (first.type == VALUE_BIN && first.raw.size > 0)
        one->first = first.raw.bytes[0];
    if (token != NULL)
        memcpy(one->token, token, sizeof one->token);
}

/* Makes the change, or finds the answer that it had. */
static void change(void)
{
    struct seen *one = &server.seen[server.count - 1];

    if (!one->has_token && strcmp(one->method, "addBlob") != 0 &&
        strcmp(one->method, "allocate") != 0)
        return;

    for (unsigned i = 0; one->has_token && i + 1 < server.count; i++) {
        const struct seen *before = &server.seen[i];

        if (before->has_token && memcmp(before->token, one->token, 16) == 0) {
            ck_assert_str_eq(before->method, one->method);
            ck_assert_uint_eq(before->first, one->first);
            one->answer = before->answer;
            one->is_repeated = one->answer != 0;
            if (one->is_repeated)
                return;
        }
    }
    server.changes++;
    one->answer = ++server.address;
}

static bool answer(int fd, const struct fake_request *request)
{
    uint32_t msgid = request->rpc.msgid;
    uint8_t byte = 7;

    if (strcmp(request->method, "serverInfo") == 0)
        return fake_answer_info(fd, msgid, 8 << 20);
    if (server.is_refusing)
        return fake_answer_error(fd, msgid, "no_space: the disk is full");
    if (strcmp(request->method, "removeBlob") == 0 || strcmp(request->method, "loadBlob") == 0)
        return fake_answer_bin(fd, msgid, &byte, 1);
    return fake_answer_uint(fd, msgid, server.seen[server.count - 1].answer);
}

static bool cut_here(struct fake *self, int fd, unsigned number, struct fake_request *request)
{
    static const uint8_t half[] = {0x94, 1, 0xce, 0, 0};

    if (server.cut == CUT_BEFORE_READING) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};

        (void)poll(&waiting, 1, -1);
        return false;
    }
    if (!fake_read(self, fd, request))
        return false;
    note(request, number);
    if (server.cut != CUT_BEFORE_CHANGE)
        change();
    if (server.cut == CUT_IN_ANSWER)
        (void)fake_write(fd, half, sizeof half);
    fake_drop(request);
    return false;
}

/* Nobody listens any more, until fake_close and fake_open. */
static void go_away(struct fake *self)
{
    char path[128];

    (void)shutdown(self->listener, SHUT_RDWR);
    (void)snprintf(path, sizeof path, "%s/s", self->folder);
    (void)unlink(path);
}

static void script(struct fake *self, int fd, unsigned number)
{
    struct fake_request request;
    bool goes_on = true;

    for (unsigned i = 1; goes_on; i++) {
        if (i == server.cut_every && server.cuts > 0) {
            server.cuts--;
            goes_on = cut_here(self, fd, number, &request);
            continue;
        }
        goes_on = fake_read(self, fd, &request);
        if (!goes_on)
            break;
        note(&request, number);
        if (!server.is_refusing)
            change();
        goes_on = server.leave != LEAVE_BEFORE_ANSWER;
        while (__atomic_load_n(&server.is_waiting, __ATOMIC_ACQUIRE))
            (void)poll(NULL, 0, 1);
        if (goes_on && !server.is_silent)
            goes_on = answer(fd, &request) && server.leave == STAY;
        if (server.leave != STAY)
            go_away(self);
        fake_drop(&request);
    }
}

static void start(const struct mregion_options *options, enum cut cut, unsigned every,
                  unsigned cuts)
{
    memset(&server, 0, sizeof server);
    server.cut = cut;
    server.cut_every = every;
    server.cuts = cuts;
    fake_start(&fake, script, NULL);
    OK(mregion_connect(fake.address, options, &connection, &error));
}

static void finish(void)
{
    mregion_close(connection);
    fake_stop(&fake);
}

/* ---- One call ---- */

static int add(void)
{
    uint64_t address;

    return mregion_add(connection, "m", "x", 1, &address, &error);
}

static int add_megabytes(void)
{
    static uint8_t bytes[3 << 20];
    uint64_t address;

    return mregion_add(connection, "m", bytes, sizeof bytes, &address, &error);
}

static int store(void)
{
    return mregion_store(connection, "m", 3, "x", 1, &error);
}

static int take(void)
{
    uint8_t byte;

    return mregion_remove(connection, "m", 3, 1, &byte, &error);
}

static int replace(void)
{
    uint64_t address;

    return mregion_replace(connection, "m", 3, 1, "yy", 2, &address, &error);
}

static int allocate(void)
{
    uint64_t address;

    return mregion_allocate(connection, "m", 3, &address, &error);
}

static int deallocate(void)
{
    return mregion_deallocate(connection, "m", 3, 1, &error);
}

static int resize(void)
{
    uint64_t address;

    return mregion_resize(connection, "m", 3, 1, 2, &address, &error);
}

static int deallocate_range(void)
{
    uint64_t freed;

    return mregion_deallocate_range(connection, "m", 3, 4, &freed, &error);
}

static int clear(void)
{
    return mregion_clear(connection, "m", &error);
}

static int clear_and_retain_header(void)
{
    return mregion_clear_and_retain_header(connection, "m", 3, &error);
}

static int grow(void)
{
    uint64_t before;

    return mregion_grow(connection, "m", 1, &before, &error);
}

static int (*const changes[])(void) = {add,
                                       add_megabytes,
                                       store,
                                       take,
                                       replace,
                                       allocate,
                                       deallocate,
                                       resize,
                                       deallocate_range,
                                       clear,
                                       clear_and_retain_header,
                                       grow};
#define CHANGES ((int)(sizeof changes / sizeof changes[0]))

/* Every change, cut in every way, three times in a row: it happens once, with one token. */
START_TEST(a_change_happens_once)
{
    enum cut cut = (enum cut)(_i % (CUTS - 1) + 1);
    const struct seen *first;
    unsigned own = 0;

    start(NULL, cut, 1, 3);
    OK(changes[_i / (CUTS - 1)]());
    finish();
    first = &server.seen[server.count - 1];
    ck_assert(first->has_token);
    for (unsigned i = 0; i < server.count; i++)
        if (strcmp(server.seen[i].method, "serverInfo") != 0) {
            ck_assert(server.seen[i].has_token);
            ck_assert_mem_eq(server.seen[i].token, first->token, 16);
            own++;
        }
    ck_assert_uint_ge(own, 1);
    ck_assert_uint_eq(server.changes, 1);
    ck_assert_uint_eq(fake.connections, 4);
}
END_TEST

START_TEST(each_change_has_a_token_of_its_own)
{
    struct mregion *other;
    uint64_t address;

    start(NULL, CUT_NOT, 0, 0);
    for (int i = 0; i < 50; i++)
        OK(add());
    mregion_close(connection);
    OK(mregion_connect(fake.address, NULL, &other, &error));
    for (int i = 0; i < 50; i++)
        OK(mregion_allocate(other, "m", 1, &address, &error));
    mregion_close(other);
    fake_stop(&fake);
    ck_assert_uint_eq(server.count, 100);
    ck_assert_uint_eq(server.changes, 100);
    for (unsigned i = 0; i < 100; i++)
        for (unsigned j = 0; j < i; j++)
            ck_assert_mem_ne(server.seen[i].token, server.seen[j].token, 16);
}
END_TEST

START_TEST(a_question_has_no_token_and_is_asked_again)
{
    uint8_t byte;

    start(NULL, CUT_IN_ANSWER, 1, 5);
    OK(mregion_load(connection, "m", 0, 1, &byte, &error));
    finish();
    ck_assert_uint_eq(server.count, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert(!server.seen[i].has_token);
}
END_TEST

START_TEST(what_has_no_token_is_not_sent_again)
{
    static const uint8_t params[] = {0x92, 0xa1, 'm', 5};
    struct mregion_options options = {.no_tokens = _i == 3};
    mregion_ticket ticket;
    uint64_t number;
    size_t size;
    void *result;
    int code;

    start(&options, CUT_BEFORE_ANSWER, 1, 1);
    if (_i == 0)
        code = mregion_create_region(connection, "m", NULL, &number, &error);
    else if (_i == 1)
        code = mregion_call(connection, "allocate", params, sizeof params, &result, &size, &error);
    else if (_i == 2)
        code = mregion_drop_region(connection, "m", &error);
    else if (_i == 3)
        code = add();
    else if ((code = mregion_submit(connection, "allocate", params, sizeof params, &ticket,
                                    &error)) == 0)
        code = mregion_collect_uint(connection, ticket, &number, &error);
    ck_assert_int_eq(code, MREGION_ERR_LOST);
    OK(add());
    finish();
    ck_assert_uint_eq(server.count, 2);
    ck_assert(!server.seen[0].has_token);
    ck_assert(server.seen[1].has_token == (_i != 3));
}
END_TEST

START_TEST(a_refused_change_is_answered)
{
    start(NULL, CUT_NOT, 0, 0);
    server.is_refusing = true;
    ck_assert_int_eq(add(), MREGION_ERR_NO_SPACE);
    finish();
    ck_assert_uint_eq(server.count, 1);
}
END_TEST

/* ---- Tickets ---- */

/* The connection is cut in the middle of many requests, again and again. */
START_TEST(tickets_go_over_to_the_next_connection)
{
    enum { COUNT = 30 };
    enum cut cut = (enum cut)(_i % (CUTS - 1) + 1);
    mregion_ticket tickets[COUNT];
    uint64_t address, last = 0;
    unsigned made = 0;

    start(NULL, cut, 7, 4);
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t byte = (uint8_t)(i + 1);

        OK(mregion_submit_add(connection, "m", &byte, 1, &tickets[i], &error));
        byte = 0; /* the library has its own */
    }
    for (unsigned i = 0; i < COUNT; i++) {
        OK(mregion_collect_uint(connection, tickets[i], &address, &error));
        ck_assert_uint_eq(address, i + 1);
    }
    finish();
    ck_assert_uint_eq(server.changes, COUNT);
    ck_assert_uint_eq(fake.connections, 5);
    /* They happened in order, and each connection had them in order. */
    for (unsigned i = 0; i < server.count; i++) {
        const struct seen *one = &server.seen[i];

        if (!one->is_repeated && one->answer != 0)
            ck_assert_uint_eq(one->first, ++made);
        if (i > 0 && one->connection == server.seen[i - 1].connection)
            ck_assert_uint_eq(one->first, last + 1);
        last = one->first;
    }
}
END_TEST

/* A call in between comes behind what was submitted before it, on the next connection too. */
START_TEST(a_call_comes_behind_open_tickets)
{
    mregion_ticket tickets[3];
    uint64_t address;

    start(NULL, CUT_BEFORE_CHANGE, 2, 1);
    for (unsigned i = 0; i < 3; i++)
        OK(mregion_submit_allocate(connection, "m", i + 1, &tickets[i], &error));
    OK(mregion_allocate(connection, "m", 4, &address, &error));
    ck_assert_uint_eq(address, 4);
    for (unsigned i = 0; i < 3; i++) {
        OK(mregion_collect_uint(connection, tickets[i], &address, &error));
        ck_assert_uint_eq(address, i + 1);
    }
    finish();
}
END_TEST

START_TEST(a_forgotten_change_is_made_all_the_same)
{
    mregion_ticket ticket;
    uint64_t number;

    start(NULL, CUT_BEFORE_CHANGE, 1, 1);
    OK(mregion_submit_allocate(connection, "m", 17, &ticket, &error));
    OK(mregion_flush(connection, &error));
    mregion_forget(connection, ticket);
    OK(mregion_size(connection, "m", &number, &error));
    finish();
    ck_assert_uint_eq(server.count, 3);
    ck_assert_str_eq(server.seen[1].method, "allocate");
    ck_assert_uint_eq(server.seen[1].first, 17);
}
END_TEST

/* A load into a buffer goes on in the buffer; one that is forgotten is not asked for again. */
START_TEST(loads_are_submitted_again)
{
    uint8_t byte = 0, other = 0;
    mregion_ticket first, second;

    start(NULL, CUT_BEFORE_ANSWER, 1, 1);
    OK(mregion_submit_load(connection, "m", 1, 1, &byte, &first, &error));
    OK(mregion_submit_load(connection, "m", 2, 1, &other, &second, &error));
    mregion_forget(connection, second);
    OK(mregion_collect_done(connection, first, &error));
    ck_assert_uint_eq(byte, 7);
    ck_assert_uint_eq(other, 0);
    finish();
    ck_assert_uint_eq(server.count, 2);
    ck_assert_uint_eq(server.seen[1].first, 1);
}
END_TEST

static void hold_answers(bool is_held)
{
    __atomic_store_n(&server.is_waiting, is_held, __ATOMIC_RELEASE);
}

START_TEST(requests_are_kept_within_bounds)
{
    struct mregion_options options = {.kept_max = 1 << 20};
    static uint8_t bytes[2 << 20];
    mregion_ticket tickets[3];
    uint64_t address;

    start(&options, CUT_NOT, 0, 0);
    /* The server is asked how much it takes. */
    OK(mregion_add(connection, "m", bytes, 100 << 10, &address, &error));
    hold_answers(true);
    /* One alone may be of any size. */
    OK(mregion_submit_add(connection, "m", bytes, sizeof bytes, &tickets[0], &error));
    ck_assert_int_eq(mregion_submit_add(connection, "m", bytes, 1, &tickets[1], &error),
                     MREGION_ERR_FULL);
    hold_answers(false);
    OK(mregion_collect_uint(connection, tickets[0], &address, &error));
    hold_answers(true);
    OK(mregion_submit_add(connection, "m", bytes, 1000, &tickets[0], &error));
    OK(mregion_submit_add(connection, "m", bytes, 1000, &tickets[1], &error));
    ck_assert_int_eq(mregion_submit_add(connection, "m", bytes, 1 << 20, &tickets[2], &error),
                     MREGION_ERR_FULL);
    hold_answers(false);
    /* What is answered is no longer kept, collected or not. */
    OK(mregion_collect_uint(connection, tickets[1], &address, &error));
    OK(mregion_submit_add(connection, "m", bytes, (1 << 20) - 1000, &tickets[2], &error));
    for (unsigned i = 0; i < 3; i += 2)
        OK(mregion_collect_uint(connection, tickets[i], &address, &error));
    finish();
    ck_assert_uint_eq(server.changes, 5);
}
END_TEST

/* Nobody ever waits: what was forgotten makes room when it is answered. */
START_TEST(forgotten_ones_make_room)
{
    struct mregion_options options = {.tickets_max = 4};
    mregion_ticket ticket;

    start(&options, CUT_NOT, 0, 0);
    for (unsigned i = 0; i < 40;) {
        int code = mregion_submit_allocate(connection, "m", 1, &ticket, &error);

        if (code == 0) {
            mregion_forget(connection, ticket);
            i++;
        } else {
            ck_assert_int_eq(code, MREGION_ERR_FULL);
            (void)poll(NULL, 0, 1);
        }
    }
    finish();
}
END_TEST

/* Says why and closes, before the message is there. */
static void refuse_early(struct fake *self, int fd, unsigned number)
{
    uint8_t some[64];

    (void)self;
    (void)number;
    if (recv(fd, some, sizeof some, 0) > 0)
        (void)fake_answer_error(fd, 1, "too_large: the message is too large");
    (void)poll(NULL, 0, 50);
}

START_TEST(an_answer_that_comes_early_ends_a_ticket)
{
    static const uint8_t head[] = {0x92, 0xa1, 'm', 0xc6, 0, 0x7f, 0xff, 0xf0};
    static uint8_t params[sizeof head + 0x7ffff0];
    mregion_ticket ticket;
    uint64_t number;
    const char *method = _i == 0 ? "addBlob" : "ping"; /* not kept, kept */

    memcpy(params, head, sizeof head);
    fake_start(&fake, refuse_early, NULL);
    OK(mregion_connect(fake.address, NULL, &connection, &error));
    OK(mregion_submit(connection, method, params, sizeof params, &ticket, &error));
    ck_assert_int_eq(mregion_collect_uint(connection, ticket, &number, &error),
                     MREGION_ERR_TOO_LARGE);
    finish();
    ck_assert_uint_eq(fake.connections, 1);
}
END_TEST

/* ---- A server that is away ---- */

/* Listens again after a while. */
static void *come_back(void *data)
{
    (void)data;
    fake_close(&fake);
    (void)poll(NULL, 0, 150);
    server.leave = STAY;
    fake_open(&fake);
    return NULL;
}

START_TEST(a_server_that_is_restarted)
{
    mregion_ticket tickets[3];
    uint64_t address;
    pthread_t thread;

    start(NULL, CUT_NOT, 0, 0);
    server.leave = LEAVE_BEFORE_ANSWER;
    for (unsigned i = 0; i < 3; i++)
        OK(mregion_submit_allocate(connection, "m", i + 1, &tickets[i], &error));
    ck_assert_int_eq(pthread_create(&thread, NULL, come_back, NULL), 0);
    OK(add());
    for (unsigned i = 0; i < 3; i++) {
        OK(mregion_collect_uint(connection, tickets[i], &address, &error));
        ck_assert_uint_eq(address, i + 1);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    finish();
    ck_assert_uint_eq(server.changes, 4);
}
END_TEST

START_TEST(nothing_was_sent)
{
    struct mregion_options options = {.timeout_ms = 200};

    start(&options, CUT_NOT, 0, 0);
    server.leave = LEAVE_AFTER_ANSWER;
    OK(add());
    fake_close(&fake);
    ck_assert_int_eq(add(), MREGION_ERR_CONNECT);
    ck_assert_ptr_nonnull(strstr(error.text, "No such file"));
    ck_assert_ptr_null(strstr(error.text, "may have happened"));
    server.leave = STAY;
    fake_open(&fake);
    OK(add());
    finish();
    ck_assert_uint_eq(server.changes, 2);
}
END_TEST

START_TEST(a_change_that_was_sent_may_have_happened)
{
    struct mregion_options options = {.timeout_ms = 200};

    start(&options, CUT_NOT, 0, 0);
    server.leave = LEAVE_BEFORE_ANSWER;
    ck_assert_int_eq(add(), MREGION_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(error.text, "No such file"));
    ck_assert_ptr_nonnull(strstr(error.text, "may have happened"));
    finish();
}
END_TEST

START_TEST(an_open_ticket_waits_for_the_server)
{
    struct mregion_options options = {.timeout_ms = 200};
    mregion_ticket ticket;
    uint64_t address;

    start(&options, CUT_NOT, 0, 0);
    server.leave = LEAVE_BEFORE_ANSWER;
    OK(mregion_submit_allocate(connection, "m", 1, &ticket, &error));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(mregion_collect_uint(connection, ticket, &address, &error),
                         MREGION_ERR_TIMEOUT);
    fake_close(&fake);
    server.leave = STAY;
    fake_open(&fake);
    mregion_set_timeout(connection, MREGION_NO_TIMEOUT);
    OK(mregion_collect_uint(connection, ticket, &address, &error));
    ck_assert_uint_eq(address, 1);
    finish();
    ck_assert_uint_eq(server.changes, 1);
}
END_TEST

/* Every connection ends at its first request: there are pauses between them, and an end. */
START_TEST(a_server_that_always_cuts)
{
    struct mregion_options options = {.timeout_ms = 200};
    mregion_ticket ticket;
    uint64_t address;

    start(&options, (enum cut)(_i + 1), 1, UINT32_MAX);
    ck_assert_int_eq(add(), MREGION_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(error.text, "may have happened"));
    OK(mregion_submit_allocate(connection, "m", 1, &ticket, &error));
    ck_assert_int_eq(mregion_collect_uint(connection, ticket, &address, &error),
                     MREGION_ERR_TIMEOUT);
    finish();
    ck_assert_uint_lt(fake.connections, 40);
}
END_TEST

START_TEST(a_silent_server)
{
    struct mregion_options options = {.timeout_ms = 100};
    uint64_t number;

    start(&options, CUT_NOT, 0, 0);
    server.is_silent = true;
    ck_assert_int_eq(add(), MREGION_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(error.text, "may still happen"));
    ck_assert_int_eq(mregion_size(connection, "m", &number, &error), MREGION_ERR_TIMEOUT);
    ck_assert_ptr_null(strstr(error.text, "may still happen"));
    finish();
}
END_TEST

/* ---- Tokens of the caller's own ---- */

static const uint8_t own[16] = "sixteen bytes...";

static bool has_own(unsigned index)
{
    return server.seen[index].has_token && memcmp(server.seen[index].token, own, 16) == 0;
}

START_TEST(the_next_change_has_the_token)
{
    uint64_t first, second;
    uint8_t byte;

    start(NULL, CUT_NOT, 0, 0);
    mregion_set_token(connection, own);
    OK(mregion_load(connection, "m", 0, 1, &byte, &error));
    OK(mregion_add(connection, "m", "x", 1, &first, &error));
    OK(add());
    mregion_set_token(connection, own);
    OK(mregion_add(connection, "m", "x", 1, &second, &error));
    ck_assert_uint_eq(first, second);
    mregion_set_token(connection, own);
    mregion_set_token(connection, NULL);
    OK(add());
    finish();
    ck_assert(!server.seen[0].has_token);
    ck_assert(has_own(1) && !has_own(2) && has_own(3) && !has_own(4));
    ck_assert_uint_eq(server.changes, 3);
}
END_TEST

START_TEST(a_ticket_has_the_token)
{
    mregion_ticket ticket;
    uint64_t address;

    start(NULL, CUT_BEFORE_ANSWER, 1, 1);
    mregion_set_token(connection, own);
    OK(mregion_submit_add(connection, "m", "x", 1, &ticket, &error));
    OK(mregion_collect_uint(connection, ticket, &address, &error));
    OK(add());
    finish();
    ck_assert(has_own(0) && has_own(1) && !has_own(2));
}
END_TEST

/* A token is spent by the call that it was for, also where that fails before it sends anything. */
START_TEST(a_token_does_not_go_astray)
{
    mregion_ticket ticket;
    uint64_t number;
    void *bytes;

    start(NULL, CUT_NOT, 0, 0);
    for (int i = 0; i < 7; i++) {
        mregion_set_token(connection, own);
        if (i == 0)
            ck_assert_int_ne(mregion_add(connection, "", "x", 1, &number, &error), 0);
        else if (i == 1)
            ck_assert_int_ne(mregion_allocate(connection, "", 1, &number, &error), 0);
        else if (i == 2)
            ck_assert_int_ne(mregion_submit_add(connection, "m", NULL, 64 << 20, &ticket, &error),
                             0);
        else if (i == 3)
            ck_assert_int_ne(mregion_submit_allocate(connection, "", 1, &ticket, &error), 0);
        else if (i == 4)
            ck_assert_int_ne(mregion_remove_new(connection, "m", 0, UINT64_MAX, &bytes, &error), 0);
        else if (i == 5)
            ck_assert_int_ne(mregion_add_fd(connection, "m", -1, &number, &number, &error), 0);
        else
            ck_assert_int_ne(mregion_store_fd(connection, "m", 0, -1, &number, &error), 0);
        OK(add());
    }
    finish();
    for (unsigned i = 0; i < server.count; i++)
        ck_assert(!has_own(i));
}
END_TEST

START_TEST(a_token_is_not_for_several_changes)
{
    uint64_t size = 10 << 20, address;
    uint8_t *bytes = calloc(1, size);

    start(NULL, CUT_NOT, 0, 0);
    mregion_set_token(connection, own);
    ck_assert_int_eq(mregion_add(connection, "m", bytes, size, &address, &error),
                     MREGION_ERR_ARGUMENT);
    mregion_set_token(connection, own);
    ck_assert_int_eq(mregion_store(connection, "m", 0, bytes, size, &error), MREGION_ERR_ARGUMENT);
    mregion_set_token(connection, own);
    ck_assert_int_eq(mregion_remove(connection, "m", 0, size, bytes, &error), MREGION_ERR_ARGUMENT);
    mregion_set_token(connection, own);
    ck_assert_int_eq(mregion_replace(connection, "m", 0, 1, bytes, size, &address, &error),
                     MREGION_ERR_ARGUMENT);
    ck_assert_uint_eq(server.changes, 0);
    for (unsigned i = 0; i < server.count; i++)
        ck_assert_str_eq(server.seen[i].method, "serverInfo");
    finish();
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/retry");
    TCase *tcase = tcase_create("retry");

    tcase_add_loop_test(tcase, a_change_happens_once, 0, CHANGES * (CUTS - 1));
    tcase_add_test(tcase, each_change_has_a_token_of_its_own);
    tcase_add_test(tcase, a_question_has_no_token_and_is_asked_again);
    tcase_add_loop_test(tcase, what_has_no_token_is_not_sent_again, 0, 5);
    tcase_add_test(tcase, a_refused_change_is_answered);
    tcase_add_loop_test(tcase, tickets_go_over_to_the_next_connection, 0, CUTS - 1);
    tcase_add_test(tcase, a_call_comes_behind_open_tickets);
    tcase_add_test(tcase, a_forgotten_change_is_made_all_the_same);
    tcase_add_test(tcase, loads_are_submitted_again);
    tcase_add_test(tcase, requests_are_kept_within_bounds);
    tcase_add_test(tcase, forgotten_ones_make_room);
    tcase_add_loop_test(tcase, an_answer_that_comes_early_ends_a_ticket, 0, 2);
    tcase_add_test(tcase, a_server_that_is_restarted);
    tcase_add_test(tcase, nothing_was_sent);
    tcase_add_test(tcase, a_change_that_was_sent_may_have_happened);
    tcase_add_test(tcase, an_open_ticket_waits_for_the_server);
    tcase_add_loop_test(tcase, a_server_that_always_cuts, 0, CUTS - 1);
    tcase_add_test(tcase, a_silent_server);
    tcase_add_test(tcase, the_next_change_has_the_token);
    tcase_add_test(tcase, a_ticket_has_the_token);
    tcase_add_test(tcase, a_token_does_not_go_astray);
    tcase_add_test(tcase, a_token_is_not_for_several_changes);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
