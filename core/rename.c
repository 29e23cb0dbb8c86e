#include "core/rename.h"

#include <errno.h>
#include <string.h>

#include "core/iofile.h"
#include "core/meta.h"
#include "core/migrate.h"

#define RENAMED_FILE "meta-renamed"

int rename_prepare(struct io *io, const char *folder, const char *name, struct err *err)
{
    struct meta meta;
    uint32_t version;
    int code = migrate_read_meta(io, folder, &meta, &version, err);
    if (code != 0)
        return code;
    if (version != REGION_FORMAT)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s has format version %u instead of %u: it must be migrated", folder,
                       version, REGION_FORMAT);
    memset(meta.name, 0, sizeof meta.name);
    strncpy(meta.name, name, REGION_NAME_MAX);
    return meta_write_as(io, folder, RENAMED_FILE, &meta, err);
}

void rename_forget(struct io *io, const char *folder)
{
    char path[IO_PATH_SIZE];
    if (io_join(path, folder, RENAMED_FILE, NULL) == 0)
        (void)io->ops->remove(io, path);
}

static int refuse(const char *folder, const struct meta *meta, struct err *err)
{
    return err_set(err, ERR_CORRUPT,
                   "%s holds the region '%s': give the folder that name, or move "
                   "it out of the way",
                   folder, meta->name);
}

/* The file of the first step, if there is one: else it is no renaming that was cut short. */
static int read_renamed(struct io *io, const char *folder, const struct meta *meta,
                        struct meta *ret_renamed, struct err *err)
{
    uint8_t bytes[META_SIZE_MAX];
    size_t size = 0;
    struct io_file *file;
    char path[IO_PATH_SIZE];
    int code = io_join(path, folder, RENAMED_FILE, err);
    if (code != 0)
        return code;
    int result = io->ops->open(io, path, IO_READ_ONLY, &file);
    if (result == -ENOENT)
        return refuse(folder, meta, err);
    if (result != 0)
        return err_io(err, result, "open", path);
    io->ops->close(io, file);
    code = io_read_small(io, folder, RENAMED_FILE, bytes, sizeof bytes, &size, err);
    return code == 0 ? meta_decode_v2(bytes, size, folder, ret_renamed, err) : code;
}

static bool is_same_region(const struct meta *a, const struct meta *b)
{
    return a->id == b->id && memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0 &&
           memcmp(a->secret, b->secret, sizeof a->secret) == 0;
}

/* The third step. The folder's own name is durable: the store saw to that when it was opened, or
 * the renaming itself. */
static int finish(struct io *io, const char *folder, struct err *err)
{
    char from[IO_PATH_SIZE], to[IO_PATH_SIZE];
    int code = io_join(from, folder, RENAMED_FILE, err);
    if (code == 0)
        code = io_join(to, folder, META_FILE, err);
    if (code != 0)
        return code;
    int result = io->ops->rename(io, from, to);
    if (result != 0)
        return err_io(err, result, "rename", from);
    result = io->ops->sync_directory(io, folder);
    return result == 0 ? 0 : err_io(err, result, "sync", folder);
}

int rename_settle(struct io *io, const char *folder, const char *name, bool read_only,
                  struct err *err)
{
    struct meta meta, renamed = {0};
    uint32_t version;
    int code = migrate_read_meta(io, folder, &meta, &version, err);
    if (code != 0)
        return code;
    if (strcmp(meta.name, name) == 0) {
        if (!read_only)
            rename_forget(io, folder);
        return 0;
    }
    code = read_renamed(io, folder, &meta, &renamed, err);
    if (code != 0)
        return code;
    if (strcmp(renamed.name, name) != 0 || !is_same_region(&meta, &renamed))
        return refuse(folder, &meta, err);
    return read_only ? 0 : finish(io, folder, err);
}
