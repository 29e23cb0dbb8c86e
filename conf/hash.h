/* Password hashes as the configuration has them. */
#ifndef MREGION_CONF_HASH_H
#define MREGION_CONF_HASH_H

#include <stddef.h>

/* What verifying one may cost: two are verified at a time, so 128 MiB of memory in all, and no
 * configuration can keep a worker for long. */
#define HASH_MEMORY_MAX_KIB (64 * 1024)
#define HASH_PASSES_MAX 16

/* Whether the length bytes at text are an argon2id hash that is taken. -EINVAL: *ret_problem is the
 * end of a sentence that begins with the name of the setting. -ENOMEM. */
int hash_check(const char *text, size_t length, const char **ret_problem);

#endif
