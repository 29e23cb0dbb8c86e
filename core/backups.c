#include "core/backups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checkpoint.h"
#include "core/iofile.h"
#include "core/migrate.h"

#define LOCK_FILE ".lock"
#define NEW_PREFIX ".new-"

struct names {
    char (*items)[IO_PATH_SIZE];
    size_t count, capacity;
    bool want_leftovers;
};

static int collect(void *context, const char *name, bool is_directory)
{
    struct names *names = context;
    bool is_leftover = strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0 ||
                       strncmp(name, BACKUPS_DROP_PREFIX, strlen(BACKUPS_DROP_PREFIX)) == 0;
    if (!is_directory || strlen(name) >= IO_PATH_SIZE ||
        (names->want_leftovers ? !is_leftover : !region_name_is_valid(name, strlen(name))))
        return 0;
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 16 : names->capacity * 2;
        void *items = realloc(names->items, capacity * sizeof names->items[0]);
        if (items == NULL)
            return -ENOMEM;
        names->items = items;
        names->capacity = capacity;
    }
    memcpy(names->items[names->count++], name, strlen(name) + 1);
    return 0;
}

/* Free names->items afterwards. */
static int list(struct io *io, bool want_leftovers, struct names *names, struct err *err)
{
    *names = (struct names){.want_leftovers = want_leftovers};
    int result = io->ops->list(io, ".", collect, names);
    return result == 0 ? 0 : err_io(err, result, "list", BACKUPS);
}

/* What cannot be removed costs space and nothing else. The process before may have been killed
 * between a renaming and its sync, or that failed: what the disk may have as a backup stays whole.
 */
static int clean_up(struct io *io, struct err *err)
{
    struct names names;
    struct err ignored;
    bool is_settled = io->ops->sync_directory(io, ".") == 0;
    int code = list(io, true, &names, err);
    for (size_t i = 0; code == 0 && is_settled && i < names.count; i++)
        (void)io_remove_folder(io, names.items[i], &ignored);
    free(names.items);
    return code;
}

int backups_open(struct io *io, struct io_file **ret_lock, struct err *err)
{
    int result = io->ops->open(io, LOCK_FILE, IO_CREATE, ret_lock);
    if (result != 0)
        return err_io(err, result, "create", LOCK_FILE);
    result = io->ops->lock(io, *ret_lock);
    int code = result == 0              ? clean_up(io, err)
               : result == -EWOULDBLOCK ? err_set(err, ERR_BUSY, "another mregiond has it open")
                                        : err_io(err, result, "lock", LOCK_FILE);
    if (code != 0)
        io->ops->close(io, *ret_lock);
    return code;
}

static int find(struct io *io, const char *name, bool *ret_found, struct err *err)
{
    struct names names;
    int code = list(io, false, &names, err);
    *ret_found = false;
    for (size_t i = 0; code == 0 && i < names.count; i++)
        *ret_found |= strcmp(names.items[i], name) == 0;
    free(names.items);
    return code;
}

int backups_check(struct io *io, const char *name, struct err *err)
{
    bool is_found;
    if (!region_name_is_valid(name, strlen(name)))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "'%.80s' is not a name for a backup: 1 to %d letters, digits, dots, "
                       "underscores and hyphens, the first one a letter or digit",
                       name, REGION_NAME_MAX);
    int code = find(io, name, &is_found, err);
    return code != 0 || is_found
               ? code
               : err_set(err, ERR_INVALID_ARGUMENT, "there is no backup named '%s'", name);
}

int backups_find(struct io *io, const char *name, char ret_region[REGION_NAME_MAX + 1],
                 struct err *err)
{
    struct meta meta;
    struct err ignored;
    uint32_t version;
    bool is_found;
    int code = find(io, name, &is_found, err);
    ret_region[0] = '\0';
    if (code == 0 && is_found && migrate_read_meta(io, name, &meta, &version, &ignored) == 0)
        memcpy(ret_region, meta.name, sizeof meta.name);
    return code;
}

/* The size in the newest header that is one. */
static uint64_t size_of(struct io *io, const char *folder, const struct meta *meta)
{
    struct checkpoint checkpoint, newest = {.sequence = 0};
    struct err ignored;
    bool is_valid;
    for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++)
        if (checkpoint_read_header(io, folder, slot, meta->secret, &checkpoint, &is_valid,
                                   &ignored) == 0 &&
            is_valid && checkpoint.sequence > newest.sequence)
            newest = checkpoint;
    return newest.size;
}

int backups_list(struct io *io, int (*visit)(void *context, const struct backup_about *about),
                 void *context, struct err *err)
{
    struct names names;
    struct meta meta;
    struct err ignored;
    uint32_t version;
    int code = list(io, false, &names, err);
    for (size_t i = 0; code == 0 && i < names.count; i++) {
        const char *name = names.items[i];
        if (migrate_read_meta(io, name, &meta, &version, &ignored) == 0)
            code = visit(context, &(struct backup_about){name, &meta, size_of(io, name, &meta)});
    }
    free(names.items);
    return code;
}
