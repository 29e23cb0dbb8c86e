#include "client/endpoint.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "client/error.h"

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
