#include "client/cli_change.h"

#include <msgpack.h>
#include <string.h>

#include "client/cli_output.h"
#include "client/cli_parse.h"

/* ---- Arguments ---- */

static int parse(const struct cli *cli, char letter, const char *text, uint64_t **next)
{
    struct mregion_block block;
    const char *what = "size or address", *expected = CLI_PARSE_SIZE;

    if (letter == 'F' && cli_parse_reference(text, &block)) {
        *(*next)++ = block.address;
        *(*next)++ = block.size;
        return CLI_OK;
    }
    if ((letter == 'S' && cli_parse_size(text, *next)) ||
        (letter == 'N' && cli_parse_number(text, *next))) {
        (*next)++;
        return CLI_OK;
    }
    if (letter == 'F') {
        what = "reference";
        expected = CLI_PARSE_REFERENCE;
    } else if (letter == 'N') {
        what = "number";
        expected = CLI_PARSE_NUMBER;
    }
    return cli_fail(cli, CLI_USAGE, "\"%s\" is no %s: expected %s", text, what, expected);
}

int cli_change_parse(const struct cli *cli, const struct cli_arguments *arguments,
                     struct cli_change *ret_change)
{
    struct cli_change change = {.command = arguments->command};
    uint64_t *next = change.numbers;
    int status = CLI_OK;

    /* The first letter is the region's. */
    for (size_t i = 0; i < arguments->count && status == CLI_OK; i++)
        status = parse(cli, change.command->letters[i + 1], arguments->items[i], &next);
    if (status != CLI_OK)
        return status;
    change.last = next > change.numbers ? next[-1] : 0;
    *ret_change = change;
    return CLI_OK;
}

/* ---- Calls ---- */

/* As the methods are called. */
static const char *const names[] = {
    "allocate", "deallocate", "resize", "deallocateRange", "clear", "clearAndRetainHeader", "grow",
};
enum { ALLOCATE, DEALLOCATE, RESIZE, DEALLOCATE_RANGE, CLEAR, CLEAR_AND_RETAIN_HEADER, GROW };

static size_t kind_of(const struct cli_change *change)
{
    size_t kind = 0;

    while (kind < GROW && strcmp(names[kind], change->command->method) != 0)
        kind++;
    return kind;
}

static int call(const struct cli_change *change, struct mregion *connection, const char *region,
                uint64_t *ret_number, struct mregion_error *error)
{
    const uint64_t *numbers = change->numbers;

    switch (kind_of(change)) {
    case ALLOCATE:
        return mregion_allocate(connection, region, numbers[0], ret_number, error);
    case DEALLOCATE:
        return mregion_deallocate(connection, region, numbers[0], numbers[1], error);
    case RESIZE:
        return mregion_resize(connection, region, numbers[0], numbers[1], numbers[2], ret_number,
                              error);
    case DEALLOCATE_RANGE:
        return mregion_deallocate_range(connection, region, numbers[0], numbers[1], ret_number,
                                        error);
    case CLEAR:
        return mregion_clear(connection, region, error);
    case CLEAR_AND_RETAIN_HEADER:
        return mregion_clear_and_retain_header(connection, region, numbers[0], error);
    default:
        return mregion_grow(connection, region, numbers[0], ret_number, error);
    }
}

int cli_change_append(const struct cli_change *change, struct mregion_batch *batch,
                      size_t *ret_index, struct mregion_error *error)
{
    const uint64_t *numbers = change->numbers;

    switch (kind_of(change)) {
    case ALLOCATE:
        return mregion_batch_allocate(batch, numbers[0], ret_index, error);
    case DEALLOCATE:
        return mregion_batch_deallocate(batch, numbers[0], numbers[1], ret_index, error);
    case RESIZE:
        return mregion_batch_resize(batch, numbers[0], numbers[1], numbers[2], ret_index, error);
    case DEALLOCATE_RANGE:
        return mregion_batch_deallocate_range(batch, numbers[0], numbers[1], ret_index, error);
    case CLEAR:
        return mregion_batch_clear(batch, ret_index, error);
    case CLEAR_AND_RETAIN_HEADER:
        return mregion_batch_clear_and_retain_header(batch, numbers[0], ret_index, error);
    default:
        return mregion_batch_grow(batch, numbers[0], ret_index, error);
    }
}

/* ---- The command ---- */

void cli_change_print(const struct cli *cli, const struct cli_change *change, uint64_t number)
{
    struct mregion_block block = {.address = number, .size = change->last};
    msgpack_object value = {.type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = number};

    switch (change->command->result) {
    case CLI_RESULT_NOTHING:
        cli_output_nothing(stdout, cli->form);
        break;
    case CLI_RESULT_REFERENCE:
        cli_output_reference(stdout, cli->form, block);
        break;
    default:
        cli_output_value(stdout, cli->form, &value);
        break;
    }
}

int cli_change_run(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_error error;
    struct cli_change change;
    const char *region;
    uint64_t number = 0;
    int status = cli_change_parse(cli, arguments, &change);

    if (status == CLI_OK)
        status = cli_need_region(cli, &region);
    if (status != CLI_OK)
        return status;
    if (call(&change, cli->connection, region, &number, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    cli_change_print(cli, &change, number);
    return CLI_OK;
}
