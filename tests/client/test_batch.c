/* Batches of libmregion: what is sent, what is answered, and what happens when it is not. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "support_fake.h"
#include "tests/support_main.h"

static struct fake fake;
static struct mregion *connection;
static struct mregion_batch *batch;
static struct mregion_error error;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)

/* ---- The server ---- */

#define SEEN_MAX 16

static struct {
    const char *error;     /* answered instead of the results */
    const uint8_t *answer; /* the results */
    size_t answer_size;
    unsigned losses;  /* connections to be closed without an answer */
    unsigned silence; /* requests to be left without one */
    uint64_t max_message;
    unsigned count; /* of batches seen: */
    struct seen {
        uint8_t token[16];
        bool has_token;
        uint8_t changes[256];
        size_t size;
    } seen[SEEN_MAX];
} server;

static void note(const struct fake_request *request)
{
    struct seen *one = &server.seen[server.count++];
    struct cursor cursor = request->rpc.params;
    const uint8_t *token = fake_token(request), *begin;

    ck_assert_uint_le(server.count, SEEN_MAX);
    ck_assert_str_eq(request->method, "batch");
    *one = (struct seen){.has_token = token != NULL};
    if (token != NULL)
        memcpy(one->token, token, 16);
    cursor_skip(&cursor);
    begin = cursor.at;
    cursor_skip(&cursor);
    one->size = (size_t)(cursor.at - begin);
    if (one->size <= sizeof one->changes)
        memcpy(one->changes, begin, one->size);
}

static bool answer(int fd, uint32_t msgid)
{
    const uint8_t head[] = {0x94,
                            1,
                            0xce,
                            (uint8_t)(msgid >> 24),
                            (uint8_t)(msgid >> 16),
                            (uint8_t)(msgid >> 8),
                            (uint8_t)msgid,
                            0xc0};

    if (server.error != NULL)
        return fake_answer_error(fd, msgid, server.error);
    return fake_write(fd, head, sizeof head) && fake_write(fd, server.answer, server.answer_size);
}

static void script(struct fake *self, int fd, unsigned number)
{
    struct fake_request request;
    bool goes_on = true;

    (void)number;
    while (goes_on && fake_read(self, fd, &request)) {
        if (strcmp(request.method, "serverInfo") == 0) {
            goes_on = fake_answer_info(fd, request.rpc.msgid, server.max_message);
        } else {
            note(&request);
            if (server.losses > 0) {
                server.losses--;
                goes_on = false;
            } else if (server.silence > 0) {
                server.silence--;
            } else {
                goes_on = answer(fd, request.rpc.msgid);
            }
        }
        fake_drop(&request);
    }
}

static void setup(void)
{
    memset(&server, 0, sizeof server);
    server.max_message = 64 << 20;
    fake_start(&fake, script, NULL);
    OK(mregion_connect(fake.address, NULL, &connection, &error));
    OK(mregion_batch_begin(connection, "main", &batch, &error));
}

static void teardown(void)
{
    mregion_batch_close(batch);
    mregion_close(connection);
    fake_stop(&fake);
}

#define ANSWER(bytes)                                                                              \
    do {                                                                                           \
        static const uint8_t answer_bytes[] = bytes;                                               \
        server.answer = answer_bytes;                                                              \
        server.answer_size = sizeof answer_bytes - 1;                                              \
    } while (0)

/* ---- What is sent ---- */

START_TEST(every_change_is_sent_in_order)
{
    static const uint8_t expected[] = "\xdd\x00\x00\x00\x0b"
                                      "\x92\xa7"
                                      "addBlob\xc4\x05hello"
                                      "\x93\xa9storeBlob\x07\xc4\x02xy"
                                      "\x93\xaaremoveBlob\x01\x02"
                                      "\x94\xabreplaceBlob\x03\x04\xc4\x01z"
                                      "\x92\xa8"
                                      "allocate\x05"
                                      "\x93\xaa"
                                      "deallocate\x06\x07"
                                      "\x94\xa6resize\x08\x09\x0a"
                                      "\x93\xaf"
                                      "deallocateRange\x0b\x0c"
                                      "\x91\xa5"
                                      "clear"
                                      "\x92\xb4"
                                      "clearAndRetainHeader\x0d"
                                      "\x92\xa4grow\x0e";
    char hello[] = "hello";
    const void *bytes;
    uint64_t number, size;
    size_t index;

    OK(mregion_batch_add(batch, hello, 5, &index, &error));
    ck_assert_uint_eq(index, 0);
    memset(hello, 0, sizeof hello); /* it has been copied */
    OK(mregion_batch_store(batch, 7, "xy", 2, NULL, &error));
    OK(mregion_batch_remove(batch, 1, 2, &index, &error));
    ck_assert_uint_eq(index, 2);
    OK(mregion_batch_replace(batch, 3, 4, "z", 1, NULL, &error));
    OK(mregion_batch_allocate(batch, 5, NULL, &error));
    OK(mregion_batch_deallocate(batch, 6, 7, NULL, &error));
    OK(mregion_batch_resize(batch, 8, 9, 10, NULL, &error));
    OK(mregion_batch_deallocate_range(batch, 11, 12, NULL, &error));
    OK(mregion_batch_clear(batch, NULL, &error));
    OK(mregion_batch_clear_and_retain_header(batch, 13, NULL, &error));
    OK(mregion_batch_grow(batch, 14, &index, &error));
    ck_assert_uint_eq(index, 10);
    ANSWER("\x9b\x64\xc0\xc4\x02"
           "ab\x65\x66\xc0\x67\x68\xc0\xc0\x69");
    OK(mregion_batch_commit(batch, NULL, &error));
    ck_assert_uint_eq(server.count, 1);
    ck_assert(server.seen[0].has_token);
    ck_assert_uint_eq(server.seen[0].size, sizeof expected - 1);
    ck_assert_mem_eq(server.seen[0].changes, expected, sizeof expected - 1);
    OK(mregion_batch_uint(batch, 0, &number, &error));
    ck_assert_uint_eq(number, 100);
    OK(mregion_batch_uint(batch, 10, &number, &error));
    ck_assert_uint_eq(number, 105);
    OK(mregion_batch_blob(batch, 2, &bytes, &size, &error));
    ck_assert_uint_eq(size, 2);
    ck_assert_mem_eq(bytes, "ab", 2);
    ck_assert_int_eq(mregion_batch_uint(batch, 1, &number, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_batch_uint(batch, 2, &number, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_batch_blob(batch, 0, &bytes, &size, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_batch_uint(batch, 11, &number, &error), MREGION_ERR_ARGUMENT);
}
END_TEST

START_TEST(an_empty_batch)
{
    ANSWER("\x90");
    OK(mregion_batch_commit(batch, NULL, &error));
    ck_assert_uint_eq(server.seen[0].size, 5);
}
END_TEST

START_TEST(without_tokens)
{
    struct mregion_options options = {.no_tokens = true};

    mregion_batch_close(batch);
    mregion_close(connection);
    OK(mregion_connect(fake.address, &options, &connection, &error));
    OK(mregion_batch_begin(connection, "main", &batch, &error));
    server.losses = 1;
    ANSWER("\x91\xc0");
    OK(mregion_batch_clear(batch, NULL, &error));
    ck_assert_int_eq(mregion_batch_commit(batch, NULL, &error), MREGION_ERR_LOST);
    ck_assert_uint_eq(server.count, 1);
    ck_assert(!server.seen[0].has_token);
}
END_TEST

START_TEST(what_does_not_fit_a_message_is_not_sent)
{
    uint8_t *bytes = calloc(1, 40 << 10);

    server.max_message = 64 << 10;
    OK(mregion_batch_add(batch, bytes, 40 << 10, NULL, &error));
    OK(mregion_batch_add(batch, bytes, 40 << 10, NULL, &error));
    ck_assert_int_eq(mregion_batch_commit(batch, NULL, &error), MREGION_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.text, "does not fit one message"));
    ck_assert_uint_eq(server.count, 0);
    mregion_batch_abort(batch);
    OK(mregion_batch_add(batch, bytes, 40 << 10, NULL, &error));
    ANSWER("\x91\x00");
    OK(mregion_batch_commit(batch, NULL, &error));
    free(bytes);
}
END_TEST

START_TEST(arguments_are_checked)
{
    struct mregion_batch *other = NULL;

    ck_assert_int_eq(mregion_batch_begin(connection, "", &other, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_batch_begin(connection, NULL, &other, &error), MREGION_ERR_ARGUMENT);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(mregion_batch_add(batch, NULL, 1, NULL, &error), MREGION_ERR_ARGUMENT);
    OK(mregion_batch_clear(batch, NULL, &error));
    ANSWER("\x91\xc0");
    OK(mregion_batch_commit(batch, NULL, &error)); /* and what was refused is not in it */
    mregion_batch_close(NULL);
}
END_TEST

/* ---- What is answered ---- */

START_TEST(a_refusal_names_the_change)
{
    static const struct {
        const char *text;
        size_t index;
    } cases[] = {
        {"not_allocated: change 1 (deallocate): some bytes are free", 1},
        {"no_space: change 0 (allocate): the disk is full", 0},
        {"invalid_argument: change 2 (grow): of another batch", SIZE_MAX},
        {"invalid_argument: batch: at most 1024 changes", SIZE_MAX},
        {"too_large: change of mind", SIZE_MAX},
    };
    size_t failed = 4711;
    uint64_t number;

    OK(mregion_batch_allocate(batch, 5, NULL, &error));
    OK(mregion_batch_deallocate(batch, 6, 7, NULL, &error));
    server.error = cases[_i].text;
    ck_assert_int_ne(mregion_batch_commit(batch, &failed, &error), 0);
    ck_assert_uint_eq(failed, cases[_i].index);
    ck_assert_str_eq(error.text, strchr(cases[_i].text, ':') + 2);
    ck_assert_int_eq(mregion_batch_uint(batch, 0, &number, &error), MREGION_ERR_ARGUMENT);
    /* Nothing has happened: more may be appended, and it may be tried again. */
    OK(mregion_batch_clear(batch, NULL, &error));
    server.error = NULL;
    ANSWER("\x93\x05\xc0\xc0");
    OK(mregion_batch_commit(batch, NULL, &error));
    OK(mregion_batch_uint(batch, 0, &number, &error));
    ck_assert_uint_eq(number, 5);
    ck_assert_mem_ne(server.seen[0].token, server.seen[1].token, 16);
}
END_TEST

START_TEST(an_answer_that_is_none)
{
    static const struct {
        const char *bytes;
        size_t size;
    } answers[] = {
        {"\x91\x05", 2},              /* too few */
        {"\x93\x05\xc4\x01x\xc0", 6}, /* too many */
        {"\x92\xc0\xc4\x01x", 5},     /* nothing for a number */
        {"\x92\x05\xc4\x02xy", 6},    /* more bytes than were removed */
        {"\x05", 1},
    };
    uint64_t number;

    OK(mregion_batch_allocate(batch, 5, NULL, &error));
    OK(mregion_batch_remove(batch, 6, 1, NULL, &error));
    server.answer = (const uint8_t *)answers[_i].bytes;
    server.answer_size = answers[_i].size;
    ck_assert_int_eq(mregion_batch_commit(batch, NULL, &error), MREGION_ERR_PROTOCOL);
    ck_assert_int_eq(mregion_batch_uint(batch, 0, &number, &error), MREGION_ERR_ARGUMENT);
}
END_TEST

/* ---- What is not answered ---- */

START_TEST(a_batch_is_sent_until_it_is_answered)
{
    uint64_t number;

    server.losses = 3;
    ANSWER("\x91\x09");
    OK(mregion_batch_add(batch, "abc", 3, NULL, &error));
    OK(mregion_batch_commit(batch, NULL, &error));
    OK(mregion_batch_uint(batch, 0, &number, &error));
    ck_assert_uint_eq(number, 9);
    ck_assert_uint_eq(server.count, 4);
    for (unsigned i = 1; i < 4; i++)
        ck_assert_mem_eq(&server.seen[i], &server.seen[0], sizeof server.seen[0]);
}
END_TEST

START_TEST(a_commit_can_be_repeated)
{
    size_t failed = 4711;

    server.silence = 1;
    ANSWER("\x91\x09");
    OK(mregion_batch_add(batch, "abc", 3, NULL, &error));
    mregion_set_timeout(connection, 50);
    ck_assert_int_eq(mregion_batch_commit(batch, &failed, &error), MREGION_ERR_TIMEOUT);
    ck_assert_uint_eq(failed, SIZE_MAX);
    ck_assert_ptr_nonnull(strstr(error.text, "may still happen"));
    mregion_set_timeout(connection, 0);
    /* As it is, for it may have happened. */
    ck_assert_int_eq(mregion_batch_clear(batch, NULL, &error), MREGION_ERR_ARGUMENT);
    OK(mregion_batch_commit(batch, NULL, &error));
    ck_assert_uint_eq(server.count, 2);
    ck_assert_mem_eq(&server.seen[1], &server.seen[0], sizeof server.seen[0]);
    /* Once it is answered it is over. */
    ck_assert_int_eq(mregion_batch_commit(batch, NULL, &error), MREGION_ERR_ARGUMENT);
    ck_assert_int_eq(mregion_batch_clear(batch, NULL, &error), MREGION_ERR_ARGUMENT);
    ck_assert_uint_eq(server.count, 2);
    mregion_batch_abort(batch);
    OK(mregion_batch_add(batch, "abc", 3, NULL, &error));
    OK(mregion_batch_commit(batch, NULL, &error));
    ck_assert_mem_ne(server.seen[2].token, server.seen[0].token, 16);
    ck_assert_mem_eq(server.seen[2].changes, server.seen[0].changes, server.seen[0].size);
}
END_TEST

/* The first commit may still happen, whatever keeps the second from it. */
START_TEST(what_is_uncertain_stays_so)
{
    ANSWER("\x91\x09");
    server.silence = 1;
    OK(mregion_batch_add(batch, "abc", 3, NULL, &error));
    mregion_set_timeout(connection, 50);
    ck_assert_int_eq(mregion_batch_commit(batch, NULL, &error), MREGION_ERR_TIMEOUT);
    if (_i == 0) {
        fake_close(&fake);
        ck_assert_int_eq(mregion_batch_commit(batch, NULL, &error), MREGION_ERR_CONNECT);
        fake_open(&fake);
        mregion_set_timeout(connection, 0);
    } else {
        static const char *const refusals[] = {"busy: later", "denied: no", "shutting_down: soon"};

        server.error = refusals[_i - 1];
        mregion_set_timeout(connection, 0);
        ck_assert_int_ne(mregion_batch_commit(batch, NULL, &error), 0);
        server.error = NULL;
    }
    ck_assert_int_eq(mregion_batch_clear(batch, NULL, &error), MREGION_ERR_ARGUMENT);
    OK(mregion_batch_commit(batch, NULL, &error));
    ck_assert_mem_eq(server.seen[server.count - 1].token, server.seen[0].token, 16);
}
END_TEST

/* It would have been answered otherwise, had it happened. */
START_TEST(a_refusal_of_the_changes_is_certain)
{
    ANSWER("\x92\x09\xc0");
    server.silence = 1;
    OK(mregion_batch_add(batch, "abc", 3, NULL, &error));
    mregion_set_timeout(connection, 50);
    ck_assert_int_eq(mregion_batch_commit(batch, NULL, &error), MREGION_ERR_TIMEOUT);
    mregion_set_timeout(connection, 0);
    server.error = "no_space: the region may not grow";
    ck_assert_int_eq(mregion_batch_commit(batch, NULL, &error), MREGION_ERR_NO_SPACE);
    server.error = NULL;
    OK(mregion_batch_clear(batch, NULL, &error));
    OK(mregion_batch_commit(batch, NULL, &error));
    ck_assert_mem_ne(server.seen[2].token, server.seen[0].token, 16);
}
END_TEST

START_TEST(a_token_of_the_callers_own)
{
    static const uint8_t own[16] = "sixteen bytes...";

    ANSWER("\x91\xc0");
    OK(mregion_batch_clear(batch, NULL, &error));
    mregion_set_token(connection, own);
    OK(mregion_batch_commit(batch, NULL, &error));
    ck_assert_mem_eq(server.seen[0].token, own, 16);
    mregion_batch_abort(batch);
    OK(mregion_batch_clear(batch, NULL, &error));
    OK(mregion_batch_commit(batch, NULL, &error));
    ck_assert_mem_ne(server.seen[1].token, own, 16);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/batch");
    TCase *tcase = tcase_create("batch");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_change_is_sent_in_order);
    tcase_add_test(tcase, an_empty_batch);
    tcase_add_test(tcase, without_tokens);
    tcase_add_test(tcase, what_does_not_fit_a_message_is_not_sent);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_loop_test(tcase, a_refusal_names_the_change, 0, 5);
    tcase_add_loop_test(tcase, an_answer_that_is_none, 0, 5);
    tcase_add_test(tcase, a_batch_is_sent_until_it_is_answered);
    tcase_add_test(tcase, a_commit_can_be_repeated);
    tcase_add_loop_test(tcase, what_is_uncertain_stays_so, 0, 4);
    tcase_add_test(tcase, a_refusal_of_the_changes_is_certain);
    tcase_add_test(tcase, a_token_of_the_callers_own);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
