#include "client/cli_target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli_signal.h"

static int fail_write(const struct cli *cli, const char *name)
{
    return cli_fail(cli, CLI_LOCAL_IO, "%s: cannot write: %s", name, strerror(errno));
}

static void release(struct cli_target *target)
{
    if (target->fd > STDERR_FILENO)
        (void)close(target->fd);
    free(target->temporary);
    free(target->path);
    target->fd = -1;
    target->temporary = NULL;
    target->path = NULL;
}

/* ---- Open ---- */

/* The path with the links at its end followed; NULL with errno set. */
static char *follow_links(const char *path)
{
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISLNK(status.st_mode))
        return realpath(path, NULL);
    return strdup(path);
}

/* "DIR/.mrcli.XXXXXX"; NULL when memory is out. */
static char *temporary_template(const char *path)
{
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? 0 : (int)(slash - path + 1);
    char *template;

    return asprintf(&template, "%.*s.mrcli.XXXXXX", length, path) < 0 ? NULL : template;
}

static mode_t mode_of_new_files(void)
{
    mode_t mask = umask(0);

    (void)umask(mask);
    return 0666 & ~mask;
}

/* Gives the temporary file the owner and mode of the one it will replace. A mode that lets a
 * program run as its owner is for that owner only. */
static bool copy_mode(int fd, const struct stat *old)
{
    struct stat now;
    mode_t mode = old->st_mode & 0777;

    if (fstat(fd, &now) != 0)
        return false;
    if ((now.st_uid == old->st_uid && now.st_gid == old->st_gid) ||
        fchown(fd, old->st_uid, old->st_gid) == 0)
        mode = old->st_mode & 07777;
    return fchmod(fd, mode) == 0;
}

/* old is NULL where no file is replaced. */
static bool open_temporary(struct cli_target *target, const struct stat *old)
{
    /* A file that may not be written is not replaced either. */
    if (old != NULL && faccessat(AT_FDCWD, target->path, W_OK, AT_EACCESS) != 0)
        return false;
    target->temporary = temporary_template(target->path);
    if (target->temporary == NULL)
        return false;
    target->fd = cli_signal_temporary(target->temporary);
    if (target->fd < 0) {
        free(target->temporary);
        target->temporary = NULL;
        return false;
    }
    return old != NULL ? copy_mode(target->fd, old) : fchmod(target->fd, mode_of_new_files()) == 0;
}

static bool open_path(struct cli_target *target, const char *path)
{
    struct stat status;

    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        target->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return target->fd >= 0;
    }
    if (path[0] == '\0') {
        errno = ENOENT;
        return false;
    }
    target->path = follow_links(path);
    if (target->path == NULL)
        return false;
    if (stat(target->path, &status) == 0)
        return open_temporary(target, &status);
    return errno == ENOENT && open_temporary(target, NULL);
}

int cli_target_open(const struct cli *cli, const char *path, struct cli_target *target)
{
    int number;

    *target = (struct cli_target){.fd = STDOUT_FILENO, .name = "standard output"};
    if (path == NULL || strcmp(path, "-") == 0)
        return CLI_OK;
    target->fd = -1;
    target->name = path;
    if (open_path(target, path))
        return CLI_OK;
    number = errno;
    cli_target_abandon(target);
    errno = number;
    return fail_write(cli, path);
}

/* ---- End ---- */

int cli_target_commit(const struct cli *cli, struct cli_target *target, bool is_last)
{
    const char *name = target->name;
    bool is_done;
    int number;

    if (target->temporary == NULL) {
        bool is_file = target->fd > STDERR_FILENO;

        is_done = !is_file || close(target->fd) == 0;
        target->fd = -1;
    } else {
        /* close tells of some errors that write did not, on file systems of the network. */
        is_done = !is_last || fsync(target->fd) == 0;
        is_done = close(target->fd) == 0 && is_done;
        target->fd = -1;
        is_done = is_done && rename(target->temporary, target->path) == 0;
    }
    if (is_done) {
        cli_signal_forget();
        release(target);
        return CLI_OK;
    }
    number = errno;
    cli_target_abandon(target);
    errno = number;
    return fail_write(cli, name);
}

void cli_target_abandon(struct cli_target *target)
{
    if (target->temporary != NULL)
        (void)unlink(target->temporary);
    cli_signal_forget();
    release(target);
}
