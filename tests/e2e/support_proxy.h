/* A wire that breaks: stands between a client and a server on Unix sockets, and cuts each
 * connection after so many bytes as chance has it, in whichever direction they went. What is under
 * way then is lost. */
#ifndef MREGION_TESTS_E2E_SUPPORT_PROXY_H
#define MREGION_TESTS_E2E_SUPPORT_PROXY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct proxy {
    char address[104]; /* for mregion_connect */
    char path[96];
    char server[96]; /* path of the server's socket */
    int listener;
    unsigned seed;
    unsigned bits_max; /* a connection lives for less than 1 << bits_max bytes; 0: it is not cut */
    unsigned bits_min; /* and for at least 1 << bits_min */
    bool is_stopping;
    unsigned active; /* threads at work */
    unsigned cuts;
    pthread_t thread;
};

/* server is "unix:PATH"; the proxy listens beside it. */
void proxy_start(struct proxy *proxy, const char *server, unsigned seed, unsigned bits_max);
/* From the next connection on each lives for at least 1 << bits_min bytes, and so gets somewhere.
 */
void proxy_spare(struct proxy *proxy, unsigned bits_min);
unsigned proxy_cuts(const struct proxy *proxy);
/* Ends all connections. */
void proxy_stop(struct proxy *proxy);

#endif
