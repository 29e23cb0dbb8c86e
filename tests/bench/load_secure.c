/* TLS around the sockets of the load generator. It takes any certificate: who is measured is known.
 */
#include <errno.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "load.h"
#include "proto/tls.h"

static SSL_CTX *context;
static struct tls_pool pool;
static uint8_t received[262144]; /* of all connections: it is decrypted before the next one's */

/* False where the socket takes no more now. */
static bool push(int fd, struct tls *tls)
{
    const uint8_t *bytes;
    size_t size;
    while ((bytes = tls_waiting(tls, &size)) != NULL) {
        ssize_t count = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (count < 0)
            die("%s: send: %s", options.server, strerror(errno));
        tls_sent(tls, (size_t)count);
    }
    return true;
}

static void shake_hands(int fd, struct tls *tls)
{
    uint8_t byte;
    size_t got;
    while (tls_read(tls, &byte, sizeof byte, &got) == TLS_MORE) {
        while (!push(fd, tls))
            ;
        if (tls_is_open(tls))
            return;
        ssize_t count = recv(fd, received, sizeof received, 0);
        if (count <= 0)
            break;
        tls_feed(tls, received, (size_t)count);
    }
    die("%s: no handshake: %s", options.server, tls_reason(tls));
}

static void show_certificate(void)
{
    if (options.certificate == NULL || options.key == NULL)
        return;
    if (SSL_CTX_use_certificate_chain_file(context, options.certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, options.key, SSL_FILETYPE_PEM) != 1)
        die("%s, %s: no certificate with its key", options.certificate, options.key);
}

struct tls *secure_open(int fd)
{
    if (context == NULL) {
        context = need(SSL_CTX_new(TLS_client_method()));
        show_certificate();
    }
    struct tls *tls = need(tls_new_client(context, &pool));
    shake_hands(fd, tls);
    return tls;
}

ssize_t secure_receive(int fd, struct tls *tls, uint8_t *room, size_t size)
{
    size_t got = 0;
    enum tls_status status = tls_read(tls, room, size, &got);
    if (status == TLS_MORE) {
        ssize_t count = recv(fd, received, sizeof received, MSG_DONTWAIT);
        if (count <= 0)
            return count;
        tls_feed(tls, received, (size_t)count);
        status = tls_read(tls, room, size, &got);
    }
    if (status == TLS_FAILED)
        die("%s: %s", options.server, tls_reason(tls));
    if (status == TLS_MORE)
        errno = EAGAIN; /* half a record */
    return status == TLS_MORE ? -1 : (ssize_t)got;
}

ssize_t secure_send(int fd, struct tls *tls, const struct iovec *pieces, size_t count)
{
    size_t taken = 0;
    if (push(fd, tls) && tls_write(tls, pieces, (unsigned)count, TLS_CHUNK, &taken) == TLS_FAILED)
        die("%s: %s", options.server, tls_reason(tls));
    if (push(fd, tls) || taken > 0)
        return (ssize_t)taken;
    errno = EAGAIN;
    return -1;
}

bool secure_has_output(const struct tls *tls)
{
    size_t size;
    return tls_waiting(tls, &size) != NULL;
}
