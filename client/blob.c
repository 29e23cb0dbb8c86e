/* Blobs in the caller's memory: in one message where they fit, else in pieces. */
#include "client/blob.h"

#include <stdlib.h>

#include "client/error.h"
#include "client/info.h"
#include "client/pieces.h"
#include "client/request.h"
#include "client/token.h"
#include "client/upload.h"
#include "core/bytes.h"

/* Half of the smallest max_message that a server can be given. */
#define ALWAYS_FITS ((uint64_t)32 << 10)
/* An answer that the server keeps with a token is not larger: a blob of more is loaded, then freed.
 */
#define REMOVE_MAX (((uint64_t)1 << 20) - 64)

/* ---- One message ---- */

int blob_message_max(struct mregion *connection, uint64_t size, uint64_t *ret_max,
                     struct mregion_error *error)
{
    uint64_t max;
    int code;

    if (size <= ALWAYS_FITS) {
        *ret_max = ALWAYS_FITS;
        return MREGION_OK;
    }
    code = info_max_message(connection, &max, error);
    if (code != MREGION_OK)
        return code;
    if (max > UINT32_MAX)
        max = UINT32_MAX;
    *ret_max = max > ALWAYS_FITS + REQUEST_ENVELOPE_MAX ? max - REQUEST_ENVELOPE_MAX : ALWAYS_FITS;
    return MREGION_OK;
}

int blob_check_message(struct mregion *connection, uint64_t size, struct mregion_error *error)
{
    uint64_t max;
    int code = blob_message_max(connection, size, &max, error);

    if (code == MREGION_OK && size > max)
        code = error_set(error, MREGION_ERR_ARGUMENT,
                         "a blob of %llu bytes does not fit one message, which holds %llu",
                         (unsigned long long)size, (unsigned long long)max);
    return code;
}

struct request blob_add_request(const char *region, const void *bytes, uint64_t size)
{
    return (struct request){
        .method = METHOD_ADD_BLOB, .region = region, .blob = bytes, .blob_size = size};
}

struct request blob_store_request(const char *region, uint64_t address, const void *bytes,
                                  uint64_t size)
{
    return (struct request){.method = METHOD_STORE_BLOB,
                            .region = region,
                            .numbers = {address},
                            .blob = bytes,
                            .blob_size = size};
}

struct request blob_load_request(const char *region, uint64_t address, uint64_t size, void *buffer)
{
    return (struct request){.method = METHOD_LOAD_BLOB,
                            .region = region,
                            .numbers = {address, size},
                            .sink = buffer,
                            .sink_size = size};
}

/* ---- Progress ---- */

void blob_begin(struct mregion *connection, struct transfer *transfer, uint64_t total)
{
    *transfer = (struct transfer){
        .progress = connection->progress, .context = connection->progress_context, .total = total};
    connection->transfer = transfer->progress != NULL ? transfer : NULL;
}

void blob_end(struct mregion *connection)
{
    connection->transfer = NULL;
}

void blob_end_change(struct mregion *connection)
{
    blob_end(connection);
    token_drop(connection);
}

/* ---- Add ---- */

/* As one upload, which is begun anew when the connection is lost. */
static int add_in_pieces(struct mregion *connection, const char *region, const void *bytes,
                         uint64_t size, uint64_t *ret_address, struct mregion_error *error)
{
    struct mregion_upload upload;
    struct retries retries = {.count = 0};
    int code = token_check_steps(connection, error);

    if (code != MREGION_OK)
        return code;
    do {
        code = upload_begin(&upload, connection, region, size, error);
        if (code == MREGION_OK)
            code = upload_append(&upload, bytes, size, error);
        if (code == MREGION_OK)
            code = upload_commit(&upload, ret_address, error);
        upload_end(&upload, code);
    } while (upload_retry(&retries, connection, upload.appended, code));
    return code;
}

int blob_add(struct mregion *connection, const char *region, const void *bytes, uint64_t size,
             uint64_t *ret_address, struct mregion_error *error)
{
    struct request request = blob_add_request(region, bytes, size);
    uint64_t max;
    int code = blob_message_max(connection, size, &max, error);

    if (code != MREGION_OK)
        return code;
    if (size <= max)
        return call_for_uint(connection, &request, ret_address, error);
    if (bytes == NULL)
        return error_set(error, MREGION_ERR_ARGUMENT, "the blob's bytes are missing");
    return add_in_pieces(connection, region, bytes, size, ret_address, error);
}

int mregion_add(struct mregion *connection, const char *region, const void *bytes, uint64_t size,
                uint64_t *ret_address, struct mregion_error *error)
{
    struct transfer transfer;
    int code;

    blob_begin(connection, &transfer, size);
    code = blob_add(connection, region, bytes, size, ret_address, error);
    blob_end_change(connection);
    return code;
}

/* ---- Load ---- */

static int load_in_pieces(struct mregion *connection, const char *region,
                          struct mregion_block block, uint8_t *buffer, struct mregion_error *error)
{
    struct pieces pieces;
    uint64_t asked = 0;
    int code = pieces_init(&pieces, connection, region, error);

    pieces.size = min_u64(pieces.size, LOAD_MAX);
    if (code == MREGION_OK)
        code = blob_check_allocated(connection, region, block, error);
    while (code == MREGION_OK && asked < block.size) {
        uint64_t piece = min_u64(block.size - asked, pieces.size);

        if (pieces.count == PIECES_MAX)
            code = pieces_pop(&pieces, error);
        if (code == MREGION_OK)
            code = pieces_load(&pieces, block.address + asked, buffer + asked, piece, error);
        asked += piece;
    }
    if (code == MREGION_OK)
        code = pieces_finish(&pieces, error);
    pieces_abandon(&pieces);
    return code;
}

int blob_load(struct mregion *connection, const char *region, uint64_t address, uint64_t size,
              void *buffer, struct mregion_error *error)
{
    struct request request = blob_load_request(region, address, size, buffer);
    uint64_t max;
    int code = blob_message_max(connection, size, &max, error);

    if (code != MREGION_OK)
        return code;
    if (size <= max)
        return call_for_nothing(connection, &request, error);
    return load_in_pieces(connection, region, (struct mregion_block){address, size}, buffer, error);
}

/* Load or remove. */
typedef int take_function(struct mregion *connection, const char *region, uint64_t address,
                          uint64_t size, void *buffer, struct mregion_error *error);

/* With the reporting. */
static int take_reported(take_function *take, struct mregion *connection, const char *region,
                         struct mregion_block block, void *buffer, struct mregion_error *error)
{
    struct transfer transfer;
    int code;

    blob_begin(connection, &transfer, block.size);
    code = take(connection, region, block.address, block.size, buffer, error);
    blob_end(connection);
    return code;
}

int mregion_load(struct mregion *connection, const char *region, uint64_t address, uint64_t size,
                 void *buffer, struct mregion_error *error)
{
    return take_reported(blob_load, connection, region, (struct mregion_block){address, size},
                         buffer, error);
}

/* With the reporting, into fresh memory. */
static int take_new(take_function *take, struct mregion *connection, const char *region,
                    struct mregion_block block, void **ret_bytes, struct mregion_error *error)
{
    void *bytes;
    int code;

    if (block.size >= SIZE_MAX)
        return error_no_memory(error);
    bytes = malloc(block.size > 0 ? (size_t)block.size : 1);
    if (bytes == NULL)
        return error_set(error, MREGION_ERR_MEMORY, "no memory for a blob of %llu bytes",
                         (unsigned long long)block.size);
    code = take_reported(take, connection, region, block, bytes, error);
    if (code == MREGION_OK)
        *ret_bytes = bytes;
    else
        free(bytes);
    return code;
}

int mregion_load_new(struct mregion *connection, const char *region, uint64_t address,
                     uint64_t size, void **ret_bytes, struct mregion_error *error)
{
    return take_new(blob_load, connection, region, (struct mregion_block){address, size}, ret_bytes,
                    error);
}

/* ---- Store ---- */

int blob_store(struct mregion *connection, const char *region, uint64_t address, const void *bytes,
               uint64_t size, struct mregion_error *error)
{
    struct request request = blob_store_request(region, address, bytes, size);
    struct pieces pieces;
    uint64_t max;
    int code = blob_message_max(connection, size, &max, error);

    if (code != MREGION_OK)
        return code;
    if (size <= max)
        return call_for_nothing(connection, &request, error);
    if (bytes == NULL)
        return error_set(error, MREGION_ERR_ARGUMENT, "the blob's bytes are missing");
    code = token_check_steps(connection, error);
    if (code != MREGION_OK)
        return code;
    code = pieces_init(&pieces, connection, region, error);
    if (code == MREGION_OK)
        code =
            blob_check_allocated(connection, region, (struct mregion_block){address, size}, error);
    if (code == MREGION_OK)
        code = pieces_store(&pieces, address, bytes, size, error);
    if (code == MREGION_OK)
        code = pieces_finish(&pieces, error);
    pieces_abandon(&pieces);
    return code;
}

int mregion_store(struct mregion *connection, const char *region, uint64_t address,
                  const void *bytes, uint64_t size, struct mregion_error *error)
{
    struct transfer transfer;
    int code;

    blob_begin(connection, &transfer, size);
    code = blob_store(connection, region, address, bytes, size, error);
    blob_end_change(connection);
    return code;
}

/* ---- Remove ---- */

static int remove_blob(struct mregion *connection, const char *region, uint64_t address,
                       uint64_t size, void *buffer, struct mregion_error *error)
{
    struct request request = blob_load_request(region, address, size, buffer);
    uint64_t max;
    int code = blob_message_max(connection, size, &max, error);

    if (code != MREGION_OK)
        return code;
    /* With a token of the caller's it is one change, or refused. */
    if (size <= max && (size <= REMOVE_MAX || connection->has_no_tokens || connection->has_token)) {
        request.method = METHOD_REMOVE_BLOB;
        return call_for_nothing(connection, &request, error);
    }
    code = token_check_steps(connection, error);
    if (code == MREGION_OK)
        code = blob_load(connection, region, address, size, buffer, error);
    if (code == MREGION_OK)
        code = mregion_deallocate(connection, region, address, size, error);
    return code;
}

int mregion_remove(struct mregion *connection, const char *region, uint64_t address, uint64_t size,
                   void *buffer, struct mregion_error *error)
{
    int code = take_reported(remove_blob, connection, region, (struct mregion_block){address, size},
                             buffer, error);

    token_drop(connection);
    return code;
}

int mregion_remove_new(struct mregion *connection, const char *region, uint64_t address,
                       uint64_t size, void **ret_bytes, struct mregion_error *error)
{
    int code = take_new(remove_blob, connection, region, (struct mregion_block){address, size},
                        ret_bytes, error);

    token_drop(connection);
    return code;
}

/* ---- Replace ---- */

int blob_replace(struct mregion *connection, const char *region, struct mregion_block old,
                 const void *bytes, uint64_t size, uint64_t *ret_address,
                 struct mregion_error *error)
{
    struct request request = {.method = METHOD_REPLACE_BLOB,
                              .region = region,
                              .numbers = {old.address, old.size},
                              .blob = bytes,
                              .blob_size = size};
    uint64_t max, address = 0;
    int code = blob_message_max(connection, size, &max, error);

    if (code != MREGION_OK)
        return code;
    if (size <= max)
        return call_for_uint(connection, &request, ret_address, error);
    code = token_check_steps(connection, error);
    if (code == MREGION_OK)
        code = blob_check_allocated(connection, region, old, error);
    if (code == MREGION_OK)
        code = blob_add(connection, region, bytes, size, &address, error);
    if (code != MREGION_OK)
        return code;
    return blob_retire(connection, region, old, (struct mregion_block){address, size}, ret_address,
                       error);
}

int blob_check_allocated(struct mregion *connection, const char *region, struct mregion_block block,
                         struct mregion_error *error)
{
    bool is_allocated;
    int code =
        mregion_is_allocated(connection, region, block.address, block.size, &is_allocated, error);

    if (code == MREGION_OK && !is_allocated)
        code = error_set(error, MREGION_ERR_NOT_ALLOCATED,
                         "some bytes of the block [%llu, +%llu) are free",
                         (unsigned long long)block.address, (unsigned long long)block.size);
    return code;
}

int blob_retire(struct mregion *connection, const char *region, struct mregion_block old,
                struct mregion_block new, uint64_t *ret_address, struct mregion_error *error)
{
    int code = mregion_deallocate(connection, region, old.address, old.size, error);

    if (code == MREGION_OK)
        *ret_address = new.address;
    else if (code >= MREGION_ERR_CONNECT)
        error_append(error, "; the new blob is at %llu+%llu", (unsigned long long)new.address,
                     (unsigned long long)new.size);
    else
        pieces_give_back(connection, region, new, error);
    return code;
}

int mregion_replace(struct mregion *connection, const char *region, uint64_t address, uint64_t size,
                    const void *bytes, uint64_t new_size, uint64_t *ret_address,
                    struct mregion_error *error)
{
    struct transfer transfer;
    int code;

    blob_begin(connection, &transfer, new_size);
    code = blob_replace(connection, region, (struct mregion_block){address, size}, bytes, new_size,
                        ret_address, error);
    blob_end_change(connection);
    return code;
}
