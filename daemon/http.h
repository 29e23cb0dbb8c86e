/* HTTP, for those who watch the server from outside: libmicrohttpd, driven by the server's own
 * loop, without a thread.
 *
 * Its epoll descriptor is one of those that the loop waits for; its timeouts are a timer. It reads
 * requests and writes answers, a sheet (sheet.h) says what is in them. Whoever asks for something
 * that takes longer is suspended until it is there.
 *
 * Who connects here is bounded in everything: connections, memory for each, bytes of a request,
 * time to send one and to take its answer. Only GET and HEAD are there. Loop thread. */
#ifndef MREGION_DAEMON_HTTP_H
#define MREGION_DAEMON_HTTP_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/err.h"
#include "daemon/log.h"
#include "daemon/sheet.h"
#include "daemon/textbuf.h"

struct listener;
struct server;

/* A scraper, some browsers with a few connections each, health checks. */
#define HTTP_CONNECTIONS_MAX 64
/* Of a request's header and its parts, and of what is sent at a time. */
#define HTTP_CONNECTION_MEMORY ((size_t)32 * 1024)
/* From connecting, or the end of the answer before, until a request is whole; then until its answer
 * is taken. */
#define HTTP_REQUEST_MS 10000
#define HTTP_ANSWER_MS 30000

/* A request, until it is answered. */
struct visit {
    struct http *http;
    struct MHD_Connection *connection;
    struct visit *next; /* of those that wait for a sheet */
    struct sheet_order order;
    bool is_ordered;
    bool is_ready; /* the answer is there: */
    unsigned code;
    const char *type;
    struct textbuf body;
};

/* One who is connected. */
struct http_peer {
    struct http_peer *previous, *next;
    int fd;
    uint64_t deadline_ms;
};

struct http {
    struct server *server;
    struct MHD_Daemon *daemon; /* NULL: there is none */
    uv_poll_t poll;
    uv_timer_t timer; /* its timeouts */
    uv_timer_t sweep; /* runs while somebody is connected */
    bool is_driving;
    struct http_peer *peers;
    unsigned peers_count;
    uint64_t requests; /* since the start */
    struct log_limit refuse_limit;
    struct sheets sheets;
};

/* Gets ready, where the server has listeners for HTTP. ERR_INTERNAL. */
int http_start(struct server *server, struct err *err);
/* Accepts one who waits; false when there was none. */
bool http_accept(struct server *server, struct listener *listener);
/* Ends all of it; workers have ended before. Harmless where it was not started. */
void http_stop(struct server *server);

/* For sheets: the visit's answer is there, and goes out. Takes the text; NULL: there was no memory
 * for it. */
void http_answer(struct visit *visit, unsigned code, const char *type, struct textbuf *body);
/* Goes on with those that were answered. */
void http_drive(struct http *http);

#endif
