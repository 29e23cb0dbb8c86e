/* From a whole message to the handler of its method. Loop thread. */
#ifndef MREGION_DAEMON_DISPATCH_H
#define MREGION_DAEMON_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;

/* Handles the first message of the connection's input, size bytes. Afterwards it is consumed, or
 * the connection is parked and it is still there, or the connection has failed. */
void dispatch(struct conn *conn, size_t size);
/* The same without knowing where it ends, if it is a whole request of the common form (see
 * rpc_parse_short) of at most size_max bytes: returns its size. 0: nothing was done. */
size_t dispatch_short(struct conn *conn, uint64_t size_max);

/* Whether the beginning of a message that cannot be read to its end says whom to answer: a request
 * and its msgid. */
bool dispatch_peek_msgid(const uint8_t *bytes, size_t size, uint32_t *ret_msgid);

#endif
