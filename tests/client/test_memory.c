/* Every allocation of libmregion fails once, its own and msgpack-c's: the call says so or gets by
 * without, the connection is in order afterwards, nothing is stored that was not asked for, and
 * (under a sanitizer) nothing leaks.
 *
 * malloc and its kin are this program's own here: in the test's thread, not the server's, they
 * count down to the one that fails, and pass the others on. */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support_fake.h"
#include "tests/support_failing_memory.h"
#include "tests/support_main.h"

#define MAX_MESSAGE ((uint64_t)64 << 10)
#define SIZE (3 * MAX_MESSAGE)

static struct fake fake;
static struct fake_region region;
static struct mregion_error error;
static uint8_t bytes[SIZE];

typedef int step(struct mregion *connection);

/* ---- What is done ---- */

static int add_small(struct mregion *connection)
{
    uint64_t address;

    return mregion_add(connection, "main", bytes, 1000, &address, &error);
}

static int add_large(struct mregion *connection)
{
    uint64_t address;

    return mregion_add(connection, "main", bytes, SIZE, &address, &error);
}

static int load_large(struct mregion *connection)
{
    void *loaded;
    int code = mregion_load_new(connection, "main", 0, SIZE, &loaded, &error);

    if (code == 0)
        mregion_free(loaded);
    return code;
}

static int add_file(struct mregion *connection)
{
    uint64_t address, size;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int code = mregion_add_fd(connection, "main", fd, &address, &size, &error);

    (void)close(fd);
    return code;
}

static int load_file(struct mregion *connection)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int code = mregion_load_fd(connection, "main", 0, SIZE, fd, &error);

    (void)close(fd);
    return code;
}

static int by_name(struct mregion *connection)
{
    static const uint8_t params[] = {0x93, 0xa1, 'm', 0, 0xcd, 0x40, 0x00};
    void *result;
    size_t size;
    int code = mregion_call(connection, "loadBlob", params, sizeof params, &result, &size, &error);

    if (code == 0)
        mregion_free(result);
    return code;
}

static int pipeline(struct mregion *connection)
{
    mregion_ticket tickets[20];
    unsigned count = 0;
    int code = 0, first = 0;
    uint64_t address;

    while (count < 20 && code == 0)
        if ((code = mregion_submit_add(connection, "main", bytes, 12000, &tickets[count],
                                       &error)) == 0)
            count++;
    for (unsigned i = 0; i < count; i++) {
        first = mregion_collect_uint(connection, tickets[i], &address, &error);
        if (code == 0)
            code = first;
    }
    return code;
}

/* The connection is lost in the middle, and what is open is sent again. */
static int again(struct mregion *connection)
{
    mregion_ticket tickets[8];
    unsigned count = 0;
    int code = 0;

    region.close_at = region.stores + 2;
    while (count < 8 && code == 0)
        if ((code = mregion_submit_store(connection, "main", 0, bytes, 20000, &tickets[count],
                                         &error)) == 0)
            count++;
    for (unsigned i = 0; i < count; i++) {
        int first = mregion_collect_done(connection, tickets[i], &error);

        if (code == 0)
            code = first;
    }
    return code;
}

/* The connection is lost, and a user's again on the next one. */
static int as_user(struct mregion *connection)
{
    int code = mregion_authenticate(connection, "alice", "secret", 6, &error);

    region.close_at = region.stores + 1;
    return code != 0 ? code : mregion_store(connection, "main", 0, bytes, 20000, &error);
}

static int commit(struct mregion *connection)
{
    struct mregion_batch *batch = NULL;
    int code = mregion_batch_begin(connection, "main", &batch, &error);

    for (unsigned i = 0; i < 20 && code == 0; i++)
        code = mregion_batch_add(batch, bytes, 1000, NULL, &error);
    if (code == 0)
        code = mregion_batch_commit(batch, NULL, &error);
    mregion_batch_close(batch);
    return code;
}

static void on_answer(struct mregion *connection, const struct mregion_answer *answer, void *data)
{
    int *codes = data;

    (void)connection;
    codes[0]--;
    if (codes[1] == 0 && answer->code != 0) {
        codes[1] = answer->code;
        error.code = answer->code;
        (void)snprintf(error.text, sizeof error.text, "%s", answer->text);
    }
}

/* The connection is lost in the middle of that too. */
static int without_blocking(struct mregion *connection)
{
    static uint8_t loaded[50000];
    int codes[2] = {0, 0}; /* of so many nothing was heard yet; the first that failed */
    struct mregion_async async = {.on_answer = on_answer, .data = codes};
    struct pollfd waiting = {.events = POLLIN};
    int code = mregion_fd(connection, &waiting.fd, &error);

    region.close_at = region.stores + 3;
    for (unsigned i = 0; i < 10 && code == 0; i++)
        if ((code = mregion_async_store(connection, "main", 0, bytes, 4000 * i, &async, NULL,
                                        &error)) == 0)
            codes[0]++;
    if (code == 0 && (code = mregion_async_load(connection, "main", 0, sizeof loaded, loaded,
                                                &async, NULL, &error)) == 0)
        codes[0]++;
    while (codes[0] > 0) {
        (void)poll(&waiting, 1, -1);
        mregion_process(connection);
    }
    return code != 0 ? code : codes[1];
}

static step *const steps[] = {add_small, add_large, load_large, add_file, load_file,       by_name,
                              pipeline,  again,     commit,     as_user,  without_blocking};
#define STEPS ((int)(sizeof steps / sizeof steps[0]))

START_TEST(each_allocation_fails)
{
    long nth = 0;

    has_failed = true;
    for (; has_failed; nth++) {
        struct mregion *connection = NULL;
        uint64_t max_size = (uint64_t)32 << 20;
        int code;

        ck_assert_int_lt(nth, 200);
        fake_region_init(&region, max_size, MAX_MESSAGE);
        region.size = SIZE;
        fake_start(&fake, fake_region_script, &region);
        has_failed = false;
        countdown = nth;
        code = mregion_connect(fake.address, NULL, &connection, &error);
        if (code == 0)
            code = steps[_i](connection);
        countdown = -1;
        if (!has_failed)
            ck_assert_msg(code == 0, "%s", error.text);
        if (code != 0)
            ck_assert_msg(code == MREGION_ERR_MEMORY, "%ld: %s: %s", nth,
                          mregion_code_name(error.code), error.text);
        /* Of a blob that did not get there nothing is left. */
        if (code != 0 && region.uploads > 0 && region.commits == 0)
            ck_assert_uint_eq(region.size, SIZE);
        if (connection != NULL)
            ck_assert_msg(steps[_i](connection) == 0, "%ld: afterwards: %s", nth, error.text);
        mregion_close(connection);
        fake_stop(&fake);
        fake_region_release(&region);
    }
    /* Address (twice), request, output, input: so many there are at least. */
    ck_assert_int_ge(nth, 6);
}
END_TEST

/* Nothing is asserted in here: that takes memory, of which there may be none. */
static void on_answer_or_memory(struct mregion *connection, const struct mregion_answer *answer,
                                void *data)
{
    int *codes = data;

    (void)connection;
    codes[0]--;
    if (answer->code != MREGION_OK && answer->code != MREGION_ERR_MEMORY)
        codes[1] = answer->code;
}

/* What may be sent once only has not been sent where there was no memory for that, and nobody waits
 * for its answer. */
START_TEST(what_is_sent_once_is_answered_once)
{
    static const struct mregion_options options = {.no_reconnect = true, .timeout_ms = 5000};
    long nth = 0;

    has_failed = true;
    for (; has_failed; nth++) {
        struct mregion *connection = NULL;
        int codes[2] = {0, 0};
        struct mregion_async async = {.on_answer = on_answer_or_memory, .data = codes};
        struct pollfd waiting = {.events = POLLIN};

        fake_region_init(&region, (uint64_t)32 << 20, MAX_MESSAGE);
        region.size = SIZE;
        fake_start(&fake, fake_region_script, &region);
        ck_assert_int_eq(mregion_connect(fake.address, &options, &connection, &error), 0);
        ck_assert_int_eq(mregion_fd(connection, &waiting.fd, &error), 0);
        has_failed = false;
        for (unsigned i = 1; i <= 10; i++, codes[0]++)
            ck_assert_int_eq(
                mregion_async_store(connection, "main", 0, bytes, 1500 * i, &async, NULL, &error),
                0);
        countdown = nth;
        while (codes[0] > 0) {
            (void)poll(&waiting, 1, -1);
            mregion_process(connection);
        }
        countdown = -1;
        ck_assert_str_eq(mregion_code_name(codes[1]), mregion_code_name(MREGION_OK));
        mregion_close(connection);
        fake_stop(&fake);
        fake_region_release(&region);
    }
    ck_assert_int_ge(nth, 2);
}
END_TEST

static void refuse_all(struct fake *server, int fd, unsigned number)
{
    struct fake_request request;

    (void)number;
    while (fake_read(server, fd, &request)) {
        (void)fake_answer_error(fd, request.rpc.msgid, "no_space: the disk is full");
        fake_drop(&request);
    }
}

/* The reason is lost for want of memory, the code is not. */
START_TEST(a_refusal_is_still_a_refusal)
{
    struct mregion *connection;
    uint64_t address;

    fake_start(&fake, refuse_all, NULL);
    ck_assert_int_eq(mregion_connect(fake.address, NULL, &connection, &error), 0);
    ck_assert_int_eq(mregion_allocate(connection, "m", 1, &address, &error), MREGION_ERR_NO_SPACE);
    ck_assert_str_eq(error.text, "the disk is full");
    countdown = 0; /* everything else is there from the call before */
    ck_assert_int_eq(mregion_allocate(connection, "m", 1, &address, &error), MREGION_ERR_NO_SPACE);
    ck_assert(has_failed);
    ck_assert_ptr_nonnull(strstr(error.text, "out of memory"));
    mregion_close(connection);
    fake_stop(&fake);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/memory");
    TCase *tcase = tcase_create("memory");

    tcase_add_loop_test(tcase, each_allocation_fails, 0, STEPS);
    tcase_add_test(tcase, a_refusal_is_still_a_refusal);
    tcase_add_test(tcase, what_is_sent_once_is_answered_once);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
