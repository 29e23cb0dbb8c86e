/* A server without work of its own: what sockets and disk take, as the limit for others.
 *
 *     bench_raw --unix PATH | --port PORT, [--thread] --file FILE
 *
 * It says what raw.h says. An add or remove is answered when its bytes are durable in FILE, where
 * everything that came in the same turn is written together: on the loop, or with --thread on a
 * thread, while the next turn gathers. A load is answered from one block of memory, whatever was
 * stored. At most 64 connections. */
#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "raw.h"
#include "raw_commit.h"

#define CONNECTIONS_MAX 64
#define IN_ROOM (256UL * 1024)
#define READ_MAX (4UL << 20)   /* of one connection in a turn */
#define ANSWERS (256UL * 1024) /* bytes of answers that are ready */

struct connection {
    int fd; /* -1: not in use */
    bool wants_write;
    uint8_t *in;
    size_t in_begin, in_end;
    uint8_t *large; /* the blob that is coming, NULL: none */
    size_t large_size, large_have;
    struct raw_header kind;        /* of the answers owed */
    uint64_t owed;                 /* answers that may leave */
    size_t sent;                   /* bytes of the first of them */
    uint64_t gathering, under_way; /* answers that wait for their batch */
};

static struct connection connections[CONNECTIONS_MAX];
static int epoll_fd, listen_fd, event_fd;
static uint8_t *answers; /* of one kind, behind one another */
static size_t answers_size;
static struct raw_header answers_kind = {.kind = UINT32_MAX};
static bool is_full;    /* the batch that gathers, for somebody */
static bool is_stalled; /* some request that has come has to be looked at again */

static void fail(const char *what)
{
    fprintf(stderr, "bench_raw: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void watch(int fd, void *data, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll_fd, operation, fd, &event) != 0)
        fail("epoll_ctl");
}

static void close_connection(struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    if (connection->large != NULL)
        commit_give_back(connection->large);
}

/* ---- Answers ---- */

static void make_answers(struct raw_header kind)
{
    size_t one = sizeof kind + kind.size;
    answers_kind = kind;
    answers_size = 0;
    do {
        memcpy(answers + answers_size, &kind, sizeof kind);
        for (size_t i = 0; i < kind.size; i++)
            answers[answers_size + sizeof kind + i] = raw_byte(i);
        answers_size += one;
    } while (answers_size + one <= ANSWERS);
}

static void flush(struct connection *connection)
{
    size_t one = sizeof connection->kind + connection->kind.size;
    if (connection->owed > 0 && memcmp(&connection->kind, &answers_kind, sizeof answers_kind) != 0)
        make_answers(connection->kind);
    while (connection->owed > 0) {
        size_t size = answers_size - connection->sent;
        if (size / one >= connection->owed)
            size = (size_t)connection->owed * one - connection->sent;
        ssize_t sent =
            send(connection->fd, answers + connection->sent, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) {
            close_connection(connection);
            return;
        }
        connection->owed -= (connection->sent + (size_t)sent) / one;
        connection->sent = (connection->sent + (size_t)sent) % one;
    }
    if (connection->wants_write != (connection->owed > 0)) {
        connection->wants_write = connection->owed > 0;
        watch(connection->fd, connection, EPOLLIN | (connection->wants_write ? EPOLLOUT : 0),
              EPOLL_CTL_MOD);
    }
}

/* ---- Requests ---- */

/* False: the answers owed are of another kind and have to leave first. */
static bool owe(struct connection *connection, const struct raw_header *request)
{
    struct raw_header kind = {request->kind, request->kind == RAW_LOAD ? request->size : 0};
    if (memcmp(&kind, &connection->kind, sizeof kind) != 0) {
        if (connection->owed + connection->gathering + connection->under_way > 0) {
            is_stalled = true;
            return false;
        }
        connection->kind = kind;
    }
    return true;
}

static bool refuse(void)
{
    is_full = is_stalled = true;
    return false;
}

/* The blob is received into a buffer that the batch takes over. */
static bool begin_large(struct connection *connection, size_t size)
{
    connection->large = commit_buffer();
    if (connection->large == NULL)
        return refuse();
    connection->in_begin += sizeof(struct raw_header);
    size_t here = connection->in_end - connection->in_begin;
    here = here < size ? here : size;
    memcpy(connection->large, connection->in + connection->in_begin, here);
    connection->in_begin += here;
    connection->large_size = size;
    connection->large_have = here;
    return true;
}

static bool end_large(struct connection *connection)
{
    if (connection->large_have < connection->large_size)
        return false;
    if (!commit_add_buffer(connection->large, connection->large_size))
        return refuse();
    connection->large = NULL;
    connection->gathering++;
    return true;
}

/* Takes one request; false when there is no whole one, or it has to wait. */
static bool take(struct connection *connection)
{
    struct raw_header request;
    size_t have = connection->in_end - connection->in_begin;
    if (connection->large != NULL)
        return end_large(connection);
    if (have < sizeof request)
        return false;
    memcpy(&request, connection->in + connection->in_begin, sizeof request);
    if (request.kind > RAW_REMOVE || request.size > RAW_BLOB_MAX) {
        fprintf(stderr, "bench_raw: no request of ours\n");
        exit(EXIT_FAILURE);
    }
    if (!owe(connection, &request))
        return false;
    if (request.kind == RAW_LOAD) {
        connection->owed++;
        connection->in_begin += sizeof request;
        return true;
    }
    if (request.kind == RAW_ADD && request.size >= RAW_LARGE)
        return begin_large(connection, request.size);
    size_t whole = sizeof request + request.size;
    if (have < whole)
        return false;
    if (!commit_add(connection->in + connection->in_begin, whole))
        return refuse();
    connection->in_begin += whole;
    connection->gathering++;
    return true;
}

static ssize_t receive(struct connection *connection)
{
    if (connection->large != NULL && connection->large_have < connection->large_size) {
        ssize_t got = recv(connection->fd, connection->large + connection->large_have,
                           connection->large_size - connection->large_have, MSG_DONTWAIT);
        connection->large_have += got > 0 ? (size_t)got : 0;
        return got;
    }
    connection->in_end -= connection->in_begin;
    memmove(connection->in, connection->in + connection->in_begin, connection->in_end);
    connection->in_begin = 0;
    if (connection->in_end == IN_ROOM)
        return 1; /* has to wait for its batch */
    ssize_t got = recv(connection->fd, connection->in + connection->in_end,
                       IN_ROOM - connection->in_end, MSG_DONTWAIT);
    connection->in_end += got > 0 ? (size_t)got : 0;
    return got;
}

static void read_requests(struct connection *connection)
{
    size_t total = 0;
    while (total < READ_MAX) {
        ssize_t got = receive(connection);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            close_connection(connection);
            return;
        }
        if (got < 0)
            break;
        total += (size_t)got;
        while (take(connection))
            continue;
        if (is_stalled)
            break;
    }
}

/* ---- The loop ---- */

static void accept_connection(void)
{
    int on = 1;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &connections[i];
        if (connection->fd >= 0)
            continue;
        *connection = (struct connection){.fd = fd, .in = connection->in};
        watch(fd, connection, EPOLLIN, EPOLL_CTL_ADD);
        return;
    }
    close(fd);
}

static void answer_batch(void)
{
    commit_wait();
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        connections[i].owed += connections[i].under_way;
        connections[i].under_way = 0;
    }
}

static void commit(void)
{
    if (commit_is_empty())
        return;
    if (commit_is_busy() && !is_full)
        return;
    if (commit_is_busy())
        answer_batch();
    commit_start();
    is_full = false;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &connections[i];
        *(event_fd < 0 ? &connection->owed : &connection->under_way) += connection->gathering;
        connection->gathering = 0;
    }
}

static void turn(void)
{
    struct epoll_event events[CONNECTIONS_MAX + 2];
    int count = epoll_wait(epoll_fd, events, CONNECTIONS_MAX + 2, is_stalled ? 0 : -1);
    is_stalled = false;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        while (connections[i].fd >= 0 && take(&connections[i]))
            continue;
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == &listen_fd)
            accept_connection();
        else if (events[i].data.ptr == &event_fd && commit_is_busy())
            answer_batch();
        else if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            read_requests(events[i].data.ptr);
    }
    commit();
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (connections[i].fd >= 0)
            flush(&connections[i]);
}

/* ---- The beginning ---- */

static const char *path, *file;
static unsigned port;
static bool is_threaded;

static void listen_there(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in4 = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr *address = path != NULL ? (void *)&un : (void *)&in4;
    socklen_t size = path != NULL ? sizeof un : sizeof in4;
    int on = 1;
    if (path != NULL)
        strncpy(un.sun_path, path, sizeof un.sun_path - 1);
    listen_fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listen_fd < 0 || bind(listen_fd, address, size) != 0 ||
        listen(listen_fd, CONNECTIONS_MAX) != 0)
        fail(path != NULL ? path : "port");
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case 'u':
        path = argument;
        return 0;
    case 'p':
        port = (unsigned)strtoul(argument, NULL, 10);
        return 0;
    case 'f':
        file = argument;
        return 0;
    case 't':
        is_threaded = true;
        return 0;
    case ARGP_KEY_END:
        if (file == NULL || (path == NULL) == (port == 0))
            argp_error(state, "a file is needed, and a path or a port");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"unix", 'u', "PATH", 0, "Listen on this socket", 0},
        {"port", 'p', "PORT", 0, "Listen on this port of 127.0.0.1", 0},
        {"file", 'f', "FILE", 0, "Where batches are written; made anew", 0},
        {"thread", 't', NULL, 0, "Write on a thread", 0},
        {0},
    };
    static const struct argp argp = {
        .options = options, .parser = parse_option, .doc = "What sockets and disk take."};
    argp_err_exit_status = EX_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
        return EX_OSERR;
    commit_open(file, is_threaded, &event_fd);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    answers = malloc(sizeof(struct raw_header) + (RAW_BLOB_MAX > ANSWERS ? RAW_BLOB_MAX : ANSWERS));
    if (epoll_fd < 0 || answers == NULL)
        fail("memory");
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        connections[i].fd = -1;
        connections[i].in = malloc(IN_ROOM);
        if (connections[i].in == NULL)
            fail("memory");
    }
    listen_there();
    watch(listen_fd, &listen_fd, EPOLLIN, EPOLL_CTL_ADD);
    if (event_fd >= 0)
        watch(event_fd, &event_fd, EPOLLIN, EPOLL_CTL_ADD);
    for (;;)
        turn();
}
