#include "client/secure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/error.h"
#include "client/step.h"
#include "proto/tls.h"

/* Received at a time. */
#define IN_SIZE ((size_t)64 << 10)
/* So often at most until somebody looks at the clock: there are records that mean nothing. */
#define PULLS_MAX 16
/* More than a key takes. */
#define KEY_FILE_MAX ((size_t)64 << 10)

struct secure {
    const struct endpoint *endpoint;
    const char *host; /* that the certificate has to name */
    char *server_name;
    SSL_CTX *context;
    bool verifies;
    struct tls *tls; /* NULL while there is no connection */
    struct tls_pool pool;
    char refusal[MREGION_ERROR_TEXT_SIZE]; /* why the server's certificate is not accepted */
    uint8_t in[IN_SIZE];
};

/* ---- Files ---- */

static int fail_file(const char *what, const char *path, struct mregion_error *error)
{
    char reason[TLS_REASON_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return error_set_system(error, MREGION_ERR_LOCAL_IO, errno, "cannot read the %s %.200s",
                                what, path);
    (void)close(fd);
    tls_error_text(reason, sizeof reason);
    return error_set(error, MREGION_ERR_LOCAL_IO, "%.200s holds no %s in PEM: %s", path, what,
                     reason);
}

/* A library must not ask a terminal. */
static int on_passphrase(char *buffer, int size, int is_writing, void *context)
{
    bool *was_asked = context;

    (void)buffer;
    (void)size;
    (void)is_writing;
    *was_asked = true;
    return -1;
}

static ssize_t read_key_file(const char *path, char *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    size_t size = 0;
    ssize_t got = fd < 0 ? -1 : 1;

    while (got > 0 && size < KEY_FILE_MAX) {
        got = read(fd, bytes + size, KEY_FILE_MAX - size);
        size += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        (void)close(fd);
    return got < 0 ? -1 : (ssize_t)size;
}

static int use_key(SSL_CTX *context, const char *path, struct mregion_error *error)
{
    char bytes[KEY_FILE_MAX];
    ssize_t size = read_key_file(path, bytes);
    bool was_asked = false;
    BIO *bio = size < 0 ? NULL : BIO_new_mem_buf(bytes, (int)size);
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, &was_asked);
    int code = MREGION_OK;

    if (key == NULL && was_asked)
        code = error_set(error, MREGION_ERR_LOCAL_IO,
                         "the key %.200s is protected by a passphrase; make one without: openssl "
                         "pkey -in FILE -out NEW",
                         path);
    else if (key == NULL)
        code = fail_file("key", path, error);
    else if (SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_check_private_key(context) != 1)
        code = error_set(error, MREGION_ERR_LOCAL_IO,
                         "the key %.200s is not that of the certificate", path);
    EVP_PKEY_free(key);
    BIO_free(bio);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return code;
}

static int use_files(SSL_CTX *context, const struct mregion_tls *options,
                     struct mregion_error *error)
{
    int code = MREGION_OK;

    if ((options->certificate == NULL) != (options->key == NULL))
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "a certificate and its key go together: one of the two is missing");
    if (options->ca == NULL ? SSL_CTX_set_default_verify_paths(context) != 1
                            : SSL_CTX_load_verify_file(context, options->ca) != 1)
        code = options->ca == NULL ? error_no_memory(error)
                                   : fail_file("certificate of an authority", options->ca, error);
    if (code == MREGION_OK && options->certificate != NULL &&
        SSL_CTX_use_certificate_chain_file(context, options->certificate) != 1)
        code = fail_file("certificate", options->certificate, error);
    if (code == MREGION_OK && options->key != NULL)
        code = use_key(context, options->key, error);
    return code;
}

/* ---- Whose certificate it is ---- */

static void append(char *text, size_t size, const char *word)
{
    size_t length = strlen(text);

    (void)snprintf(text + length, size - length, "%s%s", length == 0 ? "" : ", ", word);
}

/* The hosts that a certificate is for. */
static void list_names(X509 *certificate, char *text, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    char word[INET6_ADDRSTRLEN > 128 ? INET6_ADDRSTRLEN : 128];

    text[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS) {
            (void)snprintf(word, sizeof word, "%.*s", ASN1_STRING_length(name->d.dNSName),
                           (const char *)ASN1_STRING_get0_data(name->d.dNSName));
            append(text, size, word);
        } else if (name->type == GEN_IPADD) {
            int length = ASN1_STRING_length(name->d.iPAddress);

            /* Nobody has vouched for it yet: it may be of any length. */
            if ((length == 4 || length == 16) &&
                inet_ntop(length == 4 ? AF_INET : AF_INET6,
                          ASN1_STRING_get0_data(name->d.iPAddress), word, sizeof word) != NULL)
                append(text, size, word);
        }
    }
    GENERAL_NAMES_free(names);
    /* An old one has its host where others have a name of any kind. */
    if (text[0] == '\0' && X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                                                     NID_commonName, text, (int)size) <= 0)
        (void)snprintf(text, size, "no host at all");
}

static void format_time(const ASN1_TIME *time, char *text, size_t size)
{
    struct tm parts;

    if (ASN1_TIME_to_tm(time, &parts) != 1 ||
        strftime(text, size, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        (void)snprintf(text, size, "an unknown time");
}

static void explain(struct secure *secure, X509 *certificate, int number)
{
    char text[160] = "";

    switch (number) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        format_time(X509_get0_notAfter(certificate), text, sizeof text);
        (void)snprintf(secure->refusal, sizeof secure->refusal,
                       "it has expired, on %s: the server needs a renewed one", text);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        format_time(X509_get0_notBefore(certificate), text, sizeof text);
        (void)snprintf(secure->refusal, sizeof secure->refusal,
                       "it is valid from %s on, which is not yet: is this machine's clock right?",
                       text);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        list_names(certificate, text, sizeof text);
        (void)snprintf(secure->refusal, sizeof secure->refusal,
                       "it is for %s, and not for %.100s: the server's address, or its name "
                       "(--server-name), has to be one of those",
                       text, secure->host);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        (void)X509_NAME_get_text_by_NID(X509_get_issuer_name(certificate), NID_commonName, text,
                                        100);
        (void)snprintf(secure->refusal, sizeof secure->refusal,
                       "%s \"%s\", whom nobody here knows: if it is the right one, give its "
                       "certificate (--ca FILE)",
                       number == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ? "it is signed by itself,"
                                                                        : "it comes from",
                       text);
        break;
    default:
        (void)snprintf(secure->refusal, sizeof secure->refusal, "%s",
                       X509_verify_cert_error_string(number));
        break;
    }
}

/* The first thing that is wrong is what is told. */
static int on_verify(int is_good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct secure *secure = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);

    if (is_good == 0 && certificate != NULL && secure->refusal[0] == '\0')
        explain(secure, certificate, X509_STORE_CTX_get_error(store));
    return is_good;
}

/* ---- Beginning and end ---- */

static SSL_CTX *new_context(bool verifies)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL)
        return NULL;
    SSL_CTX_set_verify(context, verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, on_verify);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1)
        return context;
    SSL_CTX_free(context);
    return NULL;
}

int secure_new(const struct mregion_tls *options, const struct endpoint *endpoint,
               struct secure **ret_secure, struct mregion_error *error)
{
    static const struct mregion_tls defaults;
    struct secure *secure = calloc(1, sizeof *secure);
    int code;

    if (secure == NULL)
        return error_no_memory(error);
    if (options == NULL)
        options = &defaults;
    ERR_clear_error();
    secure->endpoint = endpoint;
    secure->host = endpoint->path;
    secure->verifies = !options->no_verification;
    secure->context = new_context(secure->verifies);
    if (options->server_name != NULL)
        secure->host = secure->server_name = strdup(options->server_name);
    if (secure->context == NULL || secure->host == NULL)
        code = error_no_memory(error);
    else
        code = use_files(secure->context, options, error);
    ERR_clear_error();
    if (code != MREGION_OK) {
        secure_free(secure);
        return code;
    }
    *ret_secure = secure;
    return MREGION_OK;
}

void secure_free(struct secure *secure)
{
    if (secure == NULL)
        return;
    tls_free(secure->tls);
    tls_pool_release(&secure->pool);
    SSL_CTX_free(secure->context);
    free(secure->server_name);
    free(secure);
}

bool secure_verifies(const struct secure *secure)
{
    return secure->verifies;
}

/* Whom the certificate has to name. */
static bool expect_host(struct secure *secure)
{
    SSL *ssl = tls_ssl(secure->tls);
    struct in6_addr address;

    if (inet_pton(AF_INET, secure->host, &address) == 1 ||
        inet_pton(AF_INET6, secure->host, &address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), secure->host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, secure->host) == 1 &&
           SSL_set_tlsext_host_name(ssl, secure->host) == 1;
}

/* 0, or -1 with errno: what waits, as far as the socket takes it. */
static int push(struct secure *secure, int fd)
{
    const uint8_t *bytes;
    size_t size;

    while ((bytes = tls_waiting(secure->tls, &size)) != NULL) {
        ssize_t count = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (count < 0 && errno != EINTR)
            return -1;
        if (count > 0)
            tls_sent(secure->tls, (size_t)count);
    }
    return 0;
}

/* What the socket has, for the session: 1, 0 at its end, or -1 with errno. */
static int pull(struct secure *secure, int fd)
{
    ssize_t count = recv(fd, secure->in, sizeof secure->in, MSG_DONTWAIT);

    if (count > 0)
        tls_feed(secure->tls, secure->in, (size_t)count);
    return count > 0 ? 1 : (int)count;
}

static int fail_handshake(struct secure *secure, bool *ret_is_untrusted,
                          struct mregion_error *error)
{
    const char *address = secure->endpoint->text;

    *ret_is_untrusted = secure->refusal[0] != '\0';
    if (*ret_is_untrusted)
        return error_set(error, MREGION_ERR_CONNECT,
                         "the certificate of %.100s is not accepted: %s", address, secure->refusal);
    return error_set(error, MREGION_ERR_CONNECT, "no TLS with %.200s: %s", address,
                     tls_reason(secure->tls));
}

static int fail_socket(struct secure *secure, int number, struct mregion_error *error)
{
    return error_set_system(error, MREGION_ERR_CONNECT, number, "no TLS with %.200s",
                            secure->endpoint->text);
}

int secure_begin(struct secure *secure, struct mregion_error *error)
{
    secure->refusal[0] = '\0';
    secure->tls = tls_new_client(secure->context, &secure->pool);
    if (secure->tls == NULL)
        return error_no_memory(error);
    (void)SSL_set_app_data(tls_ssl(secure->tls), secure);
    if (expect_host(secure))
        return MREGION_OK;
    tls_free(secure->tls);
    secure->tls = NULL;
    return error_set(error, MREGION_ERR_ARGUMENT, "no host can be called \"%.200s\"", secure->host);
}

int secure_step(struct secure *secure, int fd, bool *ret_is_untrusted, struct mregion_error *error)
{
    for (int turn = 0;; turn++) {
        uint8_t byte;
        size_t size;
        enum tls_status status = tls_read(secure->tls, &byte, sizeof byte, &size);
        int sent = push(secure, fd), got;

        if (status == TLS_FAILED)
            return fail_handshake(secure, ret_is_untrusted, error);
        if (status != TLS_MORE)
            return error_set(error, MREGION_ERR_CONNECT, "no TLS with %.200s: it is no mregiond",
                             secure->endpoint->text);
        if (sent < 0 && errno != EAGAIN)
            return fail_socket(secure, errno, error);
        if (tls_is_open(secure->tls) && !secure_has_output(secure))
            return MREGION_OK;
        if (turn == PULLS_MAX)
            return STEP_WAIT;
        got = pull(secure, fd);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR ? STEP_WAIT
                                                     : fail_socket(secure, errno, error);
        if (got == 0)
            return error_set(error, MREGION_ERR_CONNECT,
                             "no TLS with %.200s: it has closed the connection; without TLS an "
                             "address begins with tcp:",
                             secure->endpoint->text);
    }
}

void secure_stop(struct secure *secure, int fd)
{
    if (secure == NULL || secure->tls == NULL)
        return;
    if (!secure_has_output(secure))
        tls_end(secure->tls);
    (void)push(secure, fd);
    tls_free(secure->tls);
    secure->tls = NULL;
}

/* ---- Bytes ---- */

bool secure_has_input(const struct secure *secure)
{
    return secure->tls != NULL && tls_has_input(secure->tls);
}

bool secure_has_output(const struct secure *secure)
{
    size_t size;

    return secure->tls != NULL && tls_waiting(secure->tls, &size) != NULL;
}

ssize_t secure_receive(struct secure *secure, int fd, void *room, size_t size)
{
    for (int turn = 0;; turn++) {
        size_t got = 0;
        enum tls_status status = tls_read(secure->tls, room, size, &got);
        int pulled;

        (void)push(secure, fd); /* an alert, or new keys: what fails shows elsewhere */
        if (status == TLS_BYTES)
            return (ssize_t)got;
        if (status == TLS_ENDED)
            return 0;
        if (status == TLS_FAILED) {
            errno = EPROTO;
            return -1;
        }
        if (turn == PULLS_MAX) {
            errno = EAGAIN;
            return -1;
        }
        pulled = pull(secure, fd);
        if (pulled <= 0)
            return pulled;
    }
}

ssize_t secure_send(struct secure *secure, int fd, const struct iovec *parts, unsigned count)
{
    size_t taken = 0;

    if (push(secure, fd) != 0)
        return -1;
    if (tls_write(secure->tls, parts, count, TLS_CHUNK_ALONE, &taken) == TLS_FAILED) {
        errno = EPROTO;
        return -1;
    }
    if (push(secure, fd) != 0 && errno != EAGAIN)
        return -1;
    return (ssize_t)taken;
}

void secure_wipe(struct secure *secure)
{
    OPENSSL_cleanse(secure->pool.record, sizeof secure->pool.record);
}

void secure_failure(const struct secure *secure, struct mregion_error *error)
{
    const char *reason = secure->tls != NULL ? tls_reason(secure->tls) : "";

    if (secure->tls != NULL && tls_is_refused(secure->tls))
        error_fill(error, MREGION_ERR_UNAUTHENTICATED,
                   "%.200s: %s: give one with its key that it accepts (--cert, --key)",
                   secure->endpoint->text, reason);
    else
        error_fill(error, MREGION_ERR_LOST, "the connection to %.200s broke: %s",
                   secure->endpoint->text, reason);
}
