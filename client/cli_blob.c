#include "client/cli_blob.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "client/cli_json.h"
#include "client/cli_output.h"
#include "client/cli_parse.h"
#include "client/cli_progress.h"
#include "client/cli_source.h"
#include "client/cli_target.h"

static int parse_reference(const struct cli *cli, const char *text, struct mregion_block *ret_block)
{
    if (!cli_parse_reference(text, ret_block))
        return cli_fail(cli, CLI_USAGE, "\"%s\" is no reference: expected " CLI_PARSE_REFERENCE,
                        text);
    return CLI_OK;
}

/* ---- Out of files ---- */

/* A source is opened before the server is asked for anything. */
static int open_source(struct cli *cli, const char *path, struct cli_source *source,
                       const char **ret_region)
{
    int status = cli_source_open(cli, path, source);

    if (status != CLI_OK)
        return status;
    status = cli_need_region(cli, ret_region);
    if (status != CLI_OK)
        cli_source_close(source);
    return status;
}

/* Gives back what was added and is of no use. On failure the error's text is why. */
static bool undo_add(struct cli *cli, const char *region, struct mregion_block block,
                     struct mregion_error *error)
{
    return block.size == 0 || mregion_deallocate(cli->connection, region, block.address, block.size,
                                                 error) == MREGION_OK;
}

static int fail_changed(struct cli *cli, const char *region, const char *name,
                        struct mregion_block block)
{
    struct mregion_error error;

    if (undo_add(cli, region, block, &error))
        return cli_fail(cli, CLI_LOCAL_IO, "%s: changed while it was read; nothing was added",
                        name);
    return cli_fail(cli, CLI_LOCAL_IO,
                    "%s: changed while it was read; what was added, %" PRIu64 "+%" PRIu64
                    ", could not be freed: %s",
                    name, block.address, block.size, error.text);
}

/* A blob whose reference reached nobody is nobody's. */
static int print_added(struct cli *cli, const char *region, struct mregion_block block)
{
    struct mregion_error error;
    int status;

    cli_output_reference(stdout, cli->form, block);
    status = cli_output_flush(cli);
    if (status != CLI_OK && !undo_add(cli, region, block, &error))
        (void)cli_fail(cli, (enum cli_exit)status, "%" PRIu64 "+%" PRIu64 " stays in use: %s",
                       block.address, block.size, error.text);
    return status;
}

static int add_file(struct cli *cli, const char *path)
{
    struct mregion_block block;
    struct cli_progress progress;
    struct mregion_error error;
    struct cli_source source;
    const char *region;
    int code, status = open_source(cli, path, &source, &region);

    if (status != CLI_OK)
        return status;
    cli_progress_begin(&progress, cli->connection, source.name, false);
    code = mregion_add_fd(cli->connection, region, source.fd, &block.address, &block.size, &error);
    cli_progress_end(&progress, cli->connection);
    if (code != MREGION_OK)
        status = cli_fail_library(cli, &error, source.name);
    else if (cli_source_has_changed(&source))
        status = fail_changed(cli, region, source.name, block);
    else
        status = print_added(cli, region, block);
    cli_source_close(&source);
    return status;
}

int cli_blob_add(struct cli *cli, const struct cli_arguments *arguments)
{
    size_t from_stdin = 0;
    int status = CLI_OK;

    for (size_t i = 0; i < arguments->count; i++)
        from_stdin += strcmp(arguments->items[i], "-") == 0;
    if (from_stdin > 1)
        return cli_fail(cli, CLI_USAGE, "add: - is standard input, which ends once");
    for (size_t i = 0; i < arguments->count && status == CLI_OK; i++)
        status = add_file(cli, arguments->items[i]);
    return status;
}

int cli_blob_store(struct cli *cli, const struct cli_arguments *arguments)
{
    struct cli_progress progress;
    struct mregion_error error;
    struct cli_source source;
    uint64_t address, size;
    const char *region;
    int code, status;

    if (!cli_parse_size(arguments->items[0], &address))
        return cli_fail(cli, CLI_USAGE,
                        "\"%s\" is no address: expected a whole number (the part of a reference "
                        "that is before the +)",
                        arguments->items[0]);
    status = open_source(cli, arguments->items[1], &source, &region);
    if (status != CLI_OK)
        return status;
    cli_progress_begin(&progress, cli->connection, source.name, false);
    code = mregion_store_fd(cli->connection, region, address, source.fd, &size, &error);
    cli_progress_end(&progress, cli->connection);
    if (code != MREGION_OK)
        status = cli_fail_library(cli, &error, source.name);
    else if (cli_source_has_changed(&source))
        status =
            cli_fail(cli, CLI_LOCAL_IO,
                     "%s: changed while it was read; what was read, %" PRIu64 " bytes, is stored",
                     source.name, size);
    else
        cli_output_nothing(stdout, cli->form);
    cli_source_close(&source);
    return status;
}

int cli_blob_replace(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_block old, block;
    struct cli_progress progress;
    struct mregion_error error;
    struct cli_source source;
    const char *region;
    int code, status = parse_reference(cli, arguments->items[0], &old);

    if (status == CLI_OK)
        status = open_source(cli, arguments->items[1], &source, &region);
    if (status != CLI_OK)
        return status;
    cli_progress_begin(&progress, cli->connection, source.name, false);
    code = mregion_replace_fd(cli->connection, region, old.address, old.size, source.fd,
                              &block.address, &block.size, &error);
    cli_progress_end(&progress, cli->connection);
    if (code != MREGION_OK) {
        status = cli_fail_library(cli, &error, source.name);
    } else {
        /* The old blob is gone: whoever asked needs the new reference in any case. */
        cli_output_reference(stdout, cli->form, block);
        if (cli_source_has_changed(&source))
            status =
                cli_fail(cli, CLI_LOCAL_IO,
                         "%s: changed while it was read; what was read is stored", source.name);
    }
    cli_source_close(&source);
    return status;
}

/* ---- Into files ---- */

static bool is_stdout(const char *path)
{
    return path == NULL || strcmp(path, "-") == 0;
}

/* The bytes as one JSON value on standard output. */
static int load_as_json(struct cli *cli, const char *region, struct mregion_block block)
{
    struct cli_progress progress;
    struct mregion_error error;
    void *bytes;
    int code;

    cli_progress_begin(&progress, cli->connection, "standard output", isatty(STDOUT_FILENO) != 0);
    code = mregion_load_new(cli->connection, region, block.address, block.size, &bytes, &error);
    cli_progress_end(&progress, cli->connection);
    if (code != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    cli_json_write_bytes(stdout, bytes, block.size);
    (void)fputc('\n', stdout);
    mregion_free(bytes);
    return cli_output_flush(cli);
}

static int load_as_file(struct cli *cli, const char *region, struct mregion_block block,
                        const char *path, bool is_last)
{
    struct cli_progress progress;
    struct mregion_error error;
    struct cli_target target;
    int code, status = cli_output_flush(cli);

    if (status == CLI_OK)
        status = cli_target_open(cli, path, &target);
    if (status != CLI_OK)
        return status;
    cli_progress_begin(&progress, cli->connection, target.name,
                       is_stdout(path) && isatty(STDOUT_FILENO) != 0);
    code = mregion_load_fd(cli->connection, region, block.address, block.size, target.fd, &error);
    cli_progress_end(&progress, cli->connection);
    if (code == MREGION_OK)
        return cli_target_commit(cli, &target, is_last);
    status = cli_fail_library(cli, &error, target.name);
    cli_target_abandon(&target);
    return status;
}

/* Bytes that go to standard output are JSON where that is the form; in a file they are bytes. */
static int load(struct cli *cli, const char *region, struct mregion_block block, const char *path,
                bool is_last)
{
    int status;

    if (cli->form == CLI_JSON && is_stdout(path))
        return load_as_json(cli, region, block);
    status = load_as_file(cli, region, block, path, is_last);
    if (status == CLI_OK && !is_stdout(path))
        cli_output_nothing(stdout, cli->form);
    return status;
}

int cli_blob_load(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_block block;
    const char *region;
    int status = parse_reference(cli, arguments->items[0], &block);

    if (status == CLI_OK)
        status = cli_need_region(cli, &region);
    if (status == CLI_OK)
        status = load(cli, region, block, arguments->count > 1 ? arguments->items[1] : NULL, false);
    return status;
}

/* The block is freed once its bytes are where they belong: a full disk or a closed pipe here costs
 * nothing there. Nobody wants a blob on a terminal who has not asked for it. */
int cli_blob_remove(struct cli *cli, const struct cli_arguments *arguments)
{
    const char *path = arguments->count > 1 ? arguments->items[1] : NULL;
    struct mregion_block block;
    struct mregion_error error;
    const char *region;
    bool is_wanted = path != NULL || cli->form == CLI_JSON || isatty(STDOUT_FILENO) == 0;
    int status = parse_reference(cli, arguments->items[0], &block);

    if (status == CLI_OK)
        status = cli_need_region(cli, &region);
    if (status == CLI_OK && is_wanted)
        status = load(cli, region, block, path, true);
    if (status == CLI_OK && mregion_deallocate(cli->connection, region, block.address, block.size,
                                               &error) != MREGION_OK)
        status = cli_fail_library(cli, &error, NULL);
    return status;
}
