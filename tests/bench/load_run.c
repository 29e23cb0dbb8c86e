/* A run: blobs are stored ahead, the server warms up, then what happens is counted. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "histogram.h"
#include "load.h"
#include "meter.h"

#define BLOBS_MAX 10000000   /* of all connections; a long run of adds needs no more of them */
#define PRELOAD_IN_FLIGHT 64 /* of one connection */
#define PRELOAD_BYTES (16UL << 20) /* in flight, of all connections */
#define CHECKED_WHOLE 65536 /* of a larger blob only one in CHECKED_ONE is compared whole, or */
#define CHECKED_ONE 16      /* the comparing would be what is measured; of the others the */
#define CHECKED_ENDS 4096   /* beginning and the end */

static struct connection *connections;
static int epoll_fd;
static struct histogram *histogram;
static struct result counted; /* since the warm-up */
static uint64_t started, in_flight, next_number;
static bool preloading, stopping;

static uint64_t random_state = 88172645463325252;
static uint64_t random_below(uint64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

/* ---- Blobs ---- */

static void blobs_add(struct blobs *blobs, const struct slot *slot)
{
    if (blobs->count >= BLOBS_MAX / options.connections)
        return;
    if (blobs->count == blobs->room) {
        blobs->room = blobs->room == 0 ? 64 : blobs->room * 2;
        blobs->blob = need(realloc(blobs->blob, blobs->room * sizeof blobs->blob[0]));
    }
    blobs->blob[blobs->count++] = (struct blob){slot->number, slot->address};
}

static void check_blob(const struct slot *slot, const uint8_t *bytes, uint64_t size)
{
    size_t mark = options.size < MARK || options.protocol->is_unmarked ? 0 : MARK;
    size_t whole = (size_t)options.size;
    bool is_good = bytes != NULL && size == whole && memcmp(bytes, &slot->number, mark) == 0;
    if (!is_good) {
        /* said below */
    } else if (whole <= CHECKED_WHOLE || random_below(CHECKED_ONE) == 0) {
        is_good = memcmp(bytes + mark, payload + mark, whole - mark) == 0;
    } else {
        size_t last = whole - CHECKED_ENDS;
        is_good = memcmp(bytes + mark, payload + mark, CHECKED_ENDS - mark) == 0 &&
                  memcmp(bytes + last, payload + last, CHECKED_ENDS) == 0;
    }
    if (!is_good)
        die("%s: blob %" PRIu64 " came back with other bytes", options.server, slot->number);
}

/* ---- Requests ---- */

static enum kind choose_kind(void)
{
    uint64_t roll = preloading ? 0 : random_below(100);
    if (preloading || roll < options.mix[ADD])
        return ADD;
    return roll < options.mix[ADD] + options.mix[LOAD] ? LOAD : REMOVE;
}

/* False when there is nothing left to ask for: that ends the run of all. */
static bool choose(struct slot *slot, struct blobs *blobs)
{
    slot->kind = choose_kind();
    if (slot->kind != ADD && blobs->count == 0) {
        stopping = options.mix[ADD] == 0;
        slot->kind = ADD;
    }
    if (slot->kind == ADD) {
        slot->number = next_number++;
        return !stopping;
    }
    struct blob *blob = &blobs->blob[random_below(blobs->count)];
    slot->number = blob->number;
    slot->address = blob->address;
    if (slot->kind == REMOVE)
        *blob = blobs->blob[--blobs->count];
    return true;
}

static bool wants_more(const struct connection *connection)
{
    unsigned active = connection->slot_count - connection->free_count;
    if (stopping || !wire_has_room(connection))
        return false;
    if (preloading)
        return connection->preloaded * options.connections < options.preload;
    return active < options.pipeline && (options.requests == 0 || started < options.requests);
}

static void fill_pipeline(struct connection *connection)
{
    while (wants_more(connection)) {
        unsigned index = connection->free_slots[connection->free_count - 1];
        struct slot *slot = &connection->slots[index];
        if (!choose(slot, &connection->blobs))
            break;
        connection->free_count--;
        connection->preloaded += preloading;
        slot->started_ns = now_ns;
        wire_request(connection, index);
        started++;
        in_flight++;
    }
    wire_send(connection);
}

static void on_load_answer(struct connection *connection, const struct answer *answer)
{
    struct slot *slot = &connection->slots[answer->slot];
    if (answer->error != NULL) {
        if (counted.errors++ == 0)
            fprintf(stderr, "bench_load: %s: refused: %.*s\n", options.server,
                    (int)answer->error_size, (const char *)answer->error);
    } else if (slot->kind == ADD) {
        slot->address = answer->address;
        blobs_add(&connection->blobs, slot);
    } else if (slot->kind == LOAD || answer->blob != NULL) {
        check_blob(slot, answer->blob, answer->blob_size);
    }
    histogram_add(histogram, now_ns - slot->started_ns);
    counted.operations++;
    counted.all++;
    in_flight--;
    connection->free_slots[connection->free_count++] = answer->slot;
}

/* ---- Phases ---- */

static void turn(void)
{
    struct epoll_event events[256];
    int count = epoll_wait(epoll_fd, events, 256, 100);
    if (count < 0 && errno != EINTR)
        die("epoll_wait: %s", strerror(errno));
    now_update();
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if ((events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
            wire_receive(connection, on_load_answer);
        fill_pipeline(connection);
    }
}

static void begin_all(void)
{
    stopping = false;
    started = 0;
    now_update();
    for (uint64_t i = 0; i < options.connections; i++)
        fill_pipeline(&connections[i]);
}

/* Until nothing is in flight any more. Without seconds it ends by itself. */
static void phase(double seconds)
{
    double began = meter_now();
    begin_all();
    while (in_flight > 0) {
        turn();
        if (seconds > 0 && meter_now() - began >= seconds)
            stopping = true;
    }
}

static void preload(void)
{
    preloading = true;
    phase(0);
    preloading = false;
    if (counted.errors > 0)
        die("%s: the blobs to work on could not be stored", options.server);
}

/* All that is asked for is also waited for: servers that finish many requests at a time are
 * measured alike. */
static void measure(void)
{
    counted.all = 0;
    if (options.warmup > 0)
        phase(options.warmup);
    histogram_reset(histogram);
    counted.operations = 0;
    double began = meter_now(), own = meter_cpu(0);
    double server = options.pid > 0 ? meter_cpu(options.pid) : -1;
    phase(options.seconds);
    counted.seconds = meter_now() - began;
    counted.own_cpu = meter_cpu(0) - own;
    counted.server_cpu = server < 0 ? -1 : meter_cpu(options.pid) - server;
}

static void open_all(void)
{
    uint64_t ahead = PRELOAD_BYTES / options.size / options.connections;
    ahead = ahead < 1 ? 1 : ahead > PRELOAD_IN_FLIGHT ? PRELOAD_IN_FLIGHT : ahead;
    unsigned slots = (unsigned)(options.pipeline > ahead ? options.pipeline : ahead);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1: %s", strerror(errno));
    connections = need(calloc((size_t)options.connections, sizeof *connections));
    for (uint64_t i = 0; i < options.connections; i++)
        wire_open(&connections[i], epoll_fd, slots);
}

void run_load(struct histogram *latencies, struct result *ret_result)
{
    double device = -1, process = -1;
    histogram = latencies;
    next_number = options.first;
    open_all();
    if (options.mix[ADD] < 100)
        preload();
    if (options.folder != NULL)
        device = meter_device_bytes(options.folder);
    if (options.pid > 0)
        process = meter_process_bytes(options.pid);
    measure();
    if (device >= 0)
        device = meter_device_bytes(options.folder) - device;
    if (process >= 0)
        process = meter_process_bytes(options.pid) - process;
    counted.device_bytes = device;
    counted.process_bytes = process;
    *ret_result = counted;
    for (uint64_t i = 0; i < options.connections; i++)
        wire_close(&connections[i]);
    free(connections);
}
