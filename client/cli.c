#include "client/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "client/cli_output.h"
#include "client/cli_password.h"
#include "core/err.h"

void cli_init(struct cli *cli)
{
    *cli = (struct cli){.server = CLI_SERVER_DEFAULT, .form = CLI_TABLE};
}

void cli_release(struct cli *cli)
{
    mregion_close(cli->connection);
    cli_password_forget();
    free(cli->region);
    cli->connection = NULL;
    cli->region = NULL;
}

/* ---- Failures ---- */

int cli_fail(const struct cli *cli, enum cli_exit code, const char *format, ...)
{
    char sentence[2048];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    /* A server's sentence and a file's name are foreign text. */
    cli_output_make_printable(sentence);
    (void)fflush(stdout);
    if (cli->line > 0 && cli->file != NULL)
        (void)fprintf(stderr, "mrcli: %s (line %zu of %s)\n", sentence, cli->line, cli->file);
    else if (cli->line > 0)
        (void)fprintf(stderr, "mrcli: %s (line %zu)\n", sentence, cli->line);
    else
        (void)fprintf(stderr, "mrcli: %s\n", sentence);
    return code;
}

int cli_no_memory(const struct cli *cli)
{
    return cli_fail(cli, CLI_LOCAL_IO, "out of memory");
}

enum cli_exit cli_exit_code(enum mregion_code code)
{
    switch (code) {
    case MREGION_OK:
        return CLI_OK;
    case MREGION_ERR_CONNECT:
    case MREGION_ERR_LOST:
    case MREGION_ERR_PROTOCOL:
        return CLI_UNAVAILABLE;
    case MREGION_ERR_TIMEOUT:
    case MREGION_ERR_FULL:
        return CLI_AGAIN;
    case MREGION_ERR_MEMORY:
    case MREGION_ERR_LOCAL_IO:
    case MREGION_ERR_CANCELED:
        return CLI_LOCAL_IO;
    case MREGION_ERR_ARGUMENT:
        return CLI_USAGE;
    default:
        if ((unsigned)code < ERR_CODES)
            return (enum cli_exit)err_exit_code((enum err_code)code);
        return CLI_REFUSED;
    }
}

int cli_fail_library(const struct cli *cli, const struct mregion_error *error, const char *subject)
{
    enum cli_exit code = cli_exit_code(error->code);

    if (error->code == MREGION_ERR_LOCAL_IO && subject != NULL)
        return cli_fail(cli, code, "%s: %s", subject, error->text);
    if (error->code >= MREGION_ERR_CONNECT || error->code == MREGION_ERR_UNKNOWN)
        return cli_fail(cli, code, "%s", error->text);
    return cli_fail(cli, code, "%s: %s", mregion_code_name(error->code), error->text);
}

/* ---- Server and region ---- */

/* As somebody else than was asked for nothing is done. */
static int authenticate(struct cli *cli)
{
    int status = cli->user != NULL ? cli_password_authenticate(cli) : CLI_OK;

    if (status != CLI_OK) {
        mregion_close(cli->connection);
        cli->connection = NULL;
    }
    return status;
}

int cli_connect(struct cli *cli)
{
    struct mregion_options options = {.connect_timeout_ms = cli->timeout_ms,
                                      .timeout_ms = cli->timeout_ms,
                                      .tickets_max = CLI_TICKETS_MAX,
                                      .tls = &cli->tls};
    struct mregion_error error;

    if (cli->connection != NULL)
        return CLI_OK;
    if (cli->tls.key != NULL)
        (void)prctl(PR_SET_DUMPABLE, 0); /* it must not end up in a core dump */
    if (mregion_connect(cli->server, &options, &cli->connection, &error) == MREGION_OK)
        return authenticate(cli);
    if (error.code == MREGION_ERR_ARGUMENT && cli->is_server_from_environment)
        return cli_fail(cli, CLI_CONFIG, "MREGION_SERVER: %s", error.text);
    return cli_fail_library(cli, &error, NULL);
}

int cli_set_region(struct cli *cli, const char *name)
{
    char *copy = strdup(name);

    if (copy == NULL)
        return cli_no_memory(cli);
    free(cli->region);
    cli->region = copy;
    return CLI_OK;
}

/* All names in one line, as many as there is room for. */
static int fail_choice(const struct cli *cli, char *const *names, size_t count)
{
    char list[1024] = "";
    size_t length = 0;

    if (count == 0)
        return cli_fail(
            cli, CLI_USAGE,
            "there is no region yet, or none that you may see: mrcli create NAME makes one, mrcli "
            "whoami tells your grants");
    for (size_t i = 0; i < count; i++) {
        const char *comma = i == 0 ? "" : ", ";

        if (length + strlen(names[i]) + sizeof ", ..." > sizeof list) {
            (void)snprintf(list + length, sizeof list - length, ", ...");
            break;
        }
        length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", comma, names[i]);
    }
    return cli_fail(cli, CLI_USAGE, "which region is meant? Choose one with %s: %s",
                    cli->is_shell ? "use NAME" : "-r NAME", list);
}

int cli_need_region(struct cli *cli, const char **ret_region)
{
    struct mregion_error error;
    char **names = NULL;
    size_t count = 0;
    int status = cli_connect(cli);

    if (status == CLI_OK && cli->region == NULL) {
        if (mregion_list_regions(cli->connection, &names, &count, &error) != MREGION_OK)
            return cli_fail_library(cli, &error, NULL);
        if (count == 1)
            status = cli_set_region(cli, names[0]);
        else
            status = fail_choice(cli, names, count);
        mregion_free(names);
    }
    if (status == CLI_OK)
        *ret_region = cli->region;
    return status;
}
