/* From a waiting client to an open connection: who it is, and whether there is room. Loop thread.
 */
#ifndef MREGION_DAEMON_ACCEPT_H
#define MREGION_DAEMON_ACCEPT_H

#include <stdbool.h>
#include <uv.h>

struct server;

/* Takes a waiting connection from a listener. Refuses it, with a line in the log, beyond
 * max_connections. False without memory: it waits still. */
bool accept_connection(struct server *server, uv_stream_t *listener, bool is_unix);

#endif
