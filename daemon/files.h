/* File descriptors: enough of them for the regions, however many clients there are. A region that
 * finds none for its next journal segment would have failed for good. Loop thread. */
#ifndef MREGION_DAEMON_FILES_H
#define MREGION_DAEMON_FILES_H

#include <stdbool.h>

struct server;

/* Lets the process have as many file descriptors as max_connections and the regions need, where it
 * may; a warning where it may not. */
void files_raise_limit(const struct server *server);

/* Whether the regions can do without the descriptor fd, the one opened last: a connection's. The
 * system hands out the lowest number that is free. */
bool files_spare_connection(const struct server *server, int fd);
/* Whether they can do without the one that would be opened next. */
bool files_spare_next(const struct server *server);
/* Whether there are enough for one region more. */
bool files_spare_region(const struct server *server);

#endif
