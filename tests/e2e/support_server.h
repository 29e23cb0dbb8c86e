/* Starts the real mregiond ($MREGIOND) for a test in C, on a Unix socket in a temporary folder, or,
 * with MREGION_TEST_TLS in the environment, on a port with TLS and a certificate that OpenSSL takes
 * for one that the system trusts. */
#ifndef MREGION_TESTS_E2E_SUPPORT_SERVER_H
#define MREGION_TESTS_E2E_SUPPORT_SERVER_H

#include <sys/types.h>

struct server {
    char folder[64];
    char address[96]; /* for mregion_connect */
    pid_t pid;
    unsigned starts;
};

/* Makes the folder and starts the daemon, with max_message ("1MiB") in its configuration. Aborts
 * when it does not get ready. */
void server_start(struct server *server, const char *max_message);
/* The same again, on what is there. */
void server_start_again(struct server *server);
/* Sends the signal and waits for the end; returns the exit status, or 128 and the signal. */
int server_end(struct server *server, int number);
/* Ends it in order if it still runs, which must succeed, and removes the folder. */
void server_remove(struct server *server);

#endif
