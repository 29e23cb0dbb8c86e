/* mrcli: blobs in a region of mregiond, from the command line. mrcli(1) is the manual. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/cli_command.h"
#include "client/cli_options.h"
#include "client/cli_output.h"
#include "client/cli_script.h"
#include "client/cli_shell.h"
#include "client/cli_signal.h"
#include "client/cli_terminal.h"

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

static void print_help(FILE *file, const void *nothing)
{
    (void)nothing;
    (void)fputs("usage: mrcli [-s ADDR] [-r REGION] [-o table|json|raw] [OPTION]... COMMAND ...\n"
                "       mrcli COMMAND ... [OPTION]...\n"
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
                "ADDRESS+SIZE, as add prints it; SIZE takes KiB, MiB, GiB and TiB.\n\n",
                file);
    cli_command_list(file, NULL);
    (void)fputs("\n"
                "Exit status: 0 done, 1 refused by the server, 3 no such region or block,\n"
                "5 no space, 6 corrupt data, 64 wrong usage, 69 cannot connect, 74 input or\n"
                "output here, 75 busy or timed out, 77 denied, 78 bad configuration.\n"
                "mrcli(1) is the manual.\n",
                file);
}

static int print_all_help(const struct cli *cli)
{
    static char room[16 * 1024];

    /* All of it is one write, at the end, whose error is told. */
    (void)setvbuf(stdout, room, _IOFBF, sizeof room);
    return cli_terminal_print(print_help, NULL) ? CLI_OK : cli_no_memory(cli);
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
    enum cli_option_symbol asked = OPTIONS;
    int status, flushed;

    hold_standard_descriptors();
    (void)setlocale(LC_CTYPE, "");
    cli_signal_init();
    cli_init(&cli);
    if (argc > 0)
        argv[0] = "mrcli";
    status = cli_options_read_environment(&cli);
    if (status == CLI_OK)
        status = cli_options_read(&cli, argc, argv, &asked);
    if (status == CLI_OK && asked == OPTION_HELP)
        status = print_all_help(&cli);
    else if (status == CLI_OK && asked == OPTION_VERSION)
        (void)printf("mrcli %s\n", MREGION_VERSION);
    else if (status == CLI_OK)
        status = run(&cli, argc, argv);
    flushed = cli_output_flush(&cli);
    cli_release(&cli);
    cli_signal_finish();
    return status != CLI_OK ? status : flushed;
}
