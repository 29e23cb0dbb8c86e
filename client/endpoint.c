#include "client/endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/deadline.h"
#include "client/error.h"

/* A Unix socket whose queue of waiting connections is full gives no event: asked again so often. */
#define BACKLOG_RETRY_MS 10

/* ---- Taking an address apart ---- */

static int refuse(const char *address, struct mregion_error *error)
{
    return error_set(error, MREGION_ERR_ARGUMENT,
                     "an address is unix:PATH, tcp:HOST:PORT or tls:HOST:PORT, such as "
                     "unix:/run/mregiond/mregiond.sock or tcp:127.0.0.1:7420, not \"%.200s\"",
                     address);
}

static int parse_unix(struct endpoint *endpoint, const char *path, struct mregion_error *error)
{
    size_t limit = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;

    if (path[0] == '\0')
        return refuse(endpoint->text, error);
    if (strlen(path) > limit)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "a Unix socket's path has at most %zu bytes, and \"%.200s\" has %zu",
                         limit, path, strlen(path));
    endpoint->is_unix = true;
    endpoint->path = strdup(path);
    return endpoint->path == NULL ? error_no_memory(error) : MREGION_OK;
}

static bool is_port(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length <= 5 && strspn(text, "0123456789") == length &&
           strtoul(text, NULL, 10) <= UINT16_MAX && strtoul(text, NULL, 10) > 0;
}

/* HOST:PORT, [ADDRESS]:PORT */
static int parse_tcp(struct endpoint *endpoint, const char *text, struct mregion_error *error)
{
    const char *colon = strrchr(text, ':');
    size_t length;

    if (colon == NULL || colon == text || !is_port(colon + 1))
        return refuse(endpoint->text, error);
    length = (size_t)(colon - text);
    if (text[0] == '[') {
        if (length < 3 || text[length - 1] != ']')
            return refuse(endpoint->text, error);
        text++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "an IPv6 address stands in brackets, as in tcp:[::1]:7420, not \"%.200s\"",
                         endpoint->text);
    }
    endpoint->path = strndup(text, length);
    endpoint->port = strdup(colon + 1);
    return endpoint->path == NULL || endpoint->port == NULL ? error_no_memory(error) : MREGION_OK;
}

int endpoint_init(struct endpoint *endpoint, const char *address, struct mregion_error *error)
{
    int code;

    *endpoint = (struct endpoint){0};
    if (address == NULL)
        return refuse("", error);
    endpoint->text = strdup(address);
    if (endpoint->text == NULL)
        return error_no_memory(error);
    if (strncmp(address, "unix:", 5) == 0)
        code = parse_unix(endpoint, address + 5, error);
    else if (strncmp(address, "tcp:", 4) == 0 || strncmp(address, "tls:", 4) == 0)
        code = parse_tcp(endpoint, address + 4, error);
    else
        code = refuse(address, error);
    endpoint->is_tls = strncmp(address, "tls:", 4) == 0;
    if (code != MREGION_OK)
        endpoint_release(endpoint);
    return code;
}

void endpoint_release(struct endpoint *endpoint)
{
    free(endpoint->text);
    free(endpoint->path);
    free(endpoint->port);
    *endpoint = (struct endpoint){0};
}

/* ---- Connecting ---- */

static int wait_connected(int fd, int64_t deadline)
{
    struct pollfd waiting = {.fd = fd, .events = POLLOUT};
    socklen_t length = sizeof(int);
    int number = 0;

    for (;;) {
        int count = poll(&waiting, 1, deadline_left(deadline));

        if (count > 0)
            break;
        if (count == 0)
            return ETIMEDOUT;
        if (errno != EINTR)
            return errno;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &length) != 0 ? errno : number;
}

/* 0 or an errno value. */
static int connect_socket(int fd, const struct sockaddr *address, socklen_t length,
                          int64_t deadline)
{
    while (connect(fd, address, length) != 0) {
        if (errno == EINPROGRESS || errno == EINTR)
            return wait_connected(fd, deadline);
        if (errno != EAGAIN)
            return errno;
        if (deadline_left(deadline) == 0)
            return ETIMEDOUT;
        (void)poll(NULL, 0, BACKLOG_RETRY_MS);
    }
    return 0;
}

/* 0 and *ret_fd, or an errno value. */
static int open_socket(const struct sockaddr *address, socklen_t length, int64_t deadline,
                       int *ret_fd)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int number, on = 1;

    if (fd < 0)
        return errno;
    number = connect_socket(fd, address, length, deadline);
    if (number != 0) {
        (void)close(fd);
        return number;
    }
    if (address->sa_family != AF_UNIX) {
        /* Requests leave at once; a peer that is gone for good is found out some day. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    *ret_fd = fd;
    return 0;
}

static int connect_unix(const struct endpoint *endpoint, int64_t deadline, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, endpoint->path, strlen(endpoint->path) + 1);
    return open_socket((const struct sockaddr *)&address, sizeof address, deadline, ret_fd);
}

/* 0, an errno value, or a negative EAI_ value. */
static int connect_tcp(const struct endpoint *endpoint, int64_t deadline, int *ret_fd)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list;
    int number = getaddrinfo(endpoint->path, endpoint->port, &hints, &list);

    if (number != 0)
        return number == EAI_SYSTEM ? errno : number;
    number = EADDRNOTAVAIL;
    for (const struct addrinfo *one = list; one != NULL; one = one->ai_next) {
        number = open_socket(one->ai_addr, one->ai_addrlen, deadline, ret_fd);
        if (number == 0)
            break;
    }
    freeaddrinfo(list);
    return number;
}

int endpoint_connect(const struct endpoint *endpoint, int64_t deadline, int *ret_fd,
                     struct mregion_error *error)
{
    int number = endpoint->is_unix ? connect_unix(endpoint, deadline, ret_fd)
                                   : connect_tcp(endpoint, deadline, ret_fd);

    if (number == 0)
        return MREGION_OK;
    if (number < 0)
        return error_set(error, MREGION_ERR_CONNECT, "cannot connect to %.200s: %s", endpoint->text,
                         gai_strerror(number));
    return error_set_system(error, MREGION_ERR_CONNECT, number, "cannot connect to %.200s",
                            endpoint->text);
}

bool endpoint_is_private(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
    socklen_t length = sizeof address;

    if (getpeername(fd, (struct sockaddr *)&address, &length) != 0)
        return false;
    if (address.ss_family == AF_INET)
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    if (address.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127);
    return address.ss_family == AF_UNIX;
}
