#include "client/lookup.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Whoever is the second to leave it frees it: the thread that has ended, or who has asked. */
struct lookup {
    atomic_bool is_left;
    atomic_bool is_done;
    char *host;
    char *port;
    int fd;
    int number;
    struct addrinfo *list;
};

static void free_lookup(struct lookup *lookup)
{
    if (lookup->fd >= 0)
        (void)close(lookup->fd);
    if (lookup->list != NULL)
        freeaddrinfo(lookup->list);
    free(lookup->host);
    free(lookup->port);
    free(lookup);
}

static void leave(struct lookup *lookup)
{
    if (atomic_exchange(&lookup->is_left, true))
        free_lookup(lookup);
}

static void *run(void *data)
{
    struct lookup *lookup = data;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    uint64_t one = 1;

    lookup->number = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->list);
    if (lookup->number == EAI_SYSTEM)
        lookup->number = errno;
    atomic_store(&lookup->is_done, true);
    (void)!write(lookup->fd, &one, sizeof one);
    leave(lookup);
    return NULL;
}

/* The process's signals are not for this thread. */
static int start_thread(struct lookup *lookup)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    int number = pthread_attr_init(&attributes);

    if (number != 0)
        return number;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    number = pthread_create(&thread, &attributes, run, lookup);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return number;
}

int lookup_start(const char *host, const char *port, struct lookup **ret_lookup)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    int number;

    if (lookup == NULL)
        return ENOMEM;
    lookup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    number = lookup->fd < 0 ? errno : 0;
    lookup->host = strdup(host);
    lookup->port = strdup(port);
    if (number == 0)
        number = lookup->host == NULL || lookup->port == NULL ? ENOMEM : start_thread(lookup);
    if (number != 0) {
        free_lookup(lookup);
        return number;
    }
    *ret_lookup = lookup;
    return 0;
}

int lookup_fd(const struct lookup *lookup)
{
    return lookup->fd;
}

bool lookup_is_done(const struct lookup *lookup)
{
    return atomic_load(&lookup->is_done);
}

int lookup_take(struct lookup *lookup, struct addrinfo **ret_list)
{
    int number = lookup->number;

    *ret_list = lookup->list;
    lookup->list = NULL;
    leave(lookup);
    return number;
}

void lookup_abandon(struct lookup *lookup)
{
    if (lookup != NULL)
        leave(lookup);
}
