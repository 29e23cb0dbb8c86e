#include "daemon/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon/files.h"
#include "daemon/listener.h"
#include "daemon/microhttpd.h"
#include "daemon/server.h"

#define SWEEP_MS 1000

/* ---- Driving it ---- */

static void on_timer(uv_timer_t *timer)
{
    http_drive(timer->data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    http_drive(poll->data);
}

void http_drive(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG after_ms;
    if (http->is_driving)
        return; /* it goes on by itself */
    http->is_driving = true;
    (void)mhd.run(http->daemon);
    http->is_driving = false;
    if (mhd.get_timeout(http->daemon, &after_ms) == MHD_YES)
        uv_timer_start(&http->timer, on_timer, after_ms, 0);
    else
        uv_timer_stop(&http->timer);
}

/* ---- Who is connected ---- */

/* Ends those who are too slow; libmicrohttpd finds out, and closes. */
static void on_sweep(uv_timer_t *timer)
{
    struct http *http = timer->data;
    struct http_peer *peer;
    uint64_t at_ms = now_ms();
    DL_FOREACH2(http->peers, peer, next)
    if (at_ms >= peer->deadline_ms)
        (void)shutdown(peer->fd, SHUT_RDWR);
    http_drive(http);
    if (http->peers == NULL)
        uv_timer_stop(timer);
}

static struct http_peer *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void has_until(struct MHD_Connection *connection, uint64_t ms)
{
    struct http_peer *peer = peer_of(connection);
    if (peer != NULL)
        peer->deadline_ms = now_ms() + ms;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **ret_peer,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = context;
    struct http_peer *peer = *ret_peer;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        http->peers_count--;
        if (peer != NULL)
            DL_DELETE2(http->peers, peer, previous, next);
        free(peer);
        return;
    }
    http->peers_count++;
    *ret_peer = peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return; /* libmicrohttpd's own timeout is left */
    peer->fd = mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    peer->deadline_ms = now_ms() + HTTP_REQUEST_MS;
    DL_APPEND2(http->peers, peer, previous, next);
    if (!uv_is_active((uv_handle_t *)&http->sweep))
        uv_timer_start(&http->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

bool http_accept(struct server *server, struct listener *listener)
{
    struct http *http = &server->http;
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    socklen_t size = sizeof address;
    int fd =
        accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            listeners_pause(server, strerror(errno));
        return false;
    }
    if (http->peers_count >= HTTP_CONNECTIONS_MAX || !files_spare_connection(server, fd)) {
        if (log_allow(&http->refuse_limit, "refused HTTP connections"))
            log_warning("%s: an HTTP connection is refused: %u are open, or file descriptors are "
                        "short",
                        listener->address, http->peers_count);
        close(fd);
        return true;
    }
    address.ss_family = listener->is_unix ? AF_UNIX : address.ss_family;
    if (mhd.add_connection(http->daemon, fd, (struct sockaddr *)&address, size) != MHD_YES)
        log_debug("%s: an HTTP connection came to nothing", listener->address); /* and is closed */
    http_drive(http);
    return true;
}

/* ---- Answers ---- */

void http_answer(struct visit *visit, unsigned code, const char *type, struct textbuf *body)
{
    static const char sorry[] = "out of memory\n";
    visit->code = code;
    visit->type = type;
    if (body != NULL && !body->has_failed) {
        visit->body = *body;
        *body = (struct textbuf){0};
    } else {
        visit->code = MHD_HTTP_INTERNAL_SERVER_ERROR;
        visit->type = "text/plain; charset=utf-8";
        textbuf_put(&visit->body, sorry);
    }
    visit->is_ready = true;
    if (visit->is_ordered)
        mhd.resume_connection(visit->connection);
}

/* What is shown is of now, is nobody else's, and no browser is to make anything else of it. */
static void add_headers(const struct visit *visit, struct MHD_Response *response)
{
    const char *policy = visit->http->sheets.policy;
    (void)mhd.add_response_header(response, "Content-Type", visit->type);
    (void)mhd.add_response_header(response, "Cache-Control", "no-store");
    (void)mhd.add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)mhd.add_response_header(response, "Referrer-Policy", "no-referrer");
    (void)mhd.add_response_header(response, "Content-Security-Policy",
                                  strncmp(visit->type, "text/html", 9) == 0 && policy != NULL
                                      ? policy
                                      : "default-src 'none'");
    if (visit->code == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)mhd.add_response_header(response, "Allow", "GET, HEAD");
}

static enum MHD_Result send_answer(struct visit *visit)
{
    struct MHD_Response *response =
        mhd.create_response_from_buffer(visit->body.used, visit->body.bytes, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        return MHD_NO;
    visit->body = (struct textbuf){0}; /* the response's now */
    add_headers(visit, response);
    enum MHD_Result result = mhd.queue_response(visit->connection, visit->code, response);
    mhd.destroy_response(response);
    return result;
}

static void refuse(struct visit *visit, unsigned code, const char *sentence)
{
    struct textbuf text = {0};
    textbuf_put(&text, sentence);
    http_answer(visit, code, "text/plain; charset=utf-8", &text);
}

/* ---- Requests ---- */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return mhd.lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool is_numeric(const char *host, size_t length)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr in4;
    struct in6_addr in6;
    if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    if (length >= sizeof text)
        return false;
    memcpy(text, host, length);
    text[length] = '\0';
    return inet_pton(AF_INET, text, &in4) == 1 || inet_pton(AF_INET6, text, &in6) == 1;
}

/* A page elsewhere can have its own name mean 127.0.0.1, and would be let read what it finds there:
 * over TCP the server is asked for by number, or as localhost. */
static bool is_for_us(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const char *host = header(connection, "Host");
    if (host == NULL || (info != NULL && info->client_addr->sa_family == AF_UNIX))
        return true;
    size_t length = strlen(host), end = length;
    while (end > 0 && host[end - 1] >= '0' && host[end - 1] <= '9')
        end--;
    if (end > 0 && end < length && host[end - 1] == ':' && host[0] != ':')
        length = end - 1;
    return (length == strlen("localhost") && strncasecmp(host, "localhost", length) == 0) ||
           is_numeric(host, length);
}

static bool has_body(struct MHD_Connection *connection)
{
    const char *length = header(connection, "Content-Length");
    return header(connection, "Transfer-Encoding") != NULL ||
           (length != NULL && strcmp(length, "0") != 0);
}

/* What is wrong with the request as such is answered before anything else of it is read. */
static bool is_fit(struct visit *visit, const char *method)
{
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        refuse(visit, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD: nothing is changed here\n");
    else if (has_body(visit->connection))
        refuse(visit, MHD_HTTP_BAD_REQUEST, "a request has no body here\n");
    else if (!is_for_us(visit->connection))
        refuse(visit, 421,
               "Host must be localhost or an address in numbers; a proxy in front sets it\n");
    return !visit->is_ready;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *body, size_t *body_size, void **ret_visit)
{
    struct http *http = context;
    struct visit *visit = *ret_visit;
    (void)version, (void)body;
    if (visit == NULL) {
        *ret_visit = visit = calloc(1, sizeof *visit);
        if (visit == NULL)
            return MHD_NO;
        visit->http = http;
        visit->connection = connection;
        http->requests++;
        return is_fit(visit, method) ? MHD_YES : send_answer(visit);
    }
    if (*body_size > 0)
        return MHD_NO; /* it said that there was none */
    if (visit->is_ready)
        return send_answer(visit);
    has_until(connection, HTTP_ANSWER_MS);
    sheet_visit(visit, path);
    if (visit->is_ready)
        return send_answer(visit);
    visit->is_ordered = true;
    mhd.suspend_connection(connection);
    return MHD_YES;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **ret_visit,
                         enum MHD_RequestTerminationCode code)
{
    struct visit *visit = *ret_visit;
    (void)context, (void)code;
    has_until(connection, HTTP_REQUEST_MS);
    if (visit == NULL)
        return;
    textbuf_release(&visit->body);
    free(visit);
    *ret_visit = NULL;
}

static void on_message(void *context, const char *format, va_list arguments)
{
    char text[256];
    (void)context;
    if (!log_has_level(LOG_LEVEL_DEBUG))
        return;
    int length = vsnprintf(text, sizeof text, format, arguments);
    while (length > 0 && (size_t)length < sizeof text && text[length - 1] == '\n')
        text[--length] = '\0';
    log_debug("http: %s", text);
}

/* ---- The beginning and the end ---- */

static bool is_wanted(const struct server *server)
{
    for (const struct listener *listener = server->listeners; listener != NULL;
         listener = listener->next)
        if (listener->is_http)
            return true;
    return false;
}

int http_start(struct server *server, struct err *err)
{
    struct http *http = &server->http;
    if (!is_wanted(server))
        return 0;
    http->server = server;
    http->daemon = mhd.start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0,
        NULL, NULL, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(HTTP_ANSWER_MS / 1000), MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, http, MHD_OPTION_END);
    if (http->daemon == NULL)
        return err_set(err, ERR_INTERNAL, "cannot serve HTTP: libmicrohttpd does not start: %s",
                       strerror(errno));
    int fd = mhd.get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int error = uv_poll_init(&server->loop, &http->poll, fd);
    if (error != 0) {
        mhd.stop_daemon(http->daemon);
        http->daemon = NULL;
        return err_set(err, ERR_INTERNAL, "cannot serve HTTP: %s", uv_strerror(error));
    }
    uv_timer_init(&server->loop, &http->timer);
    uv_timer_init(&server->loop, &http->sweep);
    http->poll.data = http->timer.data = http->sweep.data = http;
    sheets_init(&http->sheets, http);
    uv_poll_start(&http->poll, UV_READABLE, on_ready);
    return 0;
}

void http_stop(struct server *server)
{
    struct http *http = &server->http;
    if (http->daemon == NULL)
        return;
    sheets_release(http);
    uv_close((uv_handle_t *)&http->poll, NULL);
    uv_close((uv_handle_t *)&http->timer, NULL);
    uv_close((uv_handle_t *)&http->sweep, NULL);
    mhd.stop_daemon(http->daemon);
    http->daemon = NULL;
}
