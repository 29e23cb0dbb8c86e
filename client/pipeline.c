/* Requests and answers apart: the public face of tickets, and calls by name. */
#include <stdlib.h>
#include <string.h>

#include "client/blob.h"
#include "client/call.h"
#include "client/deadline.h"
#include "client/error.h"
#include "client/request.h"
#include "client/token.h"

/* ---- Submitting ---- */

static int submit(struct mregion *connection, const struct request *request,
                  mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct pending *pending = NULL;
    int code = call_submit_ticket(connection, request, deadline_after(connection->timeout_ms),
                                  &pending, error);

    if (request_takes_token(request))
        token_drop(connection);
    if (code == MREGION_OK)
        *ret_ticket = pending->ticket;
    return code;
}

static int submit_blob(struct mregion *connection, struct request request,
                       mregion_ticket *ret_ticket, struct mregion_error *error)
{
    int code = blob_check_message(connection, request.blob_size, error);

    if (code == MREGION_OK)
        return submit(connection, &request, ret_ticket, error);
    token_drop(connection);
    return code;
}

int mregion_submit(struct mregion *connection, const char *method, const void *params,
                   size_t params_size, mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct request request = {
        .method = METHODS, .name = method, .params = params, .params_size = params_size};

    return submit(connection, &request, ret_ticket, error);
}

int mregion_submit_add(struct mregion *connection, const char *region, const void *bytes,
                       uint64_t size, mregion_ticket *ret_ticket, struct mregion_error *error)
{
    return submit_blob(connection, blob_add_request(region, bytes, size), ret_ticket, error);
}

int mregion_submit_store(struct mregion *connection, const char *region, uint64_t address,
                         const void *bytes, uint64_t size, mregion_ticket *ret_ticket,
                         struct mregion_error *error)
{
    return submit_blob(connection, blob_store_request(region, address, bytes, size), ret_ticket,
                       error);
}

int mregion_submit_load(struct mregion *connection, const char *region, uint64_t address,
                        uint64_t size, void *buffer, mregion_ticket *ret_ticket,
                        struct mregion_error *error)
{
    struct request request = blob_load_request(region, address, size, buffer);
    int code = blob_check_message(connection, size, error);

    return code != MREGION_OK ? code : submit(connection, &request, ret_ticket, error);
}

int mregion_submit_allocate(struct mregion *connection, const char *region, uint64_t size,
                            mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct request request = {.method = METHOD_ALLOCATE, .region = region, .numbers = {size}};

    return submit(connection, &request, ret_ticket, error);
}

int mregion_submit_deallocate(struct mregion *connection, const char *region, uint64_t address,
                              uint64_t size, mregion_ticket *ret_ticket,
                              struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_DEALLOCATE, .region = region, .numbers = {address, size}};

    return submit(connection, &request, ret_ticket, error);
}

int mregion_flush(struct mregion *connection, struct mregion_error *error)
{
    return call_flush(connection, deadline_after(connection->timeout_ms), error);
}

/* ---- Collecting ---- */

static int collect(struct mregion *connection, mregion_ticket ticket, struct reply *ret_reply,
                   struct mregion_error *error)
{
    struct pending *pending = pending_find_ticket(&connection->pending, ticket);

    if (pending == NULL)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "there is no ticket %llu, or it has been collected",
                         (unsigned long long)ticket);
    return call_collect(connection, pending, deadline_after(connection->timeout_ms), ret_reply,
                        error);
}

/* The reply's bytes as memory of the caller's, never NULL. Takes the reply. */
static int hand_over(struct reply *reply, void **ret_result, size_t *ret_size,
                     struct mregion_error *error)
{
    void *bytes = reply->bytes;

    if (reply->bytes == reply->small || reply->bytes == NULL) {
        bytes = malloc(reply->size + 1);
        if (bytes == NULL)
            return error_no_memory(error);
        if (reply->bytes != NULL)
            memcpy(bytes, reply->bytes, reply->size);
    }
    *ret_result = bytes;
    *ret_size = reply->size;
    return MREGION_OK;
}

int mregion_collect(struct mregion *connection, mregion_ticket ticket, void **ret_result,
                    size_t *ret_size, struct mregion_error *error)
{
    struct reply reply = {0};
    int code = collect(connection, ticket, &reply, error);

    return code != MREGION_OK ? code : hand_over(&reply, ret_result, ret_size, error);
}

int mregion_collect_uint(struct mregion *connection, mregion_ticket ticket, uint64_t *ret_number,
                         struct mregion_error *error)
{
    struct reply reply = {0};
    struct value value;
    int code = collect(connection, ticket, &reply, error);

    if (code == MREGION_OK)
        code = reply_take_scalar(&reply, VALUE_UINT, &value, error);
    if (code == MREGION_OK)
        *ret_number = value.number;
    return code;
}

int mregion_collect_done(struct mregion *connection, mregion_ticket ticket,
                         struct mregion_error *error)
{
    struct reply reply = {0};
    int code = collect(connection, ticket, &reply, error);

    if (code == MREGION_OK)
        reply_release(&reply);
    return code;
}

void mregion_forget(struct mregion *connection, mregion_ticket ticket)
{
    struct pending *pending = pending_find_ticket(&connection->pending, ticket);

    if (pending != NULL)
        pending_forget(&connection->pending, pending);
}

/* ---- By name ---- */

int mregion_call(struct mregion *connection, const char *method, const void *params,
                 size_t params_size, void **ret_result, size_t *ret_size,
                 struct mregion_error *error)
{
    struct request request = {
        .method = METHODS, .name = method, .params = params, .params_size = params_size};
    struct reply reply = {0};
    int code = call(connection, &request, &reply, error);

    return code != MREGION_OK ? code : hand_over(&reply, ret_result, ret_size, error);
}

int mregion_notify(struct mregion *connection, const char *method, const void *params,
                   size_t params_size, struct mregion_error *error)
{
    struct request request = {
        .method = METHODS, .name = method, .params = params, .params_size = params_size};

    return call_notify(connection, &request, deadline_after(connection->timeout_ms), error);
}
