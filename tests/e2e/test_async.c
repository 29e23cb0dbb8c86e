/* libmregion without blocking, on a libuv loop, against the real server: every request there is,
 * more of them than may be under way, a server that is killed and comes back, a wire that breaks.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client/mregion.h"
#include "client/mregion_uv.h"
#include "support_proxy.h"
#include "support_server.h"
#include "tests/support_main.h"

static struct server server;
static struct mregion *connection;
static struct mregion_uv watcher;
static struct mregion_error error;
static uv_loop_t loop;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)

static void open_at(const char *address, const struct mregion_options *options)
{
    OK(mregion_open(address, options, &connection, &error));
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    OK(mregion_uv_start(&watcher, &loop, connection, &error));
}

static void setup(void)
{
    static const struct mregion_options options = {.tickets_max = 64};

    server_start(&server, "1MiB");
    open_at(server.address, &options);
}

static void close_all(void)
{
    mregion_uv_stop(&watcher, NULL);
    mregion_close(connection);
    ck_assert_int_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static void teardown(void)
{
    close_all();
    server_remove(&server);
}

/* ---- One of each ---- */

struct heard {
    enum mregion_code code;
    uint64_t number;
    size_t size;
    char text[256];
    bool is_there;
};

static void on_answer(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct heard *heard = data;

    ck_assert_ptr_eq(self, connection);
    ck_assert(!heard->is_there);
    *heard = (struct heard){answer->code, answer->number, answer->result_size, "", true};
    strncpy(heard->text, answer->text, sizeof heard->text - 1);
}

static struct heard heard;
static const struct mregion_async async = {.on_answer = on_answer, .data = &heard};

static uint64_t answer_of(int code)
{
    ck_assert_msg(code == 0, "%s: %s", mregion_code_name(error.code), error.text);
    heard.is_there = false;
    while (!heard.is_there)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert_msg(heard.code == MREGION_OK, "%s", heard.text);
    return heard.number;
}

static void fails(enum mregion_code wanted, int code)
{
    OK(code);
    heard.is_there = false;
    while (!heard.is_there)
        (void)uv_run(&loop, UV_RUN_ONCE);
    ck_assert_str_eq(mregion_code_name(heard.code), mregion_code_name(wanted));
}

START_TEST(every_request)
{
    static uint8_t large[900000], loaded[900000];
    uint64_t first, second, other;
    struct mregion *c = connection;
    char buffer[8] = "";

    first = answer_of(mregion_async_add(c, "main", "hello", 5, &async, NULL, &error));
    (void)answer_of(mregion_async_load(c, "main", first, 5, buffer, &async, NULL, &error));
    ck_assert_str_eq(buffer, "hello");
    (void)answer_of(mregion_async_store(c, "main", first, "HELLO", 5, &async, NULL, &error));
    second =
        answer_of(mregion_async_replace(c, "main", first, 5, "goodbye", 7, &async, NULL, &error));
    (void)answer_of(mregion_async_remove(c, "main", second, 7, buffer, &async, NULL, &error));
    ck_assert_str_eq(buffer, "goodbye");
    first = answer_of(mregion_async_allocate(c, "main", 100, &async, NULL, &error));
    other = answer_of(mregion_async_resize(c, "main", first, 100, 50, &async, NULL, &error));
    (void)answer_of(mregion_async_deallocate(c, "main", other, 50, &async, NULL, &error));
    fails(MREGION_ERR_NOT_ALLOCATED,
          mregion_async_deallocate(c, "main", other, 50, &async, NULL, &error));
    fails(MREGION_ERR_NO_SUCH_REGION, mregion_async_allocate(c, "none", 1, &async, NULL, &error));
    (void)answer_of(mregion_async_call(c, "ping", NULL, 0, &async, NULL, &error));
    ck_assert_uint_eq(heard.size, 5);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 7 + (i >> 8));
    first = answer_of(mregion_async_add(c, "main", large, sizeof large, &async, NULL, &error));
    (void)answer_of(
        mregion_async_load(c, "main", first, sizeof loaded, loaded, &async, NULL, &error));
    ck_assert_int_eq(memcmp(large, loaded, sizeof large), 0);
}
END_TEST

START_TEST(a_batch)
{
    struct mregion_batch *batch;
    uint64_t address, allocated;
    size_t added;
    char buffer[6] = "";

    OK(mregion_batch_begin(connection, "main", &batch, &error));
    OK(mregion_batch_add(batch, "hello", 5, &added, &error));
    OK(mregion_batch_allocate(batch, 95, NULL, &error));
    (void)answer_of(mregion_async_commit(batch, &async, NULL, &error));
    OK(mregion_batch_uint(batch, added, &address, &error));
    ck_assert_int_eq(mregion_async_commit(batch, &async, NULL, &error), MREGION_ERR_ARGUMENT);
    OK(mregion_load(connection, "main", address, 5, buffer, &error));
    ck_assert_str_eq(buffer, "hello");
    mregion_batch_abort(batch);
    OK(mregion_batch_add(batch, "more", 4, NULL, &error));
    OK(mregion_batch_deallocate(batch, 1 << 20, 5, NULL, &error));
    fails(MREGION_ERR_OUT_OF_BOUNDS, mregion_async_commit(batch, &async, NULL, &error));
    ck_assert_msg(strncmp(heard.text, "change 1 (deallocate)", 21) == 0, "%s", heard.text);
    mregion_batch_close(batch);
    OK(mregion_allocated(connection, "main", &allocated, &error));
    ck_assert_uint_eq(allocated, 100);
}
END_TEST

/* ---- Events ---- */

static struct {
    unsigned count, subscribed;
    char last[160];
} told;

static void on_event(struct mregion *self, const struct mregion_event *event, void *data)
{
    ck_assert_ptr_eq(self, connection);
    ck_assert_ptr_eq(data, &told);
    ck_assert_uint_eq(event->lost, 0);
    told.count++;
    told.subscribed += event->kind == MREGION_EVENT_SUBSCRIBED;
    (void)snprintf(told.last, sizeof told.last, "%s %s", event->name, event->region);
}

static void hear(const char *wanted)
{
    while (strcmp(told.last, wanted) != 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

/* Also over the death of the server: what happens once the subscription is told is told. */
START_TEST(events)
{
    struct mregion_events *subscription;

    memset(&told, 0, sizeof told);
    OK(mregion_async_events(connection, on_event, &told, &subscription, &error));
    hear("subscribed ");
    OK(mregion_async_call(connection, "createRegion", "\x91\xa1x", 3, NULL, NULL, &error));
    hear("created x");
    OK(mregion_checkpoint(connection, "main", &error));
    hear("checkpoint main");
    for (unsigned i = 2; i < 5; i++) {
        (void)server_end(&server, SIGKILL);
        server_start_again(&server);
        while (told.subscribed < i)
            (void)uv_run(&loop, UV_RUN_ONCE);
        OK(mregion_async_call(connection, i % 2 == 0 ? "dropRegion" : "createRegion", "\x91\xa1x",
                              3, NULL, NULL, &error));
        hear(i % 2 == 0 ? "dropped x" : "created x");
    }
    ck_assert_uint_eq(told.subscribed, 4);
    mregion_events_close(subscription);
    (void)answer_of(
        mregion_async_call(connection, "createRegion", "\x91\xa1x", 3, &async, NULL, &error));
    ck_assert_str_eq(told.last, "dropped x");
}
END_TEST

/* Nothing is told twice, or lost without a word, by a wire that breaks. */
struct trail {
    uint64_t heard_of; /* the region that was created last, by its id */
    bool may_miss;
    unsigned again; /* subscribed */
};

static void follow(struct trail *trail, const struct mregion_event *event)
{
    if (event->kind == MREGION_EVENT_SUBSCRIBED) {
        trail->may_miss = true;
        trail->again++;
    }
    if (event->kind != MREGION_EVENT_CREATED)
        return;
    if (trail->may_miss || trail->heard_of == 0)
        ck_assert_uint_gt(event->region_id, trail->heard_of);
    else
        ck_assert_uint_eq(event->region_id, trail->heard_of + 1);
    trail->heard_of = event->region_id;
    trail->may_miss = false;
}

START_TEST(events_over_a_wire_that_breaks)
{
    struct mregion_events *subscription;
    const struct mregion_event *event;
    struct trail trail = {0};
    struct mregion *other;
    struct proxy proxy;
    uint64_t id;

    server_start(&server, "1MiB");
    proxy_start(&proxy, server.address, 3, 11);
    OK(mregion_connect(server.address, NULL, &other, &error));
    OK(mregion_connect(proxy.address, NULL, &connection, &error));
    OK(mregion_events_open(connection, &subscription, &error));
    while (trail.again < 5) {
        OK(mregion_create_region(other, "x", NULL, &id, &error));
        OK(mregion_drop_region(other, "x", &error));
        /* What was lost with a connection does not come. */
        while (trail.heard_of < id &&
               mregion_events_next(subscription, 20, &event, &error) == MREGION_OK)
            follow(&trail, event);
    }
    mregion_close(connection);
    mregion_close(other);
    proxy_stop(&proxy);
    server_remove(&server);
}
END_TEST

/* Which no other attempt changes, and so nobody waits for one. */
START_TEST(a_server_that_is_not_who_it_should_be)
{
    static const struct mregion_tls tls = {.server_name = "other.example"};
    static const struct mregion_options options = {.tls = &tls};

    if (getenv("MREGION_TEST_TLS") == NULL)
        return;
    close_all();
    open_at(server.address, &options);
    fails(MREGION_ERR_CONNECT,
          mregion_async_call(connection, "ping", NULL, 0, &async, NULL, &error));
    ck_assert_msg(strstr(heard.text, "and not for other.example") != NULL, "%s", heard.text);
}
END_TEST

/* ---- Many ---- */

/* Blobs that are added as fast as they are taken, until there are enough. */
struct flood {
    unsigned submitted, added, wanted;
    unsigned kill_every; /* answers; 0: never */
    uint64_t *addresses;
    uint64_t bytes;
};

struct job {
    struct flood *flood;
    unsigned index;
};

static uint64_t size_of(unsigned index)
{
    return index % 50 == 0 ? 200000 + index : 20 + index * 37 % 3000;
}

static void fill(uint8_t *bytes, unsigned index)
{
    for (uint64_t i = 0; i < size_of(index); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8) + index * 13);
}

static void submit_more(struct flood *flood);

static void on_added(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct job *job = data;
    struct flood *flood = job->flood;

    (void)self;
    ck_assert_msg(answer->code == MREGION_OK, "%s: %s", mregion_code_name(answer->code),
                  answer->text);
    flood->addresses[job->index] = answer->number;
    flood->bytes += size_of(job->index);
    flood->added++;
    free(job);
    if (flood->kill_every != 0 && flood->added % flood->kill_every == 0) {
        (void)server_end(&server, SIGKILL);
        server_start_again(&server);
    }
}

static void submit_more(struct flood *flood)
{
    static uint8_t bytes[300000];
    int code = MREGION_OK;

    while (code == MREGION_OK && flood->submitted < flood->wanted) {
        struct job *job = malloc(sizeof *job);
        struct mregion_async own = {.on_answer = on_added, .data = job};

        *job = (struct job){flood, flood->submitted};
        fill(bytes, job->index);
        code =
            mregion_async_add(connection, "main", bytes, size_of(job->index), &own, NULL, &error);
        if (code == MREGION_OK)
            flood->submitted++;
        else
            free(job);
    }
    ck_assert(code == MREGION_OK || code == MREGION_ERR_FULL);
}

static void on_room(struct mregion *self, void *data)
{
    (void)self;
    submit_more(data);
}

static void run(struct flood *flood)
{
    flood->addresses = calloc(flood->wanted, sizeof *flood->addresses);
    mregion_set_on_room(connection, on_room, flood);
    submit_more(flood);
    ck_assert_uint_eq(flood->submitted, 64);
    while (flood->added < flood->wanted)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

/* Each is there, and nothing else. */
static void check(const struct flood *flood, const char *address)
{
    static uint8_t wanted[300000], found[300000];
    struct mregion *other;
    uint64_t allocated;

    OK(mregion_connect(address, NULL, &other, &error));
    for (unsigned i = 0; i < flood->wanted; i++) {
        fill(wanted, i);
        OK(mregion_load(other, "main", flood->addresses[i], size_of(i), found, &error));
        ck_assert_int_eq(memcmp(wanted, found, size_of(i)), 0);
    }
    OK(mregion_allocated(other, "main", &allocated, &error));
    ck_assert_uint_eq(allocated, flood->bytes);
    mregion_close(other);
    free(flood->addresses);
}

START_TEST(more_than_may_be_under_way)
{
    struct flood flood = {.wanted = 1000};

    run(&flood);
    check(&flood, server.address);
}
END_TEST

START_TEST(the_server_is_killed_and_comes_back)
{
    struct flood flood = {.wanted = 500, .kill_every = 90};

    run(&flood);
    check(&flood, server.address);
}
END_TEST

START_TEST(the_wire_breaks)
{
    static const struct mregion_options options = {.tickets_max = 64};
    struct flood flood = {.wanted = 300};
    struct proxy proxy;

    server_start(&server, "1MiB");
    proxy_start(&proxy, server.address, 7, 20);
    open_at(proxy.address, &options);
    run(&flood);
    close_all();
    proxy_stop(&proxy);
    ck_assert_uint_gt(proxy.cuts, 3);
    check(&flood, server.address);
    server_remove(&server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("async");
    TCase *usual = tcase_create("usual"), *broken = tcase_create("broken");

    tcase_add_checked_fixture(usual, setup, teardown);
    tcase_add_test(usual, every_request);
    tcase_add_test(usual, a_batch);
    tcase_add_test(usual, events);
    tcase_add_test(usual, a_server_that_is_not_who_it_should_be);
    tcase_add_test(usual, more_than_may_be_under_way);
    tcase_add_test(usual, the_server_is_killed_and_comes_back);
    tcase_add_test(broken, the_wire_breaks);
    tcase_add_test(broken, events_over_a_wire_that_breaks);
    suite_add_tcase(suite, usual);
    suite_add_tcase(suite, broken);
    return suite_main(suite);
}
