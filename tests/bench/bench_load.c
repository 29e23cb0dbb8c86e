/* Load on a server, and how fast it answers: mregiond by its own protocol, or a Redis by RESP, so
 * that both are measured by the same program in the same run.
 *
 *     bench_load [--server ADDR] [--redis] [--region NAME] [--size N] [--connections N]
 *                [--pipeline N] [--mix ADD:LOAD:REMOVE] [--preload N]
 *                [--seconds S | --requests N] [--label TEXT]
 *
 * One thread, epoll. Every connection keeps `pipeline` requests in flight. Loads and removes take
 * blobs that were added before; every loaded blob is checked against what was stored. Prints one
 * line: requests per second, and the latency below which 50, 99 and 99.9 percent of them were. */
#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "proto/cursor.h"
#include "proto/frame.h"

enum kind { ADD, LOAD, REMOVE, KINDS };

static struct {
    const char *server;
    const char *region;
    const char *label;
    bool redis;
    uint64_t size, connections, pipeline, preload, requests;
    double seconds;
    unsigned mix[KINDS]; /* percent */
} options = {
    .server = "unix:/run/mregiond/mregiond.sock",
    .region = "main",
    .size = 64,
    .connections = 1,
    .pipeline = 1,
    .preload = 1000,
    .seconds = 5,
    .mix = {100, 0, 0},
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench_load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

static void *need(void *memory)
{
    if (memory == NULL)
        die("out of memory");
    return memory;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t random_state = 88172645463325252;
static uint64_t random_below(uint64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return bound > 0 ? random_state % bound : 0;
}

/* ---- Latencies: buckets of 1/64 of a power of two of nanoseconds ---- */

#define PARTS 64
static uint64_t buckets[64 * PARTS];

static unsigned bucket_of(uint64_t ns)
{
    unsigned power = ns < PARTS ? 0 : 63 - (unsigned)__builtin_clzll(ns) - 6;
    return power * PARTS + (unsigned)(ns >> power);
}

static double percentile_us(double part)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++)
        total += buckets[i];
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        seen += buckets[i];
        if ((double)seen >= part * (double)total) {
            size_t power = i < 2 * PARTS ? 0 : i / PARTS - 1;
            return (double)((uint64_t)(i - power * PARTS) << power) / 1e3;
        }
    }
    return 0;
}

/* ---- The blobs that are stored ---- */

/* A blob begins with its number, which is also its key in Redis; the rest is the same for all. */
struct blob {
    uint64_t number;
    uint64_t address;
};

/* Every connection loads and removes what it has added itself: the server keeps its requests in
 * order, so no load comes too late. */
struct blobs {
    struct blob *blob;
    size_t count, room;
};

static uint64_t next_number;
static uint8_t *payload;

#define MARK 8             /* bytes of the number; a smaller blob has none */
#define BLOBS_MAX 10000000 /* of all connections; a long run of adds needs no more of them */

static void blobs_add(struct blobs *blobs, uint64_t number, uint64_t address)
{
    if (blobs->count >= BLOBS_MAX / options.connections)
        return;
    if (blobs->count == blobs->room) {
        blobs->room = blobs->room == 0 ? 64 : blobs->room * 2;
        blobs->blob = need(realloc(blobs->blob, blobs->room * sizeof blobs->blob[0]));
    }
    blobs->blob[blobs->count++] = (struct blob){number, address};
}

/* ---- Connections ---- */

struct slot {
    enum kind kind;
    uint64_t started_ns;
    uint64_t number;
    uint64_t address;
    uint8_t head[160]; /* everything before the payload, its mark included */
    size_t head_size;
    size_t tail_size; /* bytes of the payload behind the mark, and of the end */
    bool has_end;     /* RESP ends a value with CR LF */
};

struct connection {
    int fd;
    struct blobs blobs;
    struct slot *slots;
    unsigned *free_slots, free_count;
    unsigned *queue; /* slots in the order of sending: a ring of pipeline entries */
    uint64_t queue_head, queue_sent, queue_tail;
    size_t sent; /* bytes of the slot at queue_sent */
    uint8_t *in;
    size_t in_size, in_room;
    bool wants_write;
};

static struct connection *connections;
static int epoll_fd;
static uint64_t started, finished, errors, in_flight;
static bool stopping, preloading;

static int connect_server(void)
{
    const char *address = options.server;
    int fd;
    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        if (strlen(address + 5) >= sizeof un.sun_path)
            die("%s: too long", address);
        memcpy(un.sun_path, address + 5, strlen(address + 5) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un) != 0)
            die("%s: %s", address, strerror(errno));
        return fd;
    }
    const char *colon = strrchr(address, ':');
    if (strncmp(address, "tcp:", 4) != 0 || colon < address + 4)
        die("%s: neither tcp:HOST:PORT nor unix:PATH", address);
    struct sockaddr_in in4 = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(colon + 1)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&in4, sizeof in4) != 0)
        die("%s: %s", address, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void open_connection(struct connection *connection)
{
    size_t pipeline = (size_t)options.pipeline;
    connection->fd = connect_server();
    connection->slots = need(calloc(pipeline, sizeof *connection->slots));
    connection->free_slots = need(calloc(pipeline, sizeof(unsigned)));
    connection->queue = need(calloc(pipeline, sizeof(unsigned)));
    for (unsigned i = 0; i < pipeline; i++)
        connection->free_slots[i] = i;
    connection->free_count = (unsigned)pipeline;
    connection->in_room = (size_t)options.size + 256 * 1024;
    connection->in = need(malloc(connection->in_room));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* ---- Requests ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static uint8_t *put_number(uint8_t *at, uint8_t type, uint64_t number, unsigned bytes)
{
    *at++ = type;
    for (unsigned i = bytes; i-- > 0;)
        *at++ = (uint8_t)(number >> 8 * i);
    return at;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t length = strlen(text);
    return put(put_number(at, 0xd9, length, 1), text, length);
}

static void build_rpc(struct slot *slot, unsigned index)
{
    static const char *const names[KINDS] = {"addBlob", "loadBlob", "removeBlob"};
    uint8_t *at = slot->head;
    *at++ = 0x94;
    *at++ = 0;
    at = put_number(at, 0xce, index, 4);
    at = put_text(at, names[slot->kind]);
    *at++ = slot->kind == ADD ? 0x92 : 0x93;
    at = put_text(at, options.region);
    if (slot->kind == ADD) {
        at = put_number(at, 0xc6, options.size, 4);
    } else {
        at = put_number(at, 0xcf, slot->address, 8);
        at = put_number(at, 0xcf, options.size, 8);
    }
    slot->head_size = (size_t)(at - slot->head);
}

static void build_resp(struct slot *slot)
{
    static const char *const names[KINDS] = {"SET", "GET", "DEL"};
    char key[32];
    int key_length = snprintf(key, sizeof key, "blob:%" PRIu64, slot->number);
    int length = snprintf((char *)slot->head, sizeof slot->head, "*%d\r\n$3\r\n%s\r\n$%d\r\n%s\r\n",
                          slot->kind == ADD ? 3 : 2, names[slot->kind], key_length, key);
    if (slot->kind == ADD)
        length += snprintf((char *)slot->head + length, sizeof slot->head - (size_t)length,
                           "$%" PRIu64 "\r\n", options.size);
    slot->head_size = (size_t)length;
}

static enum kind choose_kind(void)
{
    uint64_t roll = random_below(100);
    if (preloading || roll < options.mix[ADD])
        return ADD;
    return roll < options.mix[ADD] + options.mix[LOAD] ? LOAD : REMOVE;
}

static void choose(struct slot *slot, struct blobs *blobs)
{
    slot->kind = choose_kind();
    if (slot->kind == ADD || blobs->blob == NULL || blobs->count == 0) {
        slot->kind = ADD;
        slot->number = next_number++;
        return;
    }
    struct blob *blob = &blobs->blob[random_below(blobs->count)];
    slot->number = blob->number;
    slot->address = blob->address;
    if (slot->kind == REMOVE)
        *blob = blobs->blob[--blobs->count];
}

static void start_request(struct connection *connection)
{
    unsigned index = connection->free_slots[--connection->free_count];
    struct slot *slot = &connection->slots[index];
    choose(slot, &connection->blobs);
    if (options.redis)
        build_resp(slot);
    else
        build_rpc(slot, index);
    slot->tail_size = 0;
    slot->has_end = options.redis && slot->kind == ADD;
    if (slot->kind == ADD) {
        size_t mark = options.size < MARK ? 0 : MARK;
        memcpy(slot->head + slot->head_size, &slot->number, mark);
        slot->head_size += mark;
        slot->tail_size = (size_t)options.size - mark;
    }
    connection->queue[connection->queue_tail++ % options.pipeline] = index;
    slot->started_ns = now_ns();
    started++;
    in_flight++;
}

/* ---- Sending ---- */

#define VECTORS 256

static unsigned gather(const struct connection *connection, struct iovec *vectors)
{
    unsigned count = 0;
    size_t skip = connection->sent;
    for (uint64_t i = connection->queue_sent; i < connection->queue_tail && count + 3 <= VECTORS;
         i++) {
        struct slot *slot = &connection->slots[connection->queue[i % options.pipeline]];
        struct iovec parts[3] = {{slot->head, slot->head_size},
                                 {payload, slot->tail_size},
                                 {"\r\n", slot->has_end ? 2 : 0}};
        for (int part = 0; part < 3; part++) {
            size_t less = skip < parts[part].iov_len ? skip : parts[part].iov_len;
            skip -= less;
            if (parts[part].iov_len == less)
                continue;
            vectors[count].iov_base = (uint8_t *)parts[part].iov_base + less;
            vectors[count++].iov_len = parts[part].iov_len - less;
        }
    }
    return count;
}

static void count_sent(struct connection *connection, size_t size)
{
    size += connection->sent;
    while (connection->queue_sent < connection->queue_tail) {
        const struct slot *slot =
            &connection->slots[connection->queue[connection->queue_sent % options.pipeline]];
        size_t whole = slot->head_size + slot->tail_size + (slot->has_end ? 2 : 0);
        if (size < whole)
            break;
        size -= whole;
        connection->queue_sent++;
    }
    connection->sent = size;
}

static void set_write(struct connection *connection, bool wants)
{
    if (wants == connection->wants_write)
        return;
    connection->wants_write = wants;
    struct epoll_event event = {.events = wants ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.ptr = connection};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void send_requests(struct connection *connection)
{
    while (connection->queue_sent < connection->queue_tail) {
        struct iovec vectors[VECTORS];
        struct msghdr message = {.msg_iov = vectors, .msg_iovlen = gather(connection, vectors)};
        ssize_t size = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            set_write(connection, true);
            return;
        }
        if (size < 0)
            die("send: %s", strerror(errno));
        count_sent(connection, (size_t)size);
    }
    set_write(connection, false);
}

static void fill_pipeline(struct connection *connection)
{
    while (connection->free_count > 0 && !stopping) {
        if (preloading && started >= options.preload)
            break;
        if (!preloading && options.requests > 0 && started >= options.requests)
            break;
        start_request(connection);
    }
    send_requests(connection);
}

/* ---- Answers ---- */

static void check_blob(const struct slot *slot, const uint8_t *bytes, uint64_t size)
{
    size_t mark = options.size < MARK ? 0 : MARK;
    if (size != options.size || memcmp(bytes, &slot->number, mark) != 0 ||
        memcmp(bytes + mark, payload, (size_t)options.size - mark) != 0)
        die("blob %" PRIu64 " came back with other bytes", slot->number);
}

static void finish(struct connection *connection, unsigned index, bool is_error)
{
    struct slot *slot = &connection->slots[index];
    uint64_t latency = now_ns() - slot->started_ns;
    if (is_error)
        errors++;
    else if (slot->kind == ADD)
        blobs_add(&connection->blobs, slot->number, slot->address);
    if (!preloading)
        buckets[bucket_of(latency)]++;
    finished++;
    in_flight--;
    connection->free_slots[connection->free_count++] = index;
}

/* One MessagePack-RPC response; returns its size, 0 when it is not whole. */
static size_t take_rpc(struct connection *connection, const uint8_t *bytes, size_t size)
{
    struct frame_scanner scanner;
    uint64_t whole;
    frame_reset(&scanner);
    enum frame_status status = frame_scan(&scanner, bytes, size, UINT32_MAX, &whole);
    if (status == FRAME_INCOMPLETE)
        return 0;
    if (status != FRAME_COMPLETE)
        die("the server sent something that is no MessagePack");
    struct cursor cursor = {bytes, bytes + whole};
    struct value array = cursor_next(&cursor);
    struct value type = cursor_next(&cursor);
    struct value msgid = cursor_next(&cursor);
    if (array.type != VALUE_ARRAY || array.count != 4 || type.number != 1 ||
        msgid.type != VALUE_UINT || msgid.number >= options.pipeline)
        die("the server sent something that is no response");
    struct slot *slot = &connection->slots[msgid.number];
    struct value error = cursor_next(&cursor);
    if (error.type != VALUE_NIL) {
        if (errors == 0)
            fprintf(stderr, "bench_load: the server refused: %.*s\n", (int)error.raw.size,
                    (const char *)error.raw.bytes);
        finish(connection, (unsigned)msgid.number, true);
        return (size_t)whole;
    }
    struct value result = cursor_next(&cursor);
    if (slot->kind == ADD)
        slot->address = result.number;
    else
        check_blob(slot, result.raw.bytes, result.raw.size);
    finish(connection, (unsigned)msgid.number, false);
    return (size_t)whole;
}

/* One RESP reply, which is that of the oldest request. */
static size_t take_resp(struct connection *connection, const uint8_t *bytes, size_t size)
{
    const uint8_t *end = memchr(bytes, '\n', size);
    if (end == NULL)
        return 0;
    size_t line = (size_t)(end - bytes) + 1;
    size_t whole = line;
    unsigned index = connection->queue[connection->queue_head % options.pipeline];
    const struct slot *slot = &connection->slots[index];
    bool is_error = bytes[0] == '-';
    if (bytes[0] == '$') {
        long long length = atoll((const char *)bytes + 1);
        is_error = length < 0;
        if (length >= 0) {
            whole = line + (size_t)length + 2;
            if (size < whole)
                return 0;
            check_blob(slot, bytes + line, (uint64_t)length);
        }
    }
    if (is_error && errors == 0)
        fprintf(stderr, "bench_load: the server refused: %.*s", (int)line, (const char *)bytes);
    connection->queue_head++;
    finish(connection, index, is_error);
    return whole;
}

static void receive(struct connection *connection)
{
    ssize_t got = recv(connection->fd, connection->in + connection->in_size,
                       connection->in_room - connection->in_size, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
        die("the server has closed the connection%s%s", got < 0 ? ": " : "",
            got < 0 ? strerror(errno) : "");
    connection->in_size += (size_t)got;
    size_t at = 0;
    while (at < connection->in_size) {
        const uint8_t *bytes = connection->in + at;
        size_t size = connection->in_size - at;
        size_t taken =
            options.redis ? take_resp(connection, bytes, size) : take_rpc(connection, bytes, size);
        if (taken == 0)
            break;
        at += taken;
    }
    memmove(connection->in, connection->in + at, connection->in_size - at);
    connection->in_size -= at;
}

/* ---- A run ---- */

static void run(double seconds)
{
    uint64_t deadline = now_ns() + (uint64_t)(seconds * 1e9);
    started = finished = 0;
    stopping = false;
    for (uint64_t i = 0; i < options.connections; i++)
        fill_pipeline(&connections[i]);
    while (in_flight > 0) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll_fd, events, 256, 1000);
        if (seconds > 0 && now_ns() >= deadline)
            stopping = true;
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if ((events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
                receive(connection);
            fill_pipeline(connection);
        }
    }
}

static void print_result(double seconds)
{
    printf("%-10s %-28s %8" PRIu64 " B %3" PRIu64 "x%-4" PRIu64 " %2u:%u:%u %10.0f/s "
           "%8.1f MiB/s  p50 %8.1f  p99 %8.1f  p99.9 %8.1f us",
           options.redis ? "redis" : "mregiond", options.label != NULL ? options.label : "",
           options.size, options.connections, options.pipeline, options.mix[ADD], options.mix[LOAD],
           options.mix[REMOVE], (double)finished / seconds,
           (double)finished * (double)options.size / seconds / 1048576, percentile_us(0.5),
           percentile_us(0.99), percentile_us(0.999));
    if (errors > 0)
        printf("  %" PRIu64 " errors", errors);
    putchar('\n');
}

/* ---- The command line ---- */

static uint64_t parse_count(const char *text, uint64_t least, struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long long count = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || count < least)
        argp_error(state, "%s: not a number of at least %" PRIu64, text, least);
    return count;
}

static void parse_mix(const char *text, struct argp_state *state)
{
    if (sscanf(text, "%u:%u:%u", &options.mix[ADD], &options.mix[LOAD], &options.mix[REMOVE]) !=
            3 ||
        options.mix[ADD] + options.mix[LOAD] + options.mix[REMOVE] != 100)
        argp_error(state, "%s: not three percentages that make 100, such as 50:40:10", text);
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case 's':
        options.server = argument;
        return 0;
    case 'R':
        options.redis = true;
        return 0;
    case 'r':
        if (strlen(argument) > 64)
            argp_error(state, "%s: not a region's name", argument);
        options.region = argument;
        return 0;
    case 'L':
        options.label = argument;
        return 0;
    case 'z':
        options.size = parse_count(argument, 1, state);
        return 0;
    case 'c':
        options.connections = parse_count(argument, 1, state);
        return 0;
    case 'p':
        options.pipeline = parse_count(argument, 1, state);
        return 0;
    case 'P':
        options.preload = parse_count(argument, 0, state);
        return 0;
    case 'm':
        parse_mix(argument, state);
        return 0;
    case 't':
        options.seconds = atof(argument);
        options.requests = 0;
        return 0;
    case 'n':
        options.requests = parse_count(argument, 1, state);
        options.seconds = 0;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"server", 's', "ADDR", 0, "tcp:HOST:PORT or unix:PATH", 0},
    {"redis", 'R', NULL, 0, "Speak RESP: SET, GET, DEL", 0},
    {"region", 'r', "NAME", 0, "Region to work in (default main)", 0},
    {"size", 'z', "BYTES", 0, "Size of a blob (default 64)", 0},
    {"connections", 'c', "N", 0, "Connections (default 1)", 0},
    {"pipeline", 'p', "N", 0, "Requests in flight per connection (default 1)", 0},
    {"mix", 'm', "A:L:R", 0, "Percentages of adds, loads, removes (default 100:0:0)", 0},
    {"preload", 'P', "N", 0, "Blobs added before a mix with loads or removes (default 1000)", 0},
    {"seconds", 't', "S", 0, "How long (default 5)", 0},
    {"requests", 'n', "N", 0, "How many requests, instead", 0},
    {"label", 'L', "TEXT", 0, "Printed with the result", 0},
    {0},
};

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .options = argp_options, .parser = parse_option, .doc = "Load on mregiond, or on a Redis."};
    argp_err_exit_status = EX_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
        return EX_OSERR;
    payload = need(malloc((size_t)options.size + 1));
    for (uint64_t i = 0; i < options.size; i++)
        payload[i] = (uint8_t)(i * 131 + 7);
    epoll_fd = epoll_create1(0);
    connections = need(calloc((size_t)options.connections, sizeof *connections));
    for (uint64_t i = 0; i < options.connections; i++)
        open_connection(&connections[i]);
    if (options.mix[ADD] < 100) {
        preloading = true;
        run(0);
        preloading = false;
    }
    uint64_t began = now_ns();
    run(options.seconds);
    print_result((double)(now_ns() - began) / 1e9);
    return errors > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
