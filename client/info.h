/* What the server says about itself. Private to libmregion. */
#ifndef MREGION_CLIENT_INFO_H
#define MREGION_CLIENT_INFO_H

#include "client/connection.h"

/* The longest message that the server takes; asked for once per connection. */
int info_max_message(struct mregion *connection, uint64_t *ret_max_message,
                     struct mregion_error *error);

/* The same as what is asked before the queue goes on: packs the request whose answer is pending's,
 * and takes that answer. MREGION_ERR_MEMORY. */
int info_pack(struct mregion *connection, const struct pending *pending,
              struct mregion_error *error);
void info_take(struct mregion *connection, const struct pending *pending);

#endif
