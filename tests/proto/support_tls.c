#include "tests/proto/support_tls.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *certificate = X509_new();

    ck_assert_ptr_nonnull(certificate);
    ck_assert_int_eq(X509_set_version(certificate, X509_VERSION_3), 1);
    ck_assert_int_eq(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(certificate), -3600));
    ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
    ck_assert_int_eq(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN",
                                                MBSTRING_ASC, (const unsigned char *)"test", -1, -1,
                                                0),
                     1);
    ck_assert_int_eq(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)), 1);
    ck_assert_int_eq(X509_set_pubkey(certificate, key), 1);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    return certificate;
}

static void fix_version(SSL_CTX *context, int version)
{
    ck_assert_int_eq(SSL_CTX_set_min_proto_version(context, version), 1);
    ck_assert_int_eq(SSL_CTX_set_max_proto_version(context, version), 1);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    ck_assert_int_eq(SSL_CTX_set_num_tickets(context, 0), 1);
}

SSL_CTX *server_context(int version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_certificate(key);

    ck_assert_ptr_nonnull(context);
    fix_version(context, version);
    ck_assert_int_eq(SSL_CTX_use_certificate(context, certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return context;
}

SSL_CTX *client_context(int version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    ck_assert_ptr_nonnull(context);
    fix_version(context, version);
    return context;
}
