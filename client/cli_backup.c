#include "client/cli_backup.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/cli_output.h"
#include "client/cli_table.h"
#include "client/cli_terminal.h"
#include "client/cli_values.h"

/* More than any backup's name has. */
#define NAME_SIZE 512

/* By their places in the list. */
enum { ALL };
const struct cli_option cli_backup_options[] = {
    [ALL] = {"all", NULL, 0, NULL, 0},
    {NULL, NULL, 0, NULL, 0},
};

static int print_number(const struct cli *cli, uint64_t number)
{
    const msgpack_object object = cli_object_number(number);

    cli_output_value(stdout, cli->form, &object);
    return CLI_OK;
}

/* ---- One region ---- */

static int back_up(struct cli *cli, const char *backup)
{
    struct mregion_error error;
    const char *region;
    uint64_t bytes;
    int status = cli_need_region(cli, &region);

    if (status == CLI_OK)
        status = cli_connect(cli);
    if (status != CLI_OK)
        return status;
    if (mregion_backup_region(cli->connection, region, backup, &bytes, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    return print_number(cli, bytes);
}

/* ---- All ---- */

/* A line each, as soon as it is made: the name and how many bytes, or an object. */
static int print_backup(const struct cli *cli, const char *region, const char *backup,
                        uint64_t bytes)
{
    msgpack_object_kv line[] = {{cli_object_text(backup), cli_object_number(bytes)}};
    msgpack_object_kv keys[] = {{cli_object_text("region"), cli_object_text(region)},
                                {cli_object_text("backup"), cli_object_text(backup)},
                                {cli_object_text("bytes"), cli_object_number(bytes)}};
    bool is_json = cli->form == CLI_JSON;
    const msgpack_object map = {.type = MSGPACK_OBJECT_MAP,
                                .via.map = {.ptr = is_json ? keys : line, .size = is_json ? 3 : 1}};

    cli_output_value(stdout, cli->form, &map);
    return cli_output_flush(cli);
}

/* What one region says to it keeps no other from being backed up; what the connection says does. */
static int back_up_each(struct cli *cli, char *const *regions, size_t count, const char *suffix)
{
    int status = CLI_OK;

    for (size_t i = 0; i < count; i++) {
        struct mregion_error error;
        char backup[NAME_SIZE];
        uint64_t bytes;
        int code, failed;

        (void)snprintf(backup, sizeof backup, "%s-%s", regions[i], suffix);
        code = mregion_backup_region(cli->connection, regions[i], backup, &bytes, &error);
        failed = code == MREGION_OK ? print_backup(cli, regions[i], backup, bytes)
                                    : cli_fail_library(cli, &error, NULL);
        if (status == CLI_OK)
            status = failed;
        if (code >= MREGION_ERR_CONNECT)
            break;
    }
    return status;
}

static int back_up_all(struct cli *cli, const char *suffix)
{
    char moment[sizeof "20260101T000000Z"];
    struct mregion_error error;
    time_t now = time(NULL);
    struct tm utc;
    char **regions;
    size_t count;
    int status = cli_connect(cli);

    if (status != CLI_OK)
        return status;
    (void)strftime(moment, sizeof moment, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
    if (mregion_list_regions(cli->connection, &regions, &count, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    status = back_up_each(cli, regions, count, suffix != NULL ? suffix : moment);
    mregion_free(regions);
    return status;
}

int cli_backup(struct cli *cli, const struct cli_arguments *arguments)
{
    const char *name = arguments->count > 0 ? arguments->items[0] : NULL;

    if (arguments->options[ALL] != NULL)
        return back_up_all(cli, name);
    if (name == NULL)
        return cli_fail(cli, CLI_USAGE,
                        "backup: a name for the backup is missing, or --all for all regions");
    return back_up(cli, name);
}

/* ---- What becomes of them ---- */

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

static const struct cli_column columns[] = {
    {"BACKUP", CLI_CUT}, {"REGION", CLI_LEFT}, {"SIZE", CLI_RIGHT},
    {"MADE", CLI_LEFT},  {NULL, CLI_LEFT},
};

struct backup {
    char name[NAME_SIZE], region[NAME_SIZE];
    uint64_t size, made;
};

static void read_backup(const msgpack_object *map, struct backup *ret)
{
    *ret = (struct backup){.size = cli_value_number(map, "size"),
                           .made = cli_value_number(map, "made")};
    cli_value_text(map, "name", ret->name, sizeof ret->name);
    cli_value_text(map, "region", ret->region, sizeof ret->region);
}

static void put_backup(struct cli_table *table, const struct backup *backup)
{
    char made[sizeof "2026-01-01 00:00:00"] = "-";
    time_t seconds = (time_t)backup->made;
    struct tm local;

    if (seconds != 0 && localtime_r(&seconds, &local) != NULL)
        (void)strftime(made, sizeof made, "%Y-%m-%d %H:%M:%S", &local);
    cli_table_put(table, "%s", backup->name);
    cli_table_put(table, "%s", backup->region);
    cli_table_put_size(table, backup->size);
    cli_table_put(table, "%s", made);
}

static void print_raw(const msgpack_object_array *backups)
{
    for (uint32_t i = 0; i < backups->size; i++) {
        struct backup backup;

        read_backup(&backups->ptr[i], &backup);
        (void)printf("%s\t%s\t%" PRIu64 "\t%" PRIu64 "\n", backup.name, backup.region, backup.size,
                     backup.made);
    }
}

static int print_table(struct cli *cli, const msgpack_object_array *backups)
{
    struct cli_terminal terminal;
    struct cli_table *table;

    cli_terminal_look(&terminal);
    table = cli_table_new(columns, terminal.is_terminal ? terminal.columns : 0);
    for (uint32_t i = 0; table != NULL && i < backups->size; i++) {
        struct backup backup;

        read_backup(&backups->ptr[i], &backup);
        put_backup(table, &backup);
    }
    return cli_table_print(cli, table);
}

int cli_backup_list(struct cli *cli, const struct cli_arguments *arguments)
{
    struct cli_answer answer = {.is_there = false};
    struct mregion_error error;
    int status = cli_connect(cli);

    (void)arguments;
    if (status != CLI_OK)
        return status;
    if (cli_answer_call(cli, "listBackups", NULL, &answer, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    if (cli->form == CLI_JSON || answer.unpacked.data.type != MSGPACK_OBJECT_ARRAY)
        cli_output_value(stdout, cli->form, &answer.unpacked.data);
    else if (cli->form == CLI_RAW)
        print_raw(&answer.unpacked.data.via.array);
    else
        status = print_table(cli, &answer.unpacked.data.via.array);
    cli_answer_release(&answer);
    return status;
}

int cli_backup_remove(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_error error;
    int status = cli_connect(cli);

    if (status != CLI_OK)
        return status;
    if (mregion_remove_backup(cli->connection, arguments->items[0], &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    cli_output_nothing(stdout, cli->form);
    return CLI_OK;
}
