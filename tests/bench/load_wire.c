/* Sockets of the load generator. A small blob is copied behind its request, so that a whole
 * pipeline leaves as one piece; a large one is sent from where it lies. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "load.h"
#include "proto/tls.h"

#define COPIED_MAX 4096        /* a larger payload is not copied */
#define IN_ROOM (256UL * 1024) /* bytes to receive, besides one whole blob */
#define MORE_MAX 65536         /* received at a time where no large blob is expected */

uint64_t now_ns;
uint8_t *payload;

void now_update(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof un.sun_path)
        die("%s: a socket's path has at most %zu bytes", path, sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un) != 0)
        die("unix:%s: %s", path, strerror(errno));
    return fd;
}

static int connect_tcp(const char *port)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(port)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&in4, sizeof in4) != 0)
        die("port %s: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void take_greeting(int fd)
{
    uint8_t bytes[256];
    size_t left = options.protocol->greeting;
    while (left > 0) {
        ssize_t got = recv(fd, bytes, left < sizeof bytes ? left : sizeof bytes, 0);
        if (got <= 0)
            die("%s: no greeting", options.server);
        left -= (size_t)got;
    }
}

static bool is_secure(void)
{
    return strncmp(options.server, "tls:", 4) == 0;
}

static int connect_server(void)
{
    const char *address = options.server;
    const char *colon = strrchr(address, ':');
    int fd;
    if (strncmp(address, "unix:", 5) == 0)
        fd = connect_unix(address + 5);
    else if ((strncmp(address, "tcp:", 4) == 0 || is_secure()) && colon >= address + 4)
        fd = connect_tcp(colon + 1);
    else
        die("%s: neither tcp:HOST:PORT, tls:HOST:PORT nor unix:PATH", address);
    take_greeting(fd);
    return fd;
}

static size_t copied_size(void)
{
    return options.size <= COPIED_MAX ? (size_t)options.size : 0;
}

static size_t request_max(void)
{
    return HEAD_MAX + MARK + copied_size() + strlen(options.protocol->end);
}

static size_t out_room(unsigned in_flight)
{
    return 2 * (size_t)in_flight * request_max();
}

void wire_open(struct connection *connection, int epoll_fd, unsigned in_flight)
{
    connection->fd = connect_server();
    connection->tls = is_secure() ? secure_open(connection->fd) : NULL;
    connection->epoll_fd = epoll_fd;
    connection->slot_count = in_flight;
    connection->slots = need(calloc(in_flight, sizeof *connection->slots));
    connection->free_slots = need(calloc(in_flight, sizeof(unsigned)));
    connection->queue = need(calloc(in_flight, sizeof(unsigned)));
    for (unsigned i = 0; i < in_flight; i++)
        connection->free_slots[i] = in_flight - 1 - i;
    connection->free_count = in_flight;
    connection->out = need(malloc(out_room(in_flight)));
    connection->pieces = need(calloc(4 * (size_t)in_flight, sizeof *connection->pieces));
    connection->in = need(malloc((size_t)options.size + IN_ROOM));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

void wire_close(struct connection *connection)
{
    tls_free(connection->tls);
    close(connection->fd);
    free(connection->blobs.blob);
    free(connection->slots);
    free(connection->free_slots);
    free(connection->queue);
    free(connection->out);
    free(connection->pieces);
    free(connection->in);
}

/* ---- Out ---- */

bool wire_has_room(const struct connection *connection)
{
    unsigned slots = connection->slot_count;
    return connection->free_count > 0 && connection->piece_count + 3 <= 4 * (size_t)slots &&
           connection->out_size + request_max() <= out_room(slots);
}

/* Bytes to send, which join the last piece where they lie behind it. */
static void add_piece(struct connection *connection, const uint8_t *bytes, size_t size)
{
    if (connection->piece_count > connection->piece_sent) {
        struct iovec *last = &connection->pieces[connection->piece_count - 1];
        if ((uint8_t *)last->iov_base + last->iov_len == bytes) {
            last->iov_len += size;
            return;
        }
    }
    connection->pieces[connection->piece_count++] = (struct iovec){(void *)(uintptr_t)bytes, size};
}

void wire_request(struct connection *connection, unsigned index)
{
    const struct slot *slot = &connection->slots[index];
    uint8_t *begin = connection->out + connection->out_size;
    uint8_t *at = options.protocol->build(begin, slot, index);
    if (slot->kind == ADD) {
        size_t size = (size_t)options.size, mark = size < MARK ? 0 : MARK;
        at = put(at, &slot->number, mark);
        if (size <= COPIED_MAX) {
            at = put(at, payload + mark, size - mark);
        } else {
            add_piece(connection, begin, (size_t)(at - begin));
            add_piece(connection, payload + mark, size - mark);
            begin = at;
        }
        at = put_text(at, options.protocol->end);
    }
    if (at != begin)
        add_piece(connection, begin, (size_t)(at - begin));
    connection->out_size = (size_t)(at - connection->out);
    connection->queue[connection->queue_tail++ % connection->slot_count] = index;
}

static void set_write(struct connection *connection, bool wants)
{
    if (wants == connection->wants_write)
        return;
    connection->wants_write = wants;
    struct epoll_event event = {.events = wants ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.ptr = connection};
    if (epoll_ctl(connection->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void count_sent(struct connection *connection, size_t size)
{
    while (size > 0) {
        struct iovec *piece = &connection->pieces[connection->piece_sent];
        size_t part = size < piece->iov_len ? size : piece->iov_len;
        piece->iov_base = (uint8_t *)piece->iov_base + part;
        piece->iov_len -= part;
        size -= part;
        if (piece->iov_len == 0)
            connection->piece_sent++;
    }
    if (connection->piece_sent == connection->piece_count)
        connection->piece_sent = connection->piece_count = connection->out_size = 0;
}

#define VECTORS_MAX 256

static bool has_more(const struct connection *connection)
{
    return connection->piece_sent < connection->piece_count ||
           (connection->tls != NULL && secure_has_output(connection->tls));
}

void wire_send(struct connection *connection)
{
    while (has_more(connection)) {
        size_t count = connection->piece_count - connection->piece_sent;
        struct msghdr message = {.msg_iov = connection->pieces + connection->piece_sent,
                                 .msg_iovlen = count < VECTORS_MAX ? count : VECTORS_MAX};
        ssize_t size =
            connection->tls != NULL
                ? secure_send(connection->fd, connection->tls, message.msg_iov, message.msg_iovlen)
                : sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            set_write(connection, true);
            return;
        }
        if (size < 0)
            die("%s: send: %s", options.server, strerror(errno));
        count_sent(connection, (size_t)size);
    }
    set_write(connection, false);
}

/* ---- In ---- */

/* A blob that has come in part must fit behind its beginning. */
static void make_room(struct connection *connection)
{
    size_t room = (size_t)options.size + IN_ROOM;
    if (connection->in_begin == connection->in_end) {
        connection->in_begin = connection->in_end = 0;
    } else if (room - connection->in_begin < options.size + IN_ROOM / 2) {
        connection->in_end -= connection->in_begin;
        memmove(connection->in, connection->in + connection->in_begin, connection->in_end);
        connection->in_begin = 0;
    }
}

static ssize_t receive(const struct connection *connection, size_t room)
{
    uint8_t *at = connection->in + connection->in_end;
    return connection->tls != NULL ? secure_receive(connection->fd, connection->tls, at, room)
                                   : recv(connection->fd, at, room, MSG_DONTWAIT);
}

static void receive_once(struct connection *connection, on_answer *callback)
{
    make_room(connection);
    size_t room = (size_t)options.size + IN_ROOM - connection->in_end;
    if (options.size <= COPIED_MAX && room > MORE_MAX)
        room = MORE_MAX; /* stays in the nearer caches */
    ssize_t got = receive(connection, room);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (got <= 0)
        die("%s: the server has closed the connection%s%s", options.server, got < 0 ? ": " : "",
            got < 0 ? strerror(errno) : "");
    connection->in_end += (size_t)got;
    now_update();
    while (connection->in_begin < connection->in_end) {
        if (connection->queue_head == connection->queue_tail)
            die("%s: an answer to nothing", options.server);
        unsigned oldest = connection->queue[connection->queue_head % connection->slot_count];
        struct answer answer =
            options.protocol->take(connection->in + connection->in_begin,
                                   connection->in_end - connection->in_begin, oldest);
        if (answer.size == 0)
            break;
        if (answer.slot >= connection->slot_count)
            die("%s: an answer to a request that was not sent", options.server);
        connection->in_begin += answer.size;
        connection->queue_head++;
        callback(connection, &answer);
    }
}

void wire_receive(struct connection *connection, on_answer *callback)
{
    do
        receive_once(connection, callback);
    while (connection->tls != NULL && tls_has_input(connection->tls));
}

/* ---- Emptying the server ---- */

void wire_clear(void)
{
    uint8_t out[2 * HEAD_MAX], in[4096];
    size_t size = 0;
    unsigned count;
    if (options.protocol->build_clear == NULL)
        return;
    if (is_secure())
        die("%s: it cannot be emptied through TLS: take another address", options.server);
    int fd = connect_server();
    size_t left = (size_t)(options.protocol->build_clear(out, &count) - out);
    if (send(fd, out, left, MSG_NOSIGNAL) != (ssize_t)left)
        die("%s: send: %s", options.server, strerror(errno));
    while (count > 0) {
        ssize_t got = recv(fd, in + size, sizeof in - size, 0);
        if (got <= 0)
            die("%s: no answer to emptying it", options.server);
        size += (size_t)got;
        struct answer answer;
        while (count > 0 && (answer = options.protocol->take(in, size, 0)).size > 0) {
            if (answer.error != NULL)
                die("%s: it cannot be emptied: %.*s", options.server, (int)answer.error_size,
                    (const char *)answer.error);
            size -= answer.size;
            memmove(in, in + answer.size, size);
            count--;
        }
    }
    close(fd);
}
