/* Removing a backup.
 *
 * It is renamed to .drop-NAME, which is no backup's name, and that is durable before the first of
 * its files goes: a folder with a backup's name is whole, also after a crash. What a crash leaves
 * is removed when the directory is opened the next time. */
#include <errno.h>
#include <stdio.h>

#include "core/backups.h"
#include "core/iofile.h"

static int find_folder(void *context, const char *name, bool is_directory)
{
    (void)name;
    *(bool *)context |= is_directory;
    return 0;
}

/* A backup has no folders in it: somebody's own are not to be left without what they are in. */
static int check_files(struct io *io, const char *name, struct err *err)
{
    bool has_folder = false;
    int result = io->ops->list(io, name, find_folder, &has_folder);
    if (result != 0)
        return err_io(err, result, "list", name);
    return has_folder ? err_set(err, ERR_INVALID_ARGUMENT,
                                "there is a folder in the backup '%s', which is not of it: move "
                                "that elsewhere",
                                name)
                      : 0;
}

static int move_away(struct io *io, const char *name, const char *dropped, struct err *err)
{
    /* What could not be removed the last time would be in the way. */
    int code = io_make_room(io, dropped, ".", BACKUPS, err);
    if (code != 0)
        return code;
    int result = io->ops->rename(io, name, dropped);
    if (result != 0)
        return err_io(err, result, "rename", name);
    result = io->ops->sync_directory(io, ".");
    if (result == 0)
        return 0;
    code = err_io(err, result, "sync", BACKUPS);
    struct err reason = *err;
    bool is_back = io->ops->rename(io, dropped, name) == 0;
    if (is_back && io->ops->sync_directory(io, ".") == 0)
        return code;
    return err_set(err, (enum err_code)code,
                   "%s: the backup '%s' is %s until the next start, which may find it %s",
                   reason.text, name, is_back ? "there" : "gone", is_back ? "gone" : "there");
}

int backups_remove(struct io *io, const char *name, struct err *err)
{
    char dropped[REGION_NAME_MAX + sizeof BACKUPS_DROP_PREFIX];
    struct err reason;
    int code = backups_check(io, name, err);
    if (code == 0)
        code = check_files(io, name, err);
    if (code != 0)
        return code;
    (void)snprintf(dropped, sizeof dropped, BACKUPS_DROP_PREFIX "%s", name);
    code = move_away(io, name, dropped, err);
    if (code != 0)
        return code;
    code = io_remove_folder(io, dropped, &reason);
    return code == 0 ? 0
                     : err_set(err, (enum err_code)code,
                               "the backup '%s' is removed, but its space is not free before the "
                               "next start: %s",
                               name, reason.text);
}
