/* The region is made under a name that says what it is, filled (cli_place), and has its own name
 * when all of it is there: EXPORT.md says how, and what is left where it fails. */
#include <errno.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_export.h"
#include "client/cli_method.h"
#include "client/cli_output.h"
#include "client/cli_parse.h"
#include "client/cli_place.h"
#include "client/cli_progress.h"
#include "client/cli_signal.h"
#include "client/cli_source.h"
#include "client/cli_stream.h"
#include "client/cli_values.h"
#include "core/limits.h"

/* Behind the name of a region that is being made. */
#define BUILDING ".importing"

struct import {
    struct cli *cli;
    char region[REGION_NAME_MAX + 1];
    char building[REGION_NAME_MAX + 1]; /* what it is called until all of it is there */
    struct cli_source source;
    struct cli_progress progress;
    struct stream_reader reader;
    struct stream_record record;
    bool is_made; /* the region, here */
    struct place place;
};

static int next_record(struct import *import)
{
    struct stream_reader *reader = &import->reader;

    if (cli_signal_pending())
        return cli_fail(import->cli, CLI_LOCAL_IO, "import: interrupted");
    switch (stream_read(reader, &import->record)) {
    case STREAM_OK:
        return CLI_OK;
    case STREAM_DAMAGED:
        return cli_fail(import->cli, CLI_CORRUPT, "%s: %s", import->source.name, reader->problem);
    default:
        return cli_fail(import->cli, CLI_LOCAL_IO, "%s: cannot read: %s", import->source.name,
                        strerror(errno));
    }
}

static int take_blocks(struct import *import)
{
    const struct stream_record *record = &import->record;
    const uint8_t *bytes = record->bytes;
    int status = CLI_OK;

    for (size_t i = 0; i < record->count && status == CLI_OK; i++) {
        status = place_block(&import->place, record->blocks[i], bytes);
        bytes += record->blocks[i].size;
    }
    cli_progress_show(&import->progress, import->reader.chain.sum.bytes, import->place.in_use);
    return status;
}

/* ---- The region ---- */

static int pack_value(msgpack_packer *packer, char letter, const char *value)
{
    uint64_t number;

    if (letter != 'T' && cli_parse_number(value, &number))
        return msgpack_pack_uint64(packer, number);
    return msgpack_pack_str_with_body(packer, value, strlen(value));
}

/* [name, options]: those of the region that was exported. */
static bool pack_create(struct import *import, msgpack_packer *packer)
{
    const struct stream_head *head = &import->record.head;
    char value[128];
    size_t count = 0;
    int failed = msgpack_pack_array(packer, 2);

    for (const struct cli_option *option = cli_method_create_options; option->name != NULL;
         option++)
        count += stream_find(head, option->key, value, sizeof value);
    failed |= cli_pack_region(packer, import->building);
    failed |= msgpack_pack_map(packer, count);
    for (const struct cli_option *option = cli_method_create_options; option->name != NULL;
         option++) {
        if (!stream_find(head, option->key, value, sizeof value))
            continue;
        failed |= msgpack_pack_str_with_body(packer, option->key, strlen(option->key));
        failed |= pack_value(packer, option->letter, value);
    }
    return failed == 0;
}

/* Without an answer the region may be there, and somebody else's all the same. */
static int fail_uncertain(struct import *import, const struct mregion_error *error)
{
    struct mregion_memory_info info;
    int status = cli_fail_library(import->cli, error, NULL);
    bool is_missing = mregion_memory_info(import->cli->connection, import->building, &info, NULL) ==
                      MREGION_ERR_NO_SUCH_REGION;

    if (error->code == MREGION_ERR_TIMEOUT || !is_missing)
        (void)cli_fail(import->cli, CLI_REFUSED,
                       "%s may have been made, and is empty then: drop it, unless somebody else "
                       "imports %s",
                       import->building, import->region);
    return status;
}

static int make_region(struct import *import)
{
    struct cli_answer answer = {.is_there = false};
    struct mregion_error error;
    msgpack_sbuffer params;
    msgpack_packer packer;
    int code, status = CLI_OK;

    msgpack_sbuffer_init(&params);
    msgpack_packer_init(&packer, &params, msgpack_sbuffer_write);
    if (!pack_create(import, &packer)) {
        status = cli_no_memory(import->cli);
    } else {
        code = cli_answer_call_packed(import->cli, "createRegion", &params, &answer, &error);
        if (code == MREGION_ERR_EXISTS && strcmp(import->building, import->region) != 0)
            status = cli_fail(import->cli, CLI_REFUSED,
                              "%s is there: %s is being imported by somebody else, or has been by "
                              "somebody who was killed: then drop it",
                              import->building, import->region);
        else if (code == MREGION_ERR_LOST || code == MREGION_ERR_TIMEOUT)
            status = fail_uncertain(import, &error);
        else if (code != MREGION_OK)
            status = cli_fail_library(import->cli, &error, NULL);
    }
    import->is_made = status == CLI_OK;
    cli_answer_release(&answer);
    msgpack_sbuffer_destroy(&params);
    return status;
}

/* renameRegion(from, to), or without any. */
static int rename_region(struct import *import, const char *from, const char *to,
                         struct mregion_error *error)
{
    struct cli_answer answer = {.is_there = false};
    msgpack_sbuffer params;
    msgpack_packer packer;
    int code, failed;

    msgpack_sbuffer_init(&params);
    msgpack_packer_init(&packer, &params, msgpack_sbuffer_write);
    failed = msgpack_pack_array(&packer, from != NULL ? 2 : 0);
    if (from != NULL) {
        failed |= cli_pack_region(&packer, from);
        failed |= cli_pack_region(&packer, to);
    }
    code = failed != 0
               ? cli_answer_no_memory(error)
               : cli_answer_call_packed(import->cli, "renameRegion", &params, &answer, error);
    cli_answer_release(&answer);
    msgpack_sbuffer_destroy(&params);
    return code;
}

/* A server that cannot rename has it called by its own name from the beginning. */
static int choose_building(struct import *import)
{
    const int room = REGION_NAME_MAX - (int)strlen(BUILDING);
    struct mregion_error error;

    switch (rename_region(import, NULL, NULL, &error)) {
    case MREGION_ERR_NO_SUCH_METHOD:
        return CLI_OK;
    case MREGION_ERR_INVALID_ARGUMENT: /* that it has none */
        (void)snprintf(import->building, sizeof import->building, "%.*s" BUILDING, room,
                       import->region);
        return CLI_OK;
    default:
        return cli_fail_library(import->cli, &error, NULL);
    }
}

/* It may have happened although nobody said so. */
static bool is_renamed(const struct import *import)
{
    struct mregion *connection = import->cli->connection;
    struct mregion_memory_info info;

    return mregion_memory_info(connection, import->building, &info, NULL) ==
               MREGION_ERR_NO_SUCH_REGION &&
           mregion_memory_info(connection, import->region, &info, NULL) == MREGION_OK;
}

static int give_name(struct import *import)
{
    struct mregion_error error;

    if (strcmp(import->building, import->region) == 0 ||
        rename_region(import, import->building, import->region, &error) == MREGION_OK ||
        is_renamed(import))
        return CLI_OK;
    return cli_fail_library(import->cli, &error, NULL);
}

/* A region of this name that has never been used will do. */
static int find_region(struct import *import)
{
    struct mregion_memory_info info;
    struct mregion_error error;
    int status;

    (void)snprintf(import->building, sizeof import->building, "%s", import->region);
    switch (mregion_memory_info(import->cli->connection, import->region, &info, &error)) {
    case MREGION_OK:
        if (info.size == 0)
            return CLI_OK;
        return cli_fail(import->cli, CLI_REFUSED,
                        "%s is there and has been used (its size is %" PRIu64
                        "): drop it, or give another name",
                        import->region, info.size);
    case MREGION_ERR_NO_SUCH_REGION:
        status = choose_building(import);
        return status == CLI_OK ? make_region(import) : status;
    default:
        return cli_fail_library(import->cli, &error, NULL);
    }
}

/* What the server takes at a time, and what the stream says the region is to become. */
static int prepare_place(struct import *import)
{
    const struct stream_head *head = &import->record.head;
    struct cli_answer server = {.is_there = false};
    struct place *place = &import->place;
    struct mregion_error error;
    const msgpack_object *map = &server.unpacked.data;
    bool has_memory;

    if (cli_answer_call(import->cli, "serverInfo", NULL, &server, &error) != MREGION_OK)
        return cli_fail_library(import->cli, &error, NULL);
    has_memory = place_init(place, import->cli, import->building,
                            stream_piece(cli_value_number(map, "max_message")),
                            cli_value_number(map, "max_batch"));
    cli_answer_release(&server);
    place->size = head->size;
    place->pages = head->pages;
    place->in_use = head->in_use;
    return has_memory ? CLI_OK : cli_no_memory(import->cli);
}

/* What is given, else the region that is chosen, else the name that the region had. */
static int choose_name(struct import *import, const char *given)
{
    size_t size = sizeof import->region;

    if (given == NULL)
        given = import->cli->region;
    if (given == NULL) {
        if (stream_find(&import->record.head, "name", import->region, size))
            return CLI_OK;
        return cli_fail(import->cli, CLI_USAGE, "import: the stream has no name: give one");
    }
    if (strlen(given) >= size)
        return cli_fail(import->cli, CLI_USAGE, "import: a name has at most %d characters",
                        REGION_NAME_MAX);
    (void)snprintf(import->region, size, "%s", given);
    return CLI_OK;
}

static int check_result(struct import *import)
{
    struct mregion_memory_info info;
    struct mregion_error error;
    uint64_t size = import->place.size, bytes = import->reader.chain.sum.bytes;

    if (mregion_memory_info(import->cli->connection, import->building, &info, &error) != MREGION_OK)
        return cli_fail_library(import->cli, &error, NULL);
    if (info.size == size && info.allocated == bytes)
        return CLI_OK;
    import->place.is_shared = true;
    return cli_fail(import->cli, CLI_REFUSED,
                    "%s: %" PRIu64 " of %" PRIu64 " bytes are in use, not %" PRIu64 " of %" PRIu64
                    ": somebody else changes the region",
                    import->building, info.allocated, info.size, bytes, size);
}

/* ---- All of it ---- */

static int read_all(struct import *import, const char *name)
{
    int status = next_record(import);

    if (status == CLI_OK)
        status = choose_name(import, name);
    if (status == CLI_OK)
        status = prepare_place(import);
    if (status == CLI_OK)
        status = find_region(import);
    if (status == CLI_OK)
        status = next_record(import);
    while (status == CLI_OK && import->record.kind == STREAM_DATA) {
        status = take_blocks(import);
        if (status == CLI_OK)
            status = next_record(import);
    }
    if (status == CLI_OK)
        status = place_finish(&import->place);
    if (status == CLI_OK)
        status = check_result(import);
    return status == CLI_OK ? give_name(import) : status;
}

/* Whether others have something in the region. */
static bool is_shared(const struct import *import)
{
    struct mregion_memory_info info = {.size = 0};
    int code = mregion_memory_info(import->cli->connection, import->building, &info, NULL);

    return import->place.is_shared || (code == MREGION_OK && info.allocated > import->place.placed);
}

/* Nothing of it is of use to anybody. What others have in a region of its own name is theirs. */
static void undo(struct import *import)
{
    struct mregion *connection = import->cli->connection;
    struct mregion_error error;
    bool has_own_name = strcmp(import->building, import->region) == 0;

    if (has_own_name)
        place_settle(&import->place);
    place_release(&import->place);
    if (!import->is_made && !import->place.is_touched)
        return; /* it is as it was */
    if (has_own_name && is_shared(import)) {
        (void)cli_fail(import->cli, CLI_REFUSED,
                       "%s may have a part of it beside what others have put there, and is left so",
                       import->region);
    } else if (import->is_made) {
        if (mregion_drop_region(connection, import->building, &error) != MREGION_OK)
            (void)cli_fail(import->cli, CLI_REFUSED,
                           "%s has a part of it, and cannot be dropped: %s", import->building,
                           error.text);
    } else if (mregion_clear(connection, import->region, &error) != MREGION_OK) {
        (void)cli_fail(import->cli, CLI_REFUSED, "%s has a part of it, and cannot be cleared: %s",
                       import->region, error.text);
    } else {
        (void)cli_fail(import->cli, CLI_REFUSED,
                       "%s is empty, but has been used: drop it before another import",
                       import->region);
    }
}

static void print_result(const struct import *import)
{
    const struct stream_end *sum = &import->reader.chain.sum;

    if (import->cli->form == CLI_JSON)
        (void)printf("{\"region\":\"%s\",\"size\":%" PRIu64 ",\"allocated\":%" PRIu64
                     ",\"blocks\":%" PRIu64 "}\n",
                     import->region, import->place.size, sum->bytes, sum->blocks);
    else
        (void)printf("%s\n", import->region);
}

static int run(struct import *import, const char *name)
{
    struct cli *cli = import->cli;
    int status = cli_connect(cli);

    if (status != CLI_OK)
        return status;
    stream_widen(import->source.fd);
    stream_reader_init(&import->reader, import->source.fd);
    cli_progress_begin(&import->progress, cli->connection, import->source.name, false);
    /* Pieces are no progress of their own. */
    mregion_set_progress(cli->connection, NULL, NULL);
    status = read_all(import, name);
    cli_progress_end(&import->progress, cli->connection);
    if (status == CLI_OK && import->record.has_changed)
        (void)cli_fail(cli, CLI_OK, CLI_EXPORT_CHANGED, import->region);
    if (status == CLI_OK)
        print_result(import);
    else
        undo(import);
    return status;
}

int cli_import(struct cli *cli, const struct cli_arguments *arguments)
{
    const char *name = arguments->count > 1 ? arguments->items[1] : NULL;
    struct import *import = calloc(1, sizeof *import);
    int status;

    if (import == NULL)
        return cli_no_memory(cli);
    import->cli = cli;
    status = cli_source_open(cli, arguments->items[0], &import->source);
    if (status == CLI_OK) {
        status = run(import, name);
        cli_source_close(&import->source);
    }
    place_release(&import->place);
    free(import);
    return status;
}
