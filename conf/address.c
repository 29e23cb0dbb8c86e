#include "conf/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "conf/settings.h"
#include "conf/text.h"
#include "conf/value.h"

/* The longest numeric host there is, with room for its terminator. */
#define HOST_SIZE INET6_ADDRSTRLEN

__attribute__((format(printf, 2, 3))) static int refuse(char *problem, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(problem, ADDRESS_PROBLEM_SIZE, format, args);
    va_end(args);
    return -EINVAL;
}

/* A quoted piece of the address, short enough to leave room for the sentence. */
#define QUOTED_SIZE 128
#define QUOTED_SHOWN 100

static const char *quote(const char *text, size_t length, char quoted[QUOTED_SIZE])
{
    text_quote(text, length, QUOTED_SHOWN, quoted, QUOTED_SIZE);
    return quoted;
}

static bool starts_with(const char *text, size_t length, const char *prefix)
{
    return length >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

/* HOST:PORT cut in two; the brackets of the host are left out. */
struct endpoint {
    const char *host;
    size_t host_length;
    const char *port;
    size_t port_length;
};

static int cut_bracketed(const char *text, size_t length, struct endpoint *endpoint, char *problem)
{
    const char *close = memchr(text, ']', length);
    char quoted[QUOTED_SIZE];

    if (close == NULL || (size_t)(close - text) + 1 >= length || close[1] != ':')
        return refuse(problem, "a TCP address is HOST:PORT, such as [::1]:7420, not %s",
                      quote(text, length, quoted));
    endpoint->host = text + 1;
    endpoint->host_length = (size_t)(close - endpoint->host);
    endpoint->port = close + 2;
    endpoint->port_length = (size_t)(text + length - endpoint->port);
    if (memchr(endpoint->host, ':', endpoint->host_length) == NULL)
        return refuse(problem, "brackets are for IPv6 addresses, such as [::1]:7420, not %s",
                      quote(text, length, quoted));
    return 0;
}

static int cut_endpoint(const char *text, size_t length, struct endpoint *endpoint, char *problem)
{
    const char *colon = memrchr(text, ':', length);
    char quoted[QUOTED_SIZE];

    if (length > 0 && text[0] == '[')
        return cut_bracketed(text, length, endpoint, problem);
    if (colon == NULL || colon == text)
        return refuse(problem, "a TCP address is HOST:PORT, such as 127.0.0.1:7420, not %s",
                      quote(text, length, quoted));
    if (memchr(text, ':', (size_t)(colon - text)) != NULL)
        return refuse(problem, "an IPv6 address needs brackets, such as [::1]:7420, not %s",
                      quote(text, length, quoted));
    endpoint->host = text;
    endpoint->host_length = (size_t)(colon - text);
    endpoint->port = colon + 1;
    endpoint->port_length = (size_t)(text + length - endpoint->port);
    return 0;
}

static bool is_localhost(const char *host)
{
    return strcasecmp(host, "localhost") == 0;
}

static bool is_loopback(const char *host, bool *ret_is_numeric)
{
    struct in_addr four;
    struct in6_addr six;
    bool is_four = inet_pton(AF_INET, host, &four) == 1;
    bool is_six = !is_four && inet_pton(AF_INET6, host, &six) == 1;

    *ret_is_numeric = is_four || is_six;
    if (is_four)
        return ntohl(four.s_addr) >> 24 == 127;
    if (is_six)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return is_localhost(host);
}

static int check_host(const struct endpoint *endpoint, char *problem)
{
    char host[HOST_SIZE] = "";
    char quoted[QUOTED_SIZE];
    bool is_numeric = false;

    if (endpoint->host_length < sizeof host &&
        memchr(endpoint->host, '\0', endpoint->host_length) == NULL) {
        memcpy(host, endpoint->host, endpoint->host_length);
        if (is_loopback(host, &is_numeric) || is_numeric)
            return 0;
    }
    return refuse(problem, "a TCP host is a numeric address or localhost, not the name %s",
                  quote(endpoint->host, endpoint->host_length, quoted));
}

/* The one place that keeps strangers out while nobody is asked who he is. */
bool address_lets_strangers_in(const struct conf_listen *listen, const struct conf_tls *tls,
                               char problem[ADDRESS_PROBLEM_SIZE])
{
    bool is_numeric;

    if (listen->is_unix && (listen->mode & 02) != 0) {
        (void)refuse(problem,
                     "mode %04o lets more than owner and group connect, who may do everything as "
                     "long as there are no users: take 0660, or configure users",
                     listen->mode);
        return true;
    }
    if (listen->is_unix || is_loopback(listen->host, &is_numeric) ||
        (listen->is_tls && tls->clients == TLS_CLIENTS_REQUIRED))
        return false;
    (void)refuse(problem,
                 "the address \"%s\" is not on loopback, and whoever reaches it may do everything "
                 "as long as there are no users: bind a loopback address (127.0.0.0/8, ::1, "
                 "localhost), or configure users%s",
                 listen->host, listen->is_tls ? ", or tls_clients: required with a tls_ca" : "");
    return true;
}

static int parse_port(const struct endpoint *endpoint, uint16_t *ret_port, char *problem)
{
    uint64_t port;
    char quoted[QUOTED_SIZE];

    if (value_parse_count(endpoint->port, endpoint->port_length, &port) != VALUE_OK ||
        port > UINT16_MAX)
        return refuse(problem, "a TCP port is a number between 0 and 65535, not %s",
                      quote(endpoint->port, endpoint->port_length, quoted));
    *ret_port = (uint16_t)port;
    return 0;
}

/* prefix, then length bytes at text. */
static char *join(const char *prefix, const char *text, size_t length)
{
    size_t prefix_length = strlen(prefix);
    char *joined = malloc(prefix_length + length + 1);

    if (joined != NULL) {
        memcpy(joined, prefix, prefix_length);
        memcpy(joined + prefix_length, text, length);
        joined[prefix_length + length] = '\0';
    }
    return joined;
}

/* Gives the listener its texts; one that is missing means that memory was. */
static int finish(struct conf_listen *listen, struct conf_listen *ret_listen)
{
    if (listen->address == NULL || (listen->is_unix ? listen->path : listen->host) == NULL) {
        address_release(listen);
        return -ENOMEM;
    }
    *ret_listen = *listen;
    return 0;
}

static int parse_tcp(const char *text, size_t length, bool is_tls, struct conf_listen *ret_listen,
                     char *problem)
{
    struct conf_listen listen = {.is_tls = is_tls};
    struct endpoint endpoint = {.host = "", .port = ""};
    int code = cut_endpoint(text, length, &endpoint, problem);

    if (code == 0)
        code = check_host(&endpoint, problem);
    if (code == 0)
        code = parse_port(&endpoint, &listen.port, problem);
    if (code != 0)
        return code;
    listen.address = join(is_tls ? "tls:" : "tcp:", text, length);
    listen.host = join("", endpoint.host, endpoint.host_length);
    return finish(&listen, ret_listen);
}

int address_parse_tcp(const char *text, size_t length, struct conf_listen *ret_listen,
                      char problem[ADDRESS_PROBLEM_SIZE])
{
    return parse_tcp(text, length, false, ret_listen, problem);
}

int address_parse_tls(const char *text, size_t length, struct conf_listen *ret_listen,
                      char problem[ADDRESS_PROBLEM_SIZE])
{
    return parse_tcp(text, length, true, ret_listen, problem);
}

bool address_fits_tls(const struct conf_listen *listen, const struct conf_tls *tls,
                      char problem[ADDRESS_PROBLEM_SIZE])
{
    if (!listen->is_tls || (tls->certificate != NULL && tls->key != NULL))
        return true;
    (void)refuse(problem,
                 "%s needs tls_certificate and tls_key: files with a certificate and "
                 "its private key, in PEM",
                 listen->address);
    return false;
}

unsigned address_default_mode(void)
{
    const char *text = settings[SETTING_LISTEN_mode].default_text;
    unsigned mode = 0;

    (void)value_parse_mode(text, strlen(text), &mode);
    return mode;
}

int address_parse_unix(const char *text, size_t length, struct conf_listen *ret_listen,
                       char problem[ADDRESS_PROBLEM_SIZE])
{
    static const size_t path_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    struct conf_listen listen = {.is_unix = true, .mode = address_default_mode()};
    char quoted[QUOTED_SIZE];

    if (length == 0)
        return refuse(problem, "the path of a Unix socket must not be empty");
    if (length > path_max)
        return refuse(problem,
                      "the path of a Unix socket has at most %zu bytes, but %s has %zu; a relative "
                      "path may be shorter",
                      path_max, quote(text, length, quoted), length);
    if (text[0] == '@')
        return refuse(problem,
                      "abstract sockets are not supported, as they have no permissions: %s; for a "
                      "file of that name put ./ in front",
                      quote(text, length, quoted));
    if (text[length - 1] == '/')
        return refuse(problem, "the path of a Unix socket must name a file, not the directory %s",
                      quote(text, length, quoted));
    listen.address = join("unix:", text, length);
    listen.path = join("", text, length);
    return finish(&listen, ret_listen);
}

int address_parse(const char *text, size_t length, struct conf_listen *ret_listen,
                  char problem[ADDRESS_PROBLEM_SIZE])
{
    char quoted[QUOTED_SIZE];

    if (starts_with(text, length, "tcp:"))
        return address_parse_tcp(text + 4, length - 4, ret_listen, problem);
    if (starts_with(text, length, "tls:"))
        return address_parse_tls(text + 4, length - 4, ret_listen, problem);
    if (starts_with(text, length, "unix:"))
        return address_parse_unix(text + 5, length - 5, ret_listen, problem);
    return refuse(problem, "an address is tcp:HOST:PORT, tls:HOST:PORT or unix:PATH, not %s",
                  quote(text, length, quoted));
}

void address_release(struct conf_listen *listen)
{
    free(listen->address);
    free(listen->host);
    free(listen->path);
    *listen = (struct conf_listen){0};
}

static socklen_t fill_unix(const struct conf_listen *listen, struct sockaddr_storage *address)
{
    struct sockaddr_un *un = (struct sockaddr_un *)address;
    size_t length = strnlen(listen->path, sizeof un->sun_path - 1);

    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, listen->path, length);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}

void address_to_socket(const struct conf_listen *listen, struct sockaddr_storage *ret_address,
                       socklen_t *ret_length)
{
    struct sockaddr_in *four = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret_address;

    memset(ret_address, 0, sizeof *ret_address);
    if (listen->is_unix) {
        *ret_length = fill_unix(listen, ret_address);
    } else if (strchr(listen->host, ':') != NULL) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(listen->port);
        (void)inet_pton(AF_INET6, listen->host, &six->sin6_addr);
        *ret_length = sizeof *six;
    } else {
        four->sin_family = AF_INET;
        four->sin_port = htons(listen->port);
        (void)inet_pton(AF_INET, is_localhost(listen->host) ? "127.0.0.1" : listen->host,
                        &four->sin_addr);
        *ret_length = sizeof *four;
    }
}

bool address_is_same(const struct conf_listen *a, const struct conf_listen *b)
{
    struct sockaddr_storage addresses[2];
    socklen_t lengths[2];

    if (a->is_unix != b->is_unix || (!a->is_unix && a->port == 0))
        return false;
    address_to_socket(a, &addresses[0], &lengths[0]);
    address_to_socket(b, &addresses[1], &lengths[1]);
    return lengths[0] == lengths[1] && memcmp(&addresses[0], &addresses[1], lengths[0]) == 0;
}
