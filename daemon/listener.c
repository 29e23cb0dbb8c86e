#include "daemon/listener.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/accept.h"
#include "daemon/files.h"
#include "daemon/http.h"
#include "daemon/log.h"
#include "daemon/microhttpd.h"
#include "daemon/privileges.h"
#include "daemon/server.h"

/* Connections that wait to be accepted; the kernel's own limit (somaxconn) still holds. */
#define BACKLOG 1024
/* Accepted at a stretch: then those who are connected have their turn. */
#define ACCEPTS_MAX 64

union address {
    struct sockaddr any;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

/* ---- Addresses ---- */

static bool is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohl(address->in4.sin_addr.s_addr) >> 24 == 127;
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
}

/* localhost is 127.0.0.1 here, whatever a resolver says. */
static bool parse_host(const char *host, uint16_t port, union address *ret, socklen_t *ret_size)
{
    *ret = (union address){0};
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &ret->in4.sin_addr) == 1) {
        ret->in4.sin_family = AF_INET;
        ret->in4.sin_port = htons(port);
        *ret_size = sizeof ret->in4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &ret->in6.sin6_addr) == 1) {
        ret->in6.sin6_family = AF_INET6;
        ret->in6.sin6_port = htons(port);
        *ret_size = sizeof ret->in6;
        return true;
    }
    return false;
}

/* The address that a socket is bound to, in the words of the configuration. */
static void format_address(const union address *address, bool is_tls, char *text, size_t size)
{
    const char *kind = is_tls ? "tls" : "tcp";
    char host[INET6_ADDRSTRLEN] = "";
    switch (address->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &address->in4.sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%s:%u", kind, host, ntohs(address->in4.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &address->in6.sin6_addr, host, sizeof host);
        snprintf(text, size, "%s:[%s]:%u", kind, host, ntohs(address->in6.sin6_port));
        break;
    default:
        snprintf(text, size, "unix:%.*s", (int)sizeof address->un.sun_path, address->un.sun_path);
        break;
    }
}

/* Whether more can connect to a socket that is bound than may without users. */
static bool is_open_to_others(const union address *address)
{
    const char *path = address->un.sun_path;
    struct stat stat;
    if (address->any.sa_family != AF_UNIX)
        return !is_loopback(address);
    if (path[0] == '\0')
        return true; /* an abstract one, which has no permissions */
    return lstat(path, &stat) == 0 && (stat.st_mode & 02) != 0;
}

static int refuse_address(const char *address, struct err *err)
{
    return err_set(
        err, ERR_INVALID_ARGUMENT,
        "cannot listen on %s: as long as there are no users everybody may do everything, "
        "so only loopback addresses, Unix sockets of owner and group, and TLS with "
        "tls_clients: required are allowed",
        address);
}

static bool asks_all(bool is_tls, const struct conf *conf)
{
    return is_tls && conf->tls.clients == TLS_CLIENTS_REQUIRED;
}

/* Without users only those may connect who are on this machine, or have a certificate. */
static bool is_allowed(const union address *address, bool is_tls, const struct conf *conf)
{
    return conf->users_count > 0 || !is_open_to_others(address) || asks_all(is_tls, conf);
}

static int fail(const char *address, int error, struct err *err)
{
    return err_set(err, error == EADDRINUSE ? ERR_BUSY : ERR_IO_ERROR, "cannot listen on %s: %s",
                   address, strerror(error));
}

/* ---- Unix socket files ---- */

/* Whether somebody accepts connections there. */
static bool is_live(const union address *address, socklen_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return true; /* cannot know: take no risk */
    int status = connect(fd, &address->any, size);
    int error = errno;
    close(fd);
    return status == 0 || (error != ECONNREFUSED && error != ENOENT);
}

/* Makes way for a new socket file: removes one that nobody listens on any more. */
static int clear_path(const union address *address, socklen_t size, struct err *err)
{
    const char *path = address->un.sun_path;
    struct stat stat;
    if (lstat(path, &stat) != 0)
        return 0; /* bind says what is wrong */
    if (!S_ISSOCK(stat.st_mode))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "cannot listen on unix:%s: there is a file that is not a socket", path);
    if (is_live(address, size))
        return err_set(err, ERR_BUSY,
                       "cannot listen on unix:%s: it is in use by another server that is alive",
                       path);
    if (unlink(path) != 0)
        return err_set(err, ERR_IO_ERROR, "cannot replace the stale socket unix:%s: %s", path,
                       strerror(errno));
    return 0;
}

/* Binds so that the file never has another mode than the one wanted. */
static int bind_unix(int fd, const union address *address, socklen_t size, unsigned mode)
{
    mode_t before = umask((mode_t)(0777 & ~mode));
    int status = bind(fd, &address->any, size);
    int error = errno;
    umask(before);
    errno = error;
    return status;
}

/* ---- Opening ---- */

/* Makes a listener of a bound socket; NULL when it fails. Takes fd. */
static struct listener *adopt(struct server *server, int fd, bool is_tls, struct err *err)
{
    union address address = {0};
    socklen_t size = sizeof address;
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL || getsockname(fd, &address.any, &size) != 0) {
        free(listener);
        close(fd);
        err_set(err, ERR_INTERNAL, "cannot listen: out of memory");
        return NULL;
    }
    listener->server = server;
    listener->is_unix = address.any.sa_family == AF_UNIX;
    listener->is_tls = is_tls;
    listener->is_open = is_open_to_others(&address);
    listener->asks_all = asks_all(is_tls, &server->conf);
    format_address(&address, is_tls, listener->address, sizeof listener->address);
    int error = uv_poll_init(&server->loop, &listener->poll, fd);
    if (error != 0) {
        close(fd);
        err_set(err, ERR_IO_ERROR, "cannot listen on %s: %s", listener->address,
                uv_strerror(error));
        free(listener);
        return NULL;
    }
    listener->poll.data = listener;
    listener->fd = fd;
    listener->next = server->listeners;
    server->listeners = listener;
    return listener;
}

static int open_unix(struct server *server, const struct conf_listen *listen, struct err *err)
{
    union address address = {.un = {.sun_family = AF_UNIX}};
    size_t length = strlen(listen->path);
    if (length >= sizeof address.un.sun_path)
        return fail(listen->address, ENAMETOOLONG, err);
    memcpy(address.un.sun_path, listen->path, length);
    int status = clear_path(&address, sizeof address.un, err);
    if (status != 0)
        return status;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat stat;
    if (fd < 0 || bind_unix(fd, &address, sizeof address.un, listen->mode) != 0 ||
        lstat(listen->path, &stat) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return fail(listen->address, error, err);
    }
    status = privileges_give(&server->conf, listen->path);
    if (status != 0) {
        close(fd);
        unlink(listen->path);
        return fail(listen->address, -status, err);
    }
    struct listener *listener = adopt(server, fd, false, err);
    if (listener == NULL) {
        unlink(listen->path);
        return (int)err->code;
    }
    listener->path = strdup(listen->path); /* without memory the file stays: harmless */
    listener->device = stat.st_dev;
    listener->inode = stat.st_ino;
    return 0;
}

static int open_tcp(struct server *server, const struct conf_listen *listen, struct err *err)
{
    union address address;
    socklen_t size;
    if (!parse_host(listen->host, listen->port, &address, &size) ||
        !is_allowed(&address, listen->is_tls, &server->conf))
        return refuse_address(listen->address, err);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, &address.any, size) != 0) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return fail(listen->address, error, err);
    }
    return adopt(server, fd, listen->is_tls, err) != NULL ? 0 : (int)err->code;
}

/* A socket from the service manager: it has to be of a kind, and at an address, that the
 * configuration could have named. With the name tls it is for TLS. Takes fd. */
static int open_passed(struct server *server, int fd, const char *name, struct err *err)
{
    bool is_tls = strcmp(name, "tls") == 0;
    union address address = {0};
    socklen_t size = sizeof address;
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, -1) <= 0 ||
        getsockname(fd, &address.any, &size) != 0) {
        close(fd);
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the service manager passed file descriptor %d, which is no stream socket",
                       fd);
    }
    char text[160];
    format_address(&address, is_tls, text, sizeof text);
    if (!is_allowed(&address, is_tls, &server->conf)) {
        close(fd);
        return refuse_address(text, err);
    }
    if (is_tls && (address.any.sa_family == AF_UNIX || server->certificates.context == NULL)) {
        close(fd);
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the service manager passed %s with FileDescriptorName=tls: that takes a "
                       "TCP socket, and tls_certificate and tls_key in the configuration",
                       text);
    }
    return adopt(server, fd, is_tls, err) != NULL ? 0 : (int)err->code;
}

/* Those of the configuration alone. What serves them is loaded while all files can be read. */
static int open_http(struct server *server, const struct conf *conf, struct err *err)
{
    int status = conf->http_count > 0 ? microhttpd_load(err) : 0;
    for (size_t i = 0; i < conf->http_count && status == 0; i++) {
        const struct conf_listen *listen = &conf->http[i];
        status = listen->is_unix ? open_unix(server, listen, err) : open_tcp(server, listen, err);
        if (status == 0)
            server->listeners->is_http = true;
    }
    return status;
}

static void reverse(struct server *server)
{
    struct listener *reversed = NULL;
    while (server->listeners != NULL) {
        struct listener *listener = server->listeners;
        server->listeners = listener->next;
        listener->next = reversed;
        reversed = listener;
    }
    server->listeners = reversed;
}

static void free_names(char **names, int count)
{
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

int listeners_open(struct server *server, const struct conf *conf, struct err *err)
{
    int status = 0;
    char **names = NULL;
    int passed = sd_listen_fds_with_names(1, &names);
    if (passed < 0)
        log_warning("cannot take the service manager's sockets: %s", strerror(-passed));
    for (int i = 0; i < passed && status == 0; i++)
        status = open_passed(server, SD_LISTEN_FDS_START + i, names[i], err);
    free_names(names, passed);
    if (passed > 0 && !conf->listens_replaced) {
        log_info("the service manager's sockets take the place of the configuration's");
        if (status == 0)
            status = open_http(server, conf, err);
        reverse(server);
        return status;
    }
    for (size_t i = 0; i < conf->listens_count && status == 0; i++) {
        const struct conf_listen *listen = &conf->listens[i];
        status = listen->is_unix ? open_unix(server, listen, err) : open_tcp(server, listen, err);
    }
    if (status == 0)
        status = open_http(server, conf, err);
    reverse(server);
    return status;
}

/* ---- Accepting ---- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    (void)status; /* accepting finds out what is wrong */
    (void)events;
    for (unsigned i = 0; i < ACCEPTS_MAX && uv_is_active((uv_handle_t *)poll); i++)
        if (listener->is_http ? !http_accept(listener->server, listener)
                              : !accept_connection(listener->server, listener))
            break;
}

static int start_accepting(struct server *server, struct err *err)
{
    for (struct listener *listener = server->listeners; listener != NULL;
         listener = listener->next) {
        int error = uv_poll_start(&listener->poll, UV_READABLE, on_readable);
        if (error != 0)
            return err_set(err, ERR_IO_ERROR, "cannot accept on %s: %s", listener->address,
                           uv_strerror(error));
    }
    return 0;
}

void listeners_pause(struct server *server, const char *why)
{
    if (server->accepting_pauses)
        return;
    for (struct listener *listener = server->listeners; listener != NULL; listener = listener->next)
        uv_poll_stop(&listener->poll);
    server->accepting_pauses = true;
    server->counters.accept_pauses++;
    if (log_allow(&server->pause_limit, "pauses in accepting"))
        log_warning("accepting pauses: %s; those who connect wait", why);
    server_sweep_soon(server);
}

void listeners_resume(struct server *server)
{
    struct err err;
    if (!server->accepting_pauses || !files_spare_next(server))
        return;
    server->accepting_pauses = false;
    if (start_accepting(server, &err) != 0)
        listeners_pause(server, err.text);
}

static bool fits(const struct listener *listener, const struct conf *wanted, const char **ret_need)
{
    if (listener->is_tls && wanted->tls.certificate == NULL) {
        *ret_need = "tls_certificate and tls_key";
        return false;
    }
    if (wanted->users_count > 0 || !listener->is_open || listener->is_http ||
        (listener->asks_all && asks_all(true, wanted)))
        return true;
    *ret_need = listener->asks_all ? "users, or tls_clients: required" : "users";
    return false;
}

const struct listener *listeners_find_unfit(const struct server *server, const struct conf *wanted,
                                            const char **ret_need)
{
    for (const struct listener *listener = server->listeners; listener != NULL;
         listener = listener->next)
        if (!fits(listener, wanted, ret_need))
            return listener;
    return NULL;
}

void listeners_reloaded(struct server *server)
{
    for (struct listener *listener = server->listeners; listener != NULL; listener = listener->next)
        listener->asks_all = listener->asks_all && asks_all(true, &server->conf);
}

int listeners_hold(struct server *server, struct err *err)
{
    for (struct listener *listener = server->listeners; listener != NULL; listener = listener->next)
        if (listen(listener->fd, BACKLOG) != 0)
            return fail(listener->address, errno, err);
    return 0;
}

int listeners_start(struct server *server, struct err *err)
{
    int status = listeners_hold(server, err);
    if (status == 0)
        status = start_accepting(server, err);
    if (status != 0)
        return status;
    for (struct listener *listener = server->listeners; listener != NULL; listener = listener->next)
        log_print(listener->is_http ? "serving HTTP on %s" : "listening on %s", listener->address);
    return 0;
}

/* ---- The end ---- */

static void remove_file(const struct listener *listener)
{
    struct stat stat;
    if (listener->path != NULL && lstat(listener->path, &stat) == 0 &&
        stat.st_dev == listener->device && stat.st_ino == listener->inode)
        unlink(listener->path);
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    free(listener->path);
    free(listener);
}

void listeners_close(struct server *server)
{
    while (server->listeners != NULL) {
        struct listener *listener = server->listeners;
        server->listeners = listener->next;
        remove_file(listener);
        uv_close((uv_handle_t *)&listener->poll, on_closed);
        close(listener->fd);
    }
}
