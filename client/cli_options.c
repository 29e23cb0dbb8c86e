#include "client/cli_options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_nearest.h"
#include "client/cli_parse.h"

const struct cli_option cli_options[] = {
#define OPTION(symbol, name, letter, value, kind) {name, value, kind, NULL, letter},
#include "client/cli_options.def"
#undef OPTION
    {NULL, NULL, 0, NULL, 0},
};

/* ---- One ---- */

static int set_form(struct cli *cli, const char *name)
{
    static const char *const forms[] = {
        [CLI_TABLE] = "table", [CLI_JSON] = "json", [CLI_RAW] = "raw"};

    for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
        if (strcmp(forms[form], name) == 0) {
            cli->form = (enum cli_form)form;
            return CLI_OK;
        }
    }
    return cli_fail(cli, CLI_USAGE, "-o: \"%s\" is none of table, json and raw", name);
}

static int set_timeout(struct cli *cli, const char *text)
{
    uint64_t time;

    if (!cli_parse_time(text, &time))
        return cli_fail(cli, CLI_USAGE, "--timeout: \"%s\" is not " CLI_PARSE_TIME, text);
    if (time == 0 || time >= MREGION_NO_TIMEOUT)
        return cli_fail(cli, CLI_USAGE, "--timeout: \"%s\" is not from 1ms to 1193h", text);
    cli->timeout_ms = (uint32_t)time;
    return CLI_OK;
}

static int set_server(struct cli *cli, const char *address)
{
    cli->server = address;
    cli->is_server_from_environment = false;
    return CLI_OK;
}

static int set_user(struct cli *cli, const char *name)
{
    if (name[0] == '\0')
        return cli_fail(cli, CLI_USAGE, "--user: the name is empty");
    cli->user = name;
    return CLI_OK;
}

/* Whether the option is one of TLS. */
static bool set_tls(struct mregion_tls *tls, enum cli_option_symbol symbol, const char *value)
{
    switch (symbol) {
    case OPTION_CA:
        tls->ca = value;
        return true;
    case OPTION_CERTIFICATE:
        tls->certificate = value;
        return true;
    case OPTION_KEY:
        tls->key = value;
        return true;
    case OPTION_SERVER_NAME:
        tls->server_name = value;
        return true;
    case OPTION_INSECURE:
        tls->no_verification = true;
        return true;
    default:
        return false;
    }
}

int cli_options_set(struct cli *cli, enum cli_option_symbol symbol, const char *value)
{
    switch (symbol) {
    case OPTION_SERVER:
        return set_server(cli, value);
    case OPTION_REGION:
        return cli_set_region(cli, value);
    case OPTION_OUTPUT:
        return set_form(cli, value);
    case OPTION_USER:
        return set_user(cli, value);
    case OPTION_PASSWORD_FILE:
        cli->password_file = value;
        return CLI_OK;
    case OPTION_TIMEOUT:
        return set_timeout(cli, value);
    case OPTION_KEEP_GOING:
        cli->keep_going = true;
        return CLI_OK;
    default:
        (void)set_tls(&cli->tls, symbol, value);
        return CLI_OK;
    }
}

/* ---- Of one command ---- */

_Static_assert((int)OPTIONS <= CLI_COMMON_MAX, "more options than there is room for");

/* The library's own. */
#define TIMEOUT_DEFAULT_MS 60000

static bool may_follow(const struct cli *cli, size_t symbol)
{
    return (!cli->is_script && !cli->is_shell) || symbol == OPTION_REGION ||
           symbol == OPTION_OUTPUT || symbol == OPTION_TIMEOUT;
}

static void set_connection_timeout(const struct cli *cli)
{
    if (cli->connection != NULL)
        mregion_set_timeout(cli->connection,
                            cli->timeout_ms != 0 ? cli->timeout_ms : TIMEOUT_DEFAULT_MS);
}

int cli_options_begin(struct cli *cli, const char *const common[CLI_COMMON_MAX],
                      struct cli_options_held *ret_held)
{
    int status = CLI_OK;

    *ret_held = (struct cli_options_held){.is_held = cli->is_script || cli->is_shell,
                                          .form = cli->form,
                                          .timeout_ms = cli->timeout_ms};
    for (size_t i = 0; i < OPTIONS; i++) {
        if (common[i] != NULL && !may_follow(cli, i))
            return cli_fail(cli, CLI_USAGE,
                            "--%s is for all commands together: it goes where mrcli is started",
                            cli_options[i].name);
    }
    ret_held->has_region = ret_held->is_held && common[OPTION_REGION] != NULL;
    if (ret_held->has_region) {
        ret_held->region = cli->region;
        cli->region = NULL;
    }
    for (size_t i = 0; i < OPTIONS && status == CLI_OK; i++) {
        if (common[i] != NULL)
            status = cli_options_set(cli, (enum cli_option_symbol)i, common[i]);
    }
    if (status != CLI_OK)
        cli_options_end(cli, ret_held);
    else if (common[OPTION_TIMEOUT] != NULL)
        set_connection_timeout(cli);
    return status;
}

void cli_options_end(struct cli *cli, struct cli_options_held *held)
{
    if (!held->is_held)
        return;
    if (held->has_region) {
        free(cli->region);
        cli->region = held->region;
    }
    cli->form = held->form;
    if (cli->timeout_ms != held->timeout_ms) {
        cli->timeout_ms = held->timeout_ms;
        set_connection_timeout(cli);
    }
}

/* ---- The environment ---- */

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* What it says holds where the command line says nothing. Empty is as good as unset. */
int cli_options_read_environment(struct cli *cli)
{
    const char *server = environment("MREGION_SERVER");
    const char *region = environment("MREGION_REGION");
    const char *user = environment("MREGION_USER");

    cli->tls.ca = environment("MREGION_CA");
    cli->tls.certificate = environment("MREGION_CERT");
    cli->tls.key = environment("MREGION_KEY");
    if (server != NULL) {
        cli->server = server;
        cli->is_server_from_environment = true;
    }
    if (user != NULL)
        cli->user = user;
    return region != NULL ? cli_set_region(cli, region) : CLI_OK;
}

/* ---- The command line ---- */

/* getopt_long has said what is wrong with it. */
static int fail_option(const char *word)
{
    struct cli_nearest nearest;
    const char *name;

    cli_nearest_begin(&nearest, word + strspn(word, "-"));
    for (const struct cli_option *option = cli_options; option->name != NULL; option++)
        cli_nearest_try(&nearest, option->name);
    name = word[0] == '-' && word[1] == '-' ? cli_nearest_found(&nearest) : NULL;
    if (name != NULL)
        (void)fprintf(stderr, "did you mean --%s? ", name);
    (void)fputs("mrcli --help lists the options\n", stderr);
    return CLI_USAGE;
}

/* What getopt_long is to take. */
struct getopt_tables {
    struct option list[OPTIONS + 1];
    char letters[2 * OPTIONS + 2];
};

static void make_tables(struct getopt_tables *tables)
{
    char *letter = tables->letters;

    *letter++ = '+'; /* what follows the command is the command's */
    for (int i = 0; i < OPTIONS; i++) {
        const struct cli_option *option = &cli_options[i];
        bool has_value = option->value != NULL;

        tables->list[i] = (struct option){option->name, has_value, NULL, UCHAR_MAX + 1 + i};
        if (option->short_name == '\0')
            continue;
        *letter++ = option->short_name;
        if (has_value)
            *letter++ = ':';
    }
    *letter = '\0';
    tables->list[OPTIONS] = (struct option){NULL, 0, NULL, 0};
}

static enum cli_option_symbol symbol_of(int found)
{
    if (found > UCHAR_MAX)
        return (enum cli_option_symbol)(found - UCHAR_MAX - 1);
    for (int i = 0; i < OPTIONS; i++) {
        if (cli_options[i].short_name == found && found != 0)
            return (enum cli_option_symbol)i;
    }
    return OPTIONS;
}

int cli_options_read(struct cli *cli, int argc, char **argv, enum cli_option_symbol *ret_asked)
{
    struct getopt_tables tables;
    int status = CLI_OK;
    int found;

    make_tables(&tables);
    *ret_asked = OPTIONS;
    while (status == CLI_OK && *ret_asked == OPTIONS &&
           (found = getopt_long(argc, argv, tables.letters, tables.list, NULL)) != -1) {
        enum cli_option_symbol symbol = symbol_of(found);

        if (symbol == OPTIONS)
            return fail_option(argv[optind - 1]);
        if (symbol == OPTION_HELP || symbol == OPTION_VERSION)
            *ret_asked = symbol;
        else
            status = cli_options_set(cli, symbol, optarg);
    }
    return status;
}
