#include "daemon/page.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_SIZE                                                                                  \
    sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, sodium_base64_VARIANT_ORIGINAL)

/* Of what stands between the two, as base64. */
static void hash_between(const char *begin, const char *end, char hash[HASH_SIZE])
{
    const char *page = (const char *)page_bytes;
    const char *from = memmem(page, page_size, begin, strlen(begin));
    unsigned char digest[crypto_hash_sha256_BYTES];
    from = from != NULL ? from + strlen(begin) : page + page_size;
    const char *to = memmem(from, page_size - (size_t)(from - page), end, strlen(end));
    size_t size = to != NULL ? (size_t)(to - from) : 0;
    crypto_hash_sha256(digest, (const unsigned char *)from, size);
    sodium_bin2base64(hash, HASH_SIZE, digest, sizeof digest, sodium_base64_VARIANT_ORIGINAL);
}

char *page_policy(void)
{
    char style[HASH_SIZE], script[HASH_SIZE];
    char *policy;
    hash_between("<style>", "</style>", style);
    hash_between("<script>", "</script>", script);
    if (asprintf(&policy,
                 "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; "
                 "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                 style, script) < 0)
        return NULL;
    return policy;
}
