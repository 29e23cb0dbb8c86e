#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "client/cli_batch_private.h"
#include "client/cli_json.h"
#include "client/cli_output.h"
#include "client/cli_target.h"

static int print_bytes(struct cli *cli, const struct cli_batch_part *part, const void *bytes,
                       size_t size)
{
    struct cli_target target;
    const uint8_t *at = bytes;
    int status;

    if (part->path == NULL && cli->form == CLI_JSON) {
        cli_json_write_bytes(stdout, bytes, size);
        (void)fputc('\n', stdout);
        return cli_output_flush(cli);
    }
    if (part->path == NULL) {
        (void)fwrite(bytes, 1, size, stdout);
        return cli_output_flush(cli);
    }
    status = cli_target_open(cli, part->path, &target);
    if (status != CLI_OK)
        return status;
    while (size > 0) {
        ssize_t count = write(target.fd, at, size);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            status =
                cli_fail(cli, CLI_LOCAL_IO, "%s: cannot write: %s", target.name, strerror(errno));
            cli_target_abandon(&target);
            return status;
        }
        at += count;
        size -= (size_t)count;
    }
    status = cli_target_commit(cli, &target, true);
    if (status == CLI_OK)
        cli_output_nothing(stdout, cli->form);
    return status;
}

/* What was removed and could not be written is the only copy. */
static void store_again(struct cli_batch *run, const void *bytes, uint64_t size)
{
    struct mregion_error error;
    uint64_t address;

    if (mregion_add(run->cli->connection, run->region, bytes, size, &address, &error) == MREGION_OK)
        (void)cli_fail(run->cli, CLI_LOCAL_IO,
                       "the batch is done; the bytes that were removed are stored again, as "
                       "%" PRIu64 "+%" PRIu64,
                       address, size);
    else
        (void)cli_fail(run->cli, CLI_LOCAL_IO,
                       "the batch is done; the bytes that were removed are lost: %s", error.text);
}

static int print_part(struct cli_batch *run, size_t index)
{
    struct cli *cli = run->cli;
    const struct cli_batch_part *part = &run->parts[index];
    struct mregion_error error;
    struct mregion_block block = {.size = part->size};
    const void *bytes;
    uint64_t number = 0;
    int status = CLI_OK;

    cli->line = part->line;
    switch (part->kind) {
    case PART_CHANGE:
        if (part->change.command->result != CLI_RESULT_NOTHING)
            (void)mregion_batch_uint(run->batch, index, &number, &error);
        cli_change_print(cli, &part->change, number);
        break;
    case PART_REFERENCE:
        (void)mregion_batch_uint(run->batch, index, &block.address, &error);
        cli_output_reference(stdout, cli->form, block);
        break;
    case PART_NOTHING:
        cli_output_nothing(stdout, cli->form);
        break;
    case PART_BYTES:
        (void)mregion_batch_blob(run->batch, index, &bytes, &number, &error);
        status = print_bytes(cli, part, bytes, (size_t)number);
        run->has_lost_output |= status != CLI_OK && part->path == NULL;
        if (status != CLI_OK)
            store_again(run, bytes, number);
        break;
    }
    return status;
}

/* Standard output took not all: whoever asked needs the references all the same. */
static void tell_references(struct cli_batch *run)
{
    struct mregion_error error;
    uint64_t address;

    for (size_t i = 0; i < run->count; i++) {
        const struct cli_batch_part *part = &run->parts[i];
        bool is_change = part->kind == PART_CHANGE;

        if ((part->kind != PART_REFERENCE &&
             !(is_change && part->change.command->result == CLI_RESULT_REFERENCE)) ||
            mregion_batch_uint(run->batch, i, &address, &error) != MREGION_OK)
            continue;
        run->cli->line = part->line;
        (void)cli_fail(run->cli, CLI_LOCAL_IO, "the batch is done, with %" PRIu64 "+%" PRIu64,
                       address, is_change ? part->change.last : part->size);
    }
}

int cli_batch_print(struct cli_batch *run)
{
    int first = CLI_OK;

    for (size_t i = 0; i < run->count; i++) {
        int status = print_part(run, i);

        if (first == CLI_OK)
            first = status;
    }
    run->cli->line = 0;
    if (cli_output_flush(run->cli) == CLI_OK && !run->has_lost_output)
        return first;
    tell_references(run);
    return first != CLI_OK ? first : CLI_LOCAL_IO;
}
