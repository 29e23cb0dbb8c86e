/* A blob on its way to the server in pieces: nothing of it is there before it is committed. Private
 * to libmregion. */
#ifndef MREGION_CLIENT_UPLOAD_H
#define MREGION_CLIENT_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "client/pieces.h"

/* Bytes in a message. */
#define UPLOAD_PIECE ((uint64_t)1 << 20)
#define UPLOAD_LOST "the connection was lost, and the upload with it: nothing was added"

/* Once begun, end it with upload_end. A connection that is lost takes it along: MREGION_ERR_LOST.
 */
struct mregion_upload {
    struct pieces pieces;
    uint64_t number;   /* the server's name for it */
    uint64_t attempt;  /* connection->attempts when it was begun */
    uint64_t appended; /* bytes that were sent */
    bool is_open;      /* neither committed nor lost */
    bool is_asked;     /* a commit was sent, and may have happened; each has this token: */
    bool has_token;
    uint8_t token[MREGION_TOKEN_SIZE];
};

/* NO_SIZE where the size is not known. */
int upload_begin(struct mregion_upload *upload, struct mregion *connection, const char *region,
                 uint64_t size, struct mregion_error *error);
/* Sends the bytes, without waiting for the last answers: what fails shows later. They are not
 * needed any more when it returns. */
int upload_append(struct mregion_upload *upload, const void *bytes, uint64_t size,
                  struct mregion_error *error);
/* With a token, so that it happens once, also where it is asked for again. */
int upload_commit(struct mregion_upload *upload, uint64_t *ret_address,
                  struct mregion_error *error);
/* Gives up what is not committed. code is what the call before has returned: a server that does not
 * answer is not waited for once more. */
void upload_end(struct mregion_upload *upload, int code);

/* Whether an upload that was lost may be begun anew, after so many bytes were sent: until the
 * timeout has passed since the first loss, or one before which it had come further than ever. Zeros
 * at first. */
struct retries {
    int64_t deadline;
    uint64_t furthest;
    unsigned count;
};
bool upload_retry(struct retries *retries, struct mregion *connection, uint64_t sent, int code);

#endif
