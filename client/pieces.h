/* A blob that moves in pieces, several of them under way at a time. Private to libmregion.
 *
 * Whatever fails, call pieces_abandon before anything else is done. */
#ifndef MREGION_CLIENT_PIECES_H
#define MREGION_CLIENT_PIECES_H

#include <stdint.h>

#include "client/call.h"
#include "client/connection.h"

#define PIECE_MAX ((uint64_t)4 << 20)
/* One that is loaded: larger ones are read twice by the server. */
#define LOAD_MAX ((uint64_t)1 << 20)
/* So many keep a server busy while the next one travels. */
#define PIECES_MAX 4

struct pieces {
    struct mregion *connection;
    const char *region;
    uint64_t size; /* of a piece */
    struct pending *slots[PIECES_MAX];
    struct request requests[PIECES_MAX]; /* of the slots, which borrow them */
    unsigned first, count;
};

/* Asks the server for the size of a piece where that is not known. */
int pieces_init(struct pieces *pieces, struct mregion *connection, const char *region,
                struct mregion_error *error);

/* Stores size bytes at address, without waiting for the last answers. The bytes are borrowed until
 * they have been popped, for they may have to be sent again: PIECES_MAX pieces may be under way. */
int pieces_store(struct pieces *pieces, uint64_t address, const void *bytes, uint64_t size,
                 struct mregion_error *error);

/* Appends one piece to an upload; at most PIECES_MAX are under way. It is sent once only, and the
 * bytes are not needed any more when it returns. */
int pieces_append(struct pieces *pieces, uint64_t upload, const void *bytes, uint64_t size,
                  struct mregion_error *error);

/* Asks for one piece; at most PIECES_MAX are under way. */
int pieces_load(struct pieces *pieces, uint64_t address, void *buffer, uint64_t size,
                struct mregion_error *error);
/* Waits for the oldest one. */
int pieces_pop(struct pieces *pieces, struct mregion_error *error);
/* Waits for all. */
int pieces_finish(struct pieces *pieces, struct mregion_error *error);
/* Waits for none; what was stored is executed all the same, buffers are left alone from now on. */
void pieces_abandon(struct pieces *pieces);

/* Frees a block into which pieces were being stored when something failed, unless some of them
 * could still arrive after it has been freed; *error then also says that the block stays. */
void pieces_give_back(struct mregion *connection, const char *region, struct mregion_block block,
                      struct mregion_error *error);

#endif
