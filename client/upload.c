#include "client/upload.h"

#include <stdlib.h>

#include "client/blob.h"
#include "client/deadline.h"
#include "client/error.h"
#include "client/token.h"
#include "core/bytes.h"

/* Beginning anew is not worth it for ever, however long the timeout. */
#define RETRIES_MAX 100

/* A connection that was made anew knows nothing of the upload: whatever the server says, that is
 * why. */
static int lost_or(struct mregion_upload *upload, int code, struct mregion_error *error)
{
    const struct mregion *connection = upload->pieces.connection;

    if (connection->fd >= 0 && connection->attempts == upload->attempt)
        return code;
    upload->is_open = false;
    if (code >= MREGION_ERR_CONNECT && code != MREGION_ERR_LOST)
        return code;
    return error_set(error, MREGION_ERR_LOST, UPLOAD_LOST);
}

int upload_begin(struct mregion_upload *upload, struct mregion *connection, const char *region,
                 uint64_t size, struct mregion_error *error)
{
    struct request request = {.method = METHOD_BEGIN_BLOB, .region = region, .numbers = {size}};
    int code;

    *upload = (struct mregion_upload){0};
    code = pieces_init(&upload->pieces, connection, region, error);
    if (code == MREGION_OK)
        code = call_for_uint(connection, &request, &upload->number, error);
    if (code != MREGION_OK)
        return code;
    upload->pieces.size = min_u64(upload->pieces.size, UPLOAD_PIECE);
    upload->attempt = connection->attempts;
    upload->is_open = true;
    return lost_or(upload, MREGION_OK, error);
}

int upload_append(struct mregion_upload *upload, const void *bytes, uint64_t size,
                  struct mregion_error *error)
{
    struct pieces *pieces = &upload->pieces;
    const uint8_t *at = bytes;
    int code = upload->is_open ? lost_or(upload, MREGION_OK, error) : MREGION_ERR_LOST;

    do {
        uint64_t piece = min_u64(size, pieces->size);

        if (code == MREGION_OK && pieces->count == PIECES_MAX)
            code = pieces_pop(pieces, error);
        if (code == MREGION_OK)
            code = pieces_append(pieces, upload->number, at, piece, error);
        if (code != MREGION_OK)
            return lost_or(upload, code, error);
        at += piece;
        size -= piece;
        upload->appended += piece;
    } while (size > 0);
    return MREGION_OK;
}

/* All pieces are there, and the commit has a name of its own. */
static int prepare_commit(struct mregion_upload *upload, struct mregion_error *error)
{
    struct mregion *connection = upload->pieces.connection;
    int code = pieces_finish(&upload->pieces, error);

    if (code == MREGION_OK)
        code = lost_or(upload, code, error);
    if (code != MREGION_OK)
        return lost_or(upload, code, error);
    upload->has_token = !connection->has_no_tokens;
    return upload->has_token ? token_take(connection, upload->token, error) : MREGION_OK;
}

/* The server knows the upload, which goes on, or does not; nor does it know a commit of it. Where
 * one was sent over an earlier connection it may still come to that. */
static int refused(struct mregion_upload *upload, bool was_asked, struct mregion_error *error)
{
    int code = lost_or(upload, MREGION_ERR_INVALID_ARGUMENT, error);

    if (code != MREGION_ERR_LOST)
        upload->is_asked = false;
    else if (was_asked)
        code = error_set(error, code,
                         "the upload was lost with its connection, and the server knows of no "
                         "commit of it");
    return code;
}

int upload_commit(struct mregion_upload *upload, uint64_t *ret_address, struct mregion_error *error)
{
    struct mregion *connection = upload->pieces.connection;
    struct request request = {.method = METHOD_COMMIT_BLOB, .numbers = {upload->number}};
    bool was_asked = upload->is_asked;
    int code;

    /* The server would know neither the upload nor the commit, whether it was made or not. */
    if (was_asked && !upload->has_token)
        return error_set(error, MREGION_ERR_LOST,
                         "the commit was sent without a token, and may have happened or not: it "
                         "cannot be asked for again");
    code = was_asked ? MREGION_OK : prepare_commit(upload, error);
    if (code != MREGION_OK)
        return code;
    /* One that was made is found by its token, on whichever connection. */
    if (upload->has_token)
        mregion_set_token(connection, upload->token);
    upload->is_asked = true;
    code = call_for_uint(connection, &request, ret_address, error);
    if (code == MREGION_OK)
        upload->is_open = false;
    else if (code == MREGION_ERR_INVALID_ARGUMENT)
        code = refused(upload, was_asked, error);
    else if (code < MREGION_ERR_CONNECT && !upload->has_token)
        upload->is_asked = false; /* the server has said no to it */
    return code;
}

void upload_end(struct mregion_upload *upload, int code)
{
    struct mregion *connection = upload->pieces.connection;
    struct request request = {.method = METHOD_ABORT_BLOB, .numbers = {upload->number}};
    struct transfer *transfer = connection->transfer;
    struct pending *pending;

    pieces_abandon(&upload->pieces);
    if (!upload->is_open || connection->fd < 0 || connection->attempts != upload->attempt)
        return;
    upload->is_open = false;
    connection->transfer = NULL; /* which may have been canceled */
    if (code != MREGION_ERR_TIMEOUT)
        (void)call_for_nothing(connection, &request, NULL);
    else if (call_submit(connection, &request, deadline_after(0), &pending, NULL) == MREGION_OK)
        pending_forget(&connection->pending, pending);
    connection->transfer = transfer;
}

/* What has moved before has not. */
bool upload_retry(struct retries *retries, struct mregion *connection, uint64_t sent, int code)
{
    if (retries->count == 0 || sent > retries->furthest) {
        retries->deadline = deadline_after(connection->timeout_ms);
        retries->furthest = sent;
    }
    if (code != MREGION_ERR_LOST || !connection->reconnects || connection->has_no_tokens ||
        ++retries->count > RETRIES_MAX || deadline_left(retries->deadline) == 0)
        return false;
    if (connection->transfer != NULL)
        connection->transfer->done = 0;
    return true;
}

/* ---- For callers ---- */

int mregion_upload_begin(struct mregion *connection, const char *region, uint64_t size,
                         struct mregion_upload **ret_upload, struct mregion_error *error)
{
    struct mregion_upload *upload = malloc(sizeof *upload);
    int code;

    if (upload == NULL)
        return error_no_memory(error);
    code = upload_begin(upload, connection, region, size, error);
    if (code == MREGION_OK)
        *ret_upload = upload;
    else
        free(upload);
    return code;
}

/* What has failed once cannot be gone on with. */
static int check_open(const struct mregion_upload *upload, struct mregion_error *error)
{
    if (upload->is_open)
        return MREGION_OK;
    return error_set(error, MREGION_ERR_ARGUMENT, "the upload is committed, or lost");
}

int mregion_upload_append(struct mregion_upload *upload, const void *bytes, uint64_t size,
                          struct mregion_error *error)
{
    int code = check_open(upload, error);

    if (code == MREGION_OK && bytes == NULL && size > 0)
        code = error_set(error, MREGION_ERR_ARGUMENT, "the bytes are missing");
    if (code == MREGION_OK && upload->is_asked)
        code = error_set(error, MREGION_ERR_ARGUMENT,
                         "the upload may have been committed: commit it again as it is");
    return code != MREGION_OK ? code : upload_append(upload, bytes, size, error);
}

int mregion_upload_commit(struct mregion_upload *upload, uint64_t *ret_address,
                          struct mregion_error *error)
{
    int code = check_open(upload, error);

    if (code == MREGION_OK)
        code = upload_commit(upload, ret_address, error);
    token_drop(upload->pieces.connection);
    return code;
}

void mregion_upload_close(struct mregion_upload *upload)
{
    if (upload == NULL)
        return;
    upload_end(upload, MREGION_OK);
    free(upload);
}
