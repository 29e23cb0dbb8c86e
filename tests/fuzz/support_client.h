/* The other end of a connection: sends bytes in slices, reads as it likes, and in the end looks
 * whether what it was answered is what it may be answered. */
#ifndef MREGION_TESTS_SUPPORT_CLIENT_H
#define MREGION_TESTS_SUPPORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *base;
    size_t size, capacity;
};

/* Room for size bytes at the end, which count from now on. */
uint8_t *bytes_add(struct bytes *bytes, size_t size);

struct ssl_ctx_st;
struct tls;
struct tls_pool;

struct client {
    int fd; /* -1: it is closed, or was never open */
    bool was_open;
    bool is_watching;     /* it speaks HTTP */
    bool is_shut;         /* sends no more */
    bool wants_shut;      /* once all is sent */
    bool has_end;         /* the server has ended the stream, in order */
    bool was_dropped;     /* closed here, with whatever was on its way */
    bool is_broken;       /* by the server */
    struct bytes to_send; /* all that ever was to be sent */
    size_t sent;
    struct bytes received;
    size_t slice;    /* bytes it sends at a time */
    size_t appetite; /* bytes it reads at a time */

    struct tls *tls;        /* it speaks TLS, or NULL */
    bool has_begun;         /* with the handshake */
    bool has_tls_end;       /* the server has said that it sends no more */
    struct bytes encrypted; /* all that was to be sent then */
    size_t encrypted_sent;
};

/* Connects to the Unix socket. False: it does not listen. */
bool client_open(struct client *client, const char *path);
/* It speaks TLS from now on; nothing was sent yet. The pool is borrowed until client_release. */
void client_secure(struct client *client, struct ssl_ctx_st *context, struct tls_pool *pool);
/* One slice, one read. Whether anything moved. */
bool client_turn(struct client *client);
void client_close(struct client *client);
void client_release(struct client *client);

/* NULL, or what is wrong with the answers: not MessagePack-RPC, or not asked for, or twice; or with
 * the events. With is_complete every request has to have an answer; with sees_all he was free to
 * see all regions. */
const char *client_judge(const struct client *client, bool is_complete, bool sees_all,
                         uint64_t max_message);

#endif
