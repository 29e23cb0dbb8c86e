#include "client/cli_config.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_output.h"

/* The names that are wanted, or patterns of some, in one text with commas between; to be freed. */
static char *join_patterns(const struct cli_arguments *arguments)
{
    size_t size = sizeof "*";
    char *patterns, *end;

    for (size_t i = 1; i < arguments->count; i++)
        size += strlen(arguments->items[i]) + 1;
    patterns = malloc(size);
    if (patterns == NULL)
        return NULL;
    end = stpcpy(patterns, arguments->count == 1 ? "*" : "");
    for (size_t i = 1; i < arguments->count; i++) {
        end = stpcpy(end, i > 1 ? "," : "");
        end = stpcpy(end, arguments->items[i]);
    }
    return patterns;
}

/* ---- In lines ---- */

static void print_text(enum cli_form form, const char *text)
{
    cli_output_text(stdout, form, text, strlen(text));
}

/* A setting as it would stand in the file; raw its value alone. */
static void print_setting(enum cli_form form, const struct mregion_setting *setting)
{
    if (form == CLI_TABLE) {
        print_text(form, setting->name);
        (void)fputs(": ", stdout);
    }
    print_text(form, setting->value);
    if (form == CLI_TABLE && setting->after_restart != NULL) {
        (void)fputs("  # after a restart: ", stdout);
        print_text(form, setting->after_restart);
    }
    (void)fputc('\n', stdout);
}

/* ---- As an object ---- */

static msgpack_object text_object(const char *text)
{
    return (msgpack_object){.type = MSGPACK_OBJECT_STR,
                            .via.str = {.ptr = text, .size = (uint32_t)strlen(text)}};
}

static msgpack_object map_object(msgpack_object_kv *entries, size_t count)
{
    return (msgpack_object){.type = MSGPACK_OBJECT_MAP,
                            .via.map = {.ptr = entries, .size = (uint32_t)count}};
}

/* As configGet answers it. */
static int print_json(const struct cli *cli, const struct mregion_setting *settings, size_t count)
{
    msgpack_object_kv *maps = calloc(count, 3 * sizeof *maps), *inner = maps + count;
    msgpack_object whole = map_object(maps, count);

    if (maps == NULL)
        return cli_no_memory(cli);
    for (size_t i = 0; i < count; i++, inner += 2) {
        bool is_waiting = settings[i].after_restart != NULL;

        inner[0] = (msgpack_object_kv){text_object("value"), text_object(settings[i].value)};
        if (is_waiting)
            inner[1] = (msgpack_object_kv){text_object("after_restart"),
                                           text_object(settings[i].after_restart)};
        maps[i] =
            (msgpack_object_kv){text_object(settings[i].name), map_object(inner, 1 + is_waiting)};
    }
    cli_output_value(stdout, cli->form, &whole);
    free(maps);
    return CLI_OK;
}

static int print(const struct cli *cli, const struct mregion_setting *settings, size_t count)
{
    if (count == 0)
        return cli_fail(cli, CLI_NOT_FOUND,
                        "config: no such setting (mrcli config get prints all there are)");
    if (cli->form == CLI_JSON)
        return print_json(cli, settings, count);
    for (size_t i = 0; i < count; i++)
        print_setting(cli->form, &settings[i]);
    return CLI_OK;
}

int cli_config(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_setting *settings;
    struct mregion_error error;
    size_t count;
    char *patterns;
    int status;

    if (strcmp(arguments->items[0], "get") != 0)
        return cli_fail(cli, CLI_USAGE, "config: \"%s\" is nothing that can be done: expected get",
                        arguments->items[0]);
    status = cli_connect(cli);
    if (status != CLI_OK)
        return status;
    patterns = join_patterns(arguments);
    if (patterns == NULL)
        return cli_no_memory(cli);
    if (mregion_config_get(cli->connection, patterns, &settings, &count, &error) != MREGION_OK) {
        status = cli_fail_library(cli, &error, NULL);
    } else {
        status = print(cli, settings, count);
        mregion_free(settings);
    }
    free(patterns);
    return status;
}
