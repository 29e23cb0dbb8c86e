/* Requests made from a few bytes each: whatever these are, the message is well-formed, and mostly
 * about something that is there. */
#ifndef MREGION_TESTS_SUPPORT_CALLS_H
#define MREGION_TESTS_SUPPORT_CALLS_H

#include <stdint.h>

#include "support_client.h"

struct server;

/* What a call is made from: method, region, two that choose blocks and numbers, a size, options. */
#define CALL_BYTES 6

/* Appends the request, or the notification, to what the client has to send. The server is looked
 * into for what there is: blocks in use, uploads. */
void call_append(const struct server *server, struct client *client,
                 const uint8_t bytes[CALL_BYTES], uint32_t id, bool is_notification);

#endif
