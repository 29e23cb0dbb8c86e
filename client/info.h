/* What the server says about itself. Private to libmregion. */
#ifndef MREGION_CLIENT_INFO_H
#define MREGION_CLIENT_INFO_H

#include "client/connection.h"

/* The longest message that the server takes; asked for once per connection. */
int info_max_message(struct mregion *connection, uint64_t *ret_max_message,
                     struct mregion_error *error);

#endif
