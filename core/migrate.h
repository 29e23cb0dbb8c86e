/* Format versions of a region's folder.
 *
 * Every version ever released keeps the reader it had, frozen, in the table of migrate.c. A folder
 * of the current version is opened as it is, one of an older version is brought up to date at
 * start, one of a newer version is refused and its files are left untouched. */
#ifndef MREGION_CORE_MIGRATE_H
#define MREGION_CORE_MIGRATE_H

#include <stdint.h>

#include "core/err.h"
#include "core/io.h"
#include "core/meta.h"

/* Reads what a folder's meta file says, whichever version it has. ERR_INVALID_ARGUMENT for a
 * version that is newer than this program, ERR_CORRUPT, ERR_IO_ERROR. Changes nothing. May block.
 */
int migrate_read_meta(struct io *io, const char *folder, struct meta *ret_meta,
                      uint32_t *ret_version, struct err *err);

#endif
