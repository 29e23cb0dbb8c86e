#include "client/cli_batch_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli_blob.h"
#include "client/cli_parse.h"
#include "client/cli_script.h"
#include "client/cli_signal.h"
#include "client/cli_source.h"

/* No message is larger, however the server is configured. */
#define BLOB_MAX ((size_t)1 << 30)
#define BUFFER_FIRST ((size_t)64 << 10)

/* ---- Parts ---- */

static struct cli_batch_part *new_part(struct cli_batch *run, enum cli_batch_kind kind)
{
    size_t capacity = run->capacity == 0 ? 16 : 2 * run->capacity;
    struct cli_batch_part *parts;

    if (run->count == run->capacity) {
        parts = realloc(run->parts, capacity * sizeof *parts);
        if (parts == NULL)
            return NULL;
        run->parts = parts;
        run->capacity = capacity;
    }
    run->parts[run->count] = (struct cli_batch_part){.kind = kind, .line = run->cli->line};
    return &run->parts[run->count];
}

/* The change is in the batch, or the reason why not is told. */
static int appended(struct cli_batch *run, int code, const struct mregion_error *error)
{
    if (code != MREGION_OK)
        return cli_fail_library(run->cli, error, NULL);
    run->count++;
    return CLI_OK;
}

/* ---- Blobs ---- */

static int fail_read(const struct cli *cli, const struct cli_source *source)
{
    return cli_fail(cli, CLI_LOCAL_IO, "%s: cannot read: %s", source->name, strerror(errno));
}

/* All of an open file. */
static int read_all(const struct cli *cli, const struct cli_source *source, uint8_t **ret_bytes,
                    size_t *ret_size)
{
    size_t size = 0, capacity = BUFFER_FIRST;
    uint8_t *bytes = malloc(capacity), *larger;

    while (bytes != NULL) {
        ssize_t count = read(source->fd, bytes + size, capacity - size);

        if (count == 0) {
            *ret_bytes = bytes;
            *ret_size = size;
            return CLI_OK;
        }
        if (count < 0 && (errno != EINTR || cli_signal_pending())) {
            (void)fail_read(cli, source);
            free(bytes);
            return CLI_LOCAL_IO;
        }
        if (count > 0)
            size += (size_t)count;
        if (size < capacity)
            continue;
        if (size >= BLOB_MAX) {
            free(bytes);
            return cli_fail(cli, CLI_USAGE,
                            "%s: is too large for a batch, which is one message: add it by itself",
                            source->name);
        }
        capacity *= 2;
        larger = realloc(bytes, capacity);
        if (larger == NULL)
            free(bytes);
        bytes = larger;
    }
    return cli_no_memory(cli);
}

static int read_file(struct cli_batch *run, const char *path, uint8_t **ret_bytes, size_t *ret_size)
{
    struct cli *cli = run->cli;
    struct cli_source source;
    uint8_t *bytes = NULL;
    int status;

    if (strcmp(path, "-") == 0 && run->has_read_stdin)
        return cli_fail(cli, CLI_USAGE, "- is standard input, which ends once");
    status = cli_source_open(cli, path, &source);
    if (status != CLI_OK)
        return status;
    run->has_read_stdin |= source.fd == STDIN_FILENO;
    status = read_all(cli, &source, &bytes, ret_size);
    if (status == CLI_OK && cli_source_has_changed(&source))
        status = cli_fail(cli, CLI_LOCAL_IO, "%s: changed while it was read", source.name);
    cli_source_close(&source);
    if (status == CLI_OK)
        *ret_bytes = bytes;
    else
        free(bytes);
    return status;
}

static int append_add(struct cli_batch *run, const char *path)
{
    struct cli_batch_part *part = new_part(run, PART_REFERENCE);
    struct mregion_error error;
    uint8_t *bytes = NULL;
    size_t size = 0;
    int status = part == NULL ? cli_no_memory(run->cli) : read_file(run, path, &bytes, &size);

    if (status != CLI_OK)
        return status;
    part->size = size;
    status = appended(run, mregion_batch_add(run->batch, bytes, size, NULL, &error), &error);
    free(bytes);
    return status;
}

static int append_store(struct cli_batch *run, const struct cli_arguments *arguments)
{
    struct cli_batch_part *part = new_part(run, PART_NOTHING);
    struct mregion_error error;
    uint8_t *bytes = NULL;
    uint64_t address;
    size_t size = 0;
    int status;

    if (part == NULL)
        return cli_no_memory(run->cli);
    if (!cli_parse_size(arguments->items[0], &address))
        return cli_fail(run->cli, CLI_USAGE, "\"%s\" is no address: expected " CLI_PARSE_SIZE,
                        arguments->items[0]);
    status = read_file(run, arguments->items[1], &bytes, &size);
    if (status != CLI_OK)
        return status;
    status =
        appended(run, mregion_batch_store(run->batch, address, bytes, size, NULL, &error), &error);
    free(bytes);
    return status;
}

static int parse_reference(const struct cli *cli, const char *text, struct mregion_block *ret_block)
{
    if (!cli_parse_reference(text, ret_block))
        return cli_fail(cli, CLI_USAGE, "\"%s\" is no reference: expected " CLI_PARSE_REFERENCE,
                        text);
    return CLI_OK;
}

static int append_replace(struct cli_batch *run, const struct cli_arguments *arguments)
{
    struct cli_batch_part *part = new_part(run, PART_REFERENCE);
    struct mregion_block old;
    struct mregion_error error;
    uint8_t *bytes = NULL;
    size_t size = 0;
    int status = part == NULL ? cli_no_memory(run->cli)
                              : parse_reference(run->cli, arguments->items[0], &old);

    if (status == CLI_OK)
        status = read_file(run, arguments->items[1], &bytes, &size);
    if (status != CLI_OK)
        return status;
    part->size = size;
    status = appended(
        run, mregion_batch_replace(run->batch, old.address, old.size, bytes, size, NULL, &error),
        &error);
    free(bytes);
    return status;
}

/* Nobody wants a blob on a terminal who has not asked for it: as with the command. */
static int append_remove(struct cli_batch *run, const struct cli_arguments *arguments)
{
    const char *path = arguments->count > 1 ? arguments->items[1] : NULL;
    bool is_wanted = path != NULL || run->cli->form == CLI_JSON || isatty(STDOUT_FILENO) == 0;
    struct cli_batch_part *part = new_part(run, is_wanted ? PART_BYTES : PART_NOTHING);
    struct mregion_block block = {0};
    struct mregion_error error;
    int code, status = part == NULL ? cli_no_memory(run->cli)
                                    : parse_reference(run->cli, arguments->items[0], &block);

    if (status != CLI_OK)
        return status;
    if (path != NULL && strcmp(path, "-") != 0 && (part->path = strdup(path)) == NULL)
        return cli_no_memory(run->cli);
    if (is_wanted)
        code = mregion_batch_remove(run->batch, block.address, block.size, NULL, &error);
    else
        code = mregion_batch_deallocate(run->batch, block.address, block.size, NULL, &error);
    status = appended(run, code, &error);
    if (status != CLI_OK)
        free(part->path);
    return status;
}

/* ---- Lines ---- */

static int append_change(struct cli_batch *run, const struct cli_arguments *arguments)
{
    struct cli_batch_part *part = new_part(run, PART_CHANGE);
    struct mregion_error error;
    int status = part == NULL ? cli_no_memory(run->cli)
                              : cli_change_parse(run->cli, arguments, &part->change);

    if (status != CLI_OK)
        return status;
    return appended(run, cli_change_append(&part->change, run->batch, NULL, &error), &error);
}

static int append(struct cli_batch *run, const struct cli_arguments *arguments)
{
    const struct cli_command *command = arguments->command;
    int status = CLI_OK;

    if (command->run == cli_change_run)
        return append_change(run, arguments);
    if (command->run == cli_blob_store)
        return append_store(run, arguments);
    if (command->run == cli_blob_replace)
        return append_replace(run, arguments);
    if (command->run == cli_blob_remove)
        return append_remove(run, arguments);
    if (command->run != cli_blob_add)
        return cli_fail(run->cli, CLI_USAGE, "%s is no change that can be part of a batch",
                        command->name);
    for (size_t i = 0; i < arguments->count && status == CLI_OK; i++)
        status = append_add(run, arguments->items[i]);
    return status;
}

static int take_words(struct cli_batch *run, const struct cli_words *words)
{
    struct cli_arguments arguments;
    char **items;
    int status;

    if (words->count == 0)
        return CLI_OK;
    items = calloc(words->count, sizeof *items);
    if (items == NULL)
        return cli_no_memory(run->cli);
    status = cli_command_take(run->cli, words->items, words->count, items, &arguments);
    if (status == CLI_OK)
        status = append(run, &arguments);
    free(items);
    return status;
}

/* A line as getline returns it. */
static int take_line(struct cli_batch *run, char *line, size_t length)
{
    struct cli_words words;
    int status;

    if (length > 0 && line[length - 1] == '\n')
        line[--length] = '\0';
    if (strlen(line) != length)
        return cli_fail(run->cli, CLI_USAGE, "a NUL byte is in the line: this is no change");
    status = cli_script_split(run->cli, line, &words);
    if (status != CLI_OK)
        return status;
    status = take_words(run, &words);
    cli_words_release(&words);
    return status;
}

static int take_lines(struct cli_batch *run, FILE *file, const char *name)
{
    struct cli *cli = run->cli;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    int status = CLI_OK;

    while (status == CLI_OK && !cli_signal_pending() &&
           (length = getline(&line, &capacity, file)) >= 0) {
        cli->line++;
        status = take_line(run, line, (size_t)length);
    }
    if (status == CLI_OK && !feof(file)) {
        int number = errno;

        cli->line = 0;
        status = cli_signal_pending()
                     ? CLI_LOCAL_IO
                     : cli_fail(cli, CLI_LOCAL_IO, "%s: cannot read: %s", name, strerror(number));
    }
    free(line);
    return status;
}

/* ---- The command ---- */

static int commit(struct cli_batch *run)
{
    struct mregion_error error;
    size_t failed;

    run->cli->line = 0;
    if (mregion_batch_commit(run->batch, &failed, &error) == MREGION_OK)
        return cli_batch_print(run);
    if (failed < run->count)
        run->cli->line = run->parts[failed].line;
    return cli_fail_library(run->cli, &error, NULL);
}

static int run_file(struct cli_batch *run, FILE *file, const char *name)
{
    struct cli *cli = run->cli;
    struct mregion_error error;
    int status = cli_need_region(cli, &run->region);

    if (status != CLI_OK)
        return status;
    if (mregion_batch_begin(cli->connection, run->region, &run->batch, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    status = take_lines(run, file, name);
    if (status == CLI_OK)
        status = commit(run);
    mregion_batch_close(run->batch);
    for (size_t i = 0; i < run->count; i++)
        free(run->parts[i].path);
    free(run->parts);
    return status;
}

int cli_batch_run(struct cli *cli, const struct cli_arguments *arguments)
{
    struct cli_batch run = {.cli = cli};
    struct cli_source source;
    size_t line = cli->line;
    bool is_script = cli->is_script, is_stdin;
    FILE *file;
    int status = cli_source_open(cli, arguments->items[0], &source);

    if (status != CLI_OK)
        return status;
    is_stdin = source.fd == STDIN_FILENO;
    file = is_stdin ? stdin : fdopen(source.fd, "r");
    if (file == NULL) {
        cli_source_close(&source);
        return cli_no_memory(cli);
    }
    /* Lines are the batch's meanwhile, and what comes from standard input is used up. */
    cli->is_script |= is_stdin;
    cli->line = 0;
    cli->file = is_stdin ? NULL : source.name;
    status = run_file(&run, file, source.name);
    cli->is_script = is_script;
    cli->line = line;
    cli->file = NULL;
    if (!is_stdin)
        (void)fclose(file);
    else
        clearerr(stdin);
    return status;
}
