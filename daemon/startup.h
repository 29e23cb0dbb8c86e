/* Opening what the daemon needs before it serves, and closing it again. Main thread; everything
 * here may block. */
#ifndef MREGION_DAEMON_STARTUP_H
#define MREGION_DAEMON_STARTUP_H

#include "core/err.h"
#include "core/io.h"
#include "core/store.h"

struct server;

/* Started as root with a user in the configuration: makes the data directory, opens the sockets and
 * becomes that user. Otherwise the listeners are still to be opened. */
int startup_drop_privileges(struct server *server, struct err *err);
/* Files are bounded to what the server will need, once everything else is open. */
int startup_restrict_files(struct server *server, struct err *err);

/* Opens and locks the data directory, making it where its parent is there, and opens every region,
 * recovering it and creating those that the configuration names. What is open when it fails is left
 * to startup_close_store. */
int startup_open_store(struct server *server, struct err *err);
/* Closes regions, which must be quiet, and store. */
void startup_close_store(struct server *server);

/* Opens the directory's store; the sentence of an error names the directory. */
int startup_open_directory(const char *path, bool read_only, struct io **ret_io,
                           struct store **ret_store, struct err *err);

#endif
