/* One end of a TLS connection between two buffers: bytes of the network go in and come out, bytes
 * of the conversation go in and come out, and nobody here knows of sockets. The daemon has a
 * server's end, libmregion a client's.
 *
 *     network ── tls_feed ──► │ │ ── tls_read ──►  conversation
 *             ◄─ tls_waiting  │ │ ◄─ tls_write
 *
 * The handshake happens inside of tls_read and tls_write. Both may leave bytes for the network, and
 * so may an end; whoever called one of them looks at tls_waiting.
 *
 * Bounded: what waits for the network is at most TLS_OUT_SIZE bytes, because tls_write takes
 * nothing before all of them have left, and a peer that provokes more by other means than that has
 * failed. What was fed is borrowed until tls_keep. Any thread, one at a time, also for all sessions
 * that share a pool. */
#ifndef MREGION_PROTO_TLS_H
#define MREGION_PROTO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ssl_st;
struct ssl_ctx_st;

/* The most plaintext that goes into one record. */
#define TLS_RECORD ((size_t)16 * 1024)
/* What is encrypted at a time, at most: enough for one write to the socket to be worth it, and
 * little enough for the bytes to be in the processor's cache when that happens. */
#define TLS_CHUNK (8 * TLS_RECORD)
/* The same where nobody else has something to do: the peer decrypts this while the next is
 * encrypted. */
#define TLS_CHUNK_ALONE (2 * TLS_RECORD)
/* TLS_CHUNK as records, and room for what the protocol itself has to say. */
#define TLS_OUT_SIZE (TLS_CHUNK + (size_t)8 * 1024)
/* Kept for reuse. */
#define TLS_OUTS_KEPT 16
/* For a sentence. */
#define TLS_REASON_SIZE 256

/* The buffers that sessions have while something waits in them: an idle one has none. */
struct tls_out {
    struct tls_out *next;
    uint8_t bytes[TLS_OUT_SIZE];
};

struct tls_pool {
    struct tls_out *free;
    unsigned free_count;
    uint8_t record[TLS_RECORD]; /* small pieces become one record here */
};

void tls_pool_release(struct tls_pool *pool);

struct tls;

/* Both NULL without memory. The context is borrowed for the call: the session has a reference of
 * its own. The pool is borrowed until tls_free. */
struct tls *tls_new_server(struct ssl_ctx_st *context, struct tls_pool *pool);
struct tls *tls_new_client(struct ssl_ctx_st *context, struct tls_pool *pool);
/* NULL is fine. */
void tls_free(struct tls *tls);

/* For what is to be set before the handshake, and asked afterwards. */
struct ssl_st *tls_ssl(const struct tls *tls);

/* Bytes from the network, borrowed until they are read or tls_keep; all that was fed before must be
 * read. */
void tls_feed(struct tls *tls, const void *bytes, size_t size);
/* What is left of them moves to memory of the session's own. False without memory. */
bool tls_keep(struct tls *tls);
/* Bytes of memory that this takes, and what waits for the network. */
size_t tls_held(const struct tls *tls);
/* Whether tls_read may have something without being fed. */
bool tls_has_input(const struct tls *tls);

/* Whether a record has come in part, so that tls_read shows nothing of it yet. */
bool tls_is_within_record(const struct tls *tls);

enum tls_status {
    TLS_MORE,   /* nothing now: feed it, or send what waits */
    TLS_BYTES,  /* *ret_size of them, at least 1 */
    TLS_ENDED,  /* the peer has said that nothing more comes; one may still write */
    TLS_FAILED, /* no more of anything: tls_reason says why, and an alert may wait for the network
                 */
};
enum tls_status tls_read(struct tls *tls, void *room, size_t size, size_t *ret_size);

/* Encrypts the beginning of the pieces, up to most bytes (TLS_CHUNK or less); 0 while something
 * waits for the network or the handshake is not through. *ret_taken is set unless it has failed. */
enum tls_status tls_write(struct tls *tls, const struct iovec *pieces, unsigned count, size_t most,
                          size_t *ret_taken);

/* Says that nothing more is written. Once; something may wait then. */
void tls_end(struct tls *tls);

/* What is to be sent; NULL and 0 when there is nothing. It stays where it is until it is sent. */
const uint8_t *tls_waiting(const struct tls *tls, size_t *ret_size);
void tls_sent(struct tls *tls, size_t size);

/* Whether the handshake is through. */
bool tls_is_open(const struct tls *tls);
/* Whether tls_end was called, or would have no effect. */
bool tls_has_ended(const struct tls *tls);
/* Whether it has failed because the peer wants another certificate of ours. */
bool tls_is_refused(const struct tls *tls);
/* A sentence without a full stop. */
const char *tls_reason(const struct tls *tls);

/* Whether a stream begins as TLS does. */
static inline bool tls_is_hello(const uint8_t *bytes, size_t size)
{
    return size >= 2 && bytes[0] == 0x16 && bytes[1] == 3;
}

/* The last error of OpenSSL in this thread, in words; empties its queue. */
void tls_error_text(char *text, size_t size);

#endif
