#include "client/pieces.h"

#include "client/blob.h"
#include "client/deadline.h"
#include "client/error.h"

int pieces_init(struct pieces *pieces, struct mregion *connection, const char *region,
                struct mregion_error *error)
{
    uint64_t size;
    int code = blob_message_max(connection, PIECE_MAX, &size, error);

    *pieces = (struct pieces){.connection = connection,
                              .region = region,
                              .size = code == MREGION_OK && size < PIECE_MAX ? size : PIECE_MAX};
    if (connection->transfer != NULL)
        connection->transfer->is_cut = true;
    return code;
}

static int check_canceled(const struct mregion *connection, struct mregion_error *error)
{
    if (connection->transfer != NULL && connection->transfer->is_canceled)
        return error_set(error, MREGION_ERR_CANCELED, "canceled");
    return MREGION_OK;
}

static int push(struct pieces *pieces, const struct request *request, struct mregion_error *error)
{
    struct mregion *connection = pieces->connection;
    unsigned slot = (pieces->first + pieces->count) % PIECES_MAX;
    int code = check_canceled(connection, error);

    if (code != MREGION_OK)
        return code;
    pieces->requests[slot] = *request;
    code = call_submit(connection, &pieces->requests[slot], deadline_after(connection->timeout_ms),
                       &pieces->slots[slot], error);
    if (code == MREGION_OK)
        pieces->count++;
    return code;
}

int pieces_store(struct pieces *pieces, uint64_t address, const void *bytes, uint64_t size,
                 struct mregion_error *error)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        uint64_t piece = size < pieces->size ? size : pieces->size;
        struct request request = {.method = METHOD_STORE_BLOB,
                                  .region = pieces->region,
                                  .numbers = {address},
                                  .blob = at,
                                  .blob_size = piece};
        int code = pieces->count == PIECES_MAX ? pieces_pop(pieces, error) : MREGION_OK;

        if (code == MREGION_OK)
            code = push(pieces, &request, error);
        if (code != MREGION_OK)
            return code;
        address += piece;
        at += piece;
        size -= piece;
    }
    return MREGION_OK;
}

int pieces_append(struct pieces *pieces, uint64_t upload, const void *bytes, uint64_t size,
                  struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_APPEND_BLOB, .numbers = {upload}, .blob = bytes, .blob_size = size};

    return push(pieces, &request, error);
}

int pieces_load(struct pieces *pieces, uint64_t address, void *buffer, uint64_t size,
                struct mregion_error *error)
{
    struct request request = blob_load_request(pieces->region, address, size, buffer);

    return push(pieces, &request, error);
}

int pieces_pop(struct pieces *pieces, struct mregion_error *error)
{
    struct mregion *connection = pieces->connection;
    struct reply reply = {0};
    int code = check_canceled(connection, error);

    if (code == MREGION_OK)
        code = call_collect(connection, pieces->slots[pieces->first],
                            deadline_after(connection->timeout_ms), &reply, error);
    /* It stays pending then, for pieces_abandon. */
    if (code == MREGION_ERR_TIMEOUT || code == MREGION_ERR_CANCELED)
        return code;
    if (code == MREGION_OK)
        reply_release(&reply);
    pieces->first = (pieces->first + 1) % PIECES_MAX;
    pieces->count--;
    return code;
}

int pieces_finish(struct pieces *pieces, struct mregion_error *error)
{
    int code = MREGION_OK;

    while (code == MREGION_OK && pieces->count > 0)
        code = pieces_pop(pieces, error);
    return code;
}

void pieces_abandon(struct pieces *pieces)
{
    while (pieces->count > 0) {
        pending_forget(&pieces->connection->pending, pieces->slots[pieces->first]);
        pieces->first = (pieces->first + 1) % PIECES_MAX;
        pieces->count--;
    }
}

/* On the same connection the server frees after it has stored: requests are executed in order. A
 * connection that the server has ended delivers nothing more, and what is answered on a later one
 * has a token, so that it is not stored again should an earlier one deliver it late. But what this
 * side sent and then closed may still wait at the server, and would be stored over whatever is
 * there by then. */
void pieces_give_back(struct mregion *connection, const char *region, struct mregion_block block,
                      struct mregion_error *error)
{
    if ((connection->fd < 0 && !connection->is_lost_by_peer) ||
        mregion_deallocate(connection, region, block.address, block.size, NULL) != MREGION_OK)
        error_append(error, "; the block %llu+%llu stays allocated",
                     (unsigned long long)block.address, (unsigned long long)block.size);
}
