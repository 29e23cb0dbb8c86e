/* The directory that backups lie in, one folder each:
 *
 *     NAME/             a backup: a region's folder (FORMAT.md), whole and with an empty journal
 *     .new-NAME.ID/     one that is being made of the region with this id, or was
 *     .drop-NAME/       one that is being removed, or was
 *     .lock             held while a daemon has the directory open
 *
 * Everything here blocks. */
#ifndef MREGION_CORE_BACKUPS_H
#define MREGION_CORE_BACKUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"
#include "core/meta.h"

#define BACKUPS "the backup directory" /* as sentences call it */

/* Locks the io's directory, until *ret_lock is closed, and removes what backups have left that came
 * to nothing. ERR_BUSY when another process has it; ERR_IO_ERROR. */
int backups_open(struct io *io, struct io_file **ret_lock, struct err *err);

/* Whether there is a backup of this name: 0, or ERR_INVALID_ARGUMENT, also for a name that none can
 * have. */
int backups_check(struct io *io, const char *name, struct err *err);

struct backup_about {
    const char *name;
    const struct meta *meta; /* of the region in it, as it was */
    uint64_t size;           /* likewise */
};
/* Calls visit for every backup, in no order; folders that are none are left out. Stops at the first
 * answer that is not 0 and returns it. */
int backups_list(struct io *io, int (*visit)(void *context, const struct backup_about *about),
                 void *context, struct err *err);
/* The name of the region that the backup of this name is of; "" where it is no backup. */
int backups_find(struct io *io, const char *name, char ret_region[REGION_NAME_MAX + 1],
                 struct err *err);

#define BACKUPS_DROP_PREFIX ".drop-"

/* Removes a backup for good: a crash leaves all of it under its name, or nothing.
 * ERR_INVALID_ARGUMENT as backups_check, or where there is a folder in it; ERR_IO_ERROR, and the
 * sentence says where it may be gone all the same. */
int backups_remove(struct io *io, const char *name, struct err *err);

#endif
