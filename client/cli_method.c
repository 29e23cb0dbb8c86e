#include "client/cli_method.h"

#include <inttypes.h>
#include <msgpack.h>
#include <string.h>

#include "client/cli_json.h"
#include "client/cli_output.h"
#include "client/cli_parse.h"

const struct cli_option cli_method_create_options[] = {
    {"durability", "sync, interval or none", 'T', "durability", 0},
    {"flush-interval", "TIME", 'M', "flush_interval", 0},
    {"fit", "tight, lowest or largest", 'T', "fit", 0},
    {"max-size", "SIZE", 'S', "max_size", 0},
    {"journal-size", "SIZE", 'S', "journal_size", 0},
    {"checksum", "on or off", 'T', "checksum", 0},
    {"token-window", "COUNT", 'N', "token_window", 0},
    {"discard", "SIZE", 'S', "discard", 0},
    {"scrub-interval", "TIME", 'M', "scrub_interval", 0},
    {"scrub-rate", "SIZE", 'S', "scrub_rate", 0},
    {"page-cache", "SIZE", 'S', "page_cache", 0},
    {NULL, NULL, 0, NULL, 0},
};

/* ---- Parameters ---- */

struct params {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    bool has_failed; /* out of memory */
};

static void params_init(struct params *params)
{
    *params = (struct params){.has_failed = false};
    msgpack_sbuffer_init(&params->buffer);
    msgpack_packer_init(&params->packer, &params->buffer, msgpack_sbuffer_write);
}

static void pack_number(struct params *params, uint64_t number)
{
    params->has_failed |= msgpack_pack_uint64(&params->packer, number) != 0;
}

static void pack_text(struct params *params, const char *text)
{
    params->has_failed |= msgpack_pack_str_with_body(&params->packer, text, strlen(text)) != 0;
}

/* By name, or by number where it is written "#7". */
static void pack_region(struct params *params, const char *region)
{
    uint64_t id;

    if (region[0] == '#' && cli_parse_number(region + 1, &id))
        pack_number(params, id);
    else
        pack_text(params, region);
}

static int fail_value(const struct cli *cli, const char *text, const char *what,
                      const char *expected)
{
    return cli_fail(cli, CLI_USAGE, "\"%s\" is no %s: expected %s", text, what, expected);
}

/* A number in what the letter says that it is counted in. */
static int read_number(const struct cli *cli, char letter, const char *text, uint64_t *ret_number)
{
    switch (letter) {
    case 'S':
        return cli_parse_size(text, ret_number)
                   ? CLI_OK
                   : fail_value(cli, text, "size or address", CLI_PARSE_SIZE);
    case 'M':
        return cli_parse_time(text, ret_number) ? CLI_OK
                                                : fail_value(cli, text, "time", CLI_PARSE_TIME);
    default:
        return cli_parse_number(text, ret_number)
                   ? CLI_OK
                   : fail_value(cli, text, "number", CLI_PARSE_NUMBER);
    }
}

/* Packs one argument as the letter says. */
static int pack_argument(const struct cli *cli, struct params *params, char letter,
                         const char *text)
{
    struct mregion_block block;
    uint64_t number;

    switch (letter) {
    case 'F':
        if (!cli_parse_reference(text, &block))
            return fail_value(cli, text, "reference", CLI_PARSE_REFERENCE);
        pack_number(params, block.address);
        pack_number(params, block.size);
        break;
    case 'S':
    case 'N':
    case 'M':
        if (read_number(cli, letter, text, &number) != CLI_OK)
            return CLI_USAGE;
        pack_number(params, number);
        break;
    case 'G':
        pack_region(params, text);
        break;
    default:
        pack_text(params, text);
        break;
    }
    return CLI_OK;
}

/* The number of parameters that the letters stand for. */
static size_t params_count(const char *letters)
{
    size_t count = strlen(letters);

    for (; *letters != '\0'; letters++)
        count += *letters == 'F';
    return count;
}

/* Packs the array of parameters. The arguments are looked at before the server is asked. */
static int pack_arguments(struct cli *cli, const struct cli_arguments *arguments,
                          struct params *params)
{
    const char *letters = arguments->command->letters;
    bool has_region = letters[0] == 'R';
    struct params rest;
    const char *region;
    int status = CLI_OK;

    params_init(&rest);
    for (size_t i = 0; i < arguments->count && status == CLI_OK; i++)
        status = pack_argument(cli, &rest, letters[i + has_region], arguments->items[i]);
    if (status == CLI_OK && has_region)
        status = cli_need_region(cli, &region);
    if (status == CLI_OK) {
        params->has_failed |= msgpack_pack_array(&params->packer, params_count(letters)) != 0;
        if (has_region)
            pack_region(params, region);
        params->has_failed |=
            rest.has_failed ||
            (rest.buffer.size > 0 &&
             msgpack_sbuffer_write(&params->buffer, rest.buffer.data, rest.buffer.size) != 0);
    }
    msgpack_sbuffer_destroy(&rest.buffer);
    return status;
}

/* ---- Calls ---- */

static int fail_result(const struct cli *cli, const char *method)
{
    return cli_fail(cli, CLI_UNAVAILABLE, "the server's answer to %s is not what it promises",
                    method);
}

static void print_result(const struct cli *cli, const struct cli_command *command,
                         const msgpack_object *result)
{
    if (command->method != NULL && command->result == CLI_RESULT_NOTHING)
        cli_output_nothing(stdout, cli->form);
    else
        cli_output_value(stdout, cli->form, result);
}

/* Calls the method and prints what comes, in the given form. */
static int call(struct cli *cli, const struct cli_command *command, const char *method,
                const struct params *params)
{
    struct mregion_error error;
    msgpack_unpacked unpacked;
    void *result;
    size_t size;
    int status;

    if (params->has_failed)
        return cli_no_memory(cli);
    status = cli_connect(cli);
    if (status != CLI_OK)
        return status;
    if (mregion_call(cli->connection, method, params->buffer.data, params->buffer.size, &result,
                     &size, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    msgpack_unpacked_init(&unpacked);
    switch (msgpack_unpack_next(&unpacked, result, size, NULL)) {
    case MSGPACK_UNPACK_SUCCESS:
        print_result(cli, command, &unpacked.data);
        break;
    case MSGPACK_UNPACK_NOMEM_ERROR:
        status = cli_no_memory(cli);
        break;
    default:
        status = fail_result(cli, method);
        break;
    }
    msgpack_unpacked_destroy(&unpacked);
    mregion_free(result);
    return status;
}

int cli_method_run(struct cli *cli, const struct cli_arguments *arguments)
{
    struct params params;
    int status;

    params_init(&params);
    status = pack_arguments(cli, arguments, &params);
    if (status == CLI_OK)
        status = call(cli, arguments->command, arguments->command->method, &params);
    msgpack_sbuffer_destroy(&params.buffer);
    return status;
}

int cli_method_create(struct cli *cli, const struct cli_arguments *arguments)
{
    const struct cli_option *options = arguments->command->options;
    struct params params;
    size_t given = 0;
    int status = CLI_OK;

    for (size_t i = 0; options[i].name != NULL; i++)
        given += arguments->options[i] != NULL;
    params_init(&params);
    params.has_failed |= msgpack_pack_array(&params.packer, given > 0 ? 2 : 1) != 0;
    pack_text(&params, arguments->items[0]);
    if (given > 0)
        params.has_failed |= msgpack_pack_map(&params.packer, given) != 0;
    for (size_t i = 0; options[i].name != NULL && status == CLI_OK; i++) {
        if (arguments->options[i] == NULL)
            continue;
        pack_text(&params, options[i].key);
        status = pack_argument(cli, &params, options[i].letter, arguments->options[i]);
    }
    if (status == CLI_OK)
        status = call(cli, arguments->command, "createRegion", &params);
    msgpack_sbuffer_destroy(&params.buffer);
    return status;
}

/* Digits of a number of 64 bits, with their end. */
#define DIGITS_SIZE 21

/* A number as one, whatever it is counted in; a text as it is. */
static int read_setting(const struct cli *cli, char letter, const char *text,
                        char digits[DIGITS_SIZE], const char **ret_value)
{
    uint64_t number;

    *ret_value = text;
    if (letter == 'T')
        return CLI_OK;
    if (read_number(cli, letter, text, &number) != CLI_OK)
        return CLI_USAGE;
    (void)snprintf(digits, DIGITS_SIZE, "%" PRIu64, number);
    *ret_value = digits;
    return CLI_OK;
}

int cli_method_set(struct cli *cli, const struct cli_arguments *arguments)
{
    const struct cli_option *options = arguments->command->options;
    struct mregion_setting settings[CLI_OPTIONS_MAX] = {0};
    char digits[CLI_OPTIONS_MAX][DIGITS_SIZE];
    struct mregion_error error;
    size_t count = 0;
    int status = CLI_OK;

    for (size_t i = 0; options[i].name != NULL && status == CLI_OK; i++) {
        if (arguments->options[i] == NULL)
            continue;
        settings[count].name = options[i].key;
        status = read_setting(cli, options[i].letter, arguments->options[i], digits[count],
                              &settings[count].value);
        count++;
    }
    if (status == CLI_OK)
        status = cli_connect(cli);
    if (status != CLI_OK)
        return status;
    if (mregion_set_region(cli->connection, arguments->items[0], settings, count, &error) !=
        MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    cli_output_nothing(stdout, cli->form);
    return CLI_OK;
}

int cli_method_call(struct cli *cli, const struct cli_arguments *arguments)
{
    const char *text = arguments->count > 1 ? arguments->items[1] : "[]";
    enum cli_form form = cli->form;
    char problem[CLI_JSON_PROBLEM_SIZE];
    struct params params;
    int status;

    params_init(&params);
    if (!cli_json_pack(text, &params.buffer, problem)) {
        status = cli_fail(cli, CLI_USAGE, "call: the parameters are no JSON: %s", problem);
    } else if (params.buffer.data[0] == '\xc0') {
        /* null stands for no parameters, as in the protocol. */
        msgpack_sbuffer_clear(&params.buffer);
        params.has_failed |= msgpack_pack_array(&params.packer, 0) != 0;
        status = CLI_OK;
    } else {
        status = text[strspn(text, " \t\r\n")] == '['
                     ? CLI_OK
                     : cli_fail(cli, CLI_USAGE,
                                "call: the parameters are no array, such as '[\"main\", 16]'");
    }
    if (status == CLI_OK) {
        cli->form = CLI_JSON;
        status = call(cli, arguments->command, arguments->items[0], &params);
        cli->form = form;
    }
    msgpack_sbuffer_destroy(&params.buffer);
    return status;
}
