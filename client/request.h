/* Requests as MessagePack. Private to libmregion. */
#ifndef MREGION_CLIENT_REQUEST_H
#define MREGION_CLIENT_REQUEST_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/call.h"

/* A message without its blob is not longer, unless its parameters are packed by the caller. */
#define REQUEST_ENVELOPE_MAX 1024

/* MREGION_ERR_ARGUMENT when something is missing that the method needs. */
int request_check(const struct request *request, struct mregion_error *error);

/* Appends the message to the buffer, a blob only up to its header: its bytes follow, by whom they
 * are sent. False without memory; part of the message may be there then. */
bool request_pack(const struct request *request, uint32_t msgid, msgpack_sbuffer *buffer);
bool request_pack_notification(const struct request *request, msgpack_sbuffer *buffer);

/* Whether it changes nothing, so that sending it twice does no harm. */
bool request_only_reads(const struct request *request);

#endif
