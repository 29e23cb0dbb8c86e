#include "support_proxy.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void must(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        abort();
    }
}

/* Two threads, one for each direction; the last one frees it. */
struct wire {
    struct proxy *proxy;
    int client, server;
    int64_t left; /* bytes until it breaks, in both directions together */
    unsigned users;
};

struct end {
    struct wire *wire;
    int from, to;
};

static void address_of(const char *path, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t size = strlen(path) + 1;
    must(size <= sizeof ret_address->sun_path, path);
    memcpy(ret_address->sun_path, path, size);
}

static void break_wire(struct wire *wire)
{
    (void)shutdown(wire->client, SHUT_RDWR);
    (void)shutdown(wire->server, SHUT_RDWR);
}

static void release(struct wire *wire)
{
    if (__atomic_sub_fetch(&wire->users, 1, __ATOMIC_SEQ_CST) > 0)
        return;
    (void)close(wire->client);
    (void)close(wire->server);
    (void)__atomic_sub_fetch(&wire->proxy->active, 1, __ATOMIC_SEQ_CST);
    free(wire);
}

static bool pass(int to, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = send(to, bytes, size, MSG_NOSIGNAL);

        if (count <= 0)
            return false;
        bytes += count;
        size -= (size_t)count;
    }
    return true;
}

static void *carry(void *data)
{
    struct end *end = data;
    struct wire *wire = end->wire;
    uint8_t bytes[16384];

    for (;;) {
        ssize_t count = recv(end->from, bytes, sizeof bytes, 0);
        int64_t left;

        if (count <= 0)
            break;
        left = __atomic_sub_fetch(&wire->left, (int64_t)count, __ATOMIC_SEQ_CST);
        if (left < 0 && (int64_t)count + left > 0)
            (void)pass(end->to, bytes, (size_t)((int64_t)count + left));
        if (left < 0) {
            (void)__atomic_add_fetch(&wire->proxy->cuts, 1, __ATOMIC_SEQ_CST);
            break;
        }
        if (!pass(end->to, bytes, (size_t)count))
            break;
    }
    break_wire(wire);
    release(wire);
    free(end);
    return NULL;
}

static void start_end(struct wire *wire, int from, int to)
{
    struct end *end = malloc(sizeof *end);
    pthread_attr_t detached;
    pthread_t thread;

    must(end != NULL, "malloc");
    *end = (struct end){wire, from, to};
    must(pthread_attr_init(&detached) == 0, "pthread_attr_init");
    must(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED) == 0, "detached");
    must(pthread_create(&thread, &detached, carry, end) == 0, "pthread_create");
    (void)pthread_attr_destroy(&detached);
}

/* Short lives are as likely as long ones. */
static int64_t lifetime(struct proxy *proxy)
{
    unsigned least = __atomic_load_n(&proxy->bits_min, __ATOMIC_SEQ_CST), bits;

    if (proxy->bits_max == 0)
        return INT64_MAX;
    bits = least + (unsigned)rand_r(&proxy->seed) % (proxy->bits_max - least);
    return ((int64_t)1 << bits) + rand_r(&proxy->seed) % (1 << bits);
}

static void connect_through(struct proxy *proxy, int client)
{
    struct wire *wire = malloc(sizeof *wire);
    struct sockaddr_un address;

    must(wire != NULL, "malloc");
    *wire = (struct wire){.proxy = proxy,
                          .client = client,
                          .server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                          .left = lifetime(proxy),
                          .users = 2};
    must(wire->server >= 0, "socket");
    address_of(proxy->server, &address);
    if (connect(wire->server, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(wire->server);
        (void)close(client);
        free(wire);
        return;
    }
    (void)__atomic_add_fetch(&proxy->active, 1, __ATOMIC_SEQ_CST);
    start_end(wire, wire->client, wire->server);
    start_end(wire, wire->server, wire->client);
}

static void *serve(void *data)
{
    struct proxy *proxy = data;

    for (;;) {
        int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);

        if (__atomic_load_n(&proxy->is_stopping, __ATOMIC_SEQ_CST)) {
            if (client >= 0)
                (void)close(client);
            return NULL;
        }
        must(client >= 0, "accept");
        connect_through(proxy, client);
    }
}

void proxy_start(struct proxy *proxy, const char *server, unsigned seed, unsigned bits_max)
{
    struct sockaddr_un address;

    *proxy = (struct proxy){.seed = seed, .bits_max = bits_max};
    (void)snprintf(proxy->server, sizeof proxy->server, "%s", strchr(server, ':') + 1);
    (void)snprintf(proxy->path, sizeof proxy->path, "%.90s.wire", proxy->server);
    (void)snprintf(proxy->address, sizeof proxy->address, "unix:%s", proxy->path);
    proxy->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(proxy->listener >= 0, "socket");
    address_of(proxy->path, &address);
    must(bind(proxy->listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(proxy->listener, 64) == 0, "listen");
    must(pthread_create(&proxy->thread, NULL, serve, proxy) == 0, "pthread_create");
}

void proxy_spare(struct proxy *proxy, unsigned bits_min)
{
    __atomic_store_n(&proxy->bits_min, bits_min, __ATOMIC_SEQ_CST);
}

unsigned proxy_cuts(const struct proxy *proxy)
{
    return __atomic_load_n(&proxy->cuts, __ATOMIC_SEQ_CST);
}

void proxy_stop(struct proxy *proxy)
{
    __atomic_store_n(&proxy->is_stopping, true, __ATOMIC_SEQ_CST);
    (void)shutdown(proxy->listener, SHUT_RDWR);
    must(pthread_join(proxy->thread, NULL) == 0, "pthread_join");
    (void)close(proxy->listener);
    (void)unlink(proxy->path);
    /* The clients have closed theirs. */
    while (__atomic_load_n(&proxy->active, __ATOMIC_SEQ_CST) > 0)
        (void)poll(NULL, 0, 1);
}
