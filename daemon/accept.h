/* From a waiting client to an open connection: who it is, and whether there is room. Loop thread.
 */
#ifndef MREGION_DAEMON_ACCEPT_H
#define MREGION_DAEMON_ACCEPT_H

#include <stdbool.h>

struct listener;
struct server;

/* Takes a waiting connection from a listener. Refuses it, with a line in the log, beyond
 * max_connections or max_connections_per_peer. Where it takes the last file descriptor that there
 * is for connections, or finds none, accepting pauses. False when no other one is to be taken now.
 */
bool accept_connection(struct server *server, struct listener *listener);

#endif
