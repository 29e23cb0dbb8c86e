/* The disk that the server's backup_dir is on: what lies there when it starts, and whether what it
 * has left there are backups. */
#ifndef MREGION_TESTS_SUPPORT_VAULT_H
#define MREGION_TESTS_SUPPORT_VAULT_H

#include <stdbool.h>

#include "support_simdisk.h"

/* Names for new backups, and of those that are there:
 *   old    is well
 *   worn   has a damaged page
 *   hand   was opened and changed by somebody, so that it has a journal
 *   void   is no backup
 * and what a crash has left of another one. */
#define VAULT_NAMES 8
extern const char *const vault_names[VAULT_NAMES];

/* With backups of the region main on the disk, which stays as it is. */
struct simdisk *vault_new(const struct simdisk *disk);

/* After a power cut, when no backup was under way: whether all that had been made are there. */
void vault_compare(const struct simdisk *before, const struct simdisk *after);
/* Whether all backups open and are consistent, and with is_exact match their checksums; and nothing
 * else is left. Takes the disk. */
void vault_verify(struct simdisk *vault, bool is_exact);

#endif
