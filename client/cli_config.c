#include "client/cli_config.h"

#include <msgpack.h>
#include <string.h>

#include "client/cli_output.h"
#include "client/cli_values.h"

/* The names that are wanted, or patterns of some, in one text with commas between. */
static bool pack_patterns(const struct cli_arguments *arguments, msgpack_packer *packer)
{
    size_t size = 0;
    bool has_failed = msgpack_pack_array(packer, 1) != 0;

    if (arguments->count == 1)
        return !has_failed && msgpack_pack_str_with_body(packer, "*", 1) == 0;
    for (size_t i = 1; i < arguments->count; i++)
        size += strlen(arguments->items[i]) + (i > 1);
    has_failed |= msgpack_pack_str(packer, size) != 0;
    for (size_t i = 1; i < arguments->count; i++) {
        if (i > 1)
            has_failed |= msgpack_pack_str_body(packer, ",", 1) != 0;
        has_failed |=
            msgpack_pack_str_body(packer, arguments->items[i], strlen(arguments->items[i])) != 0;
    }
    return !has_failed;
}

static void print_text(enum cli_form form, const msgpack_object *object)
{
    if (object != NULL && object->type == MSGPACK_OBJECT_STR)
        cli_output_text(stdout, form, object->via.str.ptr, object->via.str.size);
}

/* A setting as it would stand in the file; raw its value alone. */
static void print_setting(enum cli_form form, const msgpack_object_kv *setting)
{
    const msgpack_object *waiting = cli_value(&setting->val, "after_restart");

    if (form == CLI_TABLE) {
        print_text(form, &setting->key);
        (void)fputs(": ", stdout);
    }
    print_text(form, cli_value(&setting->val, "value"));
    if (form == CLI_TABLE && waiting != NULL) {
        (void)fputs("  # after a restart: ", stdout);
        print_text(form, waiting);
    }
    (void)fputc('\n', stdout);
}

static int print(const struct cli *cli, const msgpack_object *settings)
{
    if (settings->type != MSGPACK_OBJECT_MAP)
        return cli_fail(cli, CLI_UNAVAILABLE,
                        "the server's answer to configGet is not what it promises");
    if (settings->via.map.size == 0)
        return cli_fail(cli, CLI_NOT_FOUND,
                        "config: no such setting (mrcli config get prints all there are)");
    if (cli->form == CLI_JSON)
        cli_output_value(stdout, cli->form, settings);
    else
        for (uint32_t i = 0; i < settings->via.map.size; i++)
            print_setting(cli->form, &settings->via.map.ptr[i]);
    return CLI_OK;
}

int cli_config(struct cli *cli, const struct cli_arguments *arguments)
{
    struct cli_answer answer = {.is_there = false};
    struct mregion_error error;
    msgpack_sbuffer params;
    msgpack_packer packer;
    int status;

    if (strcmp(arguments->items[0], "get") != 0)
        return cli_fail(cli, CLI_USAGE, "config: \"%s\" is nothing that can be done: expected get",
                        arguments->items[0]);
    msgpack_sbuffer_init(&params);
    msgpack_packer_init(&packer, &params, msgpack_sbuffer_write);
    if (!pack_patterns(arguments, &packer))
        status = cli_no_memory(cli);
    else if ((status = cli_connect(cli)) != CLI_OK)
        ; /* it has said why */
    else if (cli_answer_call_packed(cli, "configGet", &params, &answer, &error) != MREGION_OK)
        status = cli_fail_library(cli, &error, NULL);
    else
        status = print(cli, &answer.unpacked.data);
    cli_answer_release(&answer);
    msgpack_sbuffer_destroy(&params);
    return status;
}
