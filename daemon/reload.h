/* Reading the configuration again on SIGHUP.
 *
 * The file is read on a worker, and so are those of TLS. What applies at once is taken over: the
 * options of regions, new regions, users, the log level and the limits, and, for new connections,
 * certificates. The log has a line for each setting that is another one than before: what it was
 * and is, or that it needs a restart (data_dir, listen, the first certificate). A wrong file is
 * refused as a whole and everything stays as it was, and so is one that does not have what the open
 * listeners need. It is over, and the service manager told so, once the new regions are there; what
 * SIGHUP asks for meanwhile comes behind it. Loop thread. */
#ifndef MREGION_DAEMON_RELOAD_H
#define MREGION_DAEMON_RELOAD_H

#include <stdbool.h>

#include "conf/conf.h"
#include "daemon/certificates.h"
#include "daemon/config.h"
#include "daemon/worker.h"

struct server;

struct reload {
    struct work work;
    struct server *server;
    bool is_running; /* until the new regions are there, so that there is one at a time */
    bool is_applied;
    size_t creating; /* new regions that are not there yet */
    bool is_wanted;  /* another one, when this one is through */
    bool has_turn;   /* somebody does; these wait for theirs: */
    struct work *first, **last;
    bool has_tls; /* the TLS library has read its own files, which are out of reach by now */
    struct conf conf;
    struct certificates certificates;
    struct config_changes changes; /* by the last one that was taken over */
    struct config_changes found;   /* by the one under way */
    struct conf_error error;
    int status;
};

void reload_start(struct server *server);
/* A region that the configuration asks for has been made, or not. */
void reload_created(struct server *server);

/* Submits the work when nobody else is reading the configuration in force, or about to replace it:
 * while it runs and until its done() calls reload_end_turn, nobody changes that, nor what is told
 * of it (changes). A reload's turn ends when it is taken over; the new regions may be made after
 * that. */
void reload_take_turn(struct server *server, struct work *work);
void reload_end_turn(struct server *server);
/* Nobody has it, and nobody waits for it; nor for new regions. */
static inline bool reload_is_idle(const struct reload *reload)
{
    return !reload->has_turn && !reload->is_running;
}

#endif
