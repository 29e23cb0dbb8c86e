#include "core/iofile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int err_io(struct err *err, int error, const char *verb, const char *path)
{
    const char *why = strerrordesc_np(-error);
    enum err_code code = ERR_IO_ERROR;
    if (error == -ENOSPC || error == -EDQUOT || error == -EFBIG)
        code = ERR_NO_SPACE;
    if (error == -ENOMEM)
        code = ERR_INTERNAL;
    /* Whatever the reason, what was pending is lost and the next sync may well succeed: nobody may
     * take it for a refusal that changed nothing. */
    if (strcmp(verb, "sync") == 0)
        code = ERR_IO_ERROR;
    if (error == -ENXIO && (strcmp(verb, "open") == 0 || strcmp(verb, "create") == 0))
        why = "it is not a regular file";
    return err_set(err, code, "cannot %s %s: %s", verb, path, why != NULL ? why : "unknown error");
}

int err_io_at(struct err *err, int error, const char *verb, const char *folder, const char *name)
{
    char path[IO_PATH_SIZE];
    int code = io_join(path, folder, name, err);
    return code != 0 ? code : err_io(err, error, verb, path);
}

int err_no_memory(struct err *err)
{
    return err_set(err, ERR_INTERNAL, "out of memory");
}

int io_join(char *path, const char *folder, const char *name, struct err *err)
{
    bool is_top = strcmp(folder, ".") == 0;
    size_t head = is_top ? 0 : strlen(folder) + 1, tail = strlen(name);
    if (head + tail >= IO_PATH_SIZE)
        /* The limit first: the path itself is more than the sentence can hold. */
        return err_set(err, ERR_INVALID_ARGUMENT, "a path has more than %d bytes: %s/%s",
                       IO_PATH_SIZE - 1, folder, name);
    if (!is_top) {
        memcpy(path, folder, head - 1);
        path[head - 1] = '/';
    }
    memcpy(path + head, name, tail + 1);
    return 0;
}

int io_open_at(struct io *io, const char *folder, const char *name, unsigned flags,
               struct io_file **ret_file, struct err *err)
{
    char path[IO_PATH_SIZE];
    int code = io_join(path, folder, name, err);
    if (code != 0)
        return code;
    int result = io->ops->open(io, path, flags, ret_file);
    if (result != 0)
        return err_io(err, result, (flags & IO_CREATE) ? "create" : "open", path);
    return 0;
}

int io_read_small(struct io *io, const char *folder, const char *name, void *buffer,
                  size_t capacity, size_t *ret_size, struct err *err)
{
    struct io_file *file;
    uint64_t size;
    int code = io_open_at(io, folder, name, IO_READ_ONLY, &file, err);
    if (code != 0)
        return code;
    ssize_t got = io->ops->size(io, file, &size);
    if (got == 0 && size > capacity) {
        io->ops->close(io, file);
        return err_set(err, ERR_CORRUPT, "%s/%s has %llu bytes where %zu is the most it may have",
                       folder, name, (unsigned long long)size, capacity);
    }
    if (got == 0)
        got = io->ops->read(io, file, buffer, (size_t)size, 0);
    io->ops->close(io, file);
    if (got < 0)
        return err_io_at(err, (int)got, "read", folder, name);
    *ret_size = (size_t)got;
    return 0;
}

static int write_and_sync(struct io *io, const char *path, const void *bytes, size_t size,
                          struct err *err)
{
    struct io_file *file;
    const char *verb = "create";
    int result = io->ops->open(io, path, IO_CREATE, &file);
    if (result != 0)
        return err_io(err, result, verb, path);
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    verb = "truncate";
    result = io->ops->truncate(io, file, 0);
    if (result == 0) {
        verb = "write";
        result = io->ops->write(io, file, &vector, 1, 0);
    }
    if (result == 0) {
        verb = "sync";
        result = io->ops->sync(io, file);
    }
    io->ops->close(io, file);
    return result == 0 ? 0 : err_io(err, result, verb, path);
}

int io_replace_small(struct io *io, const char *folder, const char *name, const void *bytes,
                     size_t size, struct err *err)
{
    char path[IO_PATH_SIZE], fresh[IO_PATH_SIZE];
    char fresh_name[IO_PATH_SIZE + sizeof ".new"];
    (void)snprintf(fresh_name, sizeof fresh_name, "%s.new", name);
    int code = io_join(path, folder, name, err);
    if (code == 0)
        code = io_join(fresh, folder, fresh_name, err);
    if (code == 0)
        code = write_and_sync(io, fresh, bytes, size, err);
    if (code != 0)
        return code;
    int result = io->ops->rename(io, fresh, path);
    if (result != 0)
        return err_io(err, result, "rename", fresh);
    result = io->ops->sync_directory(io, folder);
    return result == 0 ? 0 : err_io(err, result, "sync", folder);
}

struct removal {
    struct io *io;
    const char *folder;
};

static int remove_entry(void *context, const char *name, bool is_directory)
{
    const struct removal *removal = context;
    char path[IO_PATH_SIZE];
    if (is_directory)
        return -ENOTEMPTY; /* not ours: a region has no folders in it */
    if (io_join(path, removal->folder, name, NULL) != 0)
        return -ENAMETOOLONG;
    return removal->io->ops->remove(removal->io, path);
}

int io_remove_folder(struct io *io, const char *folder, struct err *err)
{
    struct removal removal = {io, folder};
    int result = io->ops->list(io, folder, remove_entry, &removal);
    if (result == 0)
        result = io->ops->remove_directory(io, folder);
    return result == 0 ? 0 : err_io(err, result, "remove", folder);
}

int io_make_room(struct io *io, const char *path, const char *directory, const char *called,
                 struct err *err)
{
    int result = io->ops->remove(io, path);
    if (result == 0 || result == -ENOENT)
        return 0;
    if (result != -EISDIR)
        return err_io(err, result, "remove", path);
    result = io->ops->sync_directory(io, directory);
    return result == 0 ? io_remove_folder(io, path, err) : err_io(err, result, "sync", called);
}
