/* mregiond: the daemon's command line. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemon/arguments.h"
#include "daemon/certificates.h"
#include "daemon/check.h"
#include "daemon/log.h"
#include "daemon/privileges.h"
#include "daemon/server.h"

/* Whoever asked for a report and got a part of it must not take it for the whole. At the exit,
 * since argp ends the program by itself behind --help and --version. */
static void flush_report(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    fprintf(stderr, "mregiond: cannot write to standard output: %s\n",
            strerror(errno != 0 ? errno : EIO));
    _exit(EX_IOERR);
}

static int print_config(const struct conf *conf)
{
    (void)conf_print(conf, stdout); /* flush_report says what is wrong */
    return EXIT_SUCCESS;
}

static int check_config(const struct arguments *arguments, const struct certificates *certificates)
{
    if (certificates->expiry_warning[0] != '\0')
        printf("mregiond: warning: %s\n", certificates->expiry_warning);
    if (certificates->key_warning[0] != '\0')
        printf("mregiond: warning: %s\n", certificates->key_warning);
    if (arguments->config != NULL)
        printf("mregiond: %s is right\n", arguments->config);
    else
        printf("mregiond: the configuration is right\n");
    return EXIT_SUCCESS;
}

static int refuse(const struct conf_error *error)
{
    fprintf(stderr, "mregiond: %s\n", error->text);
    return EX_CONFIG;
}

static int run(const struct arguments *arguments, struct conf *conf,
               struct certificates *certificates)
{
    int status = EXIT_FAILURE;
    static struct conf_error error;
    switch (arguments->mode) {
    case MODE_RUN:
        if (privileges_check(conf, arguments->config, &error) != 0) {
            status = refuse(&error);
            break;
        }
        log_init(conf->log_level);
        log_set_format(conf->log_format);
        log_open_journal();
        return server_run(conf, certificates, arguments); /* takes both */
    case MODE_CHECK_CONFIG:
        status = privileges_check_user(conf, arguments->config, &error) == 0
                     ? check_config(arguments, certificates)
                     : refuse(&error);
        break;
    case MODE_PRINT_CONFIG:
        status = print_config(conf);
        break;
    case MODE_CHECK:
        status = check_run(conf);
        break;
    }
    certificates_release(certificates);
    conf_release(conf);
    return status;
}

/* A process that is started with one of the standard descriptors closed would get a file or a
 * socket in its place, and log into it. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    static struct conf conf;
    static struct conf_error error;
    static struct certificates certificates;

    /* Workers allocate seldom: a heap of their own each would cost more memory than it saves
     * time. */
    mallopt(M_ARENA_MAX, 1);
    /* Large messages come and go out of order: on the heap, where malloc would have them after the
     * first, a flood of them leaves holes several times their size. */
    mallopt(M_MMAP_THRESHOLD, (int)(2 * MIB));
    mallopt(M_TRIM_THRESHOLD, (int)(8 * MIB));
    /* A file that would pass RLIMIT_FSIZE, be it the log, is an error like others (EFBIG), and not
     * the end. */
    signal(SIGXFSZ, SIG_IGN);
    fill_standard_descriptors();
    atexit(flush_report);
    arguments_parse(&arguments, argc, argv);
    int status = arguments_load(&arguments, &conf, &error);
    if (status == 0 && (arguments.mode == MODE_RUN || arguments.mode == MODE_CHECK_CONFIG)) {
        status = certificates_load(&conf.tls, &certificates, &error);
        if (status != 0)
            conf_release(&conf);
    }
    if (status != 0) {
        status = refuse(&error);
    } else {
        status = run(&arguments, &conf, &certificates);
    }
    arguments_release(&arguments);
    return status;
}
