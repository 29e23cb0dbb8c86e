/* What every room that touches files needs: paths, sentences for errors, small files replaced
 * whole.
 *
 * Everything here may block. */
#ifndef MREGION_CORE_IOFILE_H
#define MREGION_CORE_IOFILE_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"

/* A path below the data directory, with its terminator. */
#define IO_PATH_SIZE 256

/* Fills *err for an operation that failed with -errno on a file: "cannot sync main/data: ...".
 * A full disk (or quota, or the file system's largest file) is ERR_NO_SPACE, no memory
 * ERR_INTERNAL, everything else and every error of the verb "sync" ERR_IO_ERROR. Returns the code.
 */
int err_io(struct err *err, int error, const char *verb, const char *path);
/* The same for a file in a folder. */
int err_io_at(struct err *err, int error, const char *verb, const char *folder, const char *name);
int err_no_memory(struct err *err);

/* "folder/name" (only the name in the folder ".") into path, which has IO_PATH_SIZE bytes. 0, or
 * ERR_INVALID_ARGUMENT when it does not fit. */
int io_join(char *path, const char *folder, const char *name, struct err *err);

/* Opens folder/name. 0 or the error's code. */
int io_open_at(struct io *io, const char *folder, const char *name, unsigned flags,
               struct io_file **ret_file, struct err *err);

/* Reads a file that has at most capacity bytes. 0, ERR_IO_ERROR, or ERR_CORRUPT when it is larger;
 * a missing file is ERR_IO_ERROR and *ret_size untouched. */
int io_read_small(struct io *io, const char *folder, const char *name, void *buffer,
                  size_t capacity, size_t *ret_size, struct err *err);

/* Replaces a file durably and all or nothing: writes NAME.new, syncs it, renames it, syncs the
 * folder. A crash may leave NAME.new behind, which the next call overwrites. */
int io_replace_small(struct io *io, const char *folder, const char *name, const void *bytes,
                     size_t size, struct err *err);

/* Removes a folder with the files in it; fails where there is a folder among them. */
int io_remove_folder(struct io *io, const char *folder, struct err *err);
/* Makes room for a folder of that path, in a directory that is called so in sentences. A folder
 * that is there may have another name on the disk, that of something whole: before a file of it
 * goes, the directory is synced. Of a link to elsewhere only the link is removed. */
int io_make_room(struct io *io, const char *path, const char *directory, const char *called,
                 struct err *err);

#endif
