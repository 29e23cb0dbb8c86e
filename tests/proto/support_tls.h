/* Contexts for both ends of a TLS session, made in memory. */
#ifndef MREGION_TESTS_PROTO_SUPPORT_TLS_H
#define MREGION_TESTS_PROTO_SUPPORT_TLS_H

#include <openssl/ssl.h>

/* A server's, with a certificate of its own making; a client's that accepts it. Both speak that
 * version only. */
SSL_CTX *server_context(int version);
SSL_CTX *client_context(int version);

#endif
