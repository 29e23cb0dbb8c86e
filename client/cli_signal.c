#include "client/cli_signal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t pending;
static const char *volatile temporary;

/* Of the terminal that shows another screen. */
#define LEAVE "\033[?1049l\033[?25h"
static volatile sig_atomic_t has_screen;
static int screen_fd; /* whose modes are to be set again; -1: it is no terminal */
static struct termios before_screen;

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
#define ENDING_COUNT (sizeof ending / sizeof *ending)

void cli_signal_screen(int fd)
{
    struct termios keys;

    screen_fd = tcgetattr(fd, &before_screen) == 0 ? fd : -1;
    has_screen = 1;
    if (screen_fd < 0)
        return;
    keys = before_screen;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    (void)tcsetattr(fd, TCSANOW, &keys);
}

void cli_signal_screen_end(void)
{
    if (has_screen == 0)
        return;
    has_screen = 0;
    /* If the terminal is gone there is nothing to bring back. */
    if (write(STDOUT_FILENO, LEAVE, sizeof LEAVE - 1) > 0 && screen_fd >= 0)
        (void)tcsetattr(screen_fd, TCSANOW, &before_screen);
}

/* Only what is allowed in a signal handler. */
static void end_by(int number)
{
    sigset_t one;

    if (temporary != NULL)
        (void)unlink(temporary);
    cli_signal_screen_end();
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

enum cli_signal_wait cli_signal_wait(int fd, uint64_t wait_ms)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)(wait_ms / 1000),
                            .tv_nsec = (long)(wait_ms % 1000) * 1000000};
    sigset_t all, before;
    int ready = 0;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    if (pending == 0)
        ready = ppoll(&input, 1, &time, &before);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (pending != 0)
        return CLI_SIGNAL_CAME;
    return ready > 0 ? CLI_SIGNAL_INPUT : CLI_SIGNAL_TIME;
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
