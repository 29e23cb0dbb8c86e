#include "client/cli_signal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t pending;
static const char *volatile temporary;

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
#define ENDING_COUNT (sizeof ending / sizeof *ending)

/* Only what is allowed in a signal handler. */
static void end_by(int number)
{
    sigset_t one;

    if (temporary != NULL)
        (void)unlink(temporary);
    (void)signal(number, SIG_DFL);
    (void)sigemptyset(&one);
    (void)sigaddset(&one, number);
    (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
    (void)raise(number);
}

static void on_signal(int number)
{
    if (number == SIGALRM && pending != 0) {
        end_by(pending);
    } else if (number != SIGALRM && pending != 0) {
        end_by(number);
    } else if (number != SIGALRM) {
        pending = number;
        (void)alarm(1);
    }
}

void cli_signal_init(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGALRM, &action, NULL);
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        /* What nohup or a shell's & ignores stays ignored. */
        if (sigaction(ending[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaction(ending[i], &action, NULL);
    }
    (void)signal(SIGPIPE, SIG_IGN);
}

bool cli_signal_pending(void)
{
    return pending != 0;
}

bool cli_signal_wait_for_input(int fd)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    while (pending == 0 && ppoll(&input, 1, NULL, &before) < 0 && errno == EINTR)
        ;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return pending == 0;
}

void cli_signal_clear(void)
{
    (void)alarm(0);
    pending = 0;
}

void cli_signal_finish(void)
{
    if (pending != 0)
        end_by(pending);
}

int cli_signal_temporary(char *template)
{
    sigset_t all, before;
    int fd;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    fd = mkostemp(template, O_CLOEXEC);
    if (fd >= 0)
        temporary = template;
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return fd;
}

void cli_signal_forget(void)
{
    temporary = NULL;
}
