/* Lists of blocks: getFreeMemory and the like.
 *
 * A list of up to LIST_SHORT blocks is answered at once. A longer one may have millions: it is put
 * together a stretch at a time, between which the loop looks after everybody else. Its connection
 * is held meanwhile; what others change may show in it or not. Loop thread. */
#ifndef MREGION_DAEMON_LIST_H
#define MREGION_DAEMON_LIST_H

struct request;

/* Some 100 microseconds. */
#define LIST_SHORT 2048

/* For request_free. */
void list_release(struct request *request);

#endif
