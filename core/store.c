#include "core/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/backups.h"
#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/iofile.h"
#include "core/migrate.h"
#include "core/region_restore.h"
#include "core/rename.h"

#define STORE_FILE "store"
#define LOCK_FILE "lock"
#define REGIONS "regions"

/* What a region is called while it is made and while it is removed. */
#define NEW_PREFIX ".new-"
#define DROP_PREFIX ".drop-"

/* Names to try for a region that is being removed: one may be taken by what could not be removed.
 */
#define DROP_NAMES 100

#define STORE_FORMAT 1

static const char magic[8] = {'M', 'R', 'E', 'G', 'S', 'T', 'O', 'R'};

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CRC = 12, /* of all that follows it, begun with all that precedes it */
    AT_NEXT_ID = 16,
    AT_UUID = 24,
    STORE_SIZE = 40,
};

struct store {
    struct io *io;
    struct io_file *lock;
    bool read_only;
    struct store_migration migration;
    uint64_t next_id;
    bool is_id_proved;      /* no region has this id or a larger one */
    bool has_doubtful_name; /* a name's sync failed: the disk may have the one or the other */
    uint8_t uuid[16];
};

/* ---- The store's own file ---- */

static uint32_t checksum(const uint8_t *bytes)
{
    return crc32c(crc32c(0, bytes, AT_CRC), bytes + AT_NEXT_ID, STORE_SIZE - AT_NEXT_ID);
}

static int write_store(const struct store *store, struct err *err)
{
    uint8_t bytes[STORE_SIZE] = {0};
    memcpy(bytes + AT_MAGIC, magic, sizeof magic);
    put_u32(bytes + AT_VERSION, STORE_FORMAT);
    put_u64(bytes + AT_NEXT_ID, store->next_id);
    memcpy(bytes + AT_UUID, store->uuid, sizeof store->uuid);
    put_u32(bytes + AT_CRC, checksum(bytes));
    return io_replace_small(store->io, ".", STORE_FILE, bytes, sizeof bytes, err);
}

static int decode_store(struct store *store, const uint8_t *bytes, size_t size, struct err *err)
{
    if (size < AT_CRC || memcmp(bytes + AT_MAGIC, magic, sizeof magic) != 0)
        return err_set(err, ERR_CORRUPT, STORE_FILE " is not the file of a data directory");
    uint32_t version = get_u32(bytes + AT_VERSION);
    if (version > STORE_FORMAT)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       STORE_FILE ": the data directory has format version %u, and this program "
                                  "knows versions up to %d: use a newer mregiond",
                       version, STORE_FORMAT);
    if (size != STORE_SIZE || version != STORE_FORMAT || get_u32(bytes + AT_CRC) != checksum(bytes))
        return err_set(err, ERR_CORRUPT, STORE_FILE " does not match its checksum");
    store->next_id = get_u64(bytes + AT_NEXT_ID);
    memcpy(store->uuid, bytes + AT_UUID, sizeof store->uuid);
    return 0;
}

/* -ENOENT in *ret_missing: there is no store yet. */
static int read_store(struct store *store, bool *ret_missing, struct err *err)
{
    uint8_t bytes[STORE_SIZE + 1];
    struct io_file *file;
    int result = store->io->ops->open(store->io, STORE_FILE, IO_READ_ONLY, &file);
    *ret_missing = result == -ENOENT;
    if (*ret_missing)
        return 0;
    if (result != 0)
        return err_io(err, result, "open", STORE_FILE);
    ssize_t got = store->io->ops->read(store->io, file, bytes, sizeof bytes, 0);
    store->io->ops->close(store->io, file);
    if (got < 0)
        return err_io(err, (int)got, "read", STORE_FILE);
    return decode_store(store, bytes, (size_t)got, err);
}

/* ---- Making one, cleaning up ---- */

struct name_list {
    char (*names)[REGION_NAME_MAX + 16];
    size_t count, capacity;
    bool want_leftovers;
};

static int collect(void *context, const char *name, bool is_directory)
{
    struct name_list *list = context;
    bool is_leftover = strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0 ||
                       strncmp(name, DROP_PREFIX, strlen(DROP_PREFIX)) == 0;
    if (!is_directory || strlen(name) >= sizeof list->names[0] ||
        (list->want_leftovers ? !is_leftover : !region_name_is_valid(name, strlen(name))))
        return 0;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        void *names = realloc(list->names, capacity * sizeof list->names[0]);
        if (names == NULL)
            return -ENOMEM;
        list->names = names;
        list->capacity = capacity;
    }
    memcpy(list->names[list->count++], name, strlen(name) + 1);
    return 0;
}

/* The regions, or what a crash left of some. Free list->names afterwards. */
static int list_names(struct store *store, bool want_leftovers, struct name_list *list,
                      struct err *err)
{
    *list = (struct name_list){.want_leftovers = want_leftovers};
    int result = store->io->ops->list(store->io, REGIONS, collect, list);
    return result == 0 ? 0 : err_io(err, result, "list", REGIONS);
}

static int make_store(struct store *store, struct err *err)
{
    struct io *io = store->io;
    struct name_list list;
    int result = io->ops->make_directory(io, REGIONS);
    if (result != 0 && result != -EEXIST)
        return err_io(err, result, "create", REGIONS);
    int code = list_names(store, false, &list, err);
    size_t count = list.count;
    free(list.names);
    if (code != 0)
        return code;
    /* Ids must stay unique, and only that file knows which are used up. */
    if (count > 0)
        return err_set(err, ERR_CORRUPT,
                       "there are regions but no file '" STORE_FILE "': restore it from a backup");
    /* Before the store's file: who finds that file counts on the folder. */
    result = io->ops->sync_directory(io, ".");
    if (result != 0)
        return err_io(err, result, "sync", "the data directory");
    store->next_id = 1;
    result = io->ops->random(io, store->uuid, sizeof store->uuid);
    if (result != 0)
        return err_io(err, result, "get random bytes for", STORE_FILE);
    return write_store(store, err);
}

/* The process before may have been killed between a renaming and its sync. What is done to a region
 * from here on, be it opened or removed, must not outlive the name that it has now. */
static int settle_names(struct store *store, struct err *err)
{
    int result = store->io->ops->sync_directory(store->io, REGIONS);
    return result == 0 ? 0 : err_io(err, result, "sync", REGIONS);
}

/* What cannot be removed (somebody put a folder into it) stays: it costs space and nothing else,
 * and the regions shall be served. */
static int clean_up(struct store *store, struct err *err)
{
    struct name_list list;
    struct err ignored;
    char path[IO_PATH_SIZE];
    int code = list_names(store, true, &list, err);
    for (size_t i = 0; code == 0 && i < list.count; i++) {
        code = io_join(path, REGIONS, list.names[i], err);
        if (code == 0)
            (void)io_remove_folder(store->io, path, &ignored);
    }
    free(list.names);
    return code;
}

/* ---- Opening ---- */

static int lock_store(struct store *store, struct err *err)
{
    struct io *io = store->io;
    int result =
        io->ops->open(io, LOCK_FILE, store->read_only ? IO_READ_ONLY : IO_CREATE, &store->lock);
    if (result == -ENOENT && store->read_only)
        return err_set(err, ERR_IO_ERROR, "there is no data directory here yet: no file '%s'",
                       LOCK_FILE);
    if (result != 0)
        return err_io(err, result, store->read_only ? "open" : "create", LOCK_FILE);
    result = io->ops->lock(io, store->lock);
    if (result == -EWOULDBLOCK)
        return err_set(err, ERR_BUSY, "another mregiond has the data directory open");
    return result == 0 ? 0 : err_io(err, result, "lock", LOCK_FILE);
}

static int open_locked(struct store *store, struct err *err)
{
    bool is_missing;
    int code = read_store(store, &is_missing, err);
    if (code != 0)
        return code;
    if (is_missing && store->read_only)
        return err_set(err, ERR_IO_ERROR, "there is no data directory here yet: no file '%s'",
                       STORE_FILE);
    if (is_missing)
        code = make_store(store, err);
    if (code == 0 && !store->read_only)
        code = settle_names(store, err);
    if (code == 0 && !store->read_only)
        code = clean_up(store, err);
    return code;
}

int store_open(struct io *io, bool read_only, struct store **ret_store, struct err *err)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return err_no_memory(err);
    store->io = io;
    store->read_only = read_only;
    int code = lock_store(store, err);
    if (code == 0)
        code = open_locked(store, err);
    if (code != 0) {
        store_close(store);
        return code;
    }
    *ret_store = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    if (store->lock != NULL)
        store->io->ops->close(store->io, store->lock);
    free(store);
}

int store_list(struct store *store, int (*visit)(void *context, const char *name), void *context,
               struct err *err)
{
    struct name_list list;
    int code = list_names(store, false, &list, err);
    for (size_t i = 0; code == 0 && i < list.count; i++)
        code = visit(context, list.names[i]);
    free(list.names);
    return code;
}

/* ---- Regions ---- */

static int check_name(const char *name, struct err *err)
{
    if (region_name_is_valid(name, strlen(name)))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "'%.80s' is not a region name: 1 to %d letters, digits, dots, underscores and "
                   "hyphens, the first one a letter or digit",
                   name, REGION_NAME_MAX);
}

static int find(struct store *store, const char *name, bool *ret_found, struct err *err)
{
    struct name_list list;
    int code = list_names(store, false, &list, err);
    *ret_found = false;
    for (size_t i = 0; code == 0 && i < list.count; i++)
        *ret_found |= strcmp(list.names[i], name) == 0;
    free(list.names);
    return code;
}

static int check_exists(struct store *store, const char *name, struct err *err)
{
    bool is_found;
    int code = find(store, name, &is_found, err);
    if (code != 0 || is_found)
        return code;
    return err_set(err, ERR_NO_SUCH_REGION, "there is no region '%.80s'", name);
}

static int check_writable(const struct store *store, struct err *err)
{
    return store->read_only ? err_set(err, ERR_READ_ONLY, "the data directory is open read-only")
                            : 0;
}

void store_set_migration(struct store *store, const struct store_migration *migration)
{
    store->migration = *migration;
}

/* The path of a region that exists and is what its folder's name says. */
static int find_region(struct store *store, const char *name, char path[IO_PATH_SIZE],
                       struct err *err)
{
    int code = check_exists(store, name, err);
    if (code == 0)
        code = io_join(path, REGIONS, name, err);
    return code == 0 ? rename_settle(store->io, path, name, store->read_only, err) : code;
}

int store_look_region(struct store *store, const char *name, struct migrate_plan *ret_plan,
                      struct err *err)
{
    char path[IO_PATH_SIZE];
    int code = find_region(store, name, path, err);
    return code == 0 ? migrate_look(store->io, path, ret_plan, err) : code;
}

/* Brings an older region up to date; *ret_from is its version, or 0 where there was nothing to do.
 */
static int migrate(struct store *store, const char *path, uint32_t *ret_from, struct err *err)
{
    const struct store_migration *migration = &store->migration;
    struct migrate_plan plan;
    struct meta meta;
    uint32_t version;
    int code = migrate_read_meta(store->io, path, &meta, &version, err);
    *ret_from = 0;
    if (code != 0 || version == REGION_FORMAT)
        return code;
    *ret_from = version;
    if (store->read_only)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s has format version %u, and is only opened to be read: start mregiond "
                       "without --check to bring it to version %u",
                       path, version, REGION_FORMAT);
    if (migration->is_refused)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s has format version %u, and the setting migrate is refuse: set it to "
                       "auto to bring the region to version %u",
                       path, version, REGION_FORMAT);
    return migrate_region(store->io, path, migration->progress, migration->context, &plan, err);
}

int store_open_region(struct store *store, const char *name, const struct region_options *options,
                      struct region **ret_region, struct region_report *ret_report, struct err *err)
{
    char path[IO_PATH_SIZE];
    uint32_t from = 0;
    int code = find_region(store, name, path, err);
    if (code == 0)
        code = migrate(store, path, &from, err);
    if (code == 0)
        code = region_open(store->io, path, options, store->read_only, ret_region, ret_report, err);
    /* A renaming that was cut short may have left the old name in its meta file. */
    if (code == 0 && store->read_only)
        region_call(*ret_region, name);
    if (code == 0 && from != 0) {
        region_set_migrated(*ret_region, from);
        if (ret_report != NULL)
            ret_report->migrated_from = from;
    }
    return code;
}

/* "regions/PREFIXname" */
static int special_path(char *path, const char *prefix, const char *name, struct err *err)
{
    char special[REGION_NAME_MAX + 16];
    (void)snprintf(special, sizeof special, "%s%.*s", prefix, REGION_NAME_MAX, name);
    return io_join(path, REGIONS, special, err);
}

/* Gives a folder another name, durably. *ret_renamed is whether it is called so now, also after a
 * failure: then the disk may have the one or the other. */
static int rename_folder(struct store *store, const char *from, const char *to, bool *ret_renamed,
                         struct err *err)
{
    int result = store->io->ops->rename(store->io, from, to);
    *ret_renamed = result == 0;
    if (result != 0)
        return err_io(err, result, "rename", from);
    result = store->io->ops->sync_directory(store->io, REGIONS);
    return result == 0 ? 0 : err_io(err, result, "sync", REGIONS);
}

/* The folder has a region's name, but whoever wants the region is told that it failed. What the
 * disk may have under that name stays whole: a start would not get past half of it. */
static int take_back(struct store *store, const char *path, const char *fresh, struct err *err)
{
    struct err failure = *err, ignored;
    bool is_back;
    if (rename_folder(store, path, fresh, &is_back, &ignored) == 0) {
        (void)io_remove_folder(store->io, fresh, &ignored);
        return (int)failure.code;
    }
    return err_set(err, ERR_IO_ERROR, "%s: the region is %s", failure.text,
                   is_back ? "not there, but the next start may find it: make it again, or drop it "
                             "then"
                           : "there, but not open, and its name is taken: restart mregiond, and "
                             "drop it then");
}

int store_take_back(struct store *store, const char *name, struct err *err)
{
    char path[IO_PATH_SIZE], fresh[IO_PATH_SIZE];
    return io_join(path, REGIONS, name, NULL) == 0 &&
                   special_path(fresh, NEW_PREFIX, name, NULL) == 0
               ? take_back(store, path, fresh, err)
               : (int)err->code;
}

/* Gives a region that is whole its name, durably, and opens it; after a failure the name is free
 * again, or the sentence says that it is not. */
static int put_into_place(struct store *store, const char *fresh, const char *name,
                          const struct region_options *options, struct region **ret_region,
                          struct err *err)
{
    char path[IO_PATH_SIZE];
    struct err ignored;
    bool is_named = false;
    int code = io_join(path, REGIONS, name, err);
    /* The disk may have another region there, which this one must not replace. */
    if (code == 0 && store->has_doubtful_name)
        code = settle_names(store, err);
    if (code == 0)
        code = rename_folder(store, fresh, path, &is_named, err);
    if (code == 0)
        code = store_open_region(store, name, options, ret_region, NULL, err);
    if (code != 0 && is_named)
        return take_back(store, path, fresh, err);
    /* What is left is in nobody's way except for the space; the next open removes it anyway. */
    if (code != 0)
        (void)io_remove_folder(store->io, fresh, &ignored);
    return code;
}

static int create_folder(struct store *store, const char *fresh, const char *name,
                         const struct region_options *options, struct err *err)
{
    struct err ignored;
    /* What is there may have the region's name on the disk. */
    int code = io_make_room(store->io, fresh, REGIONS, REGIONS, err);
    if (code != 0)
        return code;
    code = region_create(store->io, fresh, name, store->next_id - 1, options, err);
    if (code != 0)
        (void)io_remove_folder(store->io, fresh, &ignored);
    return code;
}

static bool has_meta(struct store *store, const char *folder)
{
    struct io_file *file;
    char path[IO_PATH_SIZE];
    int result = io_join(path, folder, META_FILE, NULL) == 0
                     ? store->io->ops->open(store->io, path, IO_READ_ONLY, &file)
                     : -ENOENT;
    if (result == 0)
        store->io->ops->close(store->io, file);
    return result != -ENOENT;
}

/* 0 where there is no meta file, or none that is whole: nobody is told an id by that either. */
static int read_id(struct store *store, const char *name, uint64_t *ret_id, struct err *err)
{
    struct meta meta;
    uint32_t version;
    char path[IO_PATH_SIZE];
    int code = io_join(path, REGIONS, name, err);
    if (code == 0)
        code = migrate_read_meta(store->io, path, &meta, &version, err);
    *ret_id = code == 0 ? meta.id : 0;
    return (code == ERR_IO_ERROR || code == ERR_INTERNAL) && has_meta(store, path) ? code : 0;
}

/* The file 'store' may be from a backup that is older than some of the regions. */
static int prove_next_id(struct store *store, struct err *err)
{
    struct name_list list;
    uint64_t id;
    if (store->is_id_proved)
        return 0;
    int code = list_names(store, false, &list, err);
    for (size_t i = 0; code == 0 && i < list.count; i++) {
        code = read_id(store, list.names[i], &id, err);
        if (id >= store->next_id)
            store->next_id = id == UINT64_MAX ? id : id + 1;
    }
    free(list.names);
    store->is_id_proved = code == 0;
    return code;
}

/* The id is used up durably before anybody can see it: no two regions ever share one. */
static int use_id(struct store *store, struct err *err)
{
    int code = prove_next_id(store, err);
    if (code != 0)
        return code;
    if (store->next_id == UINT64_MAX)
        return err_set(err, ERR_CORRUPT,
                       "there is no id left for another region: the file '" STORE_FILE
                       "' or the meta file of a region is not what it was");
    store->next_id++;
    return write_store(store, err);
}

int store_create_region(struct store *store, const char *name, const struct region_options *options,
                        struct region **ret_region, struct err *err)
{
    char fresh[IO_PATH_SIZE];
    bool is_found = false;
    int code = check_writable(store, err);
    if (code == 0)
        code = check_name(name, err);
    if (code == 0)
        code = region_options_check(options, err);
    if (code == 0)
        code = find(store, name, &is_found, err);
    if (code == 0 && is_found)
        code = err_set(err, ERR_EXISTS, "there is a region '%s' already", name);
    if (code != 0)
        return code;
    code = special_path(fresh, NEW_PREFIX, name, err);
    if (code == 0)
        code = use_id(store, err);
    if (code == 0)
        code = create_folder(store, fresh, name, options, err);
    return code == 0 ? put_into_place(store, fresh, name, NULL, ret_region, err) : code;
}

int store_begin_restoring(struct store *store, const struct store_restoring *what, uint64_t *ret_id,
                          struct err *err)
{
    char fresh[IO_PATH_SIZE];
    bool is_found = false;
    int code = check_writable(store, err);
    if (code == 0)
        code = check_name(what->name, err);
    if (code == 0)
        code = backups_check(what->backups, what->backup, err);
    if (code == 0)
        code = find(store, what->name, &is_found, err);
    if (code == 0 && is_found)
        code = err_set(err, ERR_EXISTS, "there is a region '%s' already", what->name);
    if (code == 0)
        code = special_path(fresh, NEW_PREFIX, what->name, err);
    if (code == 0)
        code = io_make_room(store->io, fresh, REGIONS, REGIONS, err);
    if (code == 0)
        code = use_id(store, err);
    if (code == 0)
        *ret_id = store->next_id - 1;
    return code;
}

int store_copy_backup(struct store *store, const struct store_restoring *what, uint64_t id,
                      struct err *err)
{
    const struct region_wanted wanted = {
        .name = what->name,
        .id = id,
        .is_cancelled = what->is_cancelled,
        .context = what->context,
    };
    char fresh[IO_PATH_SIZE];
    struct err ignored;
    int code = special_path(fresh, NEW_PREFIX, what->name, err);
    if (code != 0)
        return code;
    code = region_restore(what->backups, what->backup, store->io, fresh, &wanted, err);
    if (code != 0)
        (void)io_remove_folder(store->io, fresh, &ignored);
    return code;
}

int store_end_restoring(struct store *store, const struct store_restoring *what,
                        struct region **ret_region, struct err *err)
{
    char fresh[IO_PATH_SIZE];
    int code = special_path(fresh, NEW_PREFIX, what->name, err);
    return code == 0 ? put_into_place(store, fresh, what->name, what->options, ret_region, err)
                     : code;
}

void store_forget_copy(struct store *store, const struct store_restoring *what)
{
    char fresh[IO_PATH_SIZE];
    struct err ignored;
    if (special_path(fresh, NEW_PREFIX, what->name, NULL) == 0)
        (void)io_remove_folder(store->io, fresh, &ignored);
}

/* Renames a folder to ".drop-NAME", or to ".drop-NAME.N" where somebody's own files are in the way
 * that were in a region dropped earlier. */
static int move_away(struct store *store, const char *name, const char *path,
                     char dropped[IO_PATH_SIZE], struct err *err)
{
    char again[REGION_NAME_MAX + 16];
    struct err failure;
    int code = special_path(dropped, DROP_PREFIX, name, err);
    int result = code == 0 ? store->io->ops->rename(store->io, path, dropped) : 0;
    for (int i = 1; code == 0 && (result == -ENOTEMPTY || result == -EEXIST) && i < DROP_NAMES;
         i++) {
        (void)snprintf(again, sizeof again, DROP_PREFIX "%.*s.%d", REGION_NAME_MAX, name, i);
        code = io_join(dropped, REGIONS, again, err);
        result = code == 0 ? store->io->ops->rename(store->io, path, dropped) : 0;
    }
    if (code != 0)
        return code;
    if (result != 0)
        return err_io(err, result, "rename", path);
    result = store->io->ops->sync_directory(store->io, REGIONS);
    if (result == 0)
        return 0;
    /* It does not go back: what is added to it then might be gone with it. */
    code = err_io(&failure, result, "sync", REGIONS);
    return err_set(err, (enum err_code)code,
                   "%s: the region is gone until the next start, which may find it: drop it again "
                   "then",
                   failure.text);
}

int store_drop_region(struct store *store, const char *name, struct err *err)
{
    char path[IO_PATH_SIZE], dropped[IO_PATH_SIZE];
    struct err reason;
    int code = check_writable(store, err);
    if (code == 0)
        code = check_exists(store, name, err);
    if (code == 0)
        code = io_join(path, REGIONS, name, err);
    if (code == 0)
        code = move_away(store, name, path, dropped, err);
    if (code != 0)
        return code;
    code = io_remove_folder(store->io, dropped, &reason);
    return code == 0 ? 0
                     : err_set(err, (enum err_code)code,
                               "the region is dropped, but its space is not free before the next "
                               "start: %s",
                               reason.text);
}

/* ---- What they are called and may ---- */

/* The folder's name. Where the new one may not last, it goes back, durably, so that a name that was
 * not promised is not used; *ret_renamed is whether it could not. */
static int rename_durably(struct store *store, const char *from, const char *to, bool *ret_renamed,
                          struct err *err)
{
    struct io *io = store->io;
    int result = io->ops->rename(io, from, to);
    if (result != 0) {
        rename_forget(io, from);
        return err_io(err, result, "rename", from);
    }
    *ret_renamed = true;
    result = io->ops->sync_directory(io, REGIONS);
    if (result == 0)
        return 0;
    *ret_renamed = io->ops->rename(io, to, from) != 0;
    /* Where that is not certain either, what the first step has written stays where it is: the disk
     * may have either name now, and the next open finds out. */
    if (*ret_renamed || io->ops->sync_directory(io, REGIONS) != 0)
        store->has_doubtful_name = true;
    else
        rename_forget(io, from);
    return err_io(err, result, "sync", REGIONS);
}

/* Which name a region has is taken from what a renaming that was cut short has left in its folder;
 * and that is lost when the region gets another name or other options. */
static int check_names(const struct store *store, struct err *err)
{
    int code = check_writable(store, err);
    if (code != 0 || !store->has_doubtful_name)
        return code;
    return err_set(
        err, ERR_READ_ONLY,
        "no region can be renamed or changed since the disk failed while one was renamed: "
        "restart mregiond, which finds out what it is called");
}

/* Whoever asked is told what it means: that something failed is only half of it. */
static int say_doubt(struct err *err, const char *is, const char *other)
{
    struct err failure = *err;
    return err_set(err, failure.code,
                   "%s: it is called %s until the next start, which may find it called %s",
                   failure.text, is, other);
}

int store_rename_region(struct store *store, const char *name, const char *new_name,
                        bool *ret_renamed, struct err *err)
{
    char from[IO_PATH_SIZE], to[IO_PATH_SIZE];
    bool is_found = false;
    struct err ignored;
    *ret_renamed = false;
    int code = check_names(store, err);
    if (code == 0)
        code = check_name(new_name, err);
    if (code == 0)
        code = find(store, new_name, &is_found, err);
    if (code == 0 && is_found)
        code = err_set(err, ERR_EXISTS, "there is a region '%s' already", new_name);
    if (code == 0)
        code = find_region(store, name, from, err);
    if (code == 0)
        code = io_join(to, REGIONS, new_name, err);
    if (code != 0)
        return code;
    code = rename_prepare(store->io, from, new_name, err);
    if (code == 0)
        code = rename_durably(store, from, to, ret_renamed, err);
    else
        rename_forget(store->io, from);
    /* It is called so whether this succeeds or not: the next open makes up for it. */
    if (code == 0)
        (void)rename_settle(store->io, to, new_name, false, &ignored);
    if (code != 0 && store->has_doubtful_name)
        code = *ret_renamed ? say_doubt(err, new_name, name) : say_doubt(err, name, new_name);
    return code;
}

struct region_label *store_new_label(const char *name, struct err *err)
{
    char path[IO_PATH_SIZE];
    return io_join(path, REGIONS, name, err) == 0 ? region_label_new(path, name, err) : NULL;
}

/* Whether the disk may have, after a failure, what was to be written. */
static bool may_have_options(struct store *store, const char *path,
                             const struct region_options *options)
{
    struct meta meta;
    struct err ignored;
    uint32_t version;
    return migrate_read_meta(store->io, path, &meta, &version, &ignored) != 0 ||
           region_options_equal(&meta.options, options);
}

int store_set_options(struct store *store, const char *name, const struct region_options *options,
                      struct err *err)
{
    struct err failure;
    char path[IO_PATH_SIZE];
    struct meta meta;
    uint32_t version;
    int code = check_names(store, err);
    if (code == 0)
        code = region_options_check(options, err);
    if (code == 0)
        code = find_region(store, name, path, err);
    if (code == 0)
        code = migrate_read_meta(store->io, path, &meta, &version, err);
    if (code != 0)
        return code;
    meta.options = *options;
    code = meta_write(store->io, path, &meta, &failure);
    if (code == 0)
        return 0;
    return err_set(err, (enum err_code)code, "%s%s", failure.text,
                   may_have_options(store, path, options)
                       ? ": it has its old options until the next start, which may find it with "
                         "the new ones"
                       : "");
}
