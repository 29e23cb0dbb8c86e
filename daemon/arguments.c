#include "daemon/arguments.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <sysexits.h>

/* Found by the C library, which hidden symbols are not. */
__attribute__((visibility("default"))) const char *argp_program_version =
    "mregiond " MREGION_VERSION;

enum option_key {
    KEY_CONFIG = 'c',
    KEY_DATA_DIR = 'd',
    KEY_LISTEN = 'l',
    KEY_REGION = 'r',
    KEY_CHECK_CONFIG = 256,
    KEY_PRINT_CONFIG,
    KEY_CHECK,
};

static const struct argp_option options[] = {
    {"config", KEY_CONFIG, "FILE", 0, "Read the configuration from FILE", 1},
    {"data-dir", KEY_DATA_DIR, "DIR", 0, "Keep the regions in DIR", 1},
    {"listen", KEY_LISTEN, "ADDR", 0,
     "Accept clients on ADDR, tcp:HOST:PORT, tls:HOST:PORT or unix:PATH; may be repeated, and "
     "replaces what the file says",
     1},
    {"region", KEY_REGION, "NAME", 0,
     "Create the region NAME where it is missing; may be repeated, and replaces what the file says",
     1},
    {"check-config", KEY_CHECK_CONFIG, NULL, 0, "Check the configuration and exit", 2},
    {"print-config", KEY_PRINT_CONFIG, NULL, 0, "Print the whole configuration and exit", 2},
    {"check", KEY_CHECK, NULL, 0,
     "Verify every region without changing anything, print a report and exit with 0 or 1", 2},
    {0},
};

static const char description[] =
    "mregiond, a heap for blobs behind a socket.\v"
    "Runs in the foreground and logs to stderr. Options override the file; without a file the "
    "built-in defaults hold. SIGTERM and SIGINT stop the server in order, SIGHUP reads the "
    "configuration again.\n\nExit status: 0 after an orderly stop, 1 for a failure, 64 for wrong "
    "usage, 74 for a report that could not be written, 78 for a wrong configuration.";

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case KEY_CONFIG:
        arguments->config = argument;
        return 0;
    case KEY_DATA_DIR:
        arguments->data_dir = argument;
        return 0;
    case KEY_LISTEN:
        arguments->listens[arguments->listens_count++] = argument;
        return 0;
    case KEY_REGION:
        arguments->regions[arguments->regions_count++] = argument;
        return 0;
    case KEY_CHECK_CONFIG:
        arguments->mode = MODE_CHECK_CONFIG;
        return 0;
    case KEY_PRINT_CONFIG:
        arguments->mode = MODE_PRINT_CONFIG;
        return 0;
    case KEY_CHECK:
        arguments->mode = MODE_CHECK;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void arguments_parse(struct arguments *arguments, int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse_option, .doc = description};
    size_t most = (size_t)argc;
    *arguments = (struct arguments){.listens = calloc(most, sizeof(char *)),
                                    .regions = calloc(most, sizeof(char *))};
    if (arguments->listens == NULL || arguments->regions == NULL)
        exit(EX_OSERR);
    argp_err_exit_status = EX_USAGE;
    error_t error = argp_parse(&argp, argc, argv, 0, NULL, arguments);
    if (error != 0)
        exit(EX_OSERR);
}

void arguments_release(struct arguments *arguments)
{
    free(arguments->listens);
    free(arguments->regions);
    *arguments = (struct arguments){0};
}

int arguments_load(const struct arguments *arguments, struct conf *conf, struct conf_error *error)
{
    int status = conf_init_defaults(conf, error);
    if (status == 0 && arguments->config != NULL)
        status = conf_load(conf, arguments->config, error);
    if (status == 0 && arguments->data_dir != NULL)
        status = conf_set_data_dir(conf, arguments->data_dir, error);
    for (size_t i = 0; i < arguments->listens_count && status == 0; i++)
        status = conf_add_listen(conf, arguments->listens[i], error);
    for (size_t i = 0; i < arguments->regions_count && status == 0; i++)
        status = conf_add_region(conf, arguments->regions[i], error);
    if (status != 0)
        conf_release(conf);
    return status;
}
