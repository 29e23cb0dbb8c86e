/* Requests as MessagePack. Private to libmregion. */
#ifndef MREGION_CLIENT_REQUEST_H
#define MREGION_CLIENT_REQUEST_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/call.h"

/* One with a blob is not longer without it, unless its parameters are packed by the caller. */
#define REQUEST_ENVELOPE_MAX 1024

/* MREGION_ERR_ARGUMENT when something is missing that the method needs. */
int request_check(const struct request *request, struct mregion_error *error);

/* Appends the message to the buffer, up to the header of a blob: its bytes follow, by whom they are
 * sent, and then the tail, which is packed in any case. token may be NULL. False without memory;
 * part of the message may be there then. */
bool request_pack(const struct request *request, const uint8_t *token, uint32_t msgid,
                  msgpack_sbuffer *buffer);
bool request_pack_tail(const struct request *request, const uint8_t *token,
                       msgpack_sbuffer *buffer);
/* Appends [method, parameters...] as they stand in a batch: without the region and a blob's bytes.
 */
bool request_pack_change(const struct request *request, msgpack_sbuffer *buffer);
bool request_pack_notification(const struct request *request, msgpack_sbuffer *buffer);

/* Whether it changes nothing, so that sending it twice does no harm. */
bool request_only_reads(const struct request *request);
/* Whether it is a change that takes a token, so that it happens once however often it is sent. */
bool request_takes_token(const struct request *request);

#endif
