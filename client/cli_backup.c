#include "client/cli_backup.h"

#include <msgpack.h>

#include "client/cli_output.h"

static int print_number(const struct cli *cli, uint64_t number)
{
    const msgpack_object object = {.type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = number};

    cli_output_value(stdout, cli->form, &object);
    return CLI_OK;
}

int cli_backup(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_error error;
    const char *region;
    uint64_t bytes;
    int status = cli_need_region(cli, &region);

    if (status == CLI_OK)
        status = cli_connect(cli);
    if (status != CLI_OK)
        return status;
    if (mregion_backup_region(cli->connection, region, arguments->items[0], &bytes, &error) !=
        MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    return print_number(cli, bytes);
}

int cli_backup_restore(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_error error;
    uint64_t id;
    int status = cli_connect(cli);

    if (status != CLI_OK)
        return status;
    if (mregion_restore_region(cli->connection, arguments->items[0], arguments->items[1], &id,
                               &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    return print_number(cli, id);
}
