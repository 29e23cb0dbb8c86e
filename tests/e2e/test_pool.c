/* A pool of connections and many threads, against the real server. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/mregion.h"
#include "support_server.h"
#include "tests/support_main.h"

#define THREADS 8
#define STEPS 100
#define CONNECTIONS 3

static struct server server;
static struct mregion_pool *pool;
static struct mregion_error error;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)
#define FAILS(wanted, call) ck_assert_str_eq(mregion_code_name(call), mregion_code_name(wanted))

static void make_pool(const struct mregion_options *options, uint32_t wait_ms)
{
    struct mregion_pool_options pool_options = {.connections_max = CONNECTIONS, .wait_ms = wait_ms};

    OK(mregion_pool_new(server.address, options, &pool_options, &pool, &error));
}

static void setup(void)
{
    server_start(&server, "1MiB");
}

static void teardown(void)
{
    mregion_pool_free(pool); /* NULL where there was none */
    server_remove(&server);
}

static uint64_t connections_of(struct mregion *connection)
{
    struct mregion_server_info info;

    OK(mregion_server_info(connection, &info, &error));
    return info.connections;
}

/* ---- Threads ---- */

struct worker {
    pthread_t thread;
    unsigned number;
    unsigned steps;
    uint64_t bytes; /* that it leaves */
    struct mregion_error error;
    bool has_failed;
};

static unsigned steps_done;

/* Adds, loads, and removes every other one. */
static int work_once(struct mregion *connection, struct worker *worker, unsigned step)
{
    uint8_t bytes[2000], loaded[2000];
    uint64_t size = 1 + (step * 37 + worker->number * 101) % sizeof bytes, address;
    int code;

    memset(bytes, (int)(worker->number * 16 + step % 16), sizeof bytes);
    code = mregion_add(connection, "main", bytes, size, &address, &worker->error);
    if (code == 0)
        code = mregion_load(connection, "main", address, size, loaded, &worker->error);
    if (code == 0 && memcmp(bytes, loaded, size) != 0)
        abort();
    if (code == 0 && step % 2 == 0)
        code = mregion_deallocate(connection, "main", address, size, &worker->error);
    else
        worker->bytes += size;
    return code;
}

static void *work(void *data)
{
    struct worker *worker = data;

    for (unsigned i = 0; i < worker->steps && !worker->has_failed; i++) {
        struct mregion *connection;
        int code = mregion_pool_take(pool, &connection, &worker->error);

        /* Nobody listens while the server is started again. */
        while (code == MREGION_ERR_CONNECT)
            code = mregion_pool_take(pool, &connection, &worker->error);
        if (code == 0) {
            code = work_once(connection, worker, i);
            mregion_pool_give(pool, connection);
        }
        worker->has_failed = code != 0;
        __atomic_add_fetch(&steps_done, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void run(unsigned kills)
{
    struct worker workers[THREADS];
    struct mregion *connection;
    uint64_t bytes = 0, allocated;

    __atomic_store_n(&steps_done, 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.number = i, .steps = STEPS};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 1; i <= kills; i++) {
        while (__atomic_load_n(&steps_done, __ATOMIC_RELAXED) < i * STEPS * THREADS / (kills + 1))
            (void)usleep(1000);
        (void)server_end(&server, SIGKILL);
        server_start_again(&server);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
        ck_assert_msg(!workers[i].has_failed, "%s: %s", mregion_code_name(workers[i].error.code),
                      workers[i].error.text);
        bytes += workers[i].bytes;
    }
    OK(mregion_pool_take(pool, &connection, &error));
    ck_assert_uint_le(connections_of(connection), CONNECTIONS);
    OK(mregion_allocated(connection, "main", &allocated, &error));
    ck_assert_uint_eq(allocated, bytes);
    mregion_pool_give(pool, connection);
}

START_TEST(many_threads)
{
    make_pool(NULL, 0);
    run(0);
}
END_TEST

START_TEST(many_threads_and_a_server_that_is_killed)
{
    make_pool(NULL, 0);
    run(3);
}
END_TEST

/* Names are looked up by threads of their own, some of which are still at it when nobody waits any
 * more. Port 1 is nobody's. */
static void *connect_in_vain(void *data)
{
    struct worker *worker = data;
    struct mregion *connection;

    for (unsigned i = 0; i < 20 && !worker->has_failed; i++) {
        struct mregion_options options = {.connect_timeout_ms = i % 2 == 0 ? 1 : 5000};

        worker->has_failed = mregion_connect("tcp:localhost:1", &options, &connection,
                                             &worker->error) != MREGION_ERR_CONNECT;
    }
    return NULL;
}

START_TEST(names_in_threads)
{
    struct worker workers[THREADS] = {{0}};

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, connect_in_vain, &workers[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
        ck_assert_msg(!workers[i].has_failed, "%s", workers[i].error.text);
        ck_assert_ptr_nonnull(strstr(workers[i].error.text, "cannot connect to tcp:localhost:1: "));
    }
}
END_TEST

/* ---- One after the other ---- */

START_TEST(as_many_as_there_may_be)
{
    struct mregion *taken[CONNECTIONS], *other = NULL;

    make_pool(NULL, 20);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        OK(mregion_pool_take(pool, &taken[i], &error));
    FAILS(MREGION_ERR_TIMEOUT, mregion_pool_take(pool, &other, &error));
    ck_assert_ptr_nonnull(strstr(error.text, "all 3 connections of the pool are in use"));
    ck_assert_ptr_null(other);
    mregion_pool_give(pool, taken[1]);
    OK(mregion_pool_take(pool, &other, &error));
    ck_assert_ptr_eq(other, taken[1]);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        mregion_pool_give(pool, taken[i]);
    mregion_pool_give(pool, NULL);
}
END_TEST

static int never(uint64_t done, uint64_t total, void *context)
{
    (void)done;
    (void)total;
    (void)context;
    return 1;
}

static void nobodys_room(struct mregion *connection, void *data)
{
    (void)connection;
    (void)data;
    abort();
}

static void on_added(struct mregion *connection, const struct mregion_answer *answer, void *data)
{
    (void)connection;
    ck_assert_int_eq(answer->code, MREGION_OK);
    *(bool *)data = true;
}

/* What the one before has left on it is of no concern to the next. */
START_TEST(as_if_it_were_new)
{
    static const uint8_t token[MREGION_TOKEN_SIZE] = {1};
    static const struct mregion_options options = {.tickets_max = 1};
    bool is_added = false;
    struct mregion_async async = {.on_answer = on_added, .data = &is_added};
    struct mregion *connection, *same;
    uint64_t first, second;
    mregion_ticket ticket;

    make_pool(&options, 0);
    OK(mregion_pool_take(pool, &connection, &error));
    mregion_set_progress(connection, never, NULL);
    mregion_set_on_room(connection, nobodys_room, NULL);
    mregion_set_token(connection, token);
    mregion_pool_give(pool, connection);
    OK(mregion_pool_take(pool, &same, &error));
    ck_assert_ptr_eq(same, connection);
    OK(mregion_add(same, "main", "x", 1, &first, &error));
    OK(mregion_add(same, "main", "x", 1, &second, &error));
    OK(mregion_async_add(same, "main", "x", 1, &async, NULL, &error));
    FAILS(MREGION_ERR_FULL, mregion_async_add(same, "main", "x", 1, NULL, NULL, &error));
    while (!is_added) {
        mregion_process(same);
        (void)usleep(1000);
    }
    /* One that is not in order is not handed out again. */
    OK(mregion_submit_add(same, "main", "x", 1, &ticket, &error));
    mregion_pool_give(pool, same);
    OK(mregion_pool_take(pool, &connection, &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_collect_uint(connection, ticket, &first, &error));
    ck_assert_uint_eq(connections_of(connection), 1);
    mregion_pool_give(pool, connection);
}
END_TEST

/* Reconnecting is off, so that what the pool gives is what the server has. */
START_TEST(closed_while_it_was_idle)
{
    static const struct mregion_options options = {.no_reconnect = true};
    struct mregion *connection;

    make_pool(&options, 0);
    OK(mregion_pool_take(pool, &connection, &error));
    mregion_pool_give(pool, connection);
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    FAILS(MREGION_ERR_CONNECT, mregion_pool_take(pool, &connection, &error));
    server_start_again(&server);
    OK(mregion_pool_take(pool, &connection, &error));
    OK(mregion_ping(connection, &error));
    mregion_pool_give(pool, connection);
}
END_TEST

START_TEST(who_is_not_known)
{
    struct mregion_pool_options pool_options = {
        .connections_max = 1, .user = "ann", .password = "secret", .password_size = 6};
    struct mregion *connection;

    OK(mregion_pool_new(server.address, NULL, &pool_options, &pool, &error));
    FAILS(MREGION_ERR_DENIED, mregion_pool_take(pool, &connection, &error));
    FAILS(MREGION_ERR_DENIED, mregion_pool_take(pool, &connection, &error));
    pool_options.password = NULL;
    FAILS(MREGION_ERR_ARGUMENT,
          mregion_pool_new(server.address, NULL, &pool_options, &pool, &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_pool_new("nonsense", NULL, NULL, &pool, &error));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *threads = tcase_create("threads"), *alone = tcase_create("alone");

    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_add_test(threads, many_threads);
    tcase_add_test(threads, many_threads_and_a_server_that_is_killed);
    tcase_add_test(threads, names_in_threads);
    tcase_add_checked_fixture(alone, setup, teardown);
    tcase_add_test(alone, as_many_as_there_may_be);
    tcase_add_test(alone, as_if_it_were_new);
    tcase_add_test(alone, closed_while_it_was_idle);
    tcase_add_test(alone, who_is_not_known);
    suite_add_tcase(suite, threads);
    suite_add_tcase(suite, alone);
    return suite_main(suite);
}
