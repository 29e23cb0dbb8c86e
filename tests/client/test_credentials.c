/* client/credentials: who the caller is comes first on every connection that is made again. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "support_fake.h"
#include "tests/support_main.h"

static struct mregion_error error;
static struct mregion *connection;
static struct fake fake;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)

/* What came, a word for each: "METHOD" or "USER/PASSWORD", and | in front of a new connection. */
static char seen[1024];
static const char *refusal; /* of authenticate; NULL: it is taken */
static unsigned refusals;   /* so often; then it is taken */
static unsigned
    close_after;        /* so many requests on a connection it is closed, unanswered; 0: never */
static bool is_closing; /* every connection, instead of an answer to authenticate */
static bool is_silent;  /* as long as it is, nothing is answered */

static void note(const char *format, const char *a, int a_size, const char *b, int b_size)
{
    size_t used = strlen(seen);

    (void)snprintf(seen + used, sizeof seen - used, format, a_size, a, b_size, b);
}

static void note_request(const struct fake_request *request)
{
    struct value user = request->params[0], password = request->params[1];

    if (strcmp(request->method, "authenticate") != 0)
        note("%.*s%.*s ", request->method, 64, "", 0);
    else
        note("%.*s/%.*s ", (const char *)user.raw.bytes, (int)user.raw.size,
             (const char *)password.raw.bytes, (int)password.raw.size);
}

static bool answer(int fd, const struct fake_request *request)
{
    if (__atomic_load_n(&is_silent, __ATOMIC_ACQUIRE))
        return true;
    if (strcmp(request->method, "authenticate") != 0)
        return fake_answer_uint(fd, request->rpc.msgid, 7);
    if (__atomic_load_n(&is_closing, __ATOMIC_ACQUIRE))
        return false;
    if (refusal == NULL || refusals == 0)
        return fake_answer_nil(fd, request->rpc.msgid);
    refusals--;
    return fake_answer_error(fd, request->rpc.msgid, refusal);
}

static void script(struct fake *self, int fd, unsigned number)
{
    struct fake_request request;
    unsigned count = 0;
    bool goes_on = true;

    (void)number;
    note("%.*s%.*s ", "|", 1, "", 0);
    while (goes_on && fake_read(self, fd, &request)) {
        note_request(&request);
        goes_on = ++count != close_after && answer(fd, &request);
        fake_drop(&request);
    }
    close_after = 0;
}

static void setup(void)
{
    seen[0] = '\0';
    refusal = NULL;
    refusals = 1000;
    close_after = 0;
    is_closing = is_silent = false;
    fake_start(&fake, script, NULL);
    OK(mregion_connect(fake.address, NULL, &connection, &error));
}

/* The connection is closed, so that all has been seen. */
static void assert_seen(const char *expected)
{
    mregion_close(connection);
    fake_stop(&fake);
    ck_assert_str_eq(seen, expected);
}

static int size(void)
{
    uint64_t number = 0;
    int code = mregion_size(connection, "main", &number, &error);

    if (code == MREGION_OK)
        ck_assert_uint_eq(number, 7);
    return code;
}

START_TEST(once)
{
    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    OK(size());
    assert_seen("| alice/secret size ");
}
END_TEST

START_TEST(again_on_every_connection)
{
    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    close_after = 2;
    OK(size());
    close_after = 3;
    OK(size());
    OK(size());
    assert_seen("| alice/secret size | alice/secret size size | alice/secret size size ");
}
END_TEST

START_TEST(as_whoever_it_was_last)
{
    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    OK(mregion_authenticate(connection, "bob", "other", 5, &error));
    refusal = "unauthenticated: wrong user or password";
    ck_assert_int_eq(mregion_authenticate(connection, "carol", "", 0, &error),
                     MREGION_ERR_UNAUTHENTICATED);
    refusal = NULL;
    close_after = 4;
    OK(size());
    assert_seen("| alice/secret bob/other carol/ size | bob/other size ");
}
END_TEST

/* The connection breaks before it is answered: it is asked again, for it does no harm. */
START_TEST(lost_before_the_answer)
{
    close_after = 1;
    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    assert_seen("| alice/secret | alice/secret ");
}
END_TEST

START_TEST(a_refusal_says_so)
{
    refusal = "unauthenticated: wrong user or password";
    ck_assert_int_eq(mregion_authenticate(connection, "alice", "secret", 6, &error),
                     MREGION_ERR_UNAUTHENTICATED);
    ck_assert_str_eq(error.text, "wrong user or password");
    OK(size()); /* as nobody, as before */
    assert_seen("| alice/secret size ");
}
END_TEST

/* The user is gone when the connection is made again: what waits fails with that, and nothing is
 * done as nobody. */
START_TEST(refused_on_the_next_connection)
{
    mregion_ticket tickets[2];
    uint64_t number;

    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    OK(size());
    refusal = "unauthenticated: wrong user or password";
    close_after = 3;
    for (int i = 0; i < 2; i++)
        OK(mregion_submit_allocate(connection, "main", 1, &tickets[i], &error));
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(mregion_collect_uint(connection, tickets[i], &number, &error),
                         MREGION_ERR_UNAUTHENTICATED);
        ck_assert_str_eq(error.text, "wrong user or password");
    }
    ck_assert_int_eq(size(), MREGION_ERR_UNAUTHENTICATED);
    refusal = NULL;
    OK(size());
    assert_seen("| alice/secret size allocate | alice/secret | alice/secret | alice/secret size ");
}
END_TEST

/* Whom the server takes no more can become somebody else. */
START_TEST(as_somebody_else_afterwards)
{
    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    refusal = "unauthenticated: wrong user or password";
    refusals = 2;
    close_after = 2;
    ck_assert_int_eq(size(), MREGION_ERR_UNAUTHENTICATED);
    ck_assert_int_eq(mregion_authenticate(connection, "bob", "wrong", 5, &error),
                     MREGION_ERR_UNAUTHENTICATED);
    OK(mregion_authenticate(connection, "bob", "other", 5, &error));
    OK(size());
    assert_seen("| alice/secret size | alice/secret | bob/wrong | bob/other size ");
}
END_TEST

START_TEST(tried_again_while_the_server_is_busy)
{
    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    refusal = "busy: too many attempts";
    refusals = 2;
    close_after = 2;
    OK(size());
    assert_seen("| alice/secret size | alice/secret | alice/secret | alice/secret size ");
}
END_TEST

/* What was sent before, and is not sent again in time, may have happened, whatever the server says
 * to the user meanwhile. Nothing of it stays behind. */
START_TEST(busy_for_too_long)
{
    uint64_t number;

    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    refusal = "busy: too many attempts";
    close_after = 2;
    mregion_set_timeout(connection, 200);
    ck_assert_int_eq(mregion_allocate(connection, "main", 1, &number, &error), MREGION_ERR_TIMEOUT);
    ck_assert_ptr_nonnull(strstr(error.text, "too many attempts"));
    ck_assert_ptr_nonnull(strstr(error.text, "may have happened"));
    ck_assert_int_eq(size(), MREGION_ERR_BUSY); /* never sent */
    __atomic_store_n(&refusal, NULL, __ATOMIC_RELEASE);
    mregion_set_timeout(connection, 0);
    OK(size());
    mregion_close(connection);
    fake_stop(&fake);
    ck_assert_ptr_null(strstr(strstr(seen, "allocate") + 1, "allocate"));
}
END_TEST

/* The server ends every connection before it knows who that is: each call ends in time. */
START_TEST(closed_before_it_is_answered_for_too_long)
{
    struct mregion_events *events;
    mregion_ticket ticket;
    uint64_t number;

    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    __atomic_store_n(&is_closing, true, __ATOMIC_RELEASE);
    close_after = 2;
    mregion_set_timeout(connection, 200);
    ck_assert_int_eq(size(), MREGION_ERR_TIMEOUT); /* sent before */
    ck_assert_int_eq(size(), MREGION_ERR_CONNECT); /* never sent */
    ck_assert_int_eq(mregion_events_open(connection, &events, &error), MREGION_ERR_CONNECT);
    ck_assert_int_eq(mregion_authenticate(connection, "bob", "other", 5, &error),
                     MREGION_ERR_CONNECT);
    __atomic_store_n(&is_closing, false, __ATOMIC_RELEASE);
    mregion_set_timeout(connection, 0);
    OK(size());

    OK(mregion_submit_allocate(connection, "main", 1, &ticket, &error));
    __atomic_store_n(&is_closing, true, __ATOMIC_RELEASE);
    mregion_set_timeout(connection, 200);
    __atomic_store_n(&close_after, 3, __ATOMIC_RELEASE);
    ck_assert_int_eq(mregion_collect_uint(connection, ticket, &number, &error),
                     MREGION_ERR_TIMEOUT);
    ck_assert_int_eq(mregion_flush(connection, &error), MREGION_ERR_CONNECT);
    __atomic_store_n(&is_closing, false, __ATOMIC_RELEASE);
    mregion_set_timeout(connection, 0);
    OK(mregion_collect_uint(connection, ticket, &number, &error));
    mregion_close(connection);
    fake_stop(&fake);
}
END_TEST

/* Who the server takes the caller for is not known then: what follows begins with who it was. */
START_TEST(no_answer_beside_an_open_ticket)
{
    mregion_ticket ticket;
    uint64_t number;

    OK(mregion_authenticate(connection, "alice", "secret", 6, &error));
    __atomic_store_n(&is_silent, true, __ATOMIC_RELEASE);
    OK(mregion_submit_allocate(connection, "main", 1, &ticket, &error));
    mregion_set_timeout(connection, 100);
    ck_assert_int_eq(mregion_authenticate(connection, "bob", "other", 5, &error),
                     MREGION_ERR_TIMEOUT);
    __atomic_store_n(&is_silent, false, __ATOMIC_RELEASE);
    mregion_set_timeout(connection, 0);
    OK(size());
    OK(mregion_collect_uint(connection, ticket, &number, &error));
    assert_seen("| alice/secret allocate bob/other | alice/secret allocate size ");
}
END_TEST

START_TEST(arguments)
{
    ck_assert_int_eq(mregion_authenticate(connection, NULL, "x", 1, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_authenticate(connection, "", "x", 1, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_authenticate(connection, "#1", "x", 1, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_authenticate(connection, "a", NULL, 1, &error), MREGION_ERR_ARGUMENT);
    OK(size());
    assert_seen("| size ");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/credentials");
    TCase *tcase = tcase_create("credentials");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, once);
    tcase_add_test(tcase, again_on_every_connection);
    tcase_add_test(tcase, as_whoever_it_was_last);
    tcase_add_test(tcase, lost_before_the_answer);
    tcase_add_test(tcase, a_refusal_says_so);
    tcase_add_test(tcase, refused_on_the_next_connection);
    tcase_add_test(tcase, as_somebody_else_afterwards);
    tcase_add_test(tcase, tried_again_while_the_server_is_busy);
    tcase_add_test(tcase, busy_for_too_long);
    tcase_add_test(tcase, closed_before_it_is_answered_for_too_long);
    tcase_add_test(tcase, no_answer_beside_an_open_ticket);
    tcase_add_test(tcase, arguments);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
