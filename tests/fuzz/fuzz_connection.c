/* The whole server behind its socket: a configuration, a simulated disk, a few connections, and an
 * input that says what these do. The server is the daemon's own code from server_run on: its loop,
 * its sockets, its regions, from the start to the orderly end. Only the disk, the clock and the
 * threads are not real (support_clock.h, support_workers.h), so that an input does the same every
 * time.
 *
 *     6 bytes   configuration and disk; clock and sockets; workers; what fails: which, how late
 *     then      steps: what to do, for whom, and what that needs
 *
 * Whatever comes, the server goes on, ends in order, has kept nothing of what it had for
 * connections; its regions and backups are consistent, and open again after that, or after the
 * power went. Answers are answers, to requests, at most one to each; where nothing was cut off,
 * exactly one. Events are events, and what one says of a region fits those before it. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "support_calls.h"
#include "support_client.h"
#include "support_clock.h"
#include "support_scene.h"
#include "support_workers.h"
#include "tests/fuzz/fuzz.h"

#define HEAD 6
#define CLIENTS 4
#define STEPS_MAX 400
#define RELOADS_MAX 4
/* All that the clients send. */
#define SEND_MAX (4 * MIB)
/* Who has got so much goes away: few bytes of requests are worth gigabytes of answers. */
#define RECEIVED_MAX (64 * MIB)
/* What waits for something gets it long before. */
#define TURNS_MAX 160000
#define STILL_TURNS_MAX 1500
/* What TLS says to who speaks none. */
#define ALERT_SIZE 7

enum phase { PLAYING, FINISHING, STOPPING };
enum sockets { SOCKETS, SMALL_SOCKETS, LARGE_SOCKETS };
/* How the workers get on. */
enum pace { AT_ONCE, ROUND, ANY, HELD };

static struct {
    const uint8_t *at, *end; /* of the input */
    unsigned steps, reloads;
    struct server *server;
    uv_idle_t idle;
    enum phase phase;
    enum pace pace;
    enum sockets sockets;
    bool is_stopped_early;
    uint64_t conns_seen;
    unsigned turns, still_turns;
    unsigned pause; /* turns until the next step */
    struct rng rng;
    uint32_t next_id;
    struct client clients[CLIENTS];
    struct tls_pool tls_pool; /* of the clients */
    struct scene scene;
} run;

/* ---- Steps ---- */

static unsigned take(void)
{
    return run.at < run.end ? *run.at++ : 0;
}

static size_t waiting_to_be_sent(void)
{
    size_t size = 0;
    for (size_t i = 0; i < CLIENTS; i++)
        size += run.clients[i].to_send.size;
    return size;
}

/* With TLS there are also those who speak none; and where there is HTTP, somebody who does. */
static void open_client(size_t which)
{
    struct client *client = &run.clients[which];
    client->is_watching = which == CLIENTS - 1 && run.scene.http != NULL;
    if (client->is_watching) {
        (void)client_open(client, run.scene.http);
        return;
    }
    if (!client_open(client, run.scene.socket) || !run.scene.is_tls || which == 2)
        return;
    client_secure(client, scene_context(which == 0), &run.tls_pool);
}

static struct client *take_client(void)
{
    size_t which = take() % CLIENTS;
    if (!run.clients[which].was_open)
        open_client(which);
    return &run.clients[which];
}

static void do_call(struct client *client)
{
    uint8_t bytes[CALL_BYTES];
    unsigned how = take();
    for (size_t i = 0; i < CALL_BYTES; i++)
        bytes[i] = (uint8_t)take();
    uint32_t id = how & 1 ? UINT32_MAX - how : run.next_id++;
    for (unsigned i = 0; i <= how / 64 && waiting_to_be_sent() < SEND_MAX; i++)
        call_append(run.server, client, bytes, id + (how & 2 ? 0 : i), how & 4);
}

static void do_raw(struct client *client)
{
    size_t size = take();
    size = min_u64(size, (uint64_t)(run.end - run.at));
    memcpy(bytes_add(&client->to_send, size), run.at, size);
    run.at += size;
}

/* Of what was not sent yet. */
static void do_damage(struct client *client)
{
    unsigned where = take(), how = take();
    bool is_encrypted = client->encrypted.size > client->encrypted_sent;
    struct bytes *bytes = is_encrypted ? &client->encrypted : &client->to_send;
    size_t left = bytes->size - (is_encrypted ? client->encrypted_sent : client->sent);
    if (left == 0)
        return;
    uint8_t *last = bytes->base + bytes->size - 1;
    if (where & 128)
        bytes->size -= min_u64(left, how % 16 + 1);
    else
        last[-(ptrdiff_t)(where % left)] ^= (uint8_t)(how | 1);
}

static void do_repeat(struct client *client)
{
    unsigned size = take() % 128 + 1, times = take();
    for (; times > 0 && client->to_send.size >= size && waiting_to_be_sent() < SEND_MAX; times--) {
        uint8_t *to = bytes_add(&client->to_send, size);
        memcpy(to, to - size, size);
    }
}

static size_t take_size(void)
{
    static const size_t sizes[] = {1, 2, 3, 5, 9, 30, 100, 1000, 4096, 16384, 65536, 0};
    return sizes[take() % 12];
}

static void do_drop(struct client *client)
{
    if (client->fd < 0)
        return;
    client->was_dropped = true;
    client_close(client);
}

static void do_reload(void)
{
    if (++run.reloads > RELOADS_MAX)
        return;
    scene_reconfigure(&run.scene, take());
    (void)raise(SIGHUP);
}

static void begin_stop(void)
{
    run.phase = STOPPING;
    (void)raise(SIGTERM);
}

static void do_cut(void)
{
    scene_cut(&run.scene, &run.rng, run.server->backups.tasks != NULL);
}

static void do_step(void)
{
    unsigned what = take();
    run.pause = what & 128 ? 1 : 0;
    switch (what % 16) {
    default:
        do_call(take_client());
        break;
    case 6:
        do_raw(take_client());
        break;
    case 7:
        do_damage(take_client());
        break;
    case 8:
        do_repeat(take_client());
        break;
    case 9:
        take_client()->slice = 1 + take_size();
        break;
    case 10:
        take_client()->appetite = take_size();
        break;
    case 11:
        if (what & 16)
            do_drop(take_client());
        else
            take_client()->wants_shut = true;
        break;
    case 12:
        clock_advance((uint64_t)1000000 << take() % 18);
        break;
    case 13:
        run.pause = take();
        break;
    case 14:
        for (unsigned times = take() % 32 + 1; times > 0 && workers_step(what / 16);)
            times--;
        break;
    case 15:
        if (what & 64)
            run.pace = (enum pace)(what / 16 % 4);
        else if (what & 32)
            do_cut();
        else if (what & 16 && take() % 4 == 0)
            begin_stop();
        else
            do_reload();
        break;
    }
}

static void play(void)
{
    if (run.pause > 0) {
        run.pause--;
        return;
    }
    while (run.phase == PLAYING && run.pause == 0 && run.at < run.end && run.steps < STEPS_MAX) {
        run.steps++;
        do_step();
    }
    run.is_stopped_early = run.phase == STOPPING;
    if (run.phase == PLAYING && run.pause == 0)
        run.phase = FINISHING;
}

/* ---- Turns of the loop ---- */

/* Their sockets take little, or more than one has of the loop at a stretch (where we may). */
static void resize_sockets(void)
{
    struct conn *conn;
    int fd, little = 1, much = 2 * (int)STRETCH_BYTES;
    for (conn = run.server->conns; conn != NULL; conn = conn->next) {
        if (conn->number <= run.conns_seen)
            continue;
        run.conns_seen = conn->number;
        if (uv_fileno((uv_handle_t *)&conn->handle.stream, &fd) != 0)
            continue;
        if (run.sockets == SMALL_SOCKETS)
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
        else
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &much, sizeof much);
    }
}

static bool step_workers(void)
{
    bool has_moved = false;
    enum pace pace = run.phase != PLAYING && run.pace == HELD ? ROUND : run.pace;
    switch (pace) {
    case AT_ONCE:
        while (workers_step(0))
            has_moved = true;
        break;
    case ROUND:
        has_moved = workers_step(run.turns);
        break;
    case ANY:
        for (uint64_t i = rng_below(&run.rng, 4); i > 0; i--)
            has_moved |= workers_step((unsigned)rng_next(&run.rng));
        break;
    case HELD:
        break;
    }
    if (pace != ANY || rng_chance(&run.rng, 60))
        workers_deliver();
    return has_moved;
}

static bool turn_clients(void)
{
    bool has_moved = false;
    for (size_t i = 0; i < CLIENTS; i++) {
        has_moved |= client_turn(&run.clients[i]);
        if (run.clients[i].received.size > RECEIVED_MAX)
            do_drop(&run.clients[i]);
    }
    return has_moved;
}

/* Sends the rest, and reads all. */
static void finish_clients(void)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        run.clients[i].wants_shut = true;
        run.clients[i].appetite = 65536;
    }
}

static bool is_over(void)
{
    const struct region_entry *entry, *next;
    const struct server *server = run.server;
    if (server->conns != NULL || !workers_are_idle() || server->accepting_pauses)
        return false;
    if (server->ready != NULL || server->dirty != NULL || server->later != NULL)
        return false; /* closed, but not gone yet */
    for (size_t i = 0; i < CLIENTS; i++)
        if (run.clients[i].fd >= 0 && !run.clients[i].has_end)
            return false;
    HASH_ITER(by_name, server->regions.names, entry, next)
    if (!commit_is_quiet(entry))
        return false;
    return true;
}

/* Nothing is kept of what there was for connections. */
static void check_server(void)
{
    const struct server *server = run.server;
    FUZZ_REQUIRE(server->conns_count == 0 && server->origins.all == NULL);
    FUZZ_REQUIRE(server->budget.used == 0 && server->budget.waiting == NULL &&
                 server->budget.overdrawn == NULL);
    FUZZ_REQUIRE(server->arriving.used == 0 && server->arriving.waiting == NULL &&
                 server->arriving.overdrawn == NULL);
    FUZZ_REQUIRE(server->uploads_count == 0 && server->backups.tasks == NULL);
    FUZZ_REQUIRE(authenticator_is_idle(&server->authenticator) &&
                 server->authenticator.queue == NULL && admin_is_idle(&server->admin));
}

static void check_regions(void)
{
    const struct region_entry *entry, *next;
    HASH_ITER(by_name, run.server->regions.names, entry, next)
    {
        const char *wrong = region_check(entry->region);
        if (wrong != NULL)
            (void)fprintf(stderr, "region %s: %s\n", entry->name, wrong);
        FUZZ_REQUIRE(wrong == NULL);
    }
}

/* Whether each request must have had its answer. */
static bool are_answers_complete(const struct client *client)
{
    const struct counters *counters = &run.server->counters;
    return client->has_end && !client->is_broken && !client->was_dropped && !run.is_stopped_early &&
           !run.scene.may_fail && counters->connections_failed == 0 &&
           counters->connections_timed_out == 0 && counters->connections_refused == 0;
}

static void check_answers(void)
{
    bool sees_all = run.scene.conf.users_count == 0 && run.reloads == 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        if (run.clients[i].is_watching)
            continue;
        if (run.scene.is_tls && run.clients[i].tls == NULL) {
            FUZZ_REQUIRE(run.clients[i].received.size <= ALERT_SIZE);
            continue;
        }
        const char *wrong = client_judge(&run.clients[i], are_answers_complete(&run.clients[i]),
                                         sees_all, SCENE_MESSAGE_MAX);
        if (wrong != NULL)
            (void)fprintf(stderr, "client %zu: %s\n", i, wrong);
        FUZZ_REQUIRE(wrong == NULL);
    }
}

/* The configuration has TLS for TCP alone. */
static void secure_listeners(void)
{
    struct listener *listener;
    for (listener = run.server->listeners; listener != NULL; listener = listener->next)
        listener->is_tls = run.scene.is_tls && !listener->is_http;
}

static void on_turn(uv_idle_t *idle)
{
    (void)idle;
    clock_advance(5000);
    if (run.turns == 0)
        secure_listeners();
    FUZZ_REQUIRE(run.turns++ < TURNS_MAX && run.still_turns < STILL_TURNS_MAX);
    if (run.sockets != SOCKETS)
        resize_sockets();
    if (run.phase == PLAYING)
        play();
    if (run.phase != PLAYING)
        finish_clients();
    bool has_moved = turn_clients();
    has_moved |= step_workers();
    if (run.phase == PLAYING)
        return;
    run.still_turns = has_moved ? 0 : run.still_turns + 1;
    if (run.still_turns > 10)
        clock_advance(run.still_turns < 100 ? 10000000 : 250000000);
    if (run.phase == FINISHING && is_over()) {
        check_server();
        begin_stop();
    }
}

/* ---- One run ---- */

static void on_start(struct workers *workers)
{
    run.server = (struct server *)(void *)((char *)workers - offsetof(struct server, workers));
    uv_idle_init(&run.server->loop, &run.idle);
    uv_idle_start(&run.idle, on_turn);
    scene_begin_faults(&run.scene);
}

static void on_stop(struct workers *workers)
{
    (void)workers;
    if (run.idle.loop != NULL)
        uv_close((uv_handle_t *)&run.idle, NULL);
    check_answers();
    FUZZ_REQUIRE(run.server->conns == NULL && run.server->uploads_count == 0 &&
                 run.server->backups.tasks == NULL);
    check_regions();
}

static void on_disk(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    (void)context, (void)disk, (void)op, (void)path;
    if (run.pace != AT_ONCE)
        workers_give_way();
}

static void begin(const uint8_t *data, size_t size)
{
    static const uint64_t ticks[] = {100, 2000, 30000, 300000};
    memset(&run, 0, sizeof run);
    for (size_t i = 0; i < CLIENTS; i++)
        run.clients[i] = (struct client){.fd = -1, .slice = SIZE_MAX, .appetite = 65536};
    run.at = data + HEAD;
    run.end = data + size;
    run.rng.state = data[2];
    run.pace = (enum pace)(data[2] % 4);
    run.sockets = (enum sockets)(data[1] / 4 % 3);
    run.next_id = 1;
    clock_reset(ticks[data[1] % 4]);
    workers_on_start = on_start;
    workers_on_stop = on_stop;
    scene_init(&run.scene, data);
    simdisk_set_hook(run.scene.disk, on_disk, NULL);
    if (run.scene.vault != NULL)
        simdisk_set_hook(run.scene.vault, on_disk, NULL);
}

/* The server blocks these for good when it has ended. */
static void unblock_signals(void)
{
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_UNBLOCK, &all, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    begin(data, size);
    FUZZ_REQUIRE(server_run(&run.scene.conf, &run.scene.certificates, &run.scene.arguments) ==
                 EXIT_SUCCESS);
    unblock_signals();
    for (size_t i = 0; i < CLIENTS; i++)
        client_release(&run.clients[i]);
    tls_pool_release(&run.tls_pool);
    scene_end(&run.scene);
    return 0;
}
