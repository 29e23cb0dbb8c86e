/* What the server has done, told to a client: stats().
 *
 * There may be a thousand regions in it: it is put together a stretch at a time, by a request that
 * holds its connection, in the order of their names. A region that comes, goes or gets another name
 * meanwhile may be in it or not. Loop thread. */
#ifndef MREGION_DAEMON_FIGURES_H
#define MREGION_DAEMON_FIGURES_H

struct request;

/* For request_free. */
void figures_release(struct request *request);

#endif
