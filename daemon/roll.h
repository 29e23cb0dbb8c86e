/* The connections that are open, told in the order in which they came: connections().
 *
 * There may be many, and the loop is everybody's: a roll is put together a stretch at a time, by a
 * request that holds its connection, and goes on from the connection that it has come to. One that
 * is closed in between is passed over. Loop thread. */
#ifndef MREGION_DAEMON_ROLL_H
#define MREGION_DAEMON_ROLL_H

struct conn;
struct request;
struct server;

/* The request's roll, if it has one, is not needed any more. */
void roll_release(struct request *request);
/* The connection is about to leave the server's list. */
void roll_forget(struct server *server, const struct conn *conn);

#endif
