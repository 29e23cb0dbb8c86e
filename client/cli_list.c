#include "client/cli_list.h"

#include "client/cli_output.h"
#include "client/cli_parse.h"

/* As many as the library fetches with one call. */
#define PART 3000

const struct cli_option cli_list_free_options[] = {
    {"limit", "COUNT", 'N', NULL, 0},
    {"from", "ADDRESS", 'S', NULL, 0},
    {NULL, NULL, 0, NULL, 0},
};

const struct cli_option cli_list_range_options[] = {
    {"limit", "COUNT", 'N', NULL, 0},
    {NULL, NULL, 0, NULL, 0},
};

/* Places in both lists of options. */
enum { OPTION_LIMIT, OPTION_FROM };

typedef int fetch_range(struct mregion *connection, const char *region, uint64_t start,
                        uint64_t end, size_t limit, struct mregion_block *blocks, size_t *ret_count,
                        struct mregion_error *error);

struct list {
    fetch_range *fetch; /* NULL: the free blocks, up to the end */
    uint64_t start;
    uint64_t end;
    uint64_t limit;
};

static int fetch(struct cli *cli, const char *region, const struct list *list,
                 struct mregion_block *part, size_t limit, size_t *ret_count)
{
    struct mregion_error error;
    int code;

    if (list->fetch != NULL)
        code = list->fetch(cli->connection, region, list->start, list->end, limit, part, ret_count,
                           &error);
    else
        code = mregion_free_memory(cli->connection, region, list->start, limit, part, ret_count,
                                   &error);
    return code == MREGION_OK ? CLI_OK : cli_fail_library(cli, &error, NULL);
}

static int print(struct cli *cli, const char *region, struct list *list)
{
    struct mregion_block part[PART];
    struct cli_blocks blocks;
    size_t count = PART;
    int status = CLI_OK;
    bool is_first = true;

    /* One call at least, also with a limit of 0: whether the range is one is for the server. */
    while (is_first || (count == PART && list->limit > 0)) {
        size_t limit = list->limit < PART ? (size_t)list->limit : PART;

        status = fetch(cli, region, list, part, limit, &count);
        if (status != CLI_OK)
            return status;
        if (is_first)
            cli_output_blocks_begin(stdout, &blocks, cli->form, list->end);
        is_first = false;
        cli_output_blocks(stdout, &blocks, part, count);
        if (ferror(stdout))
            return CLI_OK; /* cli_command_run says why */
        list->limit -= count;
        if (count > 0)
            list->start = part[count - 1].address + part[count - 1].size;
    }
    cli_output_blocks_end(stdout, &blocks);
    return CLI_OK;
}

static int parse_limit(const struct cli *cli, const struct cli_arguments *arguments,
                       struct list *list)
{
    const char *text = arguments->options[OPTION_LIMIT];

    list->limit = UINT64_MAX;
    if (text != NULL && !cli_parse_number(text, &list->limit))
        return cli_fail(cli, CLI_USAGE, "--limit: \"%s\" is not " CLI_PARSE_NUMBER, text);
    return CLI_OK;
}

static int parse_address(const struct cli *cli, const char *text, uint64_t *ret_address)
{
    if (!cli_parse_size(text, ret_address))
        return cli_fail(cli, CLI_USAGE, "\"%s\" is no address: expected " CLI_PARSE_SIZE, text);
    return CLI_OK;
}

int cli_list_free(struct cli *cli, const struct cli_arguments *arguments)
{
    struct list list = {.fetch = NULL};
    struct mregion_error error;
    const char *region;
    int status = parse_limit(cli, arguments, &list);

    if (status == CLI_OK && arguments->options[OPTION_FROM] != NULL)
        status = parse_address(cli, arguments->options[OPTION_FROM], &list.start);
    if (status == CLI_OK)
        status = cli_need_region(cli, &region);
    if (status != CLI_OK)
        return status;
    if (cli->form == CLI_TABLE &&
        mregion_size(cli->connection, region, &list.end, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    return print(cli, region, &list);
}

static int list_range(struct cli *cli, const struct cli_arguments *arguments, fetch_range *function)
{
    struct list list = {.fetch = function};
    const char *region;
    int status = parse_limit(cli, arguments, &list);

    if (status == CLI_OK)
        status = parse_address(cli, arguments->items[0], &list.start);
    if (status == CLI_OK)
        status = parse_address(cli, arguments->items[1], &list.end);
    if (status == CLI_OK)
        status = cli_need_region(cli, &region);
    return status == CLI_OK ? print(cli, region, &list) : status;
}

int cli_list_allocated(struct cli *cli, const struct cli_arguments *arguments)
{
    return list_range(cli, arguments, mregion_allocated_blocks_in_range);
}

int cli_list_deallocated(struct cli *cli, const struct cli_arguments *arguments)
{
    return list_range(cli, arguments, mregion_deallocated_blocks_in_range);
}
