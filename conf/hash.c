#include "conf/hash.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define EXPECTED "must be an argon2id hash, as mrcli passwd prints it"

static int refuse(const char *problem, const char **ret_problem)
{
    *ret_problem = problem;
    return -EINVAL;
}

/* Who takes the whole text apart is the library that will have to. */
static int take_apart(const char *hash, const char **ret_problem)
{
    errno = 0;
    if (crypto_pwhash_argon2id_str_needs_rehash(hash, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                                                crypto_pwhash_MEMLIMIT_INTERACTIVE) >= 0)
        return 0;
    return errno == ENOMEM ? -ENOMEM : refuse(EXPECTED "; this one is damaged", ret_problem);
}

int hash_check(const char *text, size_t length, const char **ret_problem)
{
    static const char prefix[] = crypto_pwhash_argon2id_STRPREFIX;
    char hash[crypto_pwhash_STRBYTES] = "";
    unsigned version, memory, passes;

    if (length >= sizeof hash)
        return refuse(EXPECTED "; this is longer than any", ret_problem);
    memcpy(hash, text, length);
    if (strncmp(hash, prefix, sizeof prefix - 1) != 0)
        return refuse(EXPECTED ": it begins with " crypto_pwhash_argon2id_STRPREFIX, ret_problem);
    if (strlen(hash) != length ||
        sscanf(hash, "$argon2id$v=%u$m=%u,t=%u,", &version, &memory, &passes) != 3)
        return refuse(EXPECTED "; this one is damaged", ret_problem);
    if (memory > HASH_MEMORY_MAX_KIB || passes > HASH_PASSES_MAX)
        return refuse("costs too much: at most 64 MiB of memory (m=65536) and 16 passes (t=16); "
                      "mrcli passwd makes one that fits",
                      ret_problem);
    return take_apart(hash, ret_problem);
}
