/* Every change happens once, through libmregion against the real server: while connections are cut
 * at random bytes and the server is killed, several clients add, remove, replace and change in
 * batches. At the end the region holds the blobs that they know of, and not one byte more. */
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/mregion.h"
#include "support_proxy.h"
#include "support_server.h"
#include "tests/support_main.h"

#define CLIENTS 4
#define STEPS 120
#define KILLS 10
#define BLOBS_MAX 40
/* Several messages of 64 KiB. */
#define SIZE_MAX_HERE 300000

struct blob {
    uint64_t address;
    uint64_t size;
    unsigned seed;
};

struct client {
    pthread_t thread;
    struct mregion *connection;
    struct mregion_error error;
    unsigned seed;
    struct blob blobs[BLOBS_MAX];
    unsigned count;
    bool is_done;
};

static struct server server;
static struct proxy proxy;
static struct client clients[CLIENTS];
static bool is_enough; /* of kills */

/* In any thread. */
#define OK(client, call)                                                                           \
    do {                                                                                           \
        if ((call) != 0) {                                                                         \
            fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call,                      \
                    mregion_code_name((client)->error.code), (client)->error.text);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static unsigned chance(struct client *client, unsigned below)
{
    return (unsigned)rand_r(&client->seed) % below;
}

/* ---- Blobs ---- */

static uint8_t *bytes_of(const struct blob *blob)
{
    uint8_t *bytes = malloc(blob->size + 1);

    for (uint64_t i = 0; i < blob->size; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8) + blob->seed);
    return bytes;
}

static void check(const struct blob *blob, const void *bytes)
{
    uint8_t *expected = bytes_of(blob);

    if (memcmp(bytes, expected, blob->size) != 0) {
        fprintf(stderr, "the blob %llu+%llu is another one\n", (unsigned long long)blob->address,
                (unsigned long long)blob->size);
        abort();
    }
    free(expected);
}

/* Small, middle and large ones. */
static struct blob new_blob(struct client *client)
{
    static const unsigned sizes[] = {100, 100, 5000, 50000, SIZE_MAX_HERE};

    return (struct blob){.size = 1 + chance(client, sizes[chance(client, 5)]),
                         .seed = chance(client, 256)};
}

static void keep(struct client *client, struct blob blob)
{
    client->blobs[client->count++] = blob;
}

static struct blob take(struct client *client)
{
    unsigned index = chance(client, client->count);
    struct blob blob = client->blobs[index];

    client->blobs[index] = client->blobs[--client->count];
    return blob;
}

/* ---- Steps ---- */

static void add(struct client *client)
{
    struct blob blob = new_blob(client);
    uint8_t *bytes = bytes_of(&blob);

    OK(client,
       mregion_add(client->connection, "main", bytes, blob.size, &blob.address, &client->error));
    keep(client, blob);
    free(bytes);
}

static void remove_one(struct client *client)
{
    struct blob blob = take(client);
    void *bytes;

    OK(client, mregion_remove_new(client->connection, "main", blob.address, blob.size, &bytes,
                                  &client->error));
    check(&blob, bytes);
    mregion_free(bytes);
}

static void replace(struct client *client)
{
    struct blob old = take(client), blob = new_blob(client);
    uint8_t *bytes = bytes_of(&blob);

    OK(client, mregion_replace(client->connection, "main", old.address, old.size, bytes, blob.size,
                               &blob.address, &client->error));
    keep(client, blob);
    free(bytes);
}

static void load(struct client *client)
{
    const struct blob *blob = &client->blobs[chance(client, client->count)];
    void *bytes;

    OK(client, mregion_load_new(client->connection, "main", blob->address, blob->size, &bytes,
                                &client->error));
    check(blob, bytes);
    mregion_free(bytes);
}

static void shrink(struct client *client)
{
    struct blob blob = take(client);
    uint64_t size = 1 + chance(client, (unsigned)blob.size);

    OK(client, mregion_resize(client->connection, "main", blob.address, blob.size, size,
                              &blob.address, &client->error));
    blob.size = size;
    keep(client, blob);
}

/* Adds, and frees some of what there was, all under way at once. */
static void pipeline(struct client *client)
{
    enum { COUNT = 6 };
    mregion_ticket tickets[COUNT], freed;
    struct blob blobs[COUNT], old = take(client);

    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t *bytes;

        blobs[i] = new_blob(client);
        if (blobs[i].size > 50000)
            blobs[i].size = 50000;
        bytes = bytes_of(&blobs[i]);
        OK(client, mregion_submit_add(client->connection, "main", bytes, blobs[i].size, &tickets[i],
                                      &client->error));
        free(bytes);
    }
    OK(client, mregion_submit_deallocate(client->connection, "main", old.address, old.size, &freed,
                                         &client->error));
    mregion_forget(client->connection, freed);
    for (unsigned i = 0; i < COUNT; i++) {
        OK(client,
           mregion_collect_uint(client->connection, tickets[i], &blobs[i].address, &client->error));
        keep(client, blobs[i]);
    }
}

static void batch(struct client *client)
{
    struct blob blob = new_blob(client), replaced = new_blob(client);
    struct blob first = take(client), second = take(client);
    struct mregion_batch *changes;
    size_t index, at;
    uint8_t *bytes, *others;

    blob.size = 1 + blob.size % 20000;
    replaced.size = 1 + replaced.size % 20000;
    bytes = bytes_of(&blob);
    others = bytes_of(&replaced);
    OK(client, mregion_batch_begin(client->connection, "main", &changes, &client->error));
    OK(client, mregion_batch_deallocate(changes, first.address, first.size, NULL, &client->error));
    OK(client, mregion_batch_add(changes, bytes, blob.size, &index, &client->error));
    OK(client, mregion_batch_replace(changes, second.address, second.size, others, replaced.size,
                                     &at, &client->error));
    OK(client, mregion_batch_commit(changes, NULL, &client->error));
    OK(client, mregion_batch_uint(changes, index, &blob.address, &client->error));
    OK(client, mregion_batch_uint(changes, at, &replaced.address, &client->error));
    mregion_batch_close(changes);
    keep(client, blob);
    keep(client, replaced);
    free(bytes);
    free(others);
}

static void (*const steps[])(struct client *) = {add,    remove_one, replace, load,
                                                 shrink, pipeline,   batch};
#define STEPS_COUNT ((unsigned)(sizeof steps / sizeof steps[0]))

static void step(struct client *client)
{
    if (client->count < 4)
        add(client);
    else if (client->count > BLOBS_MAX - 8)
        remove_one(client);
    else
        steps[chance(client, STEPS_COUNT)](client);
}

static void *run(void *data)
{
    struct client *client = data;

    for (unsigned i = 0; i < STEPS || !__atomic_load_n(&is_enough, __ATOMIC_ACQUIRE); i++)
        step(client);
    /* What was forgotten has been answered behind this. */
    OK(client, mregion_ping(client->connection, &client->error));
    mregion_close(client->connection);
    __atomic_store_n(&client->is_done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* ---- All of it ---- */

static bool all_are_done(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (!__atomic_load_n(&clients[i].is_done, __ATOMIC_ACQUIRE))
            return false;
    return true;
}

static void start_clients(unsigned seed, const char *address)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];
        struct mregion_options options = {.timeout_ms = MREGION_NO_TIMEOUT};

        *client = (struct client){.seed = seed + i};
        OK(client, mregion_connect(address, &options, &client->connection, &client->error));
        ck_assert_int_eq(pthread_create(&client->thread, NULL, run, client), 0);
    }
}

/* The blobs are what they were, and nothing else is in use. */
static void check_region(void)
{
    struct client direct = {.count = 0};
    uint64_t allocated, expected = 0;

    OK(&direct, mregion_connect(server.address, NULL, &direct.connection, &direct.error));
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned j = 0; j < clients[i].count; j++) {
            const struct blob *blob = &clients[i].blobs[j];
            void *bytes;

            OK(&direct, mregion_load_new(direct.connection, "main", blob->address, blob->size,
                                         &bytes, &direct.error));
            check(blob, bytes);
            mregion_free(bytes);
            expected += blob->size;
        }
    OK(&direct, mregion_allocated(direct.connection, "main", &allocated, &direct.error));
    ck_assert_uint_eq(allocated, expected);
    mregion_close(direct.connection);
}

static unsigned pick_seed(void)
{
    const char *given = getenv("MREGION_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

    fprintf(stderr, "MREGION_SEED=%u\n", seed);
    return seed;
}

/* bits_max: how long connections live. Whether the server is killed over and over is_killed says.
 */
static void torment(unsigned bits_max, bool is_killed)
{
    unsigned seed = pick_seed(), kills = 0;

    server_start(&server, "64KiB");
    proxy_start(&proxy, server.address, seed, bits_max);
    is_enough = !is_killed;
    start_clients(seed, proxy.address);
    while (!all_are_done()) {
        (void)poll(NULL, 0, 50 + rand_r(&seed) % 300);
        if (is_enough)
            continue;
        (void)server_end(&server, SIGKILL);
        (void)poll(NULL, 0, rand_r(&seed) % 50);
        server_start_again(&server);
        if (++kills == KILLS)
            __atomic_store_n(&is_enough, true, __ATOMIC_RELEASE);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(pthread_join(clients[i].thread, NULL), 0);
    proxy_stop(&proxy);
    check_region();
    fprintf(stderr, "%u cuts, %u kills\n", proxy.cuts, kills);
    ck_assert(bits_max == 0 || proxy.cuts > 0);
    ck_assert_uint_eq(kills, is_killed ? KILLS : 0);
    /* And again after a start of the server. */
    ck_assert_int_eq(server_end(&server, SIGTERM), 0);
    server_start_again(&server);
    check_region();
    server_remove(&server);
}

START_TEST(connections_are_cut)
{
    torment(20, false);
}
END_TEST

START_TEST(the_server_is_killed)
{
    torment(0, true);
}
END_TEST

START_TEST(both)
{
    torment(22, true);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("e2e/once");
    TCase *tcase = tcase_create("once");

    tcase_add_test(tcase, connections_are_cut);
    tcase_add_test(tcase, the_server_is_killed);
    tcase_add_test(tcase, both);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
