#include "daemon/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/privileges.h"
#include "daemon/sandbox.h"
#include "proto/tls.h"

/* TLS 1.3 takes its own list. Every one of both has forward secrecy and authenticates what it
 * encrypts; the first is the fastest where the processor has AES. */
#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

__attribute__((format(printf, 3, 4))) static int fail(struct conf_error *error, const char *setting,
                                                      const char *format, ...)
{
    int length = snprintf(error->text, sizeof error->text, "%s: ", setting);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text + length, sizeof error->text - (size_t)length, format, arguments);
    va_end(arguments);
    error->line = error->column = 0;
    return -EINVAL;
}

/* ---- Files ---- */

struct file {
    const char *setting;
    char *path;
    char *bytes;
    size_t size;
    mode_t mode;
    BIO *bio; /* over the bytes */
};

static void close_file(struct file *file)
{
    BIO_free(file->bio);
    if (file->bytes != NULL)
        OPENSSL_cleanse(file->bytes, CERTIFICATE_FILE_MAX);
    free(file->bytes);
    free(file->path);
}

static int fail_read(const struct file *file, struct conf_error *error)
{
    int number = errno;
    if (number == EACCES && sandbox_forbids(file->path))
        return fail(error, file->setting, "cannot read %s: %s", file->path,
                    sandbox_forbids_sentence);
    if (number == EACCES)
        return fail(error, file->setting,
                    "cannot read %s: %s; the server runs as user %u, who has to be allowed to "
                    "(chown, chmod), or systemd passes it on (LoadCredential=)",
                    file->path, strerror(number), (unsigned)geteuid());
    return fail(error, file->setting, "cannot read %s: %s", file->path, strerror(number));
}

static int read_bytes(struct file *file, struct conf_error *error)
{
    struct stat stat;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fail_read(file, error);
    int status = 0;
    if (fstat(fd, &stat) != 0)
        status = fail_read(file, error);
    else if (!S_ISREG(stat.st_mode))
        status = fail(error, file->setting, "%s is not a file", file->path);
    while (status == 0) {
        size_t room = CERTIFICATE_FILE_MAX - file->size;
        ssize_t got = read(fd, file->bytes + file->size, room);
        if (got == 0)
            break;
        if (got < 0)
            status = fail_read(file, error);
        else if ((size_t)got == room)
            status = fail(error, file->setting, "%s has %llu bytes or more: it is something else",
                          file->path, (unsigned long long)CERTIFICATE_FILE_MAX);
        else
            file->size += (size_t)got;
    }
    file->mode = stat.st_mode;
    close(fd);
    return status;
}

/* Give it to close_file in any case. */
static int open_file(struct file *file, const char *setting, const char *path,
                     struct conf_error *error)
{
    *file = (struct file){.setting = setting};
    file->path = conf_file_path(path, error);
    if (file->path == NULL)
        return -EINVAL;
    file->bytes = malloc(CERTIFICATE_FILE_MAX);
    int status =
        file->bytes == NULL ? fail(error, setting, "out of memory") : read_bytes(file, error);
    if (status != 0)
        return status;
    file->bio = BIO_new_mem_buf(file->bytes, (int)file->size);
    return file->bio == NULL ? fail(error, setting, "out of memory") : 0;
}

/* What OpenSSL does not like about a file. */
static int fail_file(const struct file *file, const char *what, struct conf_error *error)
{
    char reason[TLS_REASON_SIZE];
    tls_error_text(reason, sizeof reason);
    return fail(error, file->setting, "%s %s: %s", file->path, what, reason);
}

/* Whether the file was simply at its end. */
static bool is_at_end(void)
{
    unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_OSSL_DECODER)
        return ERR_GET_REASON(code) == ERR_R_UNSUPPORTED;
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* ---- The certificate ---- */

static void format_time(const ASN1_TIME *time, char text[32])
{
    struct tm parts;
    if (ASN1_TIME_to_tm(time, &parts) != 1 ||
        strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        snprintf(text, 32, "an unknown time");
}

static char *format_name(X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes, *text = NULL;
    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        long size = BIO_get_mem_data(bio, &bytes);
        text = size > 0 ? strndup(bytes, (size_t)size) : strdup("");
    }
    BIO_free(bio);
    return text;
}

static int check_times(const struct file *file, X509 *certificate,
                       struct certificates *certificates, struct conf_error *error)
{
    const ASN1_TIME *begin = X509_get0_notBefore(certificate);
    const ASN1_TIME *end = X509_get0_notAfter(certificate);
    char *subject = format_name(X509_get_subject_name(certificate));
    char text[32];
    int days = 0, seconds = 0;
    int status = 0;
    format_time(end, text);
    if (X509_cmp_current_time(end) < 0) {
        status =
            fail(error, file->setting,
                 "%s has expired, on %s: put a renewed certificate in its place", file->path, text);
    } else if (X509_cmp_current_time(begin) > 0) {
        format_time(begin, text);
        status = fail(error, file->setting,
                      "%s is valid from %s on, which is not yet: is this machine's clock right?",
                      file->path, text);
    } else if (ASN1_TIME_diff(&days, &seconds, NULL, end) == 1 && days < CERTIFICATE_DAYS_WARNED) {
        snprintf(certificates->expiry_warning, sizeof certificates->expiry_warning,
                 "tls_certificate expires in %d day%s, on %s: renew it, then reload (SIGHUP)", days,
                 days == 1 ? "" : "s", text);
    }
    snprintf(certificates->description, sizeof certificates->description, "%s, valid until %s",
             subject != NULL ? subject : "?", text);
    free(subject);
    return status;
}

/* The server's own, then those that lead to its authority. */
static int use_chain(SSL_CTX *context, const struct file *file, X509 *own, struct conf_error *error)
{
    X509 *next;
    if (SSL_CTX_use_certificate(context, own) != 1)
        return fail_file(file, "cannot be used", error);
    while ((next = PEM_read_bio_X509(file->bio, NULL, NULL, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(context, next) != 1) {
            X509_free(next);
            return fail_file(file, "cannot be used", error);
        }
    }
    return is_at_end() ? 0 : fail_file(file, "is damaged", error);
}

/* *ret_own is to be freed. */
static int load_certificate(const struct conf_tls *conf, struct certificates *certificates,
                            X509 **ret_own, struct conf_error *error)
{
    struct file file;
    int status = open_file(&file, "tls_certificate", conf->certificate, error);
    if (status == 0) {
        *ret_own = PEM_read_bio_X509_AUX(file.bio, NULL, NULL, NULL);
        if (*ret_own == NULL && is_at_end())
            status = fail(error, file.setting,
                          "%s holds no certificate: PEM is wanted, with a line -----BEGIN "
                          "CERTIFICATE-----",
                          file.path);
        else if (*ret_own == NULL)
            status = fail_file(&file, "is damaged", error);
    }
    if (status == 0)
        status = check_times(&file, *ret_own, certificates, error);
    if (status == 0)
        status = use_chain(certificates->context, &file, *ret_own, error);
    close_file(&file);
    return status;
}

/* ---- The key ---- */

/* There is nobody to be asked. */
static int on_passphrase(char *buffer, int size, int is_writing, void *context)
{
    bool *was_asked = context;
    (void)buffer;
    (void)size;
    (void)is_writing;
    *was_asked = true;
    return -1;
}

static int use_key(SSL_CTX *context, const struct file *file, X509 *own, struct conf_error *error)
{
    bool was_asked = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(file->bio, NULL, on_passphrase, &was_asked);
    int status = 0;
    if (key == NULL && was_asked)
        status = fail(error, file->setting,
                      "%s is protected by a passphrase, and nobody is there to type it; make one "
                      "without: openssl pkey -in FILE -out NEW",
                      file->path);
    else if (key == NULL && is_at_end())
        status = fail(error, file->setting,
                      "%s holds no private key: PEM is wanted, with a line -----BEGIN PRIVATE "
                      "KEY-----",
                      file->path);
    else if (key == NULL)
        status = fail_file(file, "is damaged", error);
    else if (X509_check_private_key(own, key) != 1)
        status = fail(error, file->setting,
                      "%s is not the key of tls_certificate: the two files have to be replaced "
                      "together",
                      file->path);
    else if (SSL_CTX_use_PrivateKey(context, key) != 1)
        status = fail_file(file, "cannot be used", error);
    EVP_PKEY_free(key);
    return status;
}

static int load_key(const struct conf_tls *conf, struct certificates *certificates, X509 *own,
                    struct conf_error *error)
{
    struct file file;
    privileges_hide_memory();
    int status = open_file(&file, "tls_key", conf->key, error);
    if (status == 0)
        status = use_key(certificates->context, &file, own, error);
    if (status == 0 && (file.mode & S_IROTH) != 0)
        snprintf(certificates->key_warning, sizeof certificates->key_warning,
                 "tls_key: everybody on this machine may read %s: chmod o-r would change that",
                 file.path);
    close_file(&file);
    return status;
}

/* ---- Authorities of clients ---- */

static int use_authorities(SSL_CTX *context, const struct file *file, struct conf_error *error)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    X509 *one;
    bool has_one = false;
    while ((one = PEM_read_bio_X509(file->bio, NULL, NULL, NULL)) != NULL) {
        /* Clients are told whose certificates are wanted. */
        bool is_added =
            X509_STORE_add_cert(store, one) == 1 && SSL_CTX_add_client_CA(context, one) == 1;
        X509_free(one);
        if (!is_added)
            return fail_file(file, "cannot be used", error);
        has_one = true;
    }
    if (!is_at_end())
        return fail_file(file, "is damaged", error);
    if (!has_one)
        return fail(error, file->setting,
                    "%s holds no certificate: PEM is wanted, with a line -----BEGIN "
                    "CERTIFICATE-----",
                    file->path);
    return 0;
}

static int load_authorities(const struct conf_tls *conf, struct certificates *certificates,
                            struct conf_error *error)
{
    struct file file;
    int mode = SSL_VERIFY_PEER;
    if (conf->clients == TLS_CLIENTS_NONE)
        return 0;
    if (conf->clients == TLS_CLIENTS_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(certificates->context, mode, NULL);
    int status = open_file(&file, "tls_ca", conf->ca, error);
    if (status == 0)
        status = use_authorities(certificates->context, &file, error);
    close_file(&file);
    return status;
}

/* ---- All of it ---- */

/* Connections live long: each has a handshake of its own, in which its certificate is looked at. So
 * there are neither tickets nor a cache of sessions, and a reload leaves nothing behind. */
static SSL_CTX *new_context(const struct conf_tls *conf)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL)
        return NULL;
    /* Passwords, too, are decrypted in its buffers: they are not left there. */
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET |
                                     SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (SSL_CTX_set_num_tickets(context, 0) == 1 &&
        SSL_CTX_set_min_proto_version(
            context, conf->minimum == TLS_MINIMUM_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(context, CIPHERS_1_2) == 1 &&
        SSL_CTX_set_ciphersuites(context, CIPHERS_1_3) == 1)
        return context;
    SSL_CTX_free(context);
    return NULL;
}

int certificates_load(const struct conf_tls *conf, struct certificates *certificates,
                      struct conf_error *error)
{
    X509 *own = NULL;
    *certificates = (struct certificates){0};
    if (conf->certificate == NULL)
        return 0;
    ERR_clear_error();
    certificates->context = new_context(conf);
    int status = 0;
    if (certificates->context == NULL)
        status = fail(error, "tls_certificate", "cannot set TLS up: out of memory");
    if (status == 0)
        status = load_certificate(conf, certificates, &own, error);
    if (status == 0)
        status = load_key(conf, certificates, own, error);
    if (status == 0)
        status = load_authorities(conf, certificates, error);
    X509_free(own);
    if (status != 0)
        certificates_release(certificates);
    ERR_clear_error();
    return status;
}

void certificates_release(struct certificates *certificates)
{
    SSL_CTX_free(certificates->context);
    *certificates = (struct certificates){0};
}

void certificates_log(const struct certificates *certificates)
{
    if (certificates->context == NULL)
        return;
    log_info("TLS certificate: %s", certificates->description);
    if (certificates->expiry_warning[0] != '\0')
        log_warning("%s", certificates->expiry_warning);
    if (certificates->key_warning[0] != '\0')
        log_warning("%s", certificates->key_warning);
}

char *certificates_subject(const SSL *ssl, bool *ret_has_one)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    *ret_has_one = certificate != NULL && SSL_get_verify_result(ssl) == X509_V_OK;
    return *ret_has_one ? format_name(X509_get_subject_name(certificate)) : NULL;
}
