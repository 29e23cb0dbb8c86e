/* The descriptor by which somebody's loop learns that there is something to do. Private to
 * libmregion. */
#ifndef MREGION_CLIENT_LOOP_H
#define MREGION_CLIENT_LOOP_H

#include "client/connection.h"

/* MREGION_ERR_LOCAL_IO. */
int loop_open(struct mregion *connection, struct mregion_error *error);
void loop_close(struct loop *loop);
/* The descriptor can be read from now on when the next step may be taken, an asynchronous request
 * is too late, or a callback is to be called. To be called whenever that may have changed. */
void loop_arm(struct mregion *connection);

#endif
