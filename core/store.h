/* The data directory: its lock, its regions, their creation and removal.
 *
 *     store            magic, format version, uuid, the next region id
 *     lock             held while a daemon has the directory open
 *     regions/NAME/    one folder a region
 *
 * A region is made under a name that no region can have (a leading dot) and renamed when it is
 * whole; it is dropped by renaming it the other way. What a crash leaves behind under such names is
 * removed at the next open.
 *
 * Threads: store_open, store_create, store_drop and store_close block; the daemon runs create and
 * drop on a worker, one at a time. The caller keeps the table of open regions: these functions
 * touch only the store and the disk. */
#ifndef MREGION_CORE_STORE_H
#define MREGION_CORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/io.h"
#include "core/migrate.h"
#include "core/region.h"

struct store;

/* Opens (and on first use makes) the store in the io's directory and locks it. ERR_BUSY when
 * another process holds it, with read_only too. With read_only nothing is written or made. */
int store_open(struct io *io, bool read_only, struct store **ret_store, struct err *err);
/* Releases the lock. Every region must be closed before. */
void store_close(struct store *store);

/* Calls visit with the name of every region, in no particular order; stops at the first non-zero
 * answer and returns it. */
int store_list(struct store *store, int (*visit)(void *context, const char *name), void *context,
               struct err *err);

/* What becomes of a region of an older format when it is opened; the default is to migrate it and
 * tell nobody. */
struct store_migration {
    bool is_refused;
    migrate_progress *progress; /* or NULL */
    void *context;
};
void store_set_migration(struct store *store, const struct store_migration *migration);

/* What a migration of the region would do; changes nothing. ERR_NO_SUCH_REGION, or as
 * migrate_look. */
int store_look_region(struct store *store, const char *name, struct migrate_plan *ret_plan,
                      struct err *err);

/* Opens one region by its name; as region_open. One of an older format is migrated before, or
 * refused with ERR_INVALID_ARGUMENT: by the setting, or because the store is read-only.
 * ERR_NO_SUCH_REGION. */
int store_open_region(struct store *store, const char *name, const struct region_options *options,
                      struct region **ret_region, struct region_report *ret_report,
                      struct err *err);

/* Makes an empty region, durably, and opens it. ERR_EXISTS, ERR_INVALID_ARGUMENT for the name.
 * After any other failure there is none and its name is free, unless the sentence says what the
 * disk may have. */
int store_create_region(struct store *store, const char *name, const struct region_options *options,
                        struct region **ret_region, struct err *err);

struct store_restoring {
    struct io *backups; /* of the directory with the backups (backups.h) */
    const char *backup, *name;
    const struct region_options *options; /* NULL: the backup's */
    bool (*is_cancelled)(void *context);  /* asked now and then, on this thread; or NULL */
    void *context;
};
/* A region is made out of a backup in three steps, of which only the second takes long; nothing
 * else may be done with this name meanwhile, but anything with others. What it makes has what the
 * backup has, with a uuid and an id of its own.
 *
 * Whether that can be, and its id. ERR_EXISTS; ERR_INVALID_ARGUMENT for either name, or where there
 * is no such backup. */
int store_begin_restoring(struct store *store, const struct store_restoring *what, uint64_t *ret_id,
                          struct err *err);
/* The copy, in a folder with a name that no region has: it may run beside all other functions of
 * the store. As region_restore; nothing is left after a failure. */
int store_copy_backup(struct store *store, const struct store_restoring *what, uint64_t id,
                      struct err *err);
/* Gives it its name, durably, and opens it; a failure is as one of store_create_region. */
int store_end_restoring(struct store *store, const struct store_restoring *what,
                        struct region **ret_region, struct err *err);
/* Instead of that: removes the copy. */
void store_forget_copy(struct store *store, const struct store_restoring *what);

/* Removes a region that has just been made and was closed, because nobody can have it for the
 * reason in *err, which becomes what the failure of its making would have been. Returns its code.
 */
int store_take_back(struct store *store, const char *name, struct err *err);

/* Removes a closed region for good. ERR_NO_SUCH_REGION. After any other failure it is there, as it
 * was, unless the sentence says that it is gone: then its name is free. */
int store_drop_region(struct store *store, const char *name, struct err *err);

/* Gives a region another name, durably: a crash leaves one name or the other (rename.h). It may be
 * open if none of its jobs is under way; what it is then to be told is region_rename. ERR_EXISTS,
 * ERR_NO_SUCH_REGION, ERR_INVALID_ARGUMENT for the name. *ret_renamed is which name the folder has
 * now, also after a failure: then a crash may still leave the other one, if the sentence says so.
 */
int store_rename_region(struct store *store, const char *name, const char *new_name,
                        bool *ret_renamed, struct err *err);

/* For region_rename: what a region of that name is called. NULL without memory. */
struct region_label *store_new_label(const char *name, struct err *err);

/* Keeps other options for a region of the current format, durably: it may be open, and is to be
 * told (region_set_options). ERR_NO_SUCH_REGION, ERR_INVALID_ARGUMENT. After any other failure the
 * next open may find them all the same, if the sentence says so. */
int store_set_options(struct store *store, const char *name, const struct region_options *options,
                      struct err *err);

#endif
