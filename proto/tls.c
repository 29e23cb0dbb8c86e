#include "proto/tls.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The most that a record is on the network: what is longer is more than one. */
#define RECORD_MAX (5 + TLS_RECORD + 2048)

struct tls {
    SSL *ssl;
    struct tls_pool *pool;
    const uint8_t *in; /* of what was fed, the rest */
    size_t in_size;
    uint8_t header[5]; /* of the record that OpenSSL has begun to read */
    size_t header_size;
    size_t record_left; /* bytes of it behind the header */
    uint8_t *kept;      /* its memory, where it is our own */
    size_t kept_size;
    struct tls_out *out; /* NULL while nothing waits */
    size_t out_start, out_end;
    bool is_server;
    bool has_begun; /* something was fed */
    bool is_open;
    bool is_refused;
    bool is_flooded; /* more was to wait than fits */
    bool has_failed;
    bool has_ended; /* our end */
    bool peer_ended;
    bool is_told; /* tls_read has returned the peer's end, or the failure */
    char reason[TLS_REASON_SIZE];
};

/* ---- Buffers ---- */

void tls_pool_release(struct tls_pool *pool)
{
    while (pool->free != NULL) {
        struct tls_out *out = pool->free;
        pool->free = out->next;
        free(out);
    }
    pool->free_count = 0;
}

static struct tls_out *take_out(struct tls_pool *pool)
{
    struct tls_out *out = pool->free;
    if (out == NULL)
        return malloc(sizeof *out);
    pool->free = out->next;
    pool->free_count--;
    return out;
}

static void give_out(struct tls_pool *pool, struct tls_out *out)
{
    if (out == NULL)
        return;
    if (pool->free_count == TLS_OUTS_KEPT) {
        free(out);
        return;
    }
    out->next = pool->free;
    pool->free = out;
    pool->free_count++;
}

static void drop_input(struct tls *tls)
{
    free(tls->kept);
    tls->kept = NULL;
    tls->kept_size = 0;
    tls->in = NULL;
    tls->in_size = 0;
}

/* ---- What OpenSSL takes for its network ---- */

static int on_write(BIO *bio, const char *bytes, int size)
{
    struct tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    if (tls->out == NULL)
        tls->out = take_out(tls->pool);
    if (tls->out == NULL || TLS_OUT_SIZE - tls->out_end < (size_t)size) {
        tls->is_flooded = tls->out != NULL;
        return -1;
    }
    memcpy(tls->out->bytes + tls->out_end, bytes, (size_t)size);
    tls->out_end += (size_t)size;
    return size;
}

/* Type and version, then the length; OpenSSL finds out whether they are well. */
static void follow_records(struct tls *tls, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t part;
        if (tls->header_size < sizeof tls->header) {
            part = 1;
            tls->header[tls->header_size++] = *bytes;
            if (tls->header_size == sizeof tls->header)
                tls->record_left = (size_t)tls->header[3] << 8 | tls->header[4];
        } else {
            part = size < tls->record_left ? size : tls->record_left;
            tls->record_left -= part;
        }
        if (tls->header_size == sizeof tls->header && tls->record_left == 0)
            tls->header_size = 0;
        bytes += part;
        size -= part;
    }
}

static int on_read(BIO *bio, char *bytes, int size)
{
    struct tls *tls = BIO_get_data(bio);
    size_t part = size > 0 && (size_t)size < tls->in_size ? (size_t)size : tls->in_size;
    BIO_clear_retry_flags(bio);
    if (part == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(bytes, tls->in, part);
    follow_records(tls, tls->in, part);
    tls->in += part;
    tls->in_size -= part;
    if (tls->in_size == 0)
        drop_input(tls);
    return (int)part;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH; /* the only thing that it can do */
}

static CRYPTO_ONCE method_once = CRYPTO_ONCE_STATIC_INIT;
static BIO_METHOD *method;

static void make_method(void)
{
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mregion");
    if (made == NULL)
        return;
    BIO_meth_set_write(made, on_write);
    BIO_meth_set_read(made, on_read);
    BIO_meth_set_ctrl(made, on_control);
    method = made;
}

static BIO *make_bio(struct tls *tls)
{
    if (!CRYPTO_THREAD_run_once(&method_once, make_method) || method == NULL)
        return NULL;
    BIO *bio = BIO_new(method);
    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    return bio;
}

/* ---- Beginning and end ---- */

/* Whether OpenSSL frees the buffer of a record, and with it what was decrypted there, after it: not
 * when the next record is coming. */
static void give_back_buffers(const struct tls *tls, bool does)
{
    if (does)
        SSL_set_mode(tls->ssl, SSL_MODE_RELEASE_BUFFERS);
    else
        SSL_clear_mode(tls->ssl, SSL_MODE_RELEASE_BUFFERS);
}

static struct tls *new_session(SSL_CTX *context, struct tls_pool *pool)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return NULL;
    BIO *bio = make_bio(tls);
    tls->pool = pool;
    tls->ssl = bio == NULL ? NULL : SSL_new(context);
    if (tls->ssl == NULL) {
        BIO_free(bio);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    /* Bytes that were taken are sent, whatever is offered next, and from wherever it is then. */
    SSL_set_mode(tls->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    give_back_buffers(tls, true);
    return tls;
}

struct tls *tls_new_server(SSL_CTX *context, struct tls_pool *pool)
{
    struct tls *tls = new_session(context, pool);
    if (tls != NULL) {
        tls->is_server = true;
        SSL_set_accept_state(tls->ssl);
    }
    return tls;
}

struct tls *tls_new_client(SSL_CTX *context, struct tls_pool *pool)
{
    struct tls *tls = new_session(context, pool);
    if (tls != NULL)
        SSL_set_connect_state(tls->ssl);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    drop_input(tls);
    give_out(tls->pool, tls->out);
    free(tls);
}

SSL *tls_ssl(const struct tls *tls)
{
    return tls->ssl;
}

bool tls_is_open(const struct tls *tls)
{
    return tls->is_open;
}

bool tls_has_ended(const struct tls *tls)
{
    return tls->has_ended || tls->has_failed;
}

bool tls_is_refused(const struct tls *tls)
{
    return tls->is_refused;
}

const char *tls_reason(const struct tls *tls)
{
    return tls->reason;
}

/* ---- Failures ---- */

/* What OpenSSL says in the words of the protocol, for people. */
static const char *in_words(unsigned long error)
{
    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return NULL;
    switch (ERR_GET_REASON(error)) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "it has shown no certificate, and must";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
        return "it wants an older version of TLS than is spoken here";
    case SSL_R_NO_SHARED_CIPHER:
        return "it has no cipher in common with us";
    case SSL_R_HTTP_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
        return "it does not speak TLS";
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
        return "bytes were changed on their way";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return "it wants to see a certificate, and there is none";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return "it could not agree on version, cipher and certificates";
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "it speaks none of the versions of TLS that are offered";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return "it does not know the authority of the certificate that it was shown";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        return "it says that the certificate that it was shown has expired";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
        return "it does not accept the certificate that it was shown";
    default:
        return NULL;
    }
}

void tls_error_text(char *text, size_t size)
{
    unsigned long error = ERR_peek_last_error();
    const char *words = in_words(error);
    if (words == NULL)
        words = error == 0 ? NULL : ERR_reason_error_string(error);
    snprintf(text, size, "%s", words != NULL ? words : "out of memory");
    ERR_clear_error();
}

/* An alert by which the peer turns our certificate down, or asks for one. */
static bool is_refusal(unsigned long error)
{
    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return false;
    switch (ERR_GET_REASON(error)) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
        return true;
    default:
        return false;
    }
}

static enum tls_status fail(struct tls *tls)
{
    unsigned long error = ERR_peek_last_error();
    long verified = SSL_get_verify_result(tls->ssl);
    tls->is_refused = is_refusal(error);
    if (tls->is_flooded)
        snprintf(tls->reason, sizeof tls->reason, "it does not take what it asks for");
    else if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
             ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        snprintf(tls->reason, sizeof tls->reason, "its certificate is not accepted: %s",
                 X509_verify_cert_error_string(verified));
    else
        tls_error_text(tls->reason, sizeof tls->reason);
    ERR_clear_error();
    tls->has_failed = true;
    drop_input(tls);
    return TLS_FAILED;
}

/* A record of an alert, so that whoever does not speak TLS gets what no other protocol begins with,
 * and whoever tries to finds out. */
static void refuse_plain(struct tls *tls)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2 /* fatal */, 10 /* unexpected message */};
    snprintf(tls->reason, sizeof tls->reason,
             "it does not speak TLS, which is spoken here: its address has to begin with tls:");
    (void)on_write(SSL_get_wbio(tls->ssl), (const char *)alert, sizeof alert);
    tls->has_failed = true;
    drop_input(tls);
}

/* After a call of OpenSSL that did not succeed. */
static enum tls_status status_of(struct tls *tls, int result)
{
    switch (SSL_get_error(tls->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        tls->peer_ended = true;
        drop_input(tls);
        return TLS_ENDED;
    default:
        return fail(tls);
    }
}

/* ---- In ---- */

void tls_feed(struct tls *tls, const void *bytes, size_t size)
{
    assert(tls->in_size == 0);
    if (tls->has_failed || tls->peer_ended)
        return;
    tls->in = bytes;
    tls->in_size = size;
}

bool tls_keep(struct tls *tls)
{
    if (tls->in_size == 0 || tls->kept != NULL)
        return true;
    uint8_t *kept = malloc(tls->in_size);
    if (kept == NULL)
        return false;
    memcpy(kept, tls->in, tls->in_size);
    tls->in = tls->kept = kept;
    tls->kept_size = tls->in_size;
    return true;
}

size_t tls_held(const struct tls *tls)
{
    return tls->kept_size + (tls->out != NULL ? TLS_OUT_SIZE : 0);
}

bool tls_has_input(const struct tls *tls)
{
    if (tls->has_failed || tls->peer_ended)
        return !tls->is_told;
    return tls->in_size > 0 || SSL_pending(tls->ssl) > 0;
}

bool tls_is_within_record(const struct tls *tls)
{
    return tls->header_size > 0;
}

/* The first record of a client is a handshake; whatever else comes, no byte of it is looked at. */
static bool begins_well(struct tls *tls)
{
    if (tls->has_begun || tls->in_size == 0)
        return true;
    tls->has_begun = true;
    return !tls->is_server || tls->in[0] == 0x16;
}

/* Once the handshake is through OpenSSL is asked only when there is something to be had: that it
 * finds nothing takes as long as a small record does. */
static bool may_have_more(const struct tls *tls)
{
    return !tls->is_open || tls->peer_ended || tls->in_size > 0 || SSL_pending(tls->ssl) > 0;
}

enum tls_status tls_read(struct tls *tls, void *room, size_t size, size_t *ret_size)
{
    enum tls_status status = TLS_MORE;
    size_t filled = 0;
    if (!tls->has_failed && !begins_well(tls))
        refuse_plain(tls);
    if (tls->has_failed) {
        tls->is_told = true;
        return TLS_FAILED;
    }
    ERR_clear_error();
    while (filled < size && may_have_more(tls)) {
        size_t got;
        give_back_buffers(tls, tls->in_size <= RECORD_MAX);
        int result = SSL_read_ex(tls->ssl, (uint8_t *)room + filled, size - filled, &got);
        if (result <= 0) {
            status = status_of(tls, result);
            break;
        }
        filled += got;
    }
    /* Not the other way around: what changes keys later is a handshake to OpenSSL, too. */
    tls->is_open = tls->is_open || SSL_is_init_finished(tls->ssl);
    /* An end or a failure shows again when it is asked for the next time. */
    if (filled == 0) {
        tls->is_told = status != TLS_MORE;
        return status;
    }
    *ret_size = filled;
    return TLS_BYTES;
}

/* ---- Out ---- */

/* Up to TLS_RECORD bytes in one run, from offset on: where they are, or gathered from small
 * pieces. */
static const uint8_t *next_record(struct tls *tls, const struct iovec *pieces, unsigned count,
                                  size_t offset, size_t *ret_size)
{
    size_t filled = 0;
    for (unsigned i = 0; i < count && filled < TLS_RECORD; i++) {
        if (offset >= pieces[i].iov_len) {
            offset -= pieces[i].iov_len;
            continue;
        }
        const uint8_t *bytes = (const uint8_t *)pieces[i].iov_base + offset;
        size_t left = pieces[i].iov_len - offset, room = TLS_RECORD - filled;
        if (filled == 0 && (left >= TLS_RECORD || i + 1 == count)) {
            *ret_size = left < TLS_RECORD ? left : TLS_RECORD;
            return bytes;
        }
        size_t part = left < room ? left : room;
        memcpy(tls->pool->record + filled, bytes, part);
        filled += part;
        offset = 0;
    }
    *ret_size = filled;
    return tls->pool->record;
}

static size_t total(const struct iovec *pieces, unsigned count, size_t most)
{
    size_t size = 0;
    for (unsigned i = 0; i < count && size < most; i++)
        size += pieces[i].iov_len;
    return size < most ? size : most;
}

enum tls_status tls_write(struct tls *tls, const struct iovec *pieces, unsigned count, size_t most,
                          size_t *ret_taken)
{
    size_t taken = 0;
    assert(most <= TLS_CHUNK);
    if (tls->has_failed)
        return TLS_FAILED;
    *ret_taken = 0;
    if (tls->out_end > 0 || !tls_is_open(tls) || tls->has_ended)
        return TLS_MORE;
    ERR_clear_error();
    most = total(pieces, count, most);
    while (taken < most) {
        size_t size, written;
        const uint8_t *bytes = next_record(tls, pieces, count, taken, &size);
        size = size < most - taken ? size : most - taken;
        give_back_buffers(tls, taken + size == most);
        int result = SSL_write_ex(tls->ssl, bytes, size, &written);
        if (result <= 0)
            return fail(tls); /* nothing can be in its way */
        taken += written;
    }
    *ret_taken = taken;
    return TLS_BYTES;
}

void tls_end(struct tls *tls)
{
    if (tls_has_ended(tls))
        return;
    tls->has_ended = true;
    if (!tls_is_open(tls))
        return; /* there is nobody yet to say it to */
    (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

const uint8_t *tls_waiting(const struct tls *tls, size_t *ret_size)
{
    *ret_size = tls->out_end - tls->out_start;
    return *ret_size == 0 ? NULL : tls->out->bytes + tls->out_start;
}

void tls_sent(struct tls *tls, size_t size)
{
    assert(size <= tls->out_end - tls->out_start);
    tls->out_start += size;
    if (tls->out_start < tls->out_end)
        return;
    give_out(tls->pool, tls->out);
    tls->out = NULL;
    tls->out_start = tls->out_end = 0;
}
