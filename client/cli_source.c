#include "client/cli_source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int cli_source_open(const struct cli *cli, const char *path, struct cli_source *source)
{
    bool is_stdin = strcmp(path, "-") == 0;

    if (is_stdin && cli->is_script)
        return cli_fail(cli, CLI_USAGE,
                        "- is standard input, which holds the commands here: name a file");
    source->name = is_stdin ? "standard input" : path;
    source->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (source->fd < 0)
        return cli_fail(cli, CLI_LOCAL_IO, "%s: cannot open: %s", path, strerror(errno));
    if (fstat(source->fd, &source->before) == 0 && !S_ISDIR(source->before.st_mode))
        return CLI_OK;
    if (S_ISDIR(source->before.st_mode))
        errno = EISDIR;
    (void)cli_fail(cli, CLI_LOCAL_IO, "%s: cannot read: %s", source->name, strerror(errno));
    cli_source_close(source);
    return CLI_LOCAL_IO;
}

bool cli_source_has_changed(const struct cli_source *source)
{
    struct stat now;

    if (!S_ISREG(source->before.st_mode))
        return false;
    return fstat(source->fd, &now) != 0 || now.st_size != source->before.st_size ||
           now.st_mtim.tv_sec != source->before.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != source->before.st_mtim.tv_nsec;
}

void cli_source_close(struct cli_source *source)
{
    if (source->fd > STDERR_FILENO)
        (void)close(source->fd);
    source->fd = -1;
}
