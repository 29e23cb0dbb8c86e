/* mrcli: blobs in a region of mregiond, from the command line. mrcli(1) is the manual. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/cli_command.h"
#include "client/cli_output.h"
#include "client/cli_parse.h"
#include "client/cli_script.h"
#include "client/cli_shell.h"
#include "client/cli_signal.h"

/* A descriptor that is closed at the start would be taken by the next file that is opened, and
 * that file by what is meant for standard output. Opened the wrong way around, it fails as a
 * closed one does. */
static void hold_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

static void print_help(void)
{
    static char room[16 * 1024];

    /* All of it is one write, at the end, whose error is told. */
    (void)setvbuf(stdout, room, _IOFBF, sizeof room);
    (void)puts("usage: mrcli [-s ADDR] [-r REGION] [-o table|json|raw] [OPTION]... COMMAND ...\n"
               "Stores blobs in a region of mregiond, and gives them back.\n"
               "\n"
               "  -s, --server ADDR      unix:PATH, tcp:HOST:PORT or tls:HOST:PORT; default\n"
               "                         $MREGION_SERVER, then " CLI_SERVER_DEFAULT "\n"
               "  -r, --region REGION    a name, or a number as #7; default $MREGION_REGION,\n"
               "                         then the only region there is\n"
               "  -u, --user NAME        who you are, where the server asks for it; default\n"
               "                         $MREGION_USER. The password is $MREGION_PASSWORD, or\n"
               "                         else is asked for\n"
               "      --password-file FILE  has the password\n"
               "  -o, --output FORM      table for people (default), json, or raw: bare values\n"
               "      --timeout TIME     how long a request may take, such as 500ms or 5m;\n"
               "                         default 60s\n"
               "      --ca FILE          TLS: the authorities that vouch for the server; default\n"
               "                         $MREGION_CA, then those that the system trusts\n"
               "      --cert FILE        TLS: a certificate to show to the server, and\n"
               "      --key FILE         its private key; default $MREGION_CERT, $MREGION_KEY\n"
               "      --server-name NAME TLS: what the server's certificate is for, if not HOST\n"
               "      --insecure         TLS: take any server's certificate\n"
               "      --keep-going       commands from standard input: go on after a failure\n"
               "  -h, --help\n"
               "      --version\n"
               "\n"
               "Without a command it is a shell, or runs the commands that come from standard\n"
               "input, one per line. FILE may be - for standard input or output. REF is\n"
               "ADDRESS+SIZE, as add prints it; SIZE takes KiB, MiB, GiB and TiB.\n");
    cli_command_list(stdout);
    (void)puts("\n"
               "Exit status: 0 done, 1 refused by the server, 3 no such region or block,\n"
               "5 no space, 6 corrupt data, 64 wrong usage, 69 cannot connect, 74 input or\n"
               "output here, 75 busy or timed out, 77 denied, 78 bad configuration.\n"
               "mrcli(1) is the manual.");
}

/* ---- Options ---- */

enum {
    OPTION_VERSION = 256,
    OPTION_TIMEOUT,
    OPTION_KEEP_GOING,
    OPTION_PASSWORD_FILE,
    OPTION_CA,
    OPTION_CERTIFICATE,
    OPTION_KEY,
    OPTION_SERVER_NAME,
    OPTION_INSECURE
};

static const struct option options[] = {
    {"server", required_argument, NULL, 's'},
    {"region", required_argument, NULL, 'r'},
    {"user", required_argument, NULL, 'u'},
    {"password-file", required_argument, NULL, OPTION_PASSWORD_FILE},
    {"output", required_argument, NULL, 'o'},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"ca", required_argument, NULL, OPTION_CA},
    {"cert", required_argument, NULL, OPTION_CERTIFICATE},
    {"key", required_argument, NULL, OPTION_KEY},
    {"server-name", required_argument, NULL, OPTION_SERVER_NAME},
    {"insecure", no_argument, NULL, OPTION_INSECURE},
    {"keep-going", no_argument, NULL, OPTION_KEEP_GOING},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

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

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Whether the option is one of TLS. */
static bool set_tls(struct mregion_tls *tls, int option, const char *value)
{
    switch (option) {
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

/* A key must not end up in a core dump. */
static void hide_memory(const struct cli *cli)
{
    if (cli->tls.key != NULL)
        (void)prctl(PR_SET_DUMPABLE, 0);
}

/* What the environment says holds where the command line says nothing. Empty is as good as unset.
 */
static int read_environment(struct cli *cli)
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

/* optind is at the command afterwards. *ret_is_done: nothing more is to be done. */
static int read_options(struct cli *cli, int argc, char **argv, bool *ret_is_done)
{
    int status = CLI_OK;
    int option;

    /* "+": what follows the command is the command's. */
    while (status == CLI_OK && !*ret_is_done &&
           (option = getopt_long(argc, argv, "+s:r:u:o:h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            status = set_server(cli, optarg);
            break;
        case 'r':
            status = cli_set_region(cli, optarg);
            break;
        case 'o':
            status = set_form(cli, optarg);
            break;
        case 'u':
            status = set_user(cli, optarg);
            break;
        case OPTION_PASSWORD_FILE:
            cli->password_file = optarg;
            break;
        case OPTION_TIMEOUT:
            status = set_timeout(cli, optarg);
            break;
        case OPTION_KEEP_GOING:
            cli->keep_going = true;
            break;
        case 'h':
            print_help();
            *ret_is_done = true;
            break;
        case OPTION_VERSION:
            (void)printf("mrcli %s\n", MREGION_VERSION);
            *ret_is_done = true;
            break;
        default:
            if (set_tls(&cli->tls, option, optarg))
                break;
            /* getopt_long has said what is wrong. */
            (void)fputs("mrcli --help lists the options\n", stderr);
            return CLI_USAGE;
        }
    }
    return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (optind < argc)
        return cli_command_run(cli, argv + optind, (size_t)(argc - optind));
    if (isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0)
        return cli_shell_run(cli);
    return cli_script_run(cli);
}

int main(int argc, char **argv)
{
    struct cli cli;
    bool is_done = false;
    int status, flushed;

    hold_standard_descriptors();
    (void)setlocale(LC_CTYPE, "");
    cli_signal_init();
    cli_init(&cli);
    if (argc > 0)
        argv[0] = "mrcli";
    status = read_environment(&cli);
    if (status == CLI_OK)
        status = read_options(&cli, argc, argv, &is_done);
    hide_memory(&cli);
    if (status == CLI_OK && !is_done)
        status = run(&cli, argc, argv);
    flushed = cli_output_flush(&cli);
    cli_release(&cli);
    cli_signal_finish();
    return status != CLI_OK ? status : flushed;
}
