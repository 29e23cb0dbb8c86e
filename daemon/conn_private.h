/* The inside of a connection, for the files conn*.c only.
 *
 *     conn.c        beginning and end; what it waits for, and who has it run again
 *     conn_read.c   from bytes to requests
 *     conn_write.c  from answers to bytes
 *     conn_time.c   what has taken too long */
#ifndef MREGION_DAEMON_CONN_PRIVATE_H
#define MREGION_DAEMON_CONN_PRIVATE_H

#include "daemon/conn.h"

/* Goes on with it in the loop's next iteration. */
void conn_later(struct conn *conn);
/* What counts is what it has had since the others had their turn. */
void conn_begin_stretch(struct conn *conn);
/* Has it wait for so many bytes of a budget. */
void conn_park_at(struct conn *conn, struct budget *budget, uint64_t bytes);
/* The peer is gone, which libuv says with this number. What it had sent whole is still executed. */
void conn_lose(struct conn *conn, int error);
/* Ends the connection if nothing is left to do on it. */
void conn_finish(struct conn *conn);

/* From the socket, unless there is something to be decrypted first: conn_run does that. */
void conn_set_reading(struct conn *conn, bool reading);
/* Bytes that the socket has for us. */
uint64_t conn_unread(const struct conn *conn);
/* The budget knows from here on what TLS holds now. */
void conn_count_tls(struct conn *conn);

#endif
