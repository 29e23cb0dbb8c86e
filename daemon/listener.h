/* The sockets on which clients are accepted: those of the configuration and those that the service
 * manager passes.
 *
 * Opening one may block for a moment (a connect to find out whether a socket file is alive): it
 * happens before the loop runs. Loop thread. */
#ifndef MREGION_DAEMON_LISTENER_H
#define MREGION_DAEMON_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <uv.h>

#include "conf/conf.h"
#include "core/err.h"

struct server;

struct listener {
    uv_poll_t poll; /* runs unless accepting pauses */
    int fd;
    struct server *server;
    struct listener *next;
    bool is_unix;
    bool is_open; /* to other machines, or to more than owner and group */
    bool is_tls;
    bool is_http;
    bool asks_all; /* whoever has connected since the start had to show a certificate */
    char *path;    /* Unix: the file to remove at the end, if it is still the same; else NULL */
    dev_t device;
    ino_t inode;
    char address[160]; /* "tcp:127.0.0.1:41234", "tls:...", "unix:/path" */
};

/* Opens every socket: those that the service manager passes, which take the place of the
 * configuration's (but not of those given as options), and those of the configuration. What is open
 * when one fails is left to listeners_close. ERR_INVALID_ARGUMENT for an address that must not be
 * listened on, ERR_BUSY where somebody else does, ERR_IO_ERROR. */
int listeners_open(struct server *server, const struct conf *conf, struct err *err);
/* Makes clients of all that are open wait instead of being refused, so that another server does not
 * take a socket file of ours for a stale one. ERR_IO_ERROR. */
int listeners_hold(struct server *server, struct err *err);
/* Starts to accept on all and logs one line for each. ERR_IO_ERROR. */
int listeners_start(struct server *server, struct err *err);
/* Accepts nobody until there are file descriptors again: clients wait, and the loop does not look
 * at them meanwhile. Logs why. */
void listeners_pause(struct server *server, const char *why);
/* Goes on accepting where that is possible again. Server, about once a second. */
void listeners_resume(struct server *server);
/* One that would need something else than the configuration has, since it stays open until a
 * restart: a certificate, or that those are known who connect, or have connected. NULL: none. */
const struct listener *listeners_find_unfit(const struct server *server, const struct conf *wanted,
                                            const char **ret_need);
/* The server has another configuration. */
void listeners_reloaded(struct server *server);
/* Stops accepting and removes the files of Unix sockets that are ours. */
void listeners_close(struct server *server);

#endif
