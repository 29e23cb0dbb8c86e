/* What TLS connections are made from: certificate, key and authorities, read from the files that
 * the configuration names.
 *
 * All of it or nothing: a file that cannot be read, a key that is another certificate's, or a
 * certificate whose time is over is an error that says so. New connections take what was read last;
 * each keeps what it began with. Reading blocks: main thread before the loop runs, or a worker. */
#ifndef MREGION_DAEMON_CERTIFICATES_H
#define MREGION_DAEMON_CERTIFICATES_H

#include "conf/conf.h"

struct ssl_ctx_st;
struct ssl_st;

/* More than authorities issue for one server. */
#define CERTIFICATE_FILE_MAX MIB
/* From so many days before its end on a certificate is warned of. */
#define CERTIFICATE_DAYS_WARNED 14

struct certificates {
    struct ssl_ctx_st *context; /* NULL: no certificate is configured */
    char description[512];      /* whose certificate, and until when */
    char expiry_warning[512];   /* or "" */
    char key_warning[CONF_ERROR_SIZE];
};

/* Fills *certificates, to be given to certificates_release. -EINVAL or -ENOMEM with the error
 * filled and *certificates empty. A process that has read a key leaves no core dump, nor lets
 * itself be looked into. */
int certificates_load(const struct conf_tls *conf, struct certificates *certificates,
                      struct conf_error *error);
/* Whose they are, and what to mind. Loop thread. */
void certificates_log(const struct certificates *certificates);
/* The connections that were made from them go on. Harmless when zeroed. */
void certificates_release(struct certificates *certificates);

/* The subject of the certificate that the peer has shown, which was verified, as RFC 2253 writes
 * it; free it. NULL without one, or without memory: *ret_has_one tells. */
char *certificates_subject(const struct ssl_st *ssl, bool *ret_has_one);

#endif
