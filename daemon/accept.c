#include "daemon/accept.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon/conn.h"
#include "daemon/files.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/server.h"

/* After so long without a byte the kernel asks whether the peer is still there: a machine that lost
 * its power does not say that it goes, and would be connected for ever. */
#define KEEPALIVE_S 300

static void name_unix_peer(struct conn *conn, int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        peer = (struct ucred){0};
    conn->is_private = true;
    snprintf(conn->peer, sizeof conn->peer, "connection %" PRIu64 " (unix, uid %u, gid %u, pid %d)",
             conn->number, peer.uid, peer.gid, peer.pid);
}

/* Also in the form that it has on a socket for both families. */
static bool is_loopback6(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

static void name_tcp_peer(struct conn *conn, bool is_tls)
{
    struct sockaddr_storage address = {0};
    int size = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (uv_tcp_getpeername(&conn->handle.tcp, (struct sockaddr *)&address, &size) == 0) {
        if (address.ss_family == AF_INET6) {
            const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
            inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
            port = ntohs(in6->sin6_port);
            conn->is_private = is_loopback6(&in6->sin6_addr);
        } else {
            const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;
            inet_ntop(AF_INET, &in4->sin_addr, host, sizeof host);
            port = ntohs(in4->sin_port);
            conn->is_private = ntohl(in4->sin_addr.s_addr) >> 24 == 127;
        }
    }
    if (is_tls)
        conn->is_private = true;
    snprintf(conn->peer, sizeof conn->peer, "connection %" PRIu64 " (%s, %s port %u)", conn->number,
             is_tls ? "tls" : "tcp", host, port);
}

/* Closes the one that is nobody's for the longest time, to make room: who only connects must not
 * keep out those who are known. False where there is none but this one. */
static bool make_room(const struct conn *conn)
{
    struct server *server = conn->server;
    struct conn *other;
    if (server->conf.users_count == 0)
        return false;
    DL_FOREACH2(server->conns, other, next)
    if (other != conn && other->identity.user == NULL && other->held == NULL)
        break;
    if (other == NULL)
        return false;
    server->counters.connections_refused++;
    if (log_allow(&server->refuse_limit, "refused connections")) {
        struct log_about about = conn_about(other);
        log_warning_about(&about,
                          "%s: closed: it is not known as a user's, and max_connections, %" PRIu64
                          ", are open",
                          other->peer, server->conf.max_connections);
    }
    conn_close(other);
    return true;
}

static void refuse(struct conn *conn, const char *limit, uint64_t most)
{
    struct server *server = conn->server;
    server->counters.connections_refused++;
    struct log_about about = conn_about(conn);
    if (log_allow(&server->refuse_limit, "refused connections"))
        log_warning_about(&about, "%s: refused: %s, %" PRIu64 ", are open", conn->peer, limit,
                          most);
    conn_close(conn);
}

/* Of its peer. */
static bool is_one_too_many(const struct conn *conn)
{
    uint64_t most = conn->server->conf.max_connections_per_peer;
    return most > 0 && conn->origin->conns > most;
}

/* Opens an accepted connection, or closes it at once where there are too many. */
static void admit(struct conn *conn, int fd, const struct listener *listener)
{
    struct server *server = conn->server;
    bool is_unix = listener->is_unix;
    if (is_unix)
        name_unix_peer(conn, fd);
    else
        name_tcp_peer(conn, listener->is_tls);
    struct log_about about = conn_about(conn);
    if (server->conns_count > server->conf.max_connections && !make_room(conn)) {
        refuse(conn, "max_connections", server->conf.max_connections);
        return;
    }
    conn->origin = origins_enter(&server->origins, origin_key_of_socket(fd));
    if (conn->origin == NULL || is_one_too_many(conn)) {
        refuse(conn, "max_connections_per_peer", server->conf.max_connections_per_peer);
        return;
    }
    if (!files_spare_connection(server, fd + 1))
        listeners_pause(server, "the regions need the file descriptors that are left; raise the "
                                "limit on open files, or lower max_connections");
    if (!is_unix) {
        uv_tcp_nodelay(&conn->handle.tcp, 1);
        uv_tcp_keepalive(&conn->handle.tcp, 1, KEEPALIVE_S);
    }
    if (listener->is_tls && !conn_secure(conn)) {
        log_error_about(&about, "%s: closed: out of memory for TLS", conn->peer);
        conn_close(conn);
        return;
    }
    if (log_has_level(LOG_LEVEL_DEBUG) || log_allow(&server->accept_limit, "new connections"))
        log_info_about(&about, "%s: open", conn->peer);
    access_identify(conn);
    conn_start(conn);
}

/* What accept says about a connection that went away while it waited, and not about the socket. */
static bool concerns_one(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

bool accept_connection(struct server *server, struct listener *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && !concerns_one(errno))
            listeners_pause(server, strerror(errno));
        return concerns_one(errno);
    }
    struct conn *conn = conn_new(server, listener->is_unix);
    int error = conn == NULL ? UV_ENOMEM : conn_open(conn, fd);
    if (error == 0) {
        admit(conn, fd, listener);
        return true;
    }
    close(fd);
    if (conn != NULL)
        conn_close(conn);
    server->counters.connections_refused++;
    listeners_pause(server, uv_strerror(error));
    return false;
}
