/* Format versions of a region's folder.
 *
 * Every version ever released keeps the reader it had, frozen, in the table of migrate.c. A folder
 * of the current version is opened as it is, one of an older version is brought up to date at
 * start, one of a newer version is refused and its files are left untouched. */
#ifndef MREGION_CORE_MIGRATE_H
#define MREGION_CORE_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"
#include "core/meta.h"

/* Reads what a folder's meta file says, whichever version it has. ERR_INVALID_ARGUMENT for a
 * version that is newer than this program, ERR_CORRUPT, ERR_IO_ERROR. Changes nothing. May block.
 */
int migrate_read_meta(struct io *io, const char *folder, struct meta *ret_meta,
                      uint32_t *ret_version, struct err *err);

/* What a migration would do, or has done. */
struct migrate_plan {
    uint32_t from;         /* the folder's version; REGION_FORMAT: there is nothing to do */
    uint64_t records;      /* journal records whose bytes are put in place first */
    uint64_t cut_bytes;    /* torn tail of the journal, which is cut */
    uint64_t read_bytes;   /* of the data file that are read for their checksums */
    uint64_t space_needed; /* bytes of disk */
    uint64_t space_free;   /* bytes of disk that there are */
};

/* Finds out; changes nothing. Damage is refused by name, as migrate_region would. May block. */
int migrate_look(struct io *io, const char *folder, struct migrate_plan *ret_plan, struct err *err);

/* Told at the beginning of a migration, every 64 MiB and at the end how far it has come, in bytes
 * of the data file. */
typedef void migrate_progress(void *context, const char *folder, uint64_t done, uint64_t total);

/* Brings a folder of an older version up to date, all or nothing: the files of the new version are
 * made beside the old ones, durably, then meta tells which ones count, then the old ones go. The
 * data file stays where it is. Nothing to do for a folder of the current version. progress may be
 * NULL. ERR_NO_SPACE before anything is written, when the disk has less room than is needed;
 * ERR_CORRUPT, ERR_IO_ERROR, ERR_INTERNAL. May block for long. */
int migrate_region(struct io *io, const char *folder, migrate_progress *progress, void *context,
                   struct migrate_plan *ret_plan, struct err *err);

/* Removes what a migration that was cut short left behind in a folder of the current version. */
int migrate_tidy(struct io *io, const char *folder, struct err *err);

#endif
