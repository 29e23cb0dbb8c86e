/* Answers that are complete at once, put into the connection's output. A connection whose peer is
 * gone takes none. Loop thread. */
#ifndef MREGION_DAEMON_ANSWER_H
#define MREGION_DAEMON_ANSWER_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct conn;
struct piece;

void answer_nil(struct conn *conn, uint32_t msgid);
void answer_uint(struct conn *conn, uint32_t msgid, uint64_t number);
void answer_bool(struct conn *conn, uint32_t msgid, bool value);
/* A result that is MessagePack already. */
void answer_packed(struct conn *conn, uint32_t msgid, const uint8_t *bytes, size_t size);
void answer_error(struct conn *conn, uint32_t msgid, const struct err *err);
/* Packs everything up to the result, which the caller packs next. False: the connection takes no
 * answers. */
bool answer_begin(struct conn *conn, uint32_t msgid, msgpack_packer *packer);

void answer_pack_text(msgpack_packer *packer, const char *text);

/* Where something is packed that is known to fit. */
struct answer_room {
    uint8_t *end; /* of what is packed */
    uint8_t *limit;
};
/* msgpack_packer_init takes it, with a room. */
int answer_write_to_room(void *room, const char *bytes, size_t size);

#endif
